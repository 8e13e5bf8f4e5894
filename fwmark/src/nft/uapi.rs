//! The numbers of nf_tables' attributes, from the kernel's
//! `include/uapi/linux/netfilter/nf_tables.h`.
//!
//! A module has the attributes of one kind of message, or of one nest.

macro_rules! attributes {
    ($($(#[$doc:meta])* $module:ident { $($name:ident = $number:literal),* })*) => {
        $($(#[$doc])* pub(super) mod $module { $(pub(in crate::nft) const $name: u16 = $number;)* })*
    };
}

attributes! {
    /// `NFTA_TABLE_*`
    table { NAME = 1, USERDATA = 6 }
    /// `NFTA_CHAIN_*`
    chain { TABLE = 1, NAME = 3, HOOK = 4, TYPE = 7 }
    /// `NFTA_HOOK_*`
    hook { NUMBER = 1, PRIORITY = 2 }
    /// `NFTA_RULE_*`
    rule { TABLE = 1, CHAIN = 2, HANDLE = 3, EXPRESSIONS = 4 }
    /// `NFTA_SET_*`
    set {
        TABLE = 1, NAME = 2, FLAGS = 3, KEY_TYPE = 4, KEY_LENGTH = 5, DATA_TYPE = 6, DATA_LENGTH = 7, DESCRIPTION = 9, ID = 10,
        USERDATA = 13
    }
    /// `NFTA_SET_DESC_*`
    description { SIZE = 1, FIELDS = 2 }
    /// `NFTA_SET_FIELD_*`
    field { LENGTH = 1 }
    /// `NFTA_SET_ELEM_LIST_*`
    elements { TABLE = 1, SET = 2, LIST = 3, SET_ID = 4 }
    /// `NFTA_SET_ELEM_*`
    element { KEY = 1, DATA = 2, FLAGS = 3, USERDATA = 6, KEY_END = 10 }
    /// `NFTA_DATA_*`
    data { VALUE = 1 }
    /// `NFTA_GEN_*`
    generation { ID = 1 }
    /// `NFTA_BATCH_*`
    batch { GENERATION = 1 }
    /// `NFTA_EXPR_*`
    expr { NAME = 1, DATA = 2 }
    /// `NFTA_META_*`
    meta { TO = 1, KEY = 2, FROM = 3 }
    /// `NFTA_PAYLOAD_*`
    payload { TO = 1, HEADER = 2, OFFSET = 3, LENGTH = 4 }
    /// `NFTA_CMP_*`
    compare { FROM = 1, HOW = 2, VALUE = 3 }
    /// `NFTA_RANGE_*`
    range { FROM = 1, HOW = 2, FIRST = 3, LAST = 4 }
    /// `NFTA_LOOKUP_*`
    lookup { SET = 1, FROM = 2, TO = 3, FLAGS = 5 }
    /// `NFTA_BITWISE_*`
    bitwise { FROM = 1, TO = 2, LENGTH = 3, MASK = 4, FLIP = 5, OPERATION = 6 }
    /// `NFTA_IMMEDIATE_*`
    immediate { TO = 1, VALUE = 2 }
    /// `NFTA_TARGET_*`
    target { NAME = 1, REVISION = 2, INFO = 3 }
}

//! Version and size: attributes without a nest, whose numbers mean something else in every other
//! message.

use super::attr::attrs;
use super::message::{Header, emit};
use super::{WireError, cmd};
use crate::info::{Info, Version};

const VERSION: u16 = 1;
const CONN_TAB_SIZE: u16 = 2;

pub(crate) fn decode_info(bytes: &[u8]) -> Result<Info, WireError> {
    let [mut version, mut size] = [None; 2];
    for attr in attrs(bytes) {
        let attr = attr?;
        match attr.kind {
            VERSION => version = Some(attr.u32("IPVS_INFO_ATTR_VERSION")?),
            CONN_TAB_SIZE => size = Some(attr.u32("IPVS_INFO_ATTR_CONN_TAB_SIZE")?),
            _ => {}
        }
    }
    Ok(Info {
        version: Version::from_code(version.ok_or(WireError::Missing("IPVS_INFO_ATTR_VERSION"))?),
        connection_table_size: size.ok_or(WireError::Missing("IPVS_INFO_ATTR_CONN_TAB_SIZE"))?,
    })
}

pub(crate) fn encode_info(out: &mut Vec<u8>, header: Header, info: Info) {
    emit(out, header, cmd::SET_INFO, |out| {
        out.u32(VERSION, info.version.code());
        out.u32(CONN_TAB_SIZE, info.connection_table_size);
    });
}

//! The mark rules of ipvs-cli: in this machine's firewall, or in memory beside an in-memory kernel.

use fwmark::{Backend, BackendError, MarkRule, Owner};

/// The rules and where they are kept.
#[derive(Debug)]
pub(crate) enum MarkRules {
    /// Opened when it is first needed.
    OfThisMachine {
        /// The owner of the rules.
        owner: Owner,
        backend: Option<Backend>,
    },
    InMemory(Vec<MarkRule>),
}

impl MarkRules {
    pub(crate) fn of_this_machine() -> Self {
        MarkRules::OfThisMachine { owner: Owner::default(), backend: None }
    }

    /// Uses the rules of this owner from now on.
    pub(crate) fn belong_to(&mut self, name: &Owner) {
        if let MarkRules::OfThisMachine { owner, backend } = self
            && owner != name
        {
            (*owner, *backend) = (name.clone(), None);
        }
    }

    pub(crate) const fn in_memory() -> Self {
        MarkRules::InMemory(Vec::new())
    }

    /// All rules of the owner, in their order.
    pub(crate) fn list(&mut self) -> Result<Vec<MarkRule>, BackendError> {
        match self {
            MarkRules::OfThisMachine { owner, backend } => opened(owner, backend)?.list(),
            MarkRules::InMemory(rules) => Ok(rules.clone()),
        }
    }

    /// As [`list`](Self::list); where nothing can mark packets, there are none.
    pub(crate) fn list_if_any(&mut self) -> Result<Vec<MarkRule>, BackendError> {
        match self.list() {
            Err(BackendError::Unavailable { .. }) => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Replaces all rules of the owner, in one transaction.
    pub(crate) fn apply(&mut self, wanted: &[MarkRule]) -> Result<(), BackendError> {
        match self {
            MarkRules::OfThisMachine { owner, backend } => opened(owner, backend)?.apply(wanted).map(|_| ()),
            MarkRules::InMemory(rules) => {
                *rules = wanted.to_vec();
                Ok(())
            }
        }
    }
}

fn opened<'b>(owner: &Owner, backend: &'b mut Option<Backend>) -> Result<&'b mut Backend, BackendError> {
    match backend {
        Some(backend) => Ok(backend),
        none => Ok(none.insert(Backend::detect(owner.clone())?)),
    }
}

//! What is asked: for the in-memory kernel.

use super::{destination, director, service};
use crate::service::ServiceKey;

/// A question of this interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Info,
    Services,
    Service(ServiceKey),
    Destinations(ServiceKey),
    Timeouts,
    Daemons,
}

impl Question {
    /// What is asked for, if the question has the length of its kind.
    pub(crate) fn read(option: i32, question: &[u8]) -> Option<Self> {
        let is_whole = match option {
            super::GET_SERVICES => service::room(question).is_some(),
            super::GET_SERVICE => question.len() == service::SIZE,
            super::GET_DESTINATIONS => destination::room(question).is_some(),
            _ => director::is_whole(option, question),
        };
        if !is_whole {
            return None;
        }
        match option {
            super::GET_INFO => Some(Question::Info),
            super::GET_SERVICES => Some(Question::Services),
            super::GET_SERVICE => service::key(question).map(Question::Service),
            super::GET_DESTINATIONS => service::key(question).map(Question::Destinations),
            super::GET_TIMEOUTS => Some(Question::Timeouts),
            super::GET_DAEMONS => Some(Question::Daemons),
            _ => None,
        }
    }
}

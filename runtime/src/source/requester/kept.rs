//! A reply as it may be kept: what came, without what is secret about it.

use jiff::Timestamp;

use crate::source::response::Response;
use crate::source::watch;
use crate::tape::{About, Reply};

use super::{Requester, sounds_secret};

impl Requester {
    pub fn kept(&self, response: &Response) -> Reply {
        let redactor = &self.shared.redactor;
        let headers = response.headers.iter().filter(|(name, value)| {
            !sounds_secret(&name.to_ascii_lowercase()) && redactor.clean(value) == *value
        });
        Reply {
            about: About {
                method: self.method.to_string(),
                url: watch::masked(&response.asked, redactor),
                status: response.status,
                time: Timestamp::now(),
                headers: headers.cloned().collect(),
                continues: false,
            },
            body: response.body.clone(),
        }
    }
}

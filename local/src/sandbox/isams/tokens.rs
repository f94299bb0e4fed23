//! Access tokens of a client, which end; there is no way to renew one.

use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct Tokens {
    life: i64,
    ends: BTreeMap<String, i64>,
    /// How many were given out.
    pub given: usize,
}

impl Tokens {
    pub fn living(life: i64) -> Tokens {
        Tokens {
            life,
            ends: BTreeMap::new(),
            given: 0,
        }
    }

    /// A new token and the seconds it lives.
    pub fn give(&mut self, now: i64) -> (String, i64) {
        self.ends.retain(|_, ends| *ends > now);
        self.given += 1;
        let token = uuid::Uuid::new_v4().simple().to_string();
        self.ends.insert(token.clone(), now + self.life);
        (token, self.life / 1000)
    }

    pub fn is_good(&self, token: &str, now: i64) -> bool {
        self.ends.get(token).is_some_and(|ends| *ends > now)
    }
}

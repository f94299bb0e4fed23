//! A number of calls in a span of time: what rate limits are made of.
//!
//! Windows are fixed and begin with the first call after the last one ended.
//! Knows no clock: each question brings the time, in milliseconds.

#[derive(Debug, Clone)]
pub struct Window {
    length: i64,
    pub allowed: u32,
    ends: i64,
    used: u32,
}

impl Window {
    pub fn new(length: i64, allowed: u32) -> Window {
        Window {
            length,
            allowed,
            ends: i64::MIN,
            used: 0,
        }
    }

    /// Begins anew if the last window has ended.
    pub fn open(&mut self, now: i64) {
        if now >= self.ends {
            self.ends = now + self.length;
            self.used = 0;
        }
    }

    pub fn take(&mut self) {
        self.used += 1;
    }

    pub fn remaining(&self) -> u32 {
        self.allowed.saturating_sub(self.used)
    }

    /// Milliseconds until it begins anew.
    pub fn rest(&self, now: i64) -> i64 {
        self.ends - now
    }
}

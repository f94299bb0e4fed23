//! Turns of streams that share a group: one of them is read at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// The turns of a source's groups.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<String, Arc<Turn<()>>>>);

impl Turns {
    /// Waits for the group's turn, which lasts until what is returned is dropped.
    pub async fn take(&self, group: Option<&str>) -> Option<OwnedMutexGuard<()>> {
        let turn = self.turn(group?);
        Some(turn.lock_owned().await)
    }

    fn turn(&self, group: &str) -> Arc<Turn<()>> {
        let turns = self.0.lock();
        let mut turns = turns.unwrap_or_else(std::sync::PoisonError::into_inner);
        turns.entry(group.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_group_has_one_turn_at_a_time() {
        let turns = Turns::default();
        let first = turns.take(Some("a")).await;
        assert!(turns.take(Some("a")).now_or_never().is_none());
        assert!(turns.take(Some("b")).now_or_never().is_some());
        assert!(turns.take(None).now_or_never().is_some());
        drop(first);
        assert!(turns.take(Some("a")).now_or_never().is_some());
    }
}

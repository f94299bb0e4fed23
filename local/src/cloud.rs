//! What all services share: the store and where the cloud is reached.

use std::io;

use crate::store::Store;

/// The cloud's shared state.
pub struct Cloud {
    pub store: Store,
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub endpoint: String,
}

impl Cloud {
    pub fn open(store: Store, endpoint: String) -> io::Result<Cloud> {
        Ok(Cloud { store, endpoint })
    }
}

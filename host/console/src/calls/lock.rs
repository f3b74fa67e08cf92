//! The global lock (`spec/job-socket.md` §9.2).

use serde_json::{Map, Value};

use crate::{Call, ConsoleClient, ConsoleError};

impl ConsoleClient {
    /// Hands a lock object to the server and gives its lock object back. Devmode does not keep it from the network.
    ///
    /// Only a request that cannot have reached the server is repeated: a lock that was granted into the void would
    /// be held by nobody.
    pub async fn global_lock(&self, lock: Map<String, Value>) -> Result<Map<String, Value>, ConsoleError> {
        self.post(Call::GlobalLock, lock).await?.decode()
    }
}

//! What a run lends to its tools in the sandbox: the server's client, the database, the locks, the node lists.

mod documents;
mod locks;
mod nodes;
mod server;

use std::sync::Arc;

use autoexec_control::JobControl;
use autoexec_engine::Request;
use autoexec_runners::{Questions, Surroundings};
use autoexec_sandbox::{DocumentsHost, LockHost, ServerHost};
use autoexec_store::Home;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use self::documents::{DatabaseDocuments, OwnDatabase};
use self::locks::JobLocks;
use self::nodes::JobNodes;
use self::server::Console;
use super::Face;
use super::input::Prepared;
use super::job_store::JobStore;

/// Gathers them. Needs a tokio runtime.
pub(super) fn gather(
    home: &Home,
    prepared: &Prepared,
    store: &JobStore,
    control: &JobControl,
    requests: &mpsc::Sender<Request>,
) -> Surroundings {
    let runtime = Handle::current();
    let is_started_by_a_person = prepared.request.face != Face::None;
    let config = home.config_file();
    let server = prepared.client.as_ref().map(|client| {
        let console = Console { client: Arc::clone(client), runtime: runtime.clone() };
        Arc::new(console) as Arc<dyn ServerHost>
    });
    let server = server.ok_or_else(|| {
        format!(
            "This run has no console server, so tools can not call it: start the job from the console, and set \
             server.baseurl, server.username and server.password in section [server] of {}.",
            config.display()
        )
    });
    // Devmode grants every lock, as it does to plugins. A person who starts a job from files is told that there are none.
    let locks = if is_started_by_a_person {
        Err("This run has no global locks: the console server grants them, and the job was started without one."
            .to_owned())
    } else {
        Ok(Arc::new(JobLocks(control.tool_locks())) as Arc<dyn LockHost>)
    };
    Surroundings {
        server,
        documents: documents(prepared, store, &config),
        locks,
        nodes: Ok(Arc::new(JobNodes::new(&prepared.params, prepared.nodes.clone(), &runtime))),
        questions: Ok(Arc::new(Questions {
            requests: requests.clone(),
            by_message: is_started_by_a_person || prepared.request.dev_mode,
        })),
        runtime,
    }
}

fn documents(
    prepared: &Prepared,
    store: &JobStore,
    config: &std::path::Path,
) -> Result<Arc<dyn DocumentsHost>, String> {
    if let Some(database) = store.database() {
        return Ok(Arc::new(DatabaseDocuments::new(database.clone(), Handle::current())));
    }
    // A run from files keeps its records in files, but may work with collected data all the same.
    if let Some(own) = OwnDatabase::of(&prepared.config.db) {
        return Ok(Arc::new(DatabaseDocuments::on_first_use(own, Handle::current())));
    }
    Err(format!(
        "This run has no document store: collected data need MongoDB, see db.url, db.name, db.username and db.password in \
         section [autoexec] of {}.",
        config.display()
    ))
}

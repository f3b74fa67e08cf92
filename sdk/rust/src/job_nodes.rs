//! The nodes of this job. Needs the capability `job-nodes` in `tool.toml`.

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::job_nodes as host;
pub use crate::bindings::autoexec::tool::job_nodes::NodesError;
use crate::failure::{HostError, reasons};
use crate::job::Node;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::job_nodes as host;

/// What the host could not do, and why.
pub type Error = HostError<NodesError>;

reasons!(NodesError {
    NodesError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    NodesError::NotFound => crate::FailureKind::NotFound, "the job has no phase of that name";
    NodesError::Unavailable(why) => crate::FailureKind::Other("unavailable".into()), said("can not be read now", why);
});

/// Nodes asked for at once.
const PAGE: u32 = 500;

/// At most `limit` nodes of a phase, beginning with number `offset` (from 0), in the order of the job.
pub fn page(phase: &str, offset: u32, limit: u32) -> Result<Vec<Node>, Error> {
    host::list(phase, offset, limit)
        .map_err(|reason| HostError::new(reason, format_args!("listing the nodes of phase {phase}")))
}

/// All nodes of a phase, read piece by piece: a job may have a hundred thousand. Ends after the first error.
pub fn all(phase: &str) -> impl Iterator<Item = Result<Node, Error>> + use<> {
    let phase = phase.to_owned();
    let mut next = Some(0);
    let pages = std::iter::from_fn(move || {
        let offset = next.take()?;
        let page = page(&phase, offset, PAGE);
        if page.as_ref().is_ok_and(|nodes| nodes.len() == PAGE as usize) {
            next = offset.checked_add(PAGE);
        }
        Some(page)
    });
    pages.flat_map(|page| match page {
        Ok(nodes) => nodes.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(error)],
    })
}

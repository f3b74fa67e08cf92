//! Nodes of the job for a tool, page by page (`job-nodes`).

use std::sync::{Mutex, PoisonError};

use autoexec_engine::ports::NodeList;
use autoexec_model::Node;
use autoexec_sandbox::{JobNodesError, NodeFacts};
use tokio::runtime::Handle;

use super::PhaseNodes;

/// Most nodes of one page: what a tool asks for is held in memory.
const LARGEST_PAGE: u32 = 10_000;

/// What a tool may know of a node.
pub(crate) fn facts(node: &Node) -> NodeFacts {
    NodeFacts {
        resource_id: node.resource.0,
        host: node.host.clone(),
        port: node.port,
        name: node.name.clone(),
        node_type: node.kind.clone(),
        protocol: node.protocol.as_str().to_owned(),
        protocol_port: Some(node.protocol_port).filter(|port| *port != 0),
        username: node.user.clone(),
    }
}

/// Where the last page of a call ended, so that the next one is not read from the start of the file again.
#[derive(Default)]
pub(crate) struct Pages(Mutex<Option<Place>>);

struct Place {
    phase: String,
    next: u32,
    list: NodeList,
}

impl Pages {
    pub(crate) async fn read(
        &self,
        nodes: &dyn PhaseNodes,
        runtime: &Handle,
        (phase, offset, limit): (&str, u32, u32),
    ) -> Result<Vec<NodeFacts>, JobNodesError> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let place = match last.filter(|place| place.phase == phase && place.next <= offset) {
            Some(place) => place,
            None => Place { phase: phase.to_owned(), next: 0, list: nodes.open(phase).await? },
        };
        let reading = runtime.spawn_blocking(move || page(place, offset, limit.min(LARGEST_PAGE)));
        let (place, found) =
            reading.await.map_err(|error| JobNodesError::Unavailable(format!("not read: {error}")))?;
        let found = found.map_err(JobNodesError::Unavailable)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        Ok(found)
    }
}

/// A line that is no node makes the list unusable: a tool must not take a part of it for the whole.
fn page(mut place: Place, offset: u32, limit: u32) -> (Place, Result<Vec<NodeFacts>, String>) {
    let skipped = (offset - place.next) as usize;
    let wanted = place.list.nodes.by_ref().skip(skipped).take(limit as usize);
    let found: Result<Vec<NodeFacts>, String> = wanted.map(|node| node.map(|node| facts(&node))).collect();
    place.next = offset.saturating_add(limit);
    (place, found)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use autoexec_model::NodeFileHeader;
    use serde_json::json;

    use super::*;

    /// Nodes with the numbers below `count`, and how often the list was opened.
    struct Numbers {
        count: i64,
        broken: Option<i64>,
        opened: AtomicUsize,
    }

    #[async_trait]
    impl PhaseNodes for Numbers {
        async fn open(&self, phase: &str) -> Result<NodeList, JobNodesError> {
            if phase != "A" {
                return Err(JobNodesError::NotFound);
            }
            self.opened.fetch_add(1, Ordering::Relaxed);
            let broken = self.broken;
            let node = move |number: i64| {
                if Some(number) == broken {
                    return Err(format!("line {number} is broken"));
                }
                let node = json!({"resourceId": number, "host": "h", "password": "s3cret"});
                Node::from_object(node.as_object().unwrap().clone()).map_err(|error| error.to_string())
            };
            Ok(NodeList {
                path: PathBuf::new(),
                header: NodeFileHeader::assumed(),
                nodes: Box::new((0..self.count).map(node)),
            })
        }
    }

    fn numbers(count: i64, broken: Option<i64>) -> Numbers {
        Numbers { count, broken, opened: AtomicUsize::new(0) }
    }

    async fn ids(pages: &Pages, nodes: &Numbers, offset: u32, limit: u32) -> Vec<i64> {
        let found = pages.read(nodes, &Handle::current(), ("A", offset, limit)).await.unwrap();
        found.into_iter().map(|node| node.resource_id).collect()
    }

    #[tokio::test]
    async fn pages_in_turn_read_the_list_once() {
        let (pages, nodes) = (Pages::default(), numbers(25, None));
        assert_eq!(ids(&pages, &nodes, 0, 10).await, (0..10).collect::<Vec<_>>());
        assert_eq!(ids(&pages, &nodes, 10, 10).await, (10..20).collect::<Vec<_>>());
        assert_eq!(ids(&pages, &nodes, 22, 10).await, [22, 23, 24]);
        assert_eq!(ids(&pages, &nodes, 40, 10).await, [0; 0]);
        assert_eq!(nodes.opened.load(Ordering::Relaxed), 1);
        assert_eq!(ids(&pages, &nodes, 3, 2).await, [3, 4], "backwards too");
        assert_eq!(nodes.opened.load(Ordering::Relaxed), 2);
        assert_eq!(ids(&pages, &nodes, u32::MAX, u32::MAX).await, [0; 0]);
    }

    #[tokio::test]
    async fn a_broken_list_is_not_taken_for_a_short_one() {
        let (pages, nodes) = (Pages::default(), numbers(5, Some(3)));
        let found = pages.read(&nodes, &Handle::current(), ("A", 0, 10)).await;
        assert_eq!(found, Err(JobNodesError::Unavailable("line 3 is broken".into())));
        let other = pages.read(&nodes, &Handle::current(), ("B", 0, 10)).await;
        assert_eq!(other, Err(JobNodesError::NotFound));
    }
}

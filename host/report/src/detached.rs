//! A reporter on a thread of its own: whoever reads what it writes may stall without holding up the run.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use autoexec_engine::ports::{ReportError, Reporter};
use autoexec_events::Stamped;
use tokio::sync::oneshot;

/// Events that wait for a slow reader; some 50 MiB at most. A job of 10,000 nodes has about as many.
const LONGEST_QUEUE: usize = 100_000;

/// A reporter that may be told that events were left out.
pub trait Lossy: Reporter {
    /// `events` events were left out here, because the reader was too slow for them.
    fn missed(&mut self, events: u64);
}

/// Hands events to another reporter without ever waiting for it.
///
/// When the other is so far behind that `LONGEST_QUEUE` events wait, further ones are left out and it is told how
/// many ([`Lossy::missed`]) in their place.
#[derive(Debug)]
pub struct Detached {
    name: &'static str,
    shared: Arc<Shared>,
}

/// Waits for the end of a [`Detached`] reporter.
#[derive(Debug)]
pub struct DetachedEnd(oneshot::Receiver<()>);

#[derive(Debug)]
enum Item {
    Event(Box<Stamped>),
    Missed(u64),
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item; none when nothing is left and nothing will come.
    fn next(&self) -> Option<Item> {
        let mut queue = self.queue();
        loop {
            if let Some(item) = queue.items.pop_front() {
                return Some(item);
            }
            if queue.closed {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Detached {
    /// Moves `reporter` to a thread of its own.
    ///
    /// # Errors
    /// The thread can not be started.
    pub fn start(mut reporter: impl Lossy + 'static) -> io::Result<(Self, DetachedEnd)> {
        let name = reporter.name();
        let shared = Arc::new(Shared::default());
        let (end, ended) = oneshot::channel();
        let source = Arc::clone(&shared);
        thread::Builder::new().name("reporter".to_owned()).spawn(move || {
            while let Some(item) = source.next() {
                match item {
                    Item::Missed(events) => reporter.missed(events),
                    Item::Event(event) => {
                        if let Err(error) = reporter.report(&event) {
                            tracing::error!("reporter {}: {error}", reporter.name());
                        }
                    }
                }
            }
            // Whoever waited may have given up.
            let _ = end.send(());
        })?;
        Ok((Self { name, shared }, DetachedEnd(ended)))
    }
}

impl Reporter for Detached {
    fn name(&self) -> &'static str {
        self.name
    }

    fn report(&mut self, event: &Stamped) -> Result<(), ReportError> {
        let mut queue = self.shared.queue();
        if queue.items.len() < LONGEST_QUEUE {
            queue.items.push_back(Item::Event(Box::new(event.clone())));
        } else if let Some(Item::Missed(events)) = queue.items.back_mut() {
            *events += 1;
        } else {
            queue.items.push_back(Item::Missed(1));
        }
        drop(queue);
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.changed.notify_one();
    }
}

impl DetachedEnd {
    /// Waits until everything was reported, which it is only after the [`Detached`] was dropped. Takes as long as the
    /// reader does.
    pub async fn wait(self) {
        // A thread that ended without a word has nothing left to report either.
        let _ = self.0.await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use autoexec_events::{Level, RunEvent, Stamper};
    use serde_json::Value;

    use super::*;
    use crate::JsonLines;

    fn events(number: usize) -> impl Iterator<Item = Stamped> {
        let mut stamper = Stamper::default();
        (0..number)
            .map(move |_| stamper.stamp(RunEvent::Message { level: Level::Info, text: "x".repeat(100) }))
    }

    #[tokio::test]
    async fn a_stalled_reader_holds_nobody_up_and_learns_what_it_missed() {
        let (reader, writer) = io::pipe().unwrap();
        let (mut detached, end) = Detached::start(JsonLines::new(writer)).unwrap();
        // Far more than a pipe and the queue take; nobody reads yet.
        let sent = LONGEST_QUEUE + 20_000;
        for event in events(sent) {
            detached.report(&event).unwrap();
        }
        drop(detached);
        let lines = thread::spawn(move || {
            let lines =
                BufReader::new(reader).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
            lines.collect::<Vec<Value>>()
        });
        end.wait().await;
        let mut lines = lines.join().unwrap();
        let last = lines.pop().unwrap();
        assert_eq!(last["event"], "events-missed");
        let numbers: Vec<u64> = lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "in order, without a gap");
        assert_eq!(numbers.len() as u64 + last["events"].as_u64().unwrap(), sent as u64);
    }
}

//! The task that delivers.
//!
//! Two clocks hold it back. The *gate* is about the server: after a failure nothing is sent for a while, then one
//! callback at a time tries, and the first success opens the gate for all. The *delay* is about one callback: one that
//! the server answers with an error again and again waits ever longer itself, so that others can try the gate.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::journal::{Ending, Journal};
use super::schedule::Schedule;
use super::{Callback, OutboxEvent, OutboxSettings, Seq};
use crate::retry::pause_after;
use crate::{ConsoleClient, ConsoleError, PeerState};

/// What the handle tells the task.
#[derive(Debug)]
pub(super) enum Order {
    /// A callback to deliver.
    Deliver(Seq, Callback),
    /// Nothing more comes; answer when all is acknowledged.
    Drain(oneshot::Sender<()>),
}

struct Entry {
    callback: Arc<Callback>,
    failures: u32,
}

/// Whether the server seems to answer.
#[derive(Debug, Default)]
struct Gate {
    failures: u32,
    opens: Option<Instant>,
}

struct Landed {
    seq: Seq,
    started: Instant,
    outcome: Result<PeerState, ConsoleError>,
}

/// State of the task.
pub(super) struct Delivery {
    client: Arc<ConsoleClient>,
    journal: Arc<Journal>,
    settings: OutboxSettings,
    orders: mpsc::UnboundedReceiver<Order>,
    entries: HashMap<Seq, Entry>,
    schedule: Schedule,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
    gate: Gate,
    /// When the gate last closed: a failure of something that started earlier says nothing new about the server.
    gate_closed: Option<Instant>,
    delayed: BinaryHeap<Reverse<(Instant, Seq)>>,
    drained: Option<oneshot::Sender<()>>,
}

impl Delivery {
    pub(super) fn new(
        client: Arc<ConsoleClient>,
        journal: Arc<Journal>,
        settings: OutboxSettings,
        orders: mpsc::UnboundedReceiver<Order>,
        left: BTreeMap<Seq, Callback>,
    ) -> Self {
        let mut delivery = Self {
            client,
            journal,
            settings,
            orders,
            entries: HashMap::new(),
            schedule: Schedule::default(),
            flights: FuturesUnordered::new(),
            gate: Gate::default(),
            gate_closed: None,
            delayed: BinaryHeap::new(),
            drained: None,
        };
        for (seq, callback) in left {
            delivery.add(seq, callback);
        }
        // What an earlier process left goes before anything of this one.
        delivery.schedule.draw_line();
        delivery
    }

    /// Delivers until all handles are gone or a drain is finished.
    pub(super) async fn run(mut self) {
        loop {
            self.start();
            if self.entries.is_empty()
                && let Some(drained) = self.drained.take()
            {
                // The one who asked may have given up; there is nobody else to tell.
                let _ = drained.send(());
                return;
            }
            let wake = self.next_wake();
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                Some(landed) = self.flights.next(), if !self.flights.is_empty() => self.settle(landed),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Deliver(seq, callback) => self.add(seq, callback),
            Order::Drain(drained) => {
                self.drained = Some(drained);
                // There is a deadline now: try at once.
                self.gate.opens = None;
                for Reverse((_, seq)) in self.delayed.drain() {
                    self.schedule.put_back(seq);
                }
            }
        }
    }

    fn add(&mut self, seq: Seq, callback: Callback) {
        self.schedule.add(seq, &callback.lane());
        self.entries.insert(seq, Entry { callback: Arc::new(callback), failures: 0 });
    }

    /// Starts what the order, the gate and the number under way allow.
    fn start(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, seq))) = self.delayed.peek().copied()
            && due <= now
        {
            self.delayed.pop();
            self.schedule.put_back(seq);
        }
        while self.flights.len() < self.settings.in_flight.max(1)
            && self.gate.opens.is_none_or(|at| at <= now)
        {
            let Some(seq) = self.schedule.take() else { return };
            self.launch(seq, now);
            if self.gate.failures > 0 {
                // One at a time until something gets through.
                self.gate.opens = Some(now + self.pause(self.gate.failures, None));
            }
        }
    }

    fn launch(&mut self, seq: Seq, started: Instant) {
        let Some(entry) = self.entries.get(&seq) else { return };
        let (callback, client) = (Arc::clone(&entry.callback), Arc::clone(&self.client));
        self.flights
            .push(Box::pin(async move { Landed { seq, started, outcome: callback.send(&client).await } }));
    }

    fn next_wake(&self) -> Option<Instant> {
        let has_room = self.flights.len() < self.settings.in_flight.max(1);
        let gate = self.gate.opens.filter(|_| has_room && self.schedule.has_ready());
        let delay = self.delayed.peek().map(|Reverse((due, _))| *due);
        gate.into_iter().chain(delay).min()
    }

    fn settle(&mut self, Landed { seq, started, outcome }: Landed) {
        match outcome {
            Ok(peers) => {
                self.gate = Gate::default();
                self.finish(seq, Ending::Delivered, peers);
            }
            Err(error) if error.is_final_for_callback() => {
                // A refusal is an answer: the server is there.
                self.gate = Gate::default();
                self.finish(seq, Ending::Rejected(&error.to_string()), PeerState::NothingKnown);
            }
            Err(error) => self.postpone(seq, started, &error),
        }
    }

    fn finish(&mut self, seq: Seq, ending: Ending<'_>, peers: PeerState) {
        let Some(Entry { callback, .. }) = self.entries.remove(&seq) else { return };
        self.journal.acknowledge(seq, ending);
        self.schedule.finish(&callback.lane());
        if let (PeerState::NodeFailed, Some(phase)) = (peers, callback.phase_of_node()) {
            self.tell(OutboxEvent::PeerFailed { phase: phase.clone() });
        }
        self.tell(match ending {
            Ending::Delivered => OutboxEvent::Delivered { seq },
            Ending::Rejected(message) => {
                OutboxEvent::Rejected { seq, summary: callback.summary(), message: message.to_owned() }
            }
        });
    }

    fn postpone(&mut self, seq: Seq, started: Instant, error: &ConsoleError) {
        let now = Instant::now();
        if self.gate_closed.is_none_or(|closed| started >= closed) {
            self.gate.failures = self.gate.failures.saturating_add(1);
            self.gate_closed = Some(now);
            self.gate.opens = Some(now + self.pause(self.gate.failures, error.retry_after()));
        }
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        entry.failures = entry.failures.saturating_add(1);
        if error.is_internal_server_error() && entry.failures >= self.settings.server_error_limit {
            // The server is there and fails on this very callback: it must not hold back all others for ever.
            return self.finish(seq, Ending::Rejected(&error.to_string()), PeerState::NothingKnown);
        }
        let (attempt, summary) = (entry.failures, entry.callback.summary());
        let own = if error.is_unsent() { Duration::ZERO } else { self.pause(attempt, error.retry_after()) };
        let gate = self.gate.opens.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        if own.is_zero() {
            self.schedule.put_back(seq);
        } else {
            self.delayed.push(Reverse((now + own, seq)));
        }
        self.tell(OutboxEvent::Retrying {
            seq,
            summary,
            message: error.to_string(),
            attempt,
            pause: own.max(gate),
        });
    }

    fn pause(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let draining = self.drained.is_some();
        let longest = if draining { self.settings.longest_drain_pause } else { self.settings.longest_pause };
        pause_after(failures, self.settings.first_pause.min(longest), longest, asked.filter(|_| !draining))
    }

    fn tell(&self, event: OutboxEvent) {
        // Nobody listens any more: the journal has it all the same.
        let _ = self.settings.events.send(event);
    }
}

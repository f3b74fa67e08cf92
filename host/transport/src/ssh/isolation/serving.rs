//! One connection in a worker: what is asked goes to its thread, which answers.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::asking::Asking;
use super::outlet::{Chunks, Outlet};
use super::passing::receive;
use super::protocol::{
    Answer, Event, HEADER, LONGEST_EVENT, LONGEST_MESSAGE, Message, Operation, RECORD, parse_header, record,
};
use super::serve::Alive;
use crate::exit::StopOutcome;
use crate::ssh::connection::Worker;
use crate::ssh::dialer::Dialer;
use crate::ssh::error::SshErrorKind;
use crate::ssh::exec::exec;
use crate::ssh::inventory::State;
use crate::ssh::patience::Cancel;
use crate::ssh::remote::{News, RemotePid};
use crate::ssh::terminal::Terminal;
use crate::ssh::{files, filesystem, kept, remote, stopping, upload};
use crate::stop::StopHandle;

/// The end of a run's process is seen here before it is seen at the socket that ends this one.
const RUN_GONE: Duration = Duration::from_secs(1);

/// The worker's end of one connection.
pub(super) struct Serving {
    socket: UnixStream,
    dialer: Dialer,
    alive: Alive,
}

/// How an operation is told to end.
#[derive(Default)]
struct Ending {
    stop: StopHandle,
    abandoned: Arc<AtomicBool>,
}

/// Closes the stream however an operation ends that does not answer.
struct ShutByPanic(Arc<Outlet>);

impl Drop for ShutByPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.shut();
        }
    }
}

/// Closes the stream however its serving ends: a thread that hangs in a login holds it, and the run gives the place of a connection
/// free when it sees the end.
struct ShutAtEnd(Arc<Outlet>);

impl Drop for ShutAtEnd {
    fn drop(&mut self) {
        self.0.shut();
    }
}

impl Serving {
    pub(super) fn new(socket: UnixStream, dialer: Dialer, alive: Alive) -> Self {
        Self { socket, dialer, alive }
    }

    /// Until the run closes it, or is gone.
    pub(super) async fn run(self) {
        if let Err(error) = self.serve().await {
            tracing::debug!(%error, "a connection's requests can not be read");
        }
    }

    async fn serve(self) -> io::Result<()> {
        let Self { socket, dialer, alive } = self;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(tokio::net::UnixStream::from_std(socket)?);
        let outlet = Arc::new(Outlet::new(Arc::clone(&socket)));
        let _shut = ShutAtEnd(Arc::clone(&outlet));
        let asking = Arc::new(Asking::new(Arc::clone(&outlet)));
        let mut messages = Messages::of(socket, Arc::clone(&asking));
        let Some(Message::Connect(target)) = messages.next().await? else { return Ok(()) };
        let hop = dialer.hop(target, Arc::clone(&asking));
        let connected = tokio::select! {
            connected = dialer.connect(&hop, &alive) => connected,
            // Nothing is said meanwhile but that it is not wanted any more.
            _ = messages.next() => return Ok(()),
        };
        drop(hop);
        let thread = match connected {
            Ok(thread) => thread,
            Err(kind) => {
                outlet.event(&answer(Err(kind)), LONGEST_EVENT);
                return Ok(());
            }
        };
        outlet.event(&answer(Ok(Answer::Done)), LONGEST_EVENT);
        let terminal = Terminal::default();
        let mut ending = Ending::default();
        loop {
            match messages.next().await {
                Ok(Some(Message::Do(operation, level))) => {
                    ending = Ending::default();
                    ending.stop.raise(level);
                    let cancel = Cancel::new(ending.stop.token(), Arc::clone(&ending.abandoned));
                    let (outlet, asking, terminal) =
                        (Arc::clone(&outlet), Arc::clone(&asking), terminal.clone());
                    let taken = thread.post(move |worker| {
                        let _shut = ShutByPanic(Arc::clone(&outlet));
                        let (terminal, cancel, outlet) = (&terminal, &cancel, &*outlet);
                        Desk { worker, terminal, cancel, outlet, asking: &asking }.perform(operation);
                    });
                    if !taken {
                        break;
                    }
                }
                Ok(Some(Message::Level(level))) => {
                    ending.stop.raise(level);
                    thread.ring();
                }
                Ok(Some(Message::Abandon)) => {
                    ending.abandoned.store(true, Ordering::Release);
                    asking.give_up();
                    thread.ring();
                }
                // Replies are taken out before.
                Ok(Some(Message::Close | Message::Connect(_) | Message::Reply(..))) | Err(_) => break,
                Ok(None) => {
                    // If the run is gone this process ends now, as the run has: what it started goes on.
                    tokio::time::sleep(RUN_GONE).await;
                    break;
                }
            }
        }
        ending.abandoned.store(true, Ordering::Release);
        asking.give_up();
        // A stop of what runs may still have questions.
        let (over, ended) = oneshot::channel::<()>();
        thread.post(move |worker| {
            terminal.close(worker);
            drop(over);
        });
        drop(thread);
        let _ = ended.await;
        Ok(())
    }
}

/// What the run says, read at all times, so that the run never has to wait. Replies go to who asked.
struct Messages {
    queue: mpsc::UnboundedReceiver<io::Result<Message>>,
    reading: JoinHandle<()>,
    asking: Arc<Asking>,
}

impl Messages {
    fn of(socket: Arc<tokio::net::UnixStream>, asking: Arc<Asking>) -> Self {
        let (sender, queue) = mpsc::unbounded_channel();
        let replies = Arc::clone(&asking);
        let reading = tokio::spawn(async move {
            loop {
                let mut file = None;
                match next(&socket, &mut file).await {
                    Ok(Some(Message::Reply(number, reply))) => replies.replied(number, *reply, file),
                    Ok(Some(message)) => drop(sender.send(Ok(message))),
                    end => {
                        replies.close();
                        if let Err(error) = end {
                            let _ = sender.send(Err(error));
                        }
                        return;
                    }
                }
            }
        });
        Self { queue, reading, asking }
    }

    /// The next one; none at the end of the stream.
    async fn next(&mut self) -> io::Result<Option<Message>> {
        self.queue.recv().await.transpose()
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.reading.abort();
        self.asking.close();
    }
}

fn answer(result: Result<Answer, SshErrorKind>) -> Event {
    Event::Answer { result, inventory: None }
}

/// The next message, and the descriptor that came with it; none at the end of the stream.
async fn next(socket: &tokio::net::UnixStream, file: &mut Option<OwnedFd>) -> io::Result<Option<Message>> {
    let mut header = [0; HEADER];
    if !fill(socket, &mut header, file).await? {
        return Ok(None);
    }
    let (length, kind) = parse_header(header);
    if kind != RECORD || length > LONGEST_MESSAGE {
        return Err(io::Error::other("a message of another kind or size"));
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    if !fill(socket, &mut bytes, file).await? {
        return Ok(None);
    }
    record(&bytes).map(Some).map_err(io::Error::other)
}

/// False when the stream ends before.
async fn fill(
    socket: &tokio::net::UnixStream,
    mut bytes: &mut [u8],
    file: &mut Option<OwnedFd>,
) -> io::Result<bool> {
    while !bytes.is_empty() {
        let (length, came) = socket.async_io(Interest::READABLE, || receive(socket, bytes)).await?;
        if length == 0 {
            return Ok(false);
        }
        bytes = bytes.get_mut(length..).unwrap_or_default();
        *file = file.take().or(came);
    }
    Ok(true)
}

/// What an operation is done with, on the connection's thread.
struct Desk<'a> {
    worker: &'a Worker,
    terminal: &'a Terminal,
    cancel: &'a Cancel,
    outlet: &'a Outlet,
    asking: &'a Arc<Asking>,
}

impl Desk<'_> {
    /// Does it, and answers.
    fn perform(&self, operation: Operation) {
        let longest = operation.longest_answer();
        let mut inventory = None;
        let result = self.outcome(operation, &mut inventory);
        self.outlet.event(&Event::Answer { result, inventory }, longest);
    }

    fn outcome(
        &self,
        operation: Operation,
        changed: &mut Option<Box<State>>,
    ) -> Result<Answer, SshErrorKind> {
        let Self { worker, terminal, cancel, outlet, asking } = *self;
        let settings = &worker.settings;
        let chunks = Chunks::new(outlet, cancel, &worker.wake);
        let done = |()| Answer::Done;
        match operation {
            Operation::Exec(request) => {
                let (write, read) = (settings.write_timeout, settings.read_timeout);
                exec(&worker.link, &request, &chunks, cancel, write, read).map(Answer::Ended)
            }
            Operation::Run { mut task, files } => {
                let mut before = None;
                if let Some(setup) = &mut task.setup {
                    asking.lend(&mut setup.entries, &files);
                    before = setup.inventory.clone().map(|inventory| (inventory.clone(), inventory.state()));
                }
                let end = remote::run(worker, &task, &chunks, cancel, outlet);
                *changed = before.and_then(|(inventory, before)| {
                    let after = inventory.state();
                    (after != before).then(|| Box::new(after))
                });
                end.map(Answer::Task)
            }
            Operation::Attach(task) => {
                let Some(detached) = &task.detached else {
                    let detail = "it was not started detached".to_owned();
                    return Err(SshErrorKind::Invalid { what: "task".into(), detail });
                };
                remote::attach(worker, &task, detached, &chunks, cancel, outlet).map(Answer::Task)
            }
            Operation::StopGroup { pid, account } => {
                let stopped = stopping::stop_group(worker, pid.group, account.as_ref(), cancel, None);
                stopped.map(|proved_dead| Answer::Stopped(StopOutcome { proved_dead }))
            }
            Operation::MakeDir(dir) => files::make_private_dir(worker, &dir, cancel).map(done),
            Operation::RemoveDir { dir, accounts } => {
                files::remove_dir(worker, &dir, &accounts, cancel).map(done)
            }
            Operation::KeepDir { dir, keeping } => {
                kept::keep(worker, &dir, &keeping, cancel).map(Answer::Kept)
            }
            Operation::Upload { mut entries, files, dir } => {
                asking.lend(&mut entries, &files);
                let uploaded = upload::upload(worker, &entries, &dir, cancel);
                filesystem::explained(uploaded, worker, &dir, cancel).map(done)
            }
            Operation::Download(wanted) => {
                let part = asking.open_file(0)?;
                files::download(worker, &wanted, part, cancel).map(Answer::Length)
            }
            Operation::Read { remote, max_bytes } => {
                files::read_file(worker, &remote, max_bytes, cancel).map(Answer::Content)
            }
            Operation::OpenTerminal { columns, rows } => {
                terminal.open(worker, (columns, rows), cancel).map(done)
            }
            Operation::Type(text) => terminal.send(worker, &text, cancel).map(done),
            Operation::Receive { timeout } => terminal.receive(worker, timeout, cancel).map(Answer::Output),
        }
    }
}

impl News for Outlet {
    fn started(&self, pid: RemotePid) {
        self.event(&Event::Started(pid), LONGEST_EVENT);
    }

    fn sending(&self, large: bool) {
        self.event(&Event::Sending(large), LONGEST_EVENT);
    }
}

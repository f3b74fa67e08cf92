//! The run's side of what a worker can not do itself. A worker gets what its connection and the operation under way need, and
//! nothing else; a question for more is one of a worker that is not ours any more.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::UnixStream;

use super::passing;
use super::protocol::{HostInfo, LONGEST_MESSAGE, Message, Question, Reply, frame};
use crate::entry::open_file;
use crate::reach::resolve;
use crate::ssh::arriving::Arriving;
use crate::ssh::credential::Credential;
use crate::ssh::error::SshErrorKind;
use crate::ssh::host_key;
use crate::ssh::link::local;
use crate::ssh::rules;
use crate::ssh::settings::{HostKeyPolicy, SshSettings, SshTarget};

/// Most questions of a connection at a time; it has one thread that asks.
const MOST: usize = 4;

/// The files that an operation needs.
#[derive(Debug, Default)]
pub(in crate::ssh) enum Lending {
    #[default]
    Nothing,
    /// To be read; by the number of their entry.
    Files(Vec<Option<PathBuf>>),
    /// To be written.
    Part(Arriving),
}

/// What one connection may ask for.
#[derive(Debug, Clone)]
pub(super) struct Answering {
    settings: Arc<SshSettings>,
    target: Arc<SshTarget>,
}

/// What is given to the worker.
pub(super) struct Given {
    reply: Reply,
    file: Option<File>,
}

type Answer = Pin<Box<dyn Future<Output = Given> + Send>>;

/// The questions that are being answered, one after the other.
#[derive(Default)]
pub(super) struct Answers(VecDeque<(u32, Answer)>);

impl Given {
    fn plain(result: Result<Reply, SshErrorKind>) -> Self {
        Self { reply: result.unwrap_or_else(Reply::Refused), file: None }
    }

    fn file(result: Result<File, SshErrorKind>) -> Self {
        match result {
            Ok(file) => Self { reply: Reply::Opened, file: Some(file) },
            Err(kind) => Self::plain(Err(kind)),
        }
    }
}

impl Answering {
    pub(super) fn new(settings: Arc<SshSettings>, target: &SshTarget) -> Self {
        Self { settings, target: Arc::new(target.clone()) }
    }

    /// A host on the way, the jump hosts first.
    fn host(&self, number: u32) -> Option<SshTarget> {
        let jumps = rules::jumps_to(&self.settings.rules, &self.target.host);
        let number = usize::try_from(number).ok()?;
        match jumps.get(number) {
            Some(jump) => Some(jump.target.clone()),
            None => (number == jumps.len()).then(|| SshTarget::clone(&self.target)),
        }
    }

    /// The answer to a question; none if it may not be asked.
    fn answer(&self, question: Question, lending: &Lending) -> Option<Answer> {
        let settings = Arc::clone(&self.settings);
        Some(match question {
            Question::Addresses => {
                let first = self.host(0)?;
                Box::pin(async move {
                    let found = resolve(&first.host, first.port).await;
                    Given::plain(
                        found.map(Reply::Addresses).map_err(|source| SshErrorKind::Resolve { source }),
                    )
                })
            }
            Question::Host(number) => {
                let host = self.host(number)?;
                blocking(move || {
                    let known = host_key::recorded(&settings, &host);
                    Given::plain(known.map(|known| {
                        Reply::Host(HostInfo { known, credentials: Credential::gather(&host.auth) })
                    }))
                })
            }
            Question::Record { host, key } => {
                if settings.host_keys != HostKeyPolicy::TrustOnFirstUse || !key.is_recordable() {
                    return None;
                }
                let host = self.host(host)?;
                blocking(move || Given::plain(host_key::record(&settings, &host, &key).map(Reply::Recorded)))
            }
            Question::Open(number) => match lending {
                Lending::Files(paths) => {
                    let path = paths.get(usize::try_from(number).ok()?)?.clone()?;
                    blocking(move || {
                        let opened = open_file(&path);
                        Given::file(opened.map_err(|source| SshErrorKind::LocalFile { path, source }))
                    })
                }
                Lending::Part(arriving) if number == 0 => {
                    let given = Given::file(arriving.file());
                    Box::pin(std::future::ready(given))
                }
                Lending::Nothing | Lending::Part(_) => return None,
            },
        })
    }
}

fn blocking(work: impl FnOnce() -> Given + Send + 'static) -> Answer {
    Box::pin(async move {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Given::plain(Err(local("a blocking task", &error))))
    })
}

impl Answers {
    /// Takes a question. `lending` is none where it belongs to an operation that nobody waits for.
    ///
    /// # Errors
    /// Why it is none that a worker of ours asks.
    pub(super) fn take(
        &mut self,
        answering: &Answering,
        number: u32,
        question: Question,
        lending: Option<&Lending>,
    ) -> Result<(), String> {
        if self.0.len() >= MOST {
            return Err("more questions than are answered at a time".to_owned());
        }
        let answer = match (&question, lending) {
            (Question::Open(_), None) => {
                let given = Given::plain(Err(SshErrorKind::Stopped));
                Some(Box::pin(std::future::ready(given)) as Answer)
            }
            (_, lending) => answering.answer(question, lending.unwrap_or(&Lending::Nothing)),
        };
        let Some(answer) = answer else { return Err("a question for what is not its own".to_owned()) };
        self.0.push_back((number, answer));
        Ok(())
    }

    /// Waits for the next answer, for ever where nothing was asked. What is not waited for is not lost.
    pub(super) async fn next(&mut self) -> (u32, Given) {
        let Some((number, answer)) = self.0.front_mut() else { return std::future::pending().await };
        let given = (*number, answer.await);
        self.0.pop_front();
        given
    }
}

/// Sends an answer, all of it or nothing. A worker reads at all times: there is room.
pub(super) fn give(socket: &UnixStream, (number, given): (u32, Given)) -> io::Result<()> {
    let Given { reply, file } = given;
    let message = Message::Reply(number, Box::new(reply));
    let frame = frame(&message, LONGEST_MESSAGE).map_err(io::Error::other)?;
    let file = file.as_ref().map(AsFd::as_fd);
    let sent = socket.try_io(Interest::WRITABLE, || passing::send(socket, &frame, file))?;
    if sent == frame.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

//! The run's side of what a worker can not do itself. A worker gets what its connection and the operation under way need, and
//! nothing else; a question for more is one of a worker that is not ours any more.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
use crate::ssh::stopping::STOP_LIMIT;

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
    /// What was told of hosts whose keys were recorded.
    new_hosts: Arc<Mutex<Vec<String>>>,
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
        Self { settings, target: Arc::new(target.clone()), new_hosts: Arc::default() }
    }

    /// What there is to tell of hosts whose keys were recorded since this was asked.
    pub(super) fn new_hosts(&self) -> Vec<String> {
        std::mem::take(&mut *self.new_hosts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The most that a stop takes which does what it is to do: over this connection, then over a new one.
    pub(super) fn stop_limit(&self) -> Duration {
        let SshSettings { connect_timeout, write_timeout, .. } = *self.settings;
        (STOP_LIMIT + connect_timeout).saturating_add(write_timeout).saturating_mul(2)
    }

    /// A host on the way, the jump hosts first.
    fn host(&self, number: u32) -> Option<SshTarget> {
        let jumps = rules::jumps_to(&self.settings.rules, &self.target);
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
                let new_hosts = Arc::clone(&self.new_hosts);
                let tell = move |text| new_hosts.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                blocking(move || {
                    Given::plain(host_key::record(&settings, &host, &key, tell).map(Reply::Recorded))
                })
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

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::ssh::known_hosts::{HostKey, Verdict};
    use crate::ssh::rules::{HostPatterns, HostRule, JumpHost};
    use crate::ssh::settings::SshAuth;

    fn target(host: &str) -> SshTarget {
        let auth = vec![SshAuth::Agent];
        SshTarget { host: host.to_owned(), port: 22, user: "u".to_owned(), auth, jumps: None }
    }

    /// A host behind one jump host.
    fn answering(settings: SshSettings) -> Answering {
        let jump = JumpHost { target: target("127.0.0.1"), logins_per_second: None };
        let rule =
            HostRule { jumps: Some(vec![Arc::new(jump)]), ..HostRule::new(HostPatterns::new(["far"])) };
        Answering::new(Arc::new(SshSettings { rules: vec![rule], ..settings }), &target("far"))
    }

    async fn given(answer: Option<Answer>) -> Given {
        answer.unwrap().await
    }

    fn key(body: u8) -> HostKey {
        HostKey::new([&[0, 0, 0, 11][..], b"ssh-ed25519", &[body; 8]].concat())
    }

    #[tokio::test]
    async fn a_worker_gets_the_hosts_on_its_way_and_no_others() {
        let answering = answering(SshSettings::new("/no/such/file".into()));
        let nothing = Lending::Nothing;
        let Reply::Addresses(found) = given(answering.answer(Question::Addresses, &nothing)).await.reply
        else {
            panic!("no addresses")
        };
        assert_eq!(found, ["127.0.0.1:22".parse().unwrap()], "those of the jump host");
        for number in [0, 1] {
            let given = given(answering.answer(Question::Host(number), &nothing)).await;
            let Reply::Host(HostInfo { credentials, .. }) = given.reply else { panic!("host {number}") };
            assert!(matches!(credentials[..], [Credential::Agent]));
        }
        for number in [2, u32::MAX] {
            assert!(answering.answer(Question::Host(number), &nothing).is_none());
        }
    }

    #[tokio::test]
    async fn a_worker_gets_the_files_of_its_operation_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "content").unwrap();
        let answering = answering(SshSettings::new("/no/such/file".into()));
        let files = Lending::Files(vec![None, Some(path), Some(dir.path().to_owned())]);
        let mut text = String::new();
        let opened = given(answering.answer(Question::Open(1), &files)).await;
        opened.file.unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        let directory = given(answering.answer(Question::Open(2), &files)).await;
        assert!(directory.file.is_none() && matches!(directory.reply, Reply::Refused(_)));
        for (number, lending) in [(0, &files), (3, &files), (0, &Lending::Nothing)] {
            assert!(answering.answer(Question::Open(number), lending).is_none());
        }
        let arriving = Lending::Part(Arriving::new(&dir.path().join("new")).unwrap());
        assert!(given(answering.answer(Question::Open(0), &arriving)).await.file.is_some());
        assert!(answering.answer(Question::Open(1), &arriving).is_none());
    }

    #[tokio::test]
    async fn a_key_is_recorded_only_on_first_use_and_only_where_that_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let known_hosts = dir.path().join("known_hosts");
        let record = |policy, host, key| {
            let settings = SshSettings { host_keys: policy, ..SshSettings::new(known_hosts.clone()) };
            answering(settings).answer(Question::Record { host, key }, &Lending::Nothing)
        };
        for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptAll] {
            assert!(record(policy, 1, key(1)).is_none());
        }
        let first_use = HostKeyPolicy::TrustOnFirstUse;
        assert!(record(first_use, 2, key(1)).is_none(), "a host that is not on the way");
        assert!(record(first_use, 1, HostKey::new(b"no key".to_vec())).is_none());
        assert!(!known_hosts.exists());
        let recorded = given(record(first_use, 1, key(1))).await.reply;
        assert!(matches!(recorded, Reply::Recorded(Verdict::Known)));
        let text = std::fs::read_to_string(&known_hosts).unwrap();
        assert!(text.starts_with("far ssh-ed25519 "), "{text}");
        let other = given(record(first_use, 1, key(2))).await.reply;
        assert!(matches!(other, Reply::Recorded(Verdict::Changed { line: 1, .. })));
        assert_eq!(std::fs::read_to_string(&known_hosts).unwrap(), text);
    }
}

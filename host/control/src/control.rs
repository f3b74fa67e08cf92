//! What the datagrams mean: requests to the engine, locks, queries.

use std::sync::Arc;
use std::time::Duration;

use autoexec_engine::Request;
use autoexec_events::Level;
use autoexec_store::JobDir;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::documents::{DocumentQuery, Documents};
use crate::lock::{GlobalLocks, LockIdentity, LockRequest, LockServer, LockSettings, ToolLocks};
use crate::message::{Message, MessageError};
use crate::socket::{Delivery, JobSocket, Sender, SocketError};

/// Requests that may wait for an answer at a time; a lock may take an hour.
const WAITING: usize = 4096;

/// Bad datagrams that are told, so that a plugin that sends nothing else does not fill the console log.
const COMPLAINTS: u32 = 20;

/// Pause after the socket itself failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Something to tell people.
pub type Notice = (Level, String);

/// What the control of a run works with.
pub struct ControlSettings {
    /// The job's directory.
    pub job_dir: JobDir,
    /// Who asks for locks; its instance names the socket.
    pub identity: LockIdentity,
    /// Who grants locks.
    pub lock_server: LockServer,
    /// Times of the lock protocol.
    pub locks: LockSettings,
    /// Where collected data are searched.
    pub documents: Arc<dyn Documents>,
}

/// The listening job socket of a run.
#[derive(Debug)]
pub struct JobControl {
    socket: Arc<JobSocket>,
    locks: Arc<GlobalLocks>,
    stop: CancellationToken,
    /// Taken by the first who waits for its end.
    listener: Mutex<Option<JoinHandle<()>>>,
}

impl JobControl {
    /// Binds the socket and listens. `requests` goes to the engine.
    ///
    /// Needs a tokio runtime.
    pub fn listen(settings: ControlSettings, requests: mpsc::Sender<Request>) -> Result<Self, SocketError> {
        let socket = Arc::new(JobSocket::bind(&settings.job_dir, &settings.identity.instance)?);
        let locks = Arc::new(GlobalLocks::new(settings.lock_server, settings.identity, settings.locks));
        let stop = CancellationToken::new();
        let listener = Listener {
            socket: Arc::clone(&socket),
            locks: Arc::clone(&locks),
            documents: settings.documents,
            requests,
            waiting: TaskTracker::new(),
            complaints: 0,
        };
        let listener = Mutex::new(Some(tokio::spawn(listener.run(stop.clone()))));
        Ok(Self { socket, locks, stop, listener })
    }

    /// The same locks for tools that run inside this process. Needs a tokio runtime.
    pub fn tool_locks(&self) -> ToolLocks {
        ToolLocks::new(Arc::clone(&self.locks))
    }

    /// Stops listening, removes the socket and gives the locks back (bounded by [`LockSettings::release_limit`]).
    /// Returns what people should know.
    pub async fn finish(&self) -> Vec<Notice> {
        self.stop.cancel();
        // First, so that the runner does not report to a process that no longer listens.
        self.socket.remove_file();
        let mut notices = Vec::new();
        let listener = self.listener.lock().take();
        if let Some(listener) = listener
            && let Err(error) = listener.await
        {
            notices.push((Level::Error, format!("The listener of the job socket ended abnormally: {error}")));
        }
        notices.extend(self.locks.release_all().await.into_iter().map(|text| (Level::Error, text)));
        notices
    }
}

impl Drop for JobControl {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(listener) = self.listener.lock().take() {
            listener.abort();
        }
        self.socket.remove_file();
    }
}

/// Whether the listener goes on.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    Continue,
    End,
}

struct Listener {
    socket: Arc<JobSocket>,
    locks: Arc<GlobalLocks>,
    documents: Arc<dyn Documents>,
    requests: mpsc::Sender<Request>,
    /// Answers under way.
    waiting: TaskTracker,
    complaints: u32,
}

impl Listener {
    async fn run(mut self, stop: CancellationToken) {
        let mut buffer = JobSocket::buffer();
        loop {
            let socket = Arc::clone(&self.socket);
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                received = socket.receive(&mut buffer) => received,
            };
            match received {
                Ok((bytes, sender)) => {
                    let message = bytes.and_then(Message::parse);
                    if self.take(message, sender).await == Flow::End {
                        return;
                    }
                }
                Err(error) => {
                    self.complain(format!("The job socket {} failed: {error}", socket.path().display()))
                        .await;
                    sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    async fn take(&mut self, message: Result<Message, MessageError>, sender: Sender) -> Flow {
        match message {
            Ok(Message::WaitInput { phase, resource, interact }) => {
                self.request(Request::WaitInput { phase, resource, interact }).await;
            }
            Ok(Message::RoundContinue { phase, round }) => {
                self.request(Request::RoundContinue { phase, round }).await;
            }
            Ok(Message::SetEnv { items, only_in_process }) => {
                self.request(Request::SetEnv { items, only_in_process }).await;
            }
            Ok(Message::GlobalLockNotify(lock)) => self.locks.notify(&lock),
            Ok(Message::GlobalLock(request)) => self.lock(request, sender).await,
            Ok(Message::QueryCollectDb(query)) => self.query(query, sender).await,
            Ok(Message::Exit) => {
                self.exit().await;
                return Flow::End;
            }
            Err(error) => {
                self.complain(format!("A datagram on the job socket is left out: {error}.")).await;
                if let Some(reply) = error.reply() {
                    self.answer(sender, reply);
                }
            }
        }
        Flow::Continue
    }

    async fn request(&self, request: Request) {
        // After the run nobody listens, and nothing is left to ask for.
        let _ = self.requests.send(request).await;
    }

    async fn complain(&mut self, text: String) {
        self.complaints += 1;
        if self.complaints <= COMPLAINTS {
            self.request(Request::Message { level: Level::Error, text }).await;
        }
        if self.complaints == COMPLAINTS {
            let text = "Further bad datagrams on the job socket are not told.".to_owned();
            self.request(Request::Message { level: Level::Warn, text }).await;
        }
    }

    async fn exit(&self) {
        self.socket.remove_file();
        let text = "The job socket was asked to close; global locks are given back.".to_owned();
        self.request(Request::Message { level: Level::Warn, text }).await;
        let (locks, requests) = (Arc::clone(&self.locks), self.requests.clone());
        // At the end of the run it is asked for again and then waited for.
        tokio::spawn(async move {
            for text in locks.release_all().await {
                let _ = requests.send(Request::Message { level: Level::Error, text }).await;
            }
        });
    }

    async fn lock(&mut self, request: LockRequest, sender: Sender) {
        if self.is_full().await {
            return self.answer(
                sender,
                json!({"lockId": null, "message": "too many requests wait on the job socket"}),
            );
        }
        let (locks, socket) = (Arc::clone(&self.locks), Arc::clone(&self.socket));
        self.waiting.spawn(async move {
            let answer = locks.handle(request).await;
            let delivery = socket.reply(&sender, &Value::Object(answer.reply)).await;
            // A plugin that ended while it waited would hold its lock to the end of the run.
            if let (Delivery::SenderGone, Some(lock)) = (delivery, answer.granted) {
                locks.forsake(&lock).await;
            }
        });
    }

    async fn query(&mut self, query: DocumentQuery, sender: Sender) {
        if self.is_full().await {
            return self.answer(
                sender,
                json!({"result": null, "error": "too many requests wait on the job socket"}),
            );
        }
        let (documents, socket) = (Arc::clone(&self.documents), Arc::clone(&self.socket));
        self.waiting.spawn(async move {
            let reply = match documents.find(&query).await {
                Ok(found) => json!({"result": found, "error": null}),
                Err(problem) => json!({"result": null, "error": problem}),
            };
            socket.reply(&sender, &reply).await;
        });
    }

    async fn is_full(&mut self) -> bool {
        let full = self.waiting.len() >= WAITING;
        if full {
            self.complain(format!("{WAITING} requests wait on the job socket, further ones are refused."))
                .await;
        }
        full
    }

    /// A reply that needs no work.
    fn answer(&self, sender: Sender, reply: Value) {
        let socket = Arc::clone(&self.socket);
        tokio::spawn(async move { socket.reply(&sender, &reply).await });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::NoDocuments;
    use async_trait::async_trait;
    use autoexec_model::{JobId, PhaseName, ResourceId, RunnerId};
    use serde_json::Map;
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;

    const SOON: Duration = Duration::from_secs(20);

    struct Run {
        job_dir: JobDir,
        control: JobControl,
        requests: mpsc::Receiver<Request>,
        plugin: UnixDatagram,
        _dir: tempfile::TempDir,
    }

    /// Finds its own condition.
    struct Echo;

    #[async_trait]
    impl Documents for Echo {
        async fn find(&self, query: &DocumentQuery) -> Result<Vec<Map<String, Value>>, String> {
            Ok(vec![query.condition().clone()])
        }
    }

    fn start(documents: Arc<dyn Documents>) -> Run {
        let dir = tempfile::tempdir().unwrap();
        let job_dir = JobDir::at(dir.path());
        let (sender, requests) = mpsc::channel(8);
        let settings = ControlSettings {
            job_dir: job_dir.clone(),
            identity: LockIdentity {
                job: JobId::new("7").unwrap(),
                runner: RunnerId(1),
                instance: "900".to_owned(),
            },
            lock_server: LockServer::DevMode,
            locks: LockSettings::default(),
            documents,
        };
        let control = JobControl::listen(settings, sender).unwrap();
        let plugin = UnixDatagram::bind(dir.path().join("client1.sock")).unwrap();
        plugin.set_read_timeout(Some(SOON)).unwrap();
        Run { job_dir, control, requests, plugin, _dir: dir }
    }

    impl Run {
        fn send(&self, datagram: &[u8]) {
            self.plugin.send_to(datagram, self.job_dir.socket("900")).unwrap();
        }

        async fn next(&mut self) -> Request {
            tokio::time::timeout(SOON, self.requests.recv()).await.unwrap().unwrap()
        }

        fn reply(&self) -> Value {
            let mut buffer = [0; 4096];
            let length = self.plugin.recv(&mut buffer).unwrap();
            serde_json::from_slice(&buffer[..length]).unwrap()
        }
    }

    fn no_documents() -> Arc<dyn Documents> {
        Arc::new(NoDocuments::new(Path::new("/home/conf/config.ini").to_owned()))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn informs_become_requests_to_the_engine() {
        let mut run = start(no_documents());
        run.send(
            br#"{"action":"informNodeWaitInput","phaseName":"A","resourceId":5,"interact":{"title":"t"}}"#,
        );
        match run.next().await {
            Request::WaitInput { phase, resource, interact: Some(interact) } => {
                assert_eq!((phase, resource), (PhaseName::new("A").unwrap(), ResourceId(5)));
                assert_eq!(interact["title"], "t");
            }
            other => panic!("{other:?}"),
        }
        run.send(br#"{"action":"informRoundContinue","phaseName":"A","roundNo":3,"groupNo":0}"#);
        assert!(matches!(run.next().await, Request::RoundContinue { round: 3, .. }));
        run.send(br#"{"action":"setEnv","items":{"A":"1"},"onlyInProcess":1}"#);
        match run.next().await {
            Request::SetEnv { items, only_in_process } => {
                assert_eq!((items, only_in_process), (vec![("A".to_owned(), "1".to_owned())], true));
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn hostile_datagrams_are_told_a_few_times_and_the_next_good_one_counts() {
        let mut run = start(no_documents());
        for datagram in [b"".as_slice(), b"\xff\xfe", b"[]", b"{\"action\":\"reboot\"}", &vec![b'{'; 100_000]]
        {
            run.send(datagram);
            match run.next().await {
                Request::Message { level: Level::Error, text } => {
                    assert!(text.contains("left out"), "{text}");
                }
                other => panic!("{other:?}"),
            }
        }
        let flood = tokio::task::spawn_blocking({
            let (plugin, socket) = (run.plugin.try_clone().unwrap(), run.job_dir.socket("900"));
            move || {
                for _ in 0..500 {
                    plugin.send_to(b"{", &socket).unwrap();
                }
                plugin.send_to(br#"{"action":"setEnv","items":{}}"#, &socket).unwrap();
            }
        });
        let mut told = 5;
        while let Request::Message { .. } = run.next().await {
            told += 1;
        }
        flood.await.unwrap();
        assert_eq!(told, COMPLAINTS + 1, "and the note that no more are told");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_asks_gets_a_reply_also_for_nonsense() {
        let run = start(no_documents());
        run.send(br#"{"action":"globalLock","lockParams":{"action":"lock"}}"#);
        assert_eq!(run.reply(), json!({"lockId": 0}));
        run.send(br#"{"action":"globalLock"}"#);
        assert!(run.reply()["lockId"].is_null());
        run.send(br#"{"action":"queryCollectDB"}"#);
        assert!(run.reply()["error"].as_str().unwrap().contains("queryParams"));
        run.send(br#"{"action":"queryCollectDB","queryParams":{"collection":"C"}}"#);
        let reply = run.reply();
        assert!(reply["result"].is_null());
        assert!(reply["error"].as_str().unwrap().contains("db.url"), "{reply}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_query_is_answered_from_the_documents() {
        let run = start(Arc::new(Echo));
        run.send(br#"{"action":"queryCollectDB","queryParams":{"collection":"C","condition":{"a":1}}}"#);
        assert_eq!(run.reply(), json!({"result": [{"a": 1}], "error": null}));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn exit_closes_the_socket() {
        let mut run = start(no_documents());
        run.send(br#"{"action":"exit"}"#);
        assert!(matches!(run.next().await, Request::Message { level: Level::Warn, .. }));
        assert!(!run.job_dir.socket("900").exists());
        assert_eq!(run.control.finish().await, []);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_removes_the_socket() {
        let run = start(no_documents());
        assert!(run.job_dir.socket("900").exists());
        assert_eq!(run.control.finish().await, []);
        assert!(!run.job_dir.socket("900").exists());
    }
}

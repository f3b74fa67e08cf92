//! Questions to the person who watches the job: the pipe of the contract, and the announcement to the engine
//! (`spec/execution.md` §6.11, `spec/tools-behaviour/00-helper-library.md`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autoexec_engine::Request;
use autoexec_engine::ports::{OperationSink, UnitInfo};
use autoexec_events::Level;
use autoexec_model::{PhaseName, ResourceId};
use autoexec_sandbox::{Answer, InteractError, InteractHost, Question, QuestionKind};
use autoexec_store::JobDir;
use autoexec_store::atomic;
use autoexec_store::json::Style;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::runtime::Handle;

use super::Questions;

/// Longest wait for a person.
const LONGEST_WAIT: Duration = Duration::from_hours(24);
/// Bytes of the longest answer.
const LONGEST_ANSWER: u64 = 1 << 20;
/// What goes on without an answer.
const FORCE_EXIT: &str = "force-exit";

/// Asks for one call of a tool.
pub(crate) struct Person {
    questions: Arc<Questions>,
    runtime: Handle,
    phase: PhaseName,
    resource: ResourceId,
    node: String,
    pipe: PathBuf,
    sink: Arc<dyn OperationSink>,
    /// A node waits for one answer at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Person {
    pub(crate) fn new(
        questions: Arc<Questions>,
        runtime: Handle,
        job_dir: &JobDir,
        unit: &UnitInfo,
        sink: Arc<dyn OperationSink>,
    ) -> Self {
        let (phase, key) = (unit.phase.phase.name.clone(), unit.node.key());
        Self {
            questions,
            runtime,
            pipe: job_dir.question_pipe(&phase, &key),
            node: key.to_string(),
            phase,
            resource: unit.node.resource,
            sink,
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn announcement(&self, question: &Question) -> Value {
        let mut announcement = described(question);
        announcement.insert("pipeFile".to_owned(), self.pipe.display().to_string().into());
        announcement.into()
    }

    async fn request(&self, request: Request) -> Result<(), InteractError> {
        let sent = self.questions.requests.send(request).await;
        sent.map_err(|_| InteractError::Unavailable("the job is ending".to_owned()))
    }

    async fn announce(&self, question: &Question) -> Result<Announced<'_>, InteractError> {
        let interact = Some(self.announcement(question));
        let announced = Announced { person: self, over: false };
        let (phase, resource) = (self.phase.clone(), self.resource);
        self.request(Request::WaitInput { phase, resource, interact }).await?;
        if self.questions.by_message {
            let text = format!(
                "Node {} in phase {} asks: {}: {}{}. Answer with: echo ANSWER > {}",
                self.node,
                self.phase,
                question.title,
                question.message,
                choices(question),
                self.pipe.display()
            );
            // One line: what follows a line break would look like the executor's own words.
            let text = text.replace(char::is_control, " ");
            self.request(Request::Message { level: Level::Warn, text }).await?;
        }
        Ok(announced)
    }

    /// Reads lines until one is an answer.
    async fn answer(&self, lines: pipe::Receiver, question: &Question) -> Result<Answer, InteractError> {
        let mut lines = BufReader::new(lines);
        loop {
            let line = read_line(&mut lines).await.map_err(|error| self.broken(&error))?;
            let (person, value) = split(line.trim());
            let by = person.map(|person| format!(" (by {person})")).unwrap_or_default();
            self.sink.info(Level::Info, &format!("Get input:{value}{by}"));
            match understand(question, value) {
                Some(answer) => return Ok(answer),
                None => self.sink.info(Level::Warn, &format!("Invalid input value:{value}, try again.")),
            }
        }
    }

    fn broken(&self, error: &io::Error) -> InteractError {
        InteractError::Unavailable(format!("the pipe {} can not be used: {error}", self.pipe.display()))
    }
}

#[async_trait]
impl InteractHost for Person {
    async fn ask(&self, question: Question) -> Result<Answer, InteractError> {
        let _turn = self.turn.lock().await;
        let files = PipeFiles::create(&self.pipe, &question).map_err(|error| self.broken(&error))?;
        // Open for both: the end of one writer must not be the end of all.
        let lines = pipe::OpenOptions::new().read_write(true).open_receiver(&self.pipe);
        let lines = lines.map_err(|error| self.broken(&error))?;
        let asked = format!("[Wait Interact]{}{}\n", question.message, choices(&question));
        self.sink.output(asked.as_bytes());
        let announced = self.announce(&question).await?;
        let wait = question.timeout.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let answer = tokio::time::timeout(wait, self.answer(lines, &question)).await;
        drop(files);
        announced.end().await;
        answer.unwrap_or_else(|_| {
            self.sink.info(Level::Warn, "Wait user input timeout or execution aborted.");
            Err(InteractError::TimedOut)
        })
    }
}

/// The job shows that it waits, until this ends or is dropped.
struct Announced<'a> {
    person: &'a Person,
    over: bool,
}

impl Announced<'_> {
    fn withdrawal(&self) -> Request {
        let Person { phase, resource, .. } = self.person;
        Request::WaitInput { phase: phase.clone(), resource: *resource, interact: None }
    }

    /// Before anything else is asked: a later question must not be taken back by this one's end.
    async fn end(mut self) {
        // After the run nobody listens, and nobody waits.
        let _ = self.person.request(self.withdrawal()).await;
        self.over = true;
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let (requests, request) = (self.person.questions.requests.clone(), self.withdrawal());
        self.person.runtime.spawn(async move { requests.send(request).await });
    }
}

/// The pipe and its description, removed with this value.
struct PipeFiles<'a> {
    pipe: &'a Path,
    description: PathBuf,
}

impl<'a> PipeFiles<'a> {
    fn create(pipe: &'a Path, question: &Question) -> io::Result<Self> {
        let files = Self { pipe, description: description(pipe) };
        files.remove();
        atomic::write_json(&files.description, &described(question), Style::Compact, atomic::PRIVATE)
            .map_err(io::Error::other)?;
        mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Ok(files)
    }

    fn remove(&self) {
        for path in [self.pipe, &self.description] {
            if let Err(error) = std::fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!("{}: {error}", path.display());
            }
        }
    }
}

impl Drop for PipeFiles<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

fn description(pipe: &Path) -> PathBuf {
    let mut name = pipe.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

async fn read_line(lines: &mut BufReader<pipe::Receiver>) -> io::Result<String> {
    let mut line = Vec::new();
    let length = lines.take(LONGEST_ANSWER).read_until(b'\n', &mut line).await?;
    if length as u64 == LONGEST_ANSWER {
        return Err(io::Error::other(format!("an answer of more than {LONGEST_ANSWER} bytes")));
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// `[user]# value`, or the value alone.
fn split(line: &str) -> (Option<&str>, &str) {
    let with_user = line.strip_prefix('[').and_then(|rest| rest.split_once("]#"));
    match with_user {
        Some((user, value)) => (Some(user), value.trim()),
        None => (None, line),
    }
}

fn understand(question: &Question, value: &str) -> Option<Answer> {
    if value == FORCE_EXIT {
        return Some(Answer::Skipped);
    }
    let is_choice = |text: &str| question.choices.iter().any(|choice| choice == text);
    match question.kind {
        QuestionKind::Input => Some(Answer::Given(vec![value.to_owned()])),
        QuestionKind::Button | QuestionKind::Select => {
            is_choice(value).then(|| Answer::Given(vec![value.to_owned()]))
        }
        QuestionKind::MultiSelect => {
            let chosen: Vec<String> = serde_json::from_str(value).ok()?;
            (!chosen.is_empty() && chosen.iter().all(|text| is_choice(text))).then_some(Answer::Given(chosen))
        }
    }
}

/// What a person is asked, as the contract names it.
fn described(question: &Question) -> Map<String, Value> {
    let members = [
        ("title", json!(question.title)),
        ("opType", json!(word(question.kind))),
        ("message", json!(question.message)),
        ("options", json!(question.choices)),
        ("role", json!(question.role)),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The server's word (`spec/job-socket.md` §9.1).
fn word(kind: QuestionKind) -> &'static str {
    match kind {
        QuestionKind::Button => "button",
        QuestionKind::Select => "select",
        QuestionKind::MultiSelect => "mselect",
        QuestionKind::Input => "input",
    }
}

fn choices(question: &Question) -> String {
    match question.kind {
        QuestionKind::Input => String::new(),
        QuestionKind::MultiSelect => {
            format!(" (a JSON list of {})", question.choices.join(", "))
        }
        QuestionKind::Button | QuestionKind::Select => format!(" ({})", question.choices.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(kind: QuestionKind) -> Question {
        Question {
            kind,
            title: "t".into(),
            message: "m".into(),
            choices: vec!["Yes".into(), "No".into()],
            role: None,
            timeout: None,
        }
    }

    #[test]
    fn answers_are_checked_as_the_contract_says() {
        let given = |values: &[&str]| Some(Answer::Given(values.iter().map(|&value| value.into()).collect()));
        for (kind, line, expected) in [
            (QuestionKind::Button, "[admin]# Yes", given(&["Yes"])),
            (QuestionKind::Button, "No", given(&["No"])),
            (QuestionKind::Button, "yes", None),
            (QuestionKind::Select, "", None),
            (QuestionKind::MultiSelect, "[u]# [\"Yes\",\"No\"]", given(&["Yes", "No"])),
            (QuestionKind::MultiSelect, "[\"Yes\"]", given(&["Yes"])),
            (QuestionKind::MultiSelect, "[]", None),
            (QuestionKind::MultiSelect, "[\"Maybe\"]", None),
            (QuestionKind::MultiSelect, "Yes", None),
            (QuestionKind::Input, "[u]# [x] # y", given(&["[x] # y"])),
            (QuestionKind::Input, "", given(&[""])),
            (QuestionKind::Button, "[u]# force-exit", Some(Answer::Skipped)),
        ] {
            let (_, value) = split(line);
            assert_eq!(understand(&question(kind), value), expected, "{kind:?} {line}");
        }
        assert_eq!(split("[admin]# Yes"), (Some("admin"), "Yes"));
    }

    #[test]
    fn pipe_and_description_go_with_the_question() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("n.txt.run.pipe");
        std::fs::write(&pipe, "left by a process that was killed").unwrap();
        let files = PipeFiles::create(&pipe, &question(QuestionKind::Button)).unwrap();
        let kind = std::fs::metadata(&pipe).unwrap().file_type();
        assert!(std::os::unix::fs::FileTypeExt::is_fifo(&kind));
        let text = std::fs::read_to_string(dir.path().join("n.txt.run.pipe.json")).unwrap();
        assert!(text.contains(r#""options": ["Yes", "No"]"#), "{text}");
        drop(files);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

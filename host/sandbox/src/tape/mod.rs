//! Recordings of host calls: one call of a tool is written down as JSON lines, and another is answered from them, without
//! network, node or server.
//!
//! The first line says whose recording it is; each further one is a host call with its arguments and its answer. Everything
//! passes [`Cleaner`] on its way: secrets stand there under their names only. What has no answer (log, outputs) is written
//! down for readers and done again in a replay; what has one is compared and answered, and the first call that differs ends
//! the replay.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::border::{Border, HostTrap};

mod clean;
mod player;
mod recorder;
mod start;

use clean::Cleaner;
use player::Player;
use recorder::{Place, Recorder};

/// What becomes of the host calls of the one call that a sandbox is set up for ([`crate::SandboxSettings::tape`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tape {
    /// They are done, and written to this file, which only its owner may read.
    Record(PathBuf),
    /// They are answered from this file.
    Replay(PathBuf),
}

/// First line of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Heading {
    /// Version of the format.
    pub(crate) autoexec_recording: u32,
    /// The tool.
    pub(crate) tool: String,
    /// Its version when it was recorded; another may be replayed.
    pub(crate) version: String,
    /// The export that was called.
    pub(crate) export: String,
    /// Options of the call, secrets by name.
    pub(crate) options: serde_json::Value,
    /// Free arguments of the call.
    pub(crate) arguments: serde_json::Value,
}

/// The format that this program writes.
const FORMAT: u32 = 1;

/// A call that is told from the outside of it: names that only the log and the outputs have.
fn has_no_answer(call: &str) -> bool {
    call.starts_with("log.") || call.starts_with("output.")
}

/// The tape of one call.
pub(crate) enum Running {
    Off,
    Record { recorder: Mutex<Recorder>, broken: AtomicBool },
    Replay(Mutex<Player>),
}

impl Running {
    /// Opens the file. Errors name it and what is wrong with it.
    fn start(tape: &Tape, heading: Heading) -> Result<Self, String> {
        match tape {
            Tape::Record(path) => {
                let recorder = Mutex::new(Recorder::create(path, &heading)?);
                Ok(Self::Record { recorder, broken: AtomicBool::new(false) })
            }
            Tape::Replay(path) => Ok(Self::Replay(Mutex::new(Player::open(path, &heading)?))),
        }
    }

    /// Whether calls are answered without being done.
    pub(crate) fn replays(&self) -> bool {
        matches!(self, Self::Replay(_))
    }

    /// Whether calls are written down or answered.
    pub(crate) fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// Why the call can not go on, if it can not.
    pub(crate) fn check(&self) -> Result<(), HostTrap> {
        let problem = match self {
            Self::Off => return Ok(()),
            Self::Record { recorder, broken } => {
                broken.load(Ordering::Acquire).then(|| recorder.lock().problem().to_owned())
            }
            Self::Replay(player) => player.lock().problem().map(str::to_owned),
        };
        problem.map_or(Ok(()), |problem| Err(HostTrap::Tape(problem)))
    }

    /// The tool has ended: a replay must have come to its end, too.
    pub(crate) fn finish(&self) -> Result<(), HostTrap> {
        match self {
            Self::Off => {}
            Self::Record { recorder, .. } => recorder.lock().flush().map_err(HostTrap::Tape)?,
            Self::Replay(player) => player.lock().finish(),
        }
        self.check()
    }
}

/// A host call that was begun.
pub(crate) enum Asked<'a> {
    /// There is no tape.
    Off(&'a Border),
    /// It is done, and its answer goes to this place.
    Record(&'a Border, Place),
    /// Its answer, in the form of the tape.
    Replay(serde_json::Value),
}

/// The same for a call that goes on while the guest does other things.
pub(crate) enum Begun {
    Off,
    Record(Place),
    Replay(serde_json::Value),
}

impl Begun {
    /// On with it.
    pub(crate) fn of(self, border: &Border) -> Asked<'_> {
        match self {
            Self::Off => Asked::Off(border),
            Self::Record(place) => Asked::Record(border, place),
            Self::Replay(answer) => Asked::Replay(answer),
        }
    }
}

impl Border {
    /// Begins a host call: `arguments` are what the guest gave, as a tuple.
    pub(crate) fn asked<A: Serialize>(
        &self,
        call: &'static str,
        arguments: &A,
    ) -> Result<Asked<'_>, HostTrap> {
        match &self.tape {
            Running::Off => Ok(Asked::Off(self)),
            Running::Record { recorder, .. } => {
                let arguments = self.clean(arguments)?;
                Ok(Asked::Record(self, recorder.lock().begin(call, arguments)))
            }
            Running::Replay(player) => {
                let arguments = self.clean(arguments)?;
                player.lock().answer(call, &arguments).map(Asked::Replay).map_err(HostTrap::Tape)
            }
        }
    }

    /// Writes a host call down that has no answer.
    pub(crate) fn noted<A: Serialize>(&self, call: &'static str, arguments: &A) -> Result<(), HostTrap> {
        if let Running::Record { .. } = self.tape {
            self.asked(call, arguments)?.keep(&())?;
        }
        Ok(())
    }

    /// Ends a replay in which a call hands something over, after it was begun, that is not in the recording.
    pub(crate) fn compare<T: Serialize>(
        &self,
        what: &'static str,
        recorded: &T,
        now: &T,
    ) -> Result<(), HostTrap> {
        let Running::Replay(player) = &self.tape else { return Ok(()) };
        let (recorded, now) = (self.clean(recorded)?, self.clean(now)?);
        player.lock().compare(what, &recorded, &now).map_err(HostTrap::Tape)
    }

    fn clean<T: Serialize>(&self, value: &T) -> Result<serde_json::Value, HostTrap> {
        let value = serde_json::to_value(value).map_err(|error| HostTrap::Tape(error.to_string()))?;
        Ok(Cleaner::new(&self.secrets).clean(value))
    }
}

impl Asked<'_> {
    /// To be gone on with where the border is not borrowed.
    pub(crate) fn begun(self) -> Begun {
        match self {
            Self::Off(_) => Begun::Off,
            Self::Record(_, place) => Begun::Record(place),
            Self::Replay(answer) => Begun::Replay(answer),
        }
    }

    /// Does the call, or answers it from the tape. The call may be over when it has been done.
    pub(crate) async fn answers<T>(self, act: impl Future<Output = T>) -> Result<T, HostTrap>
    where
        T: Serialize + DeserializeOwned,
    {
        if let Self::Replay(answer) = self {
            return read(answer);
        }
        let answer = act.await;
        if let Self::Off(border) | Self::Record(border, _) = &self {
            border.check_alive()?;
        }
        self.keep(&answer)?;
        Ok(answer)
    }

    /// The same for what does not wait.
    pub(crate) fn answers_now<T, E>(self, act: impl FnOnce() -> Result<T, E>) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<HostTrap>,
    {
        if let Self::Replay(answer) = self {
            return Ok(read(answer)?);
        }
        let answer = act()?;
        self.keep(&answer)?;
        Ok(answer)
    }

    fn keep<T: Serialize>(self, answer: &T) -> Result<(), HostTrap> {
        let Self::Record(border, place) = self else { return Ok(()) };
        let Running::Record { recorder, broken } = &border.tape else { return Ok(()) };
        let answer = border.clean(answer)?;
        recorder.lock().end(place, answer).map_err(|problem| {
            broken.store(true, Ordering::Release);
            HostTrap::Tape(problem)
        })
    }
}

fn read<T: DeserializeOwned>(answer: serde_json::Value) -> Result<T, HostTrap> {
    serde_json::from_value(clean::plain(answer))
        .map_err(|error| HostTrap::Tape(format!("an answer of the recording can not be read: {error}")))
}

//! Why a local process could not be run.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// An error around a local process. Arguments and environment are never part of the text.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The program file is not there.
    #[error("{program}: no such program; install it or correct its path", program = .program.display())]
    NotFound {
        /// The program.
        program: PathBuf,
    },
    /// The interpreter of the `#!` line is not there.
    #[error("{program}: its first line names the interpreter {interpreter:?}, which does not exist here; \
             install it or correct the #! line (a carriage return at its end counts)", program = .program.display())]
    NoInterpreter {
        /// The script.
        program: PathBuf,
        /// The interpreter it asks for.
        interpreter: String,
    },
    /// The file is there but is neither a binary nor a script with a `#!` line.
    #[error("{program}: not a program this system can start; a script needs a first line like #!/usr/bin/perl",
            program = .program.display())]
    NotAProgram {
        /// The file.
        program: PathBuf,
    },
    /// The file may not be executed.
    #[error("{program}: permission denied; make it a regular file and executable for this user (chmod +x)",
            program = .program.display())]
    NotExecutable {
        /// The file.
        program: PathBuf,
    },
    /// The file is open for writing elsewhere.
    #[error("{program}: still being written by another process (text file busy); \
             replace programs by writing a new file and renaming it", program = .program.display())]
    Busy {
        /// The file.
        program: PathBuf,
    },
    /// Arguments and environment exceed the system's limit.
    #[error("{program}: arguments and environment are larger than the system allows; pass large values in files",
            program = .program.display())]
    TooLong {
        /// The program.
        program: PathBuf,
    },
    /// The working directory cannot be entered.
    #[error("{program}: cannot use the working directory {cwd}: {source}",
            program = .program.display(), cwd = .cwd.display())]
    WorkingDirectory {
        /// The program.
        program: PathBuf,
        /// The directory.
        cwd: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Starting failed for another reason (no memory, too many processes or files).
    #[error("{program}: cannot be started: {source}", program = .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The end of the process could not be waited for.
    #[error("{program}: its end cannot be waited for: {source}", program = .program.display())]
    Wait {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The process did not end after KILL.
    #[error("{program}: process {pid} is still there after SIGKILL, most likely blocked in the kernel; \
             look at its state with ps", program = .program.display())]
    StillRunning {
        /// The program.
        program: PathBuf,
        /// Its process id.
        pid: u32,
    },
}

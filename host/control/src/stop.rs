//! Ending the processes of a job from outside: pause and abort (`spec/cli.md` §1.6).

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};

use crate::processes::{JobProcess, ProcessError, child_groups, wait_for_end};

/// How long to wait for processes that were told to stop.
pub struct Patience<'a> {
    /// How long after TERM they may still be there. Asked again and again, as it depends on what they are doing.
    pub until_kill: &'a dyn Fn() -> Duration,
    /// How often it is asked.
    pub look: Duration,
    /// How long after KILL they may still be there.
    pub after_kill: Duration,
}

/// How an abort ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aborted {
    /// All processes ended by themselves.
    Ended,
    /// Some had to be killed, and are gone.
    Killed(Vec<u32>),
    /// These are still there.
    Alive(Vec<u32>),
}

/// Sends TERM to all processes and waits; what is still there when `patience` ends gets KILL, and so do the process
/// groups of its children, which would go on without it. Returns as soon as all are gone.
pub fn abort(processes: &[JobProcess], patience: &Patience<'_>) -> Result<Aborted, ProcessError> {
    let started = Instant::now();
    signal_all(processes, Signal::TERM)?;
    let mut alive = wait_for_end(processes, Some(patience.look))?;
    while !alive.is_empty() && started.elapsed() < (patience.until_kill)() {
        alive = wait_for_end(processes, Some(patience.look))?;
    }
    if alive.is_empty() {
        return Ok(Aborted::Ended);
    }
    kill(&alive)?;
    let killed = pids(&alive);
    let left = wait_for_end(processes, Some(patience.after_kill))?;
    Ok(if left.is_empty() { Aborted::Killed(killed) } else { Aborted::Alive(pids(&left)) })
}

/// One that may not be signalled does not keep the others from being.
fn signal_all(processes: &[JobProcess], signal: Signal) -> Result<(), ProcessError> {
    let results: Vec<_> = processes.iter().map(|process| process.signal(signal)).collect();
    results.into_iter().collect()
}

fn pids(processes: &[&JobProcess]) -> Vec<u32> {
    processes.iter().map(|process| process.pid()).collect()
}

fn kill(processes: &[&JobProcess]) -> Result<(), ProcessError> {
    for process in processes {
        // Looked up before: afterwards they are nobody's children.
        let groups = child_groups(process.pid());
        process.signal(Signal::KILL)?;
        for group in groups {
            // One that has just ended needs no signal.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
    Ok(())
}

/// Sends USR1 once to all processes and waits for their end, however long their running operations take.
pub fn pause(processes: &[JobProcess]) -> Result<(), ProcessError> {
    signal_all(processes, Signal::USR1)?;
    wait_for_end(processes, None).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::running;
    use crate::processes::testing::{Process, home, job_of, start};
    use autoexec_store::Home;
    use std::cell::Cell;
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;

    const SOON: Duration = Duration::from_secs(20);
    const LONG: Duration = Duration::from_hours(1);

    fn patience(until_kill: &dyn Fn() -> Duration) -> Patience<'_> {
        Patience { until_kill, look: Duration::from_millis(20), after_kill: SOON }
    }

    fn found(home: &Home) -> Vec<JobProcess> {
        running(home, &job_of).unwrap()
    }

    fn aborted(home: &Home, until_kill: &dyn Fn() -> Duration) -> Aborted {
        abort(&found(home), &patience(until_kill)).unwrap()
    }

    #[test]
    fn an_abort_returns_when_the_process_is_gone_and_not_later() {
        let (_dir, home) = home();
        let mut process = start(&home, "echo; read x", &["--jobid", "1"], None);
        assert_eq!(aborted(&home, &|| LONG), Aborted::Ended);
        assert_eq!(process.0.wait().unwrap().signal(), Some(15));
        assert_eq!(aborted(&home, &|| LONG), Aborted::Ended, "nothing is left");
    }

    #[test]
    fn a_process_that_does_not_end_is_killed_with_the_groups_of_its_children() {
        let (_dir, home) = home();
        let script = "trap '' TERM; exec 3<&0; setsid sh -c 'trap \"\" TERM; echo; read y <&3' & wait";
        let mut process = start(&home, script, &["--jobid", "2"], None);
        let asked = Cell::new(0);
        let until_kill = || {
            asked.set(asked.get() + 1);
            // Patient as long as "remote work" is under way.
            if asked.get() < 5 { LONG } else { Duration::ZERO }
        };
        let pid = process.0.id();
        assert_eq!(aborted(&home, &until_kill), Aborted::Killed(vec![pid]));
        assert_eq!(asked.get(), 5);
        // The child had the other end of this pipe.
        let mut rest = String::new();
        process.0.stdout.as_mut().unwrap().read_to_string(&mut rest).unwrap();
    }

    #[test]
    fn a_pause_sends_one_signal_and_waits() {
        let (_dir, home) = home();
        let script = "n=0; trap 'n=$((n+1)); echo $n' USR1; echo; while read x; do :; done; exit $n";
        let mut process: Process = start(&home, script, &["--jobid", "3"], None);
        let processes = found(&home);
        let mut output = process.0.stdout.take().unwrap();
        let mut input = process.0.stdin.take();
        let closing = std::thread::spawn(move || {
            let mut heard = [0; 1];
            output.read_exact(&mut heard).unwrap();
            // The job has heard of the pause; now its running operation ends.
            drop(input.take());
            heard
        });
        pause(&processes).unwrap();
        assert_eq!(closing.join().unwrap(), *b"1");
        assert_eq!(process.0.wait().unwrap().code(), Some(1));
    }
}

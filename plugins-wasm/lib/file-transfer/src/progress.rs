use std::time::Duration;

use autoexec_sdk::clock::Instant;
use autoexec_sdk::log;

/// Time between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// Says how far a transfer is, at most once a second and not in its first second.
#[derive(Debug)]
pub struct Progress {
    what: String,
    total: Option<u64>,
    told: Instant,
}

impl Progress {
    /// A transfer of that many bytes, where it is known.
    pub fn new(what: impl Into<String>, total: Option<u64>) -> Self {
        Self { what: what.into(), total, told: Instant::now() }
    }

    /// So many bytes are there.
    pub fn at(&mut self, bytes: u64) {
        if self.told.elapsed() < PAUSE {
            return;
        }
        self.told = Instant::now();
        match self.total.filter(|total| *total > 0) {
            Some(total) => {
                let percent = u128::from(bytes) * 100 / u128::from(total);
                log::info(format_args!("{}: {bytes} of {total} bytes, {percent}%", self.what));
            }
            None => log::info(format_args!("{}: {bytes} bytes", self.what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::{clock, testing::Host};

    #[test]
    fn at_most_one_line_a_second() {
        let host = Host::new();
        let mut progress = Progress::new("big.iso", Some(200));
        progress.at(1);
        clock::sleep(Duration::from_secs(1));
        progress.at(50);
        progress.at(60);
        clock::sleep(Duration::from_secs(2));
        progress.at(200);
        assert_eq!(host.lines(), ["big.iso: 50 of 200 bytes, 25%", "big.iso: 200 of 200 bytes, 100%"]);
    }
}

//! Frames of a worker, as they arrive. The worker is not trusted: whatever it sends is an error at worst.

use super::protocol::{Event, HEADER, LONGEST_ERROR, OUTPUT, RECORD, parse_header, record};
use crate::output::CHUNK;

/// Memory that is kept for the next frame.
const KEPT: usize = 256 * 1024;
/// Memory for the first frames: most operations say little, and what is not needed for long is made and given back for
/// each of them.
const FIRST: usize = 4096;

/// What has arrived and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    from: usize,
}

/// One frame.
pub(super) enum Frame<'a> {
    Output(&'a [u8]),
    Event(Box<Event>),
}

impl Inbox {
    /// Where the next bytes go to, with room for a piece of output.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        if self.from > 0 {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        let (least, more) = match self.bytes.capacity() {
            0 => (FIRST, FIRST),
            1..=FIRST => (FIRST / 2, CHUNK + HEADER),
            _ => (CHUNK / 2, CHUNK + HEADER),
        };
        if self.bytes.capacity() - self.bytes.len() < least {
            self.bytes.reserve(more);
        }
        &mut self.bytes
    }

    /// The next frame, if all of it is here.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn next(&mut self, longest: usize) -> Result<Option<Frame<'_>>, String> {
        let rest = self.bytes.get(self.from..).unwrap_or_default();
        let Some((header, rest)) = rest.split_first_chunk::<HEADER>() else { return Ok(None) };
        let (length, kind) = parse_header(*header);
        let allowed = match kind {
            OUTPUT => 1..=CHUNK,
            RECORD => 1..=longest,
            other => return Err(format!("a frame of the unknown kind {other}")),
        };
        if !allowed.contains(&length) {
            return Err(format!("a frame of {length} bytes"));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        self.from += HEADER + length;
        if kind == OUTPUT {
            return Ok(Some(Frame::Output(body)));
        }
        let event: Event = record(body)?;
        if let Event::Answer { result: Err(kind), .. } = &event
            && postcard::experimental::serialized_size(kind).is_ok_and(|length| length > LONGEST_ERROR)
        {
            return Err("an error of more than its largest size".to_owned());
        }
        Ok(Some(Frame::Event(Box::new(event))))
    }

    /// Gives memory back while nothing is expected.
    pub(super) fn rest(&mut self) {
        if self.from == self.bytes.len() {
            *self = Self::default();
        } else if self.bytes.capacity() > KEPT {
            self.bytes.shrink_to(KEPT);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::protocol::{Answer, frame, header};
    use super::*;
    use crate::ssh::error::{SshErrorKind, Step};

    fn taken(bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut inbox = Inbox::default();
        inbox.room().extend_from_slice(bytes);
        let mut all = Vec::new();
        while let Some(frame) = inbox.next(1000)? {
            all.push(match frame {
                Frame::Output(bytes) => format!("{} bytes", bytes.len()),
                Frame::Event(event) => match *event {
                    Event::Started(pid) => format!("group {}", pid.group),
                    Event::Sending(large) => format!("sending {large}"),
                    Event::Ask(number, _) => format!("question {number}"),
                    Event::Answer { result: Ok(Answer::Done), .. } => "done".to_owned(),
                    Event::Answer { result: Ok(_), .. } => "answer".to_owned(),
                    Event::Answer { result: Err(kind), .. } => kind.to_string(),
                },
            });
        }
        Ok(all)
    }

    fn answer(kind: SshErrorKind) -> Vec<u8> {
        frame(&Event::Answer { result: Err(kind), inventory: None }, 1 << 20).unwrap().to_vec()
    }

    fn lost() -> SshErrorKind {
        SshErrorKind::ConnectionLost { step: Step::Output, detail: "d".to_owned() }
    }

    #[test]
    fn frames_arrive_in_pieces_and_in_order() {
        let done = Event::Answer { result: Ok(Answer::Done), inventory: None };
        let all = [&header(3, OUTPUT)[..], b"abc", &answer(lost()), &frame(&done, 100).unwrap()].concat();
        for cut in 0..=all.len() {
            let mut inbox = Inbox::default();
            let mut count = 0;
            for part in [&all[..cut], &all[cut..]] {
                inbox.room().extend_from_slice(part);
                while inbox.next(1000).unwrap().is_some() {
                    count += 1;
                }
            }
            assert_eq!(count, 3, "cut at {cut}");
        }
        assert_eq!(taken(&all).unwrap(), ["3 bytes", &lost().to_string(), "done"]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_header() {
        assert!(taken(&header(1001, RECORD)).unwrap_err().contains("1001"));
        assert!(taken(&header(u32::MAX, OUTPUT)).is_err());
        assert!(taken(&header(0, OUTPUT)).is_err());
        assert!(taken(&header(1, 7)).unwrap_err().contains("kind 7"));
    }

    #[test]
    fn an_error_in_an_error_in_an_error_does_not_use_up_the_stack() {
        let mut kind = lost();
        for _ in 0..10 {
            kind = SshErrorKind::Interrupted { problem: Box::new(kind) };
        }
        assert!(taken(&answer(kind)).is_err());
        let two = SshErrorKind::Jump { jump: "j".to_owned(), problem: Box::new(lost()) };
        let two = SshErrorKind::Interrupted { problem: Box::new(two) };
        assert_eq!(taken(&answer(two)).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_waits_for_more(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = taken(&bytes);
        }

        #[test]
        fn garbage_in_a_frame_is_an_error_or_an_event(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            let length = u32::try_from(bytes.len()).unwrap();
            let _ = taken(&[&header(length, RECORD)[..], &bytes].concat());
        }
    }
}

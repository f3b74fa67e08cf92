//! Telnet (RFC 854): what is text, and the answers to the options that the device offers or asks for.

use std::time::Duration;

use autoexec_sdk::Failure;
use autoexec_sdk::connection::Stream;
use autoexec_sdk::dialogue::{Arrived, Talk};

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SUB: u8 = 250;
const SUB_END: u8 = 240;
/// The device echoes what is typed (RFC 857), and sends without waiting for its turn (RFC 858).
const WANTED: [u8; 2] = [1, 3];

/// A telnet connection.
#[derive(Debug)]
pub(crate) struct Telnet {
    stream: Stream,
    state: State,
}

/// Where in a command the last byte was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Command,
    Option(u8),
    Sub,
    SubCommand,
}

impl Telnet {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, state: State::Text }
    }
}

impl State {
    /// Takes a byte: text of the device, or an answer to be sent.
    fn take(self, byte: u8, text: &mut Vec<u8>, answer: &mut Vec<u8>) -> Self {
        match (self, byte) {
            (Self::Text, IAC) => Self::Command,
            (Self::Text, _) => {
                text.push(byte);
                Self::Text
            }
            (Self::Command, IAC) => {
                text.push(IAC);
                Self::Text
            }
            (Self::Command, WILL | WONT | DO | DONT) => Self::Option(byte),
            (Self::Command, SUB) => Self::Sub,
            (Self::Option(WILL), option) => {
                let verb = if WANTED.contains(&option) { DO } else { DONT };
                answer.extend([IAC, verb, option]);
                Self::Text
            }
            (Self::Option(DO), option) => {
                answer.extend([IAC, WONT, option]);
                Self::Text
            }
            (Self::Sub, IAC) => Self::SubCommand,
            (Self::Command | Self::Option(_), _) | (Self::SubCommand, SUB_END) => Self::Text,
            (Self::Sub | Self::SubCommand, _) => Self::Sub,
        }
    }
}

impl Talk for Telnet {
    fn say(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        // A secret's reference never holds the byte that would have to be doubled; neither does UTF-8.
        self.stream.say(bytes)
    }

    fn hear(&mut self, timeout: Duration) -> Result<Arrived, Failure> {
        let bytes = match self.stream.hear(timeout)? {
            Arrived::Bytes(bytes) => bytes,
            other => return Ok(other),
        };
        let (mut text, mut answer) = (Vec::with_capacity(bytes.len()), Vec::new());
        for byte in bytes {
            self.state = self.state.take(byte, &mut text, &mut answer);
        }
        if !answer.is_empty() {
            self.stream.say(&answer)?;
        }
        Ok(if text.is_empty() { Arrived::Nothing } else { Arrived::Bytes(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_answered_and_text_is_left() {
        let mut state = State::Text;
        let (mut text, mut answer) = (Vec::new(), Vec::new());
        let said = [
            b"a".as_slice(),
            &[IAC, WILL, 1, IAC, WILL, 99, IAC, DO, 24, IAC, DONT, 3, IAC, SUB, 24, 1, IAC, SUB_END],
            &[IAC, IAC, b'b', IAC, 241, b'c'],
        ];
        for byte in said.concat() {
            state = state.take(byte, &mut text, &mut answer);
        }
        assert_eq!(text, [b'a', IAC, b'b', b'c']);
        assert_eq!(answer, [IAC, DO, 1, IAC, DONT, 99, IAC, WONT, 24]);
    }
}

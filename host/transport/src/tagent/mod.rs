//! The target agent's protocol (spec/tagent-protocol.md): a pure codec, and a client over TCP.
//!
//! The codec ([`codec`]) has no I/O: bytes and payloads in, values out. The client opens a connection for each request, as the protocol has it, and puts a time limit on each step.
//!
//! The protocol's own weaknesses stay (spec §10): without the encrypted variant commands, environment and files are in
//! clear; with it the cipher is weak, nothing proves the agent's identity, and nothing protects integrity.

mod answer;
#[cfg(test)]
mod captured;
mod charset;
mod cipher;
mod client;
mod dirs;
mod error;
mod frame;
mod handshake;
mod pack;
mod request;
mod run;
mod settings;
mod transfer;
mod windows;
mod wire;

/// The protocol without I/O, for tests and tools that speak it themselves.
pub mod codec {
    pub use super::answer::{CommandEnd, Download, upload_ready};
    pub use super::charset::{OutputDecoder, TextConverter};
    pub use super::cipher::Cipher;
    pub use super::frame::{
        DATA_CHUNK, Decoder, Frame, FrameError, MAX_FINAL_TEXT, MAX_PAYLOAD, chunk, final_chunk,
    };
    pub use super::handshake::{Greeting, verdict};
    pub use super::request::{Request, UploadKind};
}

pub use charset::{Charset, LineEnds, convert_text};
pub use client::{Agent, TagentConnector};
pub use dirs::AgentDir;
pub use error::{Step, TagentError, TagentErrorKind};
pub use handshake::AgentInfo;
pub use run::Start;
pub use settings::{TagentSettings, TagentTarget};
pub use transfer::Conversion;

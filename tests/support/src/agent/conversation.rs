//! Handshake and requests, from §3 and §4.

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use super::wire::{Wire, rc4};
use super::{AgentOptions, AgentRequest, Fault, Moment, Shared, files, session, windows};

/// A conversation and what it is to do wrong.
pub(super) struct Talk<'a> {
    pub(super) wire: Wire<'a>,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) options: AgentOptions,
    verb: String,
}

pub(super) fn serve(socket: &TcpStream, shared: &Arc<Shared>) -> Result<()> {
    let options = shared.options();
    let pause = if let Fault::Trickle(pause) = options.fault { Some(pause) } else { None };
    let wire = Wire { socket, key: None, pause };
    let mut talk = Talk { wire, shared, options, verb: String::new() };
    talk.log_in()?;
    let payload = talk.wire.read_chunk()?;
    let peer = socket.peer_addr()?;
    let Some(payload) = payload else {
        return talk.wire.end(&format!("request protocol error, empty request, client:{peer}."));
    };
    let text = String::from_utf8_lossy(&payload).into_owned();
    if text.trim().is_empty() {
        return talk.wire.end(&format!("request protocol error, blank request, client:{peer}."));
    }
    let mut parts: Vec<&str> = text.split('|').collect();
    while parts.last() == Some(&"") {
        parts.pop();
    }
    let [user, verb, _charset, fields @ ..] = parts.as_slice() else { bail!("no request") };
    if fields.is_empty() {
        return talk.wire.end(&format!("request protocol error, separate request failed, client:{peer}."));
    }
    // The agent's own client sends one field of a download without encoding; it is no hex then.
    let fields = fields.iter().map(|field| hex::decode(field).unwrap_or_default()).collect();
    let request = AgentRequest { user: (*user).to_owned(), verb: (*verb).to_owned(), fields };
    talk.verb.clone_from(&request.verb);
    shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
    talk.moment(Moment::Answer)?;
    talk.answer(&request)
}

impl Talk<'_> {
    fn log_in(&mut self) -> Result<()> {
        self.moment(Moment::Greeting)?;
        if let Fault::Greets(bytes) = self.options.fault.clone() {
            self.wire.raw(&bytes)?;
            return self.hang();
        }
        let key = self.options.credential.clone().into_bytes();
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        // Not random: a test that fails must fail again.
        let (first, second) = (65531 - now % 997, 1 + now % 65531);
        let challenge = hex::encode(rc4(&key, format!("{first},{second},{now}").as_bytes()));
        let version = if self.options.encrypted { "Tagent1.1s" } else { "Tagent1.1" };
        let greeting = format!("{}|{}|{challenge}|{version}", self.options.os, self.options.charset);
        self.wire.chunk(greeting.as_bytes())?;
        if self.options.encrypted {
            self.wire.key = Some(key.clone());
        }
        let answer = self.wire.read_chunk()?.context("a final chunk instead of an answer")?;
        self.moment(Moment::Verdict)?;
        let answer = rc4(&key, &hex::decode(&answer)?);
        let expected = format!("{},{now}", first * second);
        if answer != expected.as_bytes() || self.options.fault == Fault::RefusesAll {
            self.wire.chunk(b"auth failed")?;
            bail!("a wrong answer");
        }
        self.wire.chunk(b"auth succeed")
    }

    /// Does what is to go wrong at this moment.
    pub(super) fn moment(&mut self, moment: Moment) -> Result<()> {
        match self.options.fault {
            Fault::Close(at, verb) if at == moment && (verb.is_empty() || verb == self.verb) => {
                bail!("closed on purpose")
            }
            Fault::Silence(at, verb) if at == moment && (verb.is_empty() || verb == self.verb) => self.hang(),
            _ => Ok(()),
        }
    }

    /// Keeps the connection and reads until the client is gone.
    fn hang(&mut self) -> Result<()> {
        let mut socket = self.wire.socket;
        while socket.read(&mut [0; 4096])? > 0 {}
        bail!("the client is gone")
    }

    /// Sends data, in the way that is to go wrong.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<()> {
        if self.options.fault == Fault::ShortChunk {
            let mut lie = u16::try_from(bytes.len() + 100)?.to_be_bytes().to_vec();
            lie.extend_from_slice(bytes);
            self.wire.raw(&lie)?;
            bail!("closed after a lie");
        }
        self.wire.chunk(bytes)?;
        while self.options.fault == Fault::EndlessData {
            self.wire.chunk(&vec![b'x'; 32768])?;
        }
        while let Fault::EndlessBytes(pause) = self.options.fault {
            self.wire.chunk(b"x")?;
            std::thread::sleep(pause);
        }
        if self.options.fault == Fault::Flood {
            let flood = b"\0\x01x".repeat(20_000);
            loop {
                self.wire.raw(&flood)?;
            }
        }
        self.moment(Moment::Data)
    }

    /// Sends the final chunk, in the way that is to go wrong.
    pub(super) fn end(&mut self, text: &str) -> Result<()> {
        self.moment(Moment::End)?;
        if self.options.fault == Fault::EndlessText {
            self.wire.raw(&[0, 0])?;
            loop {
                self.wire.raw(&[b'x'; 4096])?;
            }
        }
        self.wire.end(text)
    }

    fn answer(&mut self, request: &AgentRequest) -> Result<()> {
        if self.options.fault == Fault::NoSuchUser {
            return self.wire.end(&format!("Get uid from [{}] failed, user not exists.\n", request.user));
        }
        let is_windows = self.options.os.eq_ignore_ascii_case("windows");
        match request.verb.as_str() {
            "execmd" if is_windows => windows::execute(self, request),
            "execmd" => session::execute(self, request),
            "upload" => files::upload(self, request),
            "download" => files::download(self, request),
            "echo" => {
                let text = request.fields.first().cloned().unwrap_or_default();
                self.wire.chunk(&text)
            }
            // An unknown verb: closed without a word.
            _ => Ok(()),
        }
    }
}

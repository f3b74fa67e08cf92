//! One connection: TCP, handshake, frames with time limits. One connection carries one request (spec §1).

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::net::sockopt;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout, timeout_at};

use super::cipher::Cipher;
use super::error::{Step, TagentErrorKind};
use super::frame::{self, Decoder, Frame, FrameError};
use super::handshake::{AgentInfo, Greeting, excerpt, verdict};
use super::settings::TagentTarget;
use crate::output::with_buffer;
use crate::reach::{self, Unreached};

/// A greeting is far shorter; what announces more is another protocol.
const MAX_GREETING: usize = 1024;
/// The text of a final chunk follows it at once (spec §1).
const FINAL_TEXT_LIMIT: Duration = Duration::from_secs(30);
/// How long the reason for a broken upload is waited for.
const REASON_LIMIT: Duration = Duration::from_secs(3);
/// A peer that answers no probe for idle + 3 intervals is gone; a silent command is noticed by nothing else.
const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_PROBES: u32 = 3;

/// A connection that is logged in.
pub(super) struct Wire {
    socket: TcpStream,
    /// Set where all after the greeting is encrypted.
    cipher: Option<Arc<Cipher>>,
    decoder: Decoder,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Wire {
    /// Connects and logs in, all within `limit`.
    pub(super) async fn open(
        target: &TagentTarget,
        cipher: &Arc<Cipher>,
        limit: Duration,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Result<(Self, AgentInfo), TagentErrorKind> {
        let deadline = Instant::now() + limit;
        let socket = timeout_at(deadline, reach(target, deadline))
            .await
            .unwrap_or(Err(TagentErrorKind::Timeout { step: Step::Connect, limit }))?;
        configure(&socket);
        let mut wire = Self { socket, cipher: None, decoder: Decoder::default(), _slot: slot };
        let info = timeout_at(deadline, wire.log_in(cipher)).await;
        match info {
            Ok(info) => info.map(|info| (wire, info)),
            // What began to speak and never ended its first chunk is another protocol.
            Err(_) if wire.decoder.held() > 0 => Err(wire.stranger()),
            Err(_) => Err(TagentErrorKind::Timeout { step: Step::Handshake, limit }),
        }
    }

    async fn log_in(&mut self, cipher: &Arc<Cipher>) -> Result<AgentInfo, TagentErrorKind> {
        let payload = match self.receive_before(Step::Handshake, None).await {
            Ok(Frame::Data(payload)) => payload,
            Ok(Frame::Final(text)) => return Err(TagentErrorKind::Handshake { said: excerpt(&text) }),
            Err(TagentErrorKind::ConnectionLost { .. }) if self.decoder.held() > 0 => {
                return Err(self.stranger());
            }
            Err(kind) => return Err(kind),
        };
        let greeting = Greeting::parse(&payload)?;
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let answer = greeting.answer(cipher, clock)?;
        self.cipher = greeting.info.encrypted.then(|| Arc::clone(cipher));
        self.write(answer.as_bytes(), Step::Handshake).await?;
        match self.receive_before(Step::Handshake, None).await? {
            Frame::Data(payload) => verdict(&payload)?,
            Frame::Final(text) => return Err(TagentErrorKind::Handshake { said: excerpt(&text) }),
        }
        Ok(greeting.info)
    }

    fn stranger(&self) -> TagentErrorKind {
        TagentErrorKind::NotAnAgent { said: excerpt(self.decoder.held_bytes()) }
    }

    /// Sends a chunk; the peer has to take all of it within `limit`.
    pub(super) async fn send(
        &mut self,
        payload: &[u8],
        step: Step,
        limit: Duration,
    ) -> Result<(), TagentErrorKind> {
        timeout(limit, self.write(payload, step))
            .await
            .unwrap_or(Err(TagentErrorKind::Timeout { step, limit }))
    }

    async fn write(&mut self, payload: &[u8], step: Step) -> Result<(), TagentErrorKind> {
        let chunk = self.chunk(payload, step)?;
        self.socket.write_all(&chunk).await.map_err(|error| lost(step, &error))
    }

    fn chunk(&self, payload: &[u8], step: Step) -> Result<Vec<u8>, TagentErrorKind> {
        frame::chunk(payload, self.cipher.as_deref()).ok_or_else(|| TagentErrorKind::Protocol {
            step,
            detail: format!("a chunk of {} bytes cannot be sent", payload.len()),
        })
    }

    /// Sends a chunk of an upload. The agent speaks meanwhile only to say that it has failed.
    pub(super) async fn send_data(
        &mut self,
        payload: &[u8],
        limit: Duration,
    ) -> Result<Option<Frame>, TagentErrorKind> {
        let chunk = self.chunk(payload, Step::Upload)?;
        self.send_watching(&chunk, false, limit).await
    }

    /// Ends an upload: well, or with the text of a failure, which makes the agent remove what it has.
    pub(super) async fn send_final(
        &mut self,
        text: &[u8],
        limit: Duration,
    ) -> Result<Option<Frame>, TagentErrorKind> {
        let chunk = frame::final_chunk(text, self.cipher.as_deref());
        self.send_watching(&chunk, true, limit).await
    }

    async fn send_watching(
        &mut self,
        chunk: &[u8],
        is_last: bool,
        limit: Duration,
    ) -> Result<Option<Frame>, TagentErrorKind> {
        let Self { socket, cipher, decoder, .. } = self;
        let (mut reader, mut writer) = socket.split();
        let sent = tokio::select! {
            biased;
            sent = timeout(limit, put(&mut writer, chunk, is_last)) => sent,
            frame = next_frame(&mut reader, decoder, cipher.as_deref(), Step::Upload) => return frame.map(Some),
        };
        match sent {
            Err(_) => Err(TagentErrorKind::Timeout { step: Step::Upload, limit }),
            Ok(Ok(())) => Ok(None),
            // The agent may have said why before it hung up.
            Ok(Err(error)) => {
                let said =
                    timeout(REASON_LIMIT, next_frame(&mut reader, decoder, cipher.as_deref(), Step::Upload));
                match said.await {
                    Ok(Ok(frame)) => Ok(Some(frame)),
                    _ => Err(lost(Step::Upload, &error)),
                }
            }
        }
    }

    /// The next frame; all of it has to come within `limit`. Safe to drop while it waits: nothing is lost.
    pub(super) async fn receive(
        &mut self,
        step: Step,
        limit: Option<Duration>,
    ) -> Result<Frame, TagentErrorKind> {
        self.receive_before(step, limit.map(|limit| (Instant::now() + limit, limit))).await
    }

    /// The same by a moment, which was this long away.
    pub(super) async fn receive_before(
        &mut self,
        step: Step,
        end: Option<(Instant, Duration)>,
    ) -> Result<Frame, TagentErrorKind> {
        let (mut reader, _) = self.socket.split();
        let frame = next_frame(&mut reader, &mut self.decoder, self.cipher.as_deref(), step);
        match end {
            None => frame.await,
            Some((until, limit)) => {
                match timeout_at(until, frame).await {
                    Ok(frame) => return frame,
                    // The end has come in time; its text has a limit of its own.
                    Err(_) if self.decoder.is_final() => {}
                    Err(_) => return Err(TagentErrorKind::Timeout { step, limit }),
                }
                let (mut reader, _) = self.socket.split();
                next_frame(&mut reader, &mut self.decoder, self.cipher.as_deref(), step).await
            }
        }
    }
}

async fn put(writer: &mut WriteHalf<'_>, bytes: &[u8], is_last: bool) -> io::Result<()> {
    writer.write_all(bytes).await?;
    if is_last { writer.shutdown().await } else { Ok(()) }
}

async fn next_frame(
    reader: &mut ReadHalf<'_>,
    decoder: &mut Decoder,
    cipher: Option<&Cipher>,
    step: Step,
) -> Result<Frame, TagentErrorKind> {
    let open = |mut payload: Vec<u8>| {
        if let Some(cipher) = cipher {
            cipher.apply(&mut payload);
        }
        payload
    };
    let mut text_until = None;
    loop {
        // Neither a frame nor a read that finds bytes ever waits: without this a peer that sends faster than we read
        // would keep the thread, and whoever shares the task with us would never be asked.
        consume_budget().await;
        if let Some(payload) = decoder.next_frame() {
            return Ok(Frame::Data(open(payload)));
        }
        if step == Step::Handshake && decoder.announced().is_some_and(|length| length > MAX_GREETING) {
            return Err(TagentErrorKind::NotAnAgent { said: excerpt(decoder.held_bytes()) });
        }
        let read = if decoder.is_final() {
            let until = *text_until.get_or_insert_with(|| Instant::now() + FINAL_TEXT_LIMIT);
            match timeout_at(until, read(reader)).await {
                Ok(read) => read,
                Err(_) if decoder.held() == 0 => return Err(endless(step)),
                // Any text is a failure or a status. That the connection does not end takes nothing from it.
                Err(_) => Ok(Vec::new()),
            }
        } else {
            read(reader).await
        };
        match read {
            Ok(bytes) if bytes.is_empty() && decoder.is_final() => {
                return std::mem::take(decoder)
                    .end()
                    .map(|text| Frame::Final(open(text)))
                    .map_err(|error| broken(step, error));
            }
            Ok(bytes) if bytes.is_empty() => {
                return Err(TagentErrorKind::ConnectionLost {
                    step,
                    detail: "the agent closed the connection without an end".to_owned(),
                });
            }
            Ok(bytes) => decoder.feed(&bytes).map_err(|error| broken(step, error))?,
            Err(error) => return Err(lost(step, &error)),
        }
    }
}

/// What has arrived; empty at the end of the stream. The buffer is the thread's: silent connections hold none.
async fn read(reader: &mut ReadHalf<'_>) -> io::Result<Vec<u8>> {
    loop {
        reader.readable().await?;
        let read = with_buffer(|buffer| {
            let length = reader.try_read(buffer)?;
            Ok::<_, io::Error>(buffer.get(..length).unwrap_or_default().to_vec())
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

/// No text is success only where the end of the stream says that none follows.
fn endless(step: Step) -> TagentErrorKind {
    let detail = format!("{FINAL_TEXT_LIMIT:?} after the final chunk the connection is still open");
    TagentErrorKind::Protocol { step, detail }
}

fn lost(step: Step, error: &io::Error) -> TagentErrorKind {
    TagentErrorKind::ConnectionLost { step, detail: error.to_string() }
}

fn broken(step: Step, error: FrameError) -> TagentErrorKind {
    TagentErrorKind::Protocol { step, detail: error.to_string() }
}

/// Keep-alive is a help, not a need: a system that refuses it is no reason to give up.
fn configure(socket: &TcpStream) {
    let set = || {
        socket.set_nodelay(true).ok()?;
        sockopt::set_socket_keepalive(socket, true).ok()?;
        sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE).ok()?;
        sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL).ok()?;
        sockopt::set_tcp_keepcnt(socket, KEEPALIVE_PROBES).ok()
    };
    if set().is_none() {
        tracing::debug!("a connection to an agent is without keep-alive");
    }
}

async fn reach(target: &TagentTarget, deadline: Instant) -> Result<TcpStream, TagentErrorKind> {
    reach::reach(&target.host, target.port, deadline).await.map_err(|unreached| match unreached {
        Unreached::Name(source) => TagentErrorKind::Resolve { source },
        Unreached::Addresses(tried) => TagentErrorKind::Connect { tried },
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    /// A connection that is logged in, and the agent's end of it.
    async fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        (Wire { socket, cipher: None, decoder: Decoder::default(), _slot: None }, peer)
    }

    #[tokio::test]
    async fn who_shares_the_task_with_a_flood_gets_a_turn() {
        const CHUNKS: usize = 10_000;
        let (mut wire, mut peer) = pair().await;
        peer.write_all(&b"\0\x01x".repeat(CHUNKS)).await.unwrap();
        // All of it has arrived.
        while wire.socket.peek(&mut vec![0; 3 * CHUNKS]).await.unwrap() < 3 * CHUNKS {
            tokio::task::yield_now().await;
        }
        let mut seen = 0;
        let flood = async {
            while wire.receive(Step::Output, None).await.is_ok() {
                seen += 1;
            }
        };
        tokio::select! {
            biased;
            () = flood => {}
            () = std::future::ready(()) => {}
        }
        assert!((1..CHUNKS).contains(&seen), "{seen} chunks in one go");
    }

    #[tokio::test]
    async fn an_end_that_does_not_close_the_connection_is_an_end_with_its_text_only() {
        let (mut wire, mut peer) = pair().await;
        tokio::time::pause();
        peer.write_all(b"\0\x01x\0\x003").await.unwrap();
        let day = Some(Duration::from_hours(24));
        assert_eq!(wire.receive(Step::Output, day).await.unwrap(), Frame::Data(b"x".to_vec()));
        assert_eq!(wire.receive(Step::Output, day).await.unwrap(), Frame::Final(b"3".to_vec()));

        tokio::time::resume();
        let (mut wire, mut peer) = pair().await;
        tokio::time::pause();
        peer.write_all(b"\0\0").await.unwrap();
        let error = wire.receive(Step::Output, day).await.unwrap_err();
        assert!(matches!(error, TagentErrorKind::Protocol { step: Step::Output, .. }), "{error}");
    }

    #[tokio::test]
    async fn an_end_in_time_may_take_longer_for_its_text() {
        let (mut wire, mut peer) = pair().await;
        tokio::time::pause();
        peer.write_all(b"\0\0").await.unwrap();
        let saying = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            peer.write_all(b"7").await.unwrap();
            peer.shutdown().await.unwrap();
        };
        let (frame, ()) = tokio::join!(wire.receive(Step::Output, Some(Duration::from_secs(1))), saying);
        assert_eq!(frame.unwrap(), Frame::Final(b"7".to_vec()));
    }
}

//! The captured sessions of the specification (§12), replayed byte for byte: a peer that sends the agent's side of a
//! dump and fails the test when the client's side differs.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::answer::CommandEnd;
use super::client::{Agent, TagentConnector, Turn};
use super::error::{Step, TagentErrorKind};
use super::frame::Frame;
use super::request::Request;
use super::settings::{TagentSettings, TagentTarget};
use crate::entry::UploadSource;
use crate::{Secret, StopToken};

const LIMIT: Duration = Duration::from_secs(30);

/// A piece of a conversation; the bytes are those of the dump, without offsets and text column.
enum Piece {
    Agent(Vec<u8>),
    Client(Vec<u8>),
    AgentCloses,
    ClientCloses,
}

fn bytes(dump: &str) -> Vec<u8> {
    hex::decode(dump.split_whitespace().collect::<String>()).unwrap()
}

fn agent(dump: &str) -> Piece {
    Piece::Agent(bytes(dump))
}

fn client(dump: &str) -> Piece {
    Piece::Client(bytes(dump))
}

/// Plays a session and returns the client's agent and the peer's task.
async fn replay(session: Vec<Piece>) -> (Agent, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        for (number, piece) in session.into_iter().enumerate() {
            match piece {
                Piece::Agent(bytes) => socket.write_all(&bytes).await.unwrap(),
                Piece::AgentCloses => socket.shutdown().await.unwrap(),
                Piece::Client(expected) => {
                    let mut found = vec![0; expected.len()];
                    socket.read_exact(&mut found).await.unwrap();
                    assert_eq!(hex::encode(found), hex::encode(expected), "piece {number}");
                }
                Piece::ClientCloses => {
                    let mut rest = Vec::new();
                    socket.read_to_end(&mut rest).await.unwrap();
                    assert!(rest.is_empty(), "piece {number}: {rest:x?}");
                }
            }
        }
    });
    let connector = TagentConnector::new(TagentSettings {
        connect_timeout: LIMIT,
        read_timeout: Some(LIMIT),
        write_timeout: LIMIT,
        command_limit: LIMIT,
        max_connections: 1,
    });
    let target = TagentTarget {
        host: "127.0.0.1".to_owned(),
        port,
        user: "root".to_owned(),
        credential: Secret::new("demo-Secret-01".to_owned()),
    };
    (connector.agent(target).unwrap(), peer)
}

async fn execute(command: &str, session: Vec<Piece>) -> (Vec<Vec<u8>>, CommandEnd) {
    let (agent, peer) = replay(session).await;
    let (mut wire, info) = agent.open(Turn::Wait).await.unwrap();
    let env = [("DEMO_VAR".to_owned(), "v1".to_owned())];
    agent.ask(&mut wire, &info, &Request::Run { command, env: &env, limit_secs: 10 }).await.unwrap();
    let mut lines = Vec::new();
    let end = loop {
        match wire.receive(Step::Output, Some(LIMIT)).await.unwrap() {
            Frame::Data(line) => lines.push(line),
            Frame::Final(text) => break CommandEnd::parse(&text, info.charset),
        }
    };
    drop(wire);
    peer.await.unwrap();
    (lines, end)
}

#[tokio::test]
async fn session_12_1_a_whole_command_plain() {
    let (lines, end) = execute(
        r#"echo hello; echo oops >&2; printf "%s\n" "$DEMO_VAR"; exit 3"#,
        vec![
            agent(
                "00 40 4c 69 6e 75 78 7c 55 54 46 2d 38 7c 37 34
                 36 65 39 66 62 30 65 65 35 36 36 63 37 37 31 31
                 61 35 35 30 66 30 36 32 34 31 32 65 63 32 66 34
                 62 62 32 30 62 33 39 37 7c 54 61 67 65 6e 74 31
                 2e 31",
            ),
            client(
                "00 28 37 33 36 38 39 61 62 64 65 36 34 65 36 34
                 37 64 31 38 62 61 34 64 66 36 36 63 34 64 32 38
                 63 36 66 35 62 64 32 38 62 63",
            ),
            agent("00 0c 61 75 74 68 20 73 75 63 63 65 65 64"),
            client(
                "00 b5 72 6f 6f 74 7c 65 78 65 63 6d 64 7c 55 54
                 46 2d 38 7c 36 35 36 33 36 38 36 66 32 30 36 38
                 36 35 36 63 36 63 36 66 33 62 32 30 36 35 36 33
                 36 38 36 66 32 30 36 66 36 66 37 30 37 33 32 30
                 33 65 32 36 33 32 33 62 32 30 37 30 37 32 36 39
                 36 65 37 34 36 36 32 30 32 32 32 35 37 33 35 63
                 36 65 32 32 32 30 32 32 32 34 34 34 34 35 34 64
                 34 66 35 66 35 36 34 31 35 32 32 32 33 62 32 30
                 36 35 37 38 36 39 37 34 32 30 33 33 7c 7c 37 62
                 32 32 34 34 34 35 34 64 34 66 35 66 35 36 34 31
                 35 32 32 32 33 61 32 30 32 32 37 36 33 31 32 32
                 37 64 7c 33 31 33 30",
            ),
            agent(
                "00 06 68 65 6c 6c 6f 0a 00 05 6f 6f 70 73 0a 00
                 03 76 31 0a 00 00 33",
            ),
            Piece::AgentCloses,
            Piece::ClientCloses,
        ],
    )
    .await;
    assert_eq!(lines, [&b"hello\n"[..], b"oops\n", b"v1\n"]);
    assert_eq!(end, CommandEnd::Status(3));
}

#[tokio::test]
async fn session_12_2_the_encrypted_variant() {
    let (lines, end) = execute(
        r#"echo hello; echo oops >&2; printf "%s\n" "$DEMO_VAR""#,
        vec![
            agent(
                "00 43 4c 69 6e 75 78 7c 55 54 46 2d 38 7c 37 30
                 36 38 39 38 62 32 65 66 35 36 36 38 37 64 31 31
                 61 34 34 65 65 64 36 34 34 66 32 32 63 34 66 30
                 62 61 32 35 62 62 39 38 62 39 7c 54 61 67 65 6e
                 74 31 2e 31 73",
            ),
            client(
                "00 2a 75 69 9d e6 e7 49 3f 78 4d f2 48 f3 63 4d
                 2c c6 f2 ee 71 bf 95 b8 c8 f5 55 5d 28 e0 0e 90
                 27 87 4d 0b 02 32 01 5a 72 38 5f 9a",
            ),
            agent("00 0c 23 2f df ec fe 09 28 2c 4b f3 19 a5"),
            client(
                "00 a5 30 35 c4 f0 a2 1f 25 2a 4b fb 18 bd 00 2c
                 5d dc fb f1 26 be 96 bb 98 fd 55 09 2e e1 0a cd
                 72 80 1d 5c 56 69 05 0c 23 69 54 9b 13 1e 01 85
                 24 83 f7 d1 71 ad 27 e3 6f b5 c7 d5 2c 8a ed 42
                 80 0d 3e 3b 16 de ad d5 2f fc b0 63 1b b7 2f 0e
                 31 ad 86 08 a6 93 94 10 5a 9f 72 31 3a be c9 7f
                 30 d9 b2 75 33 c5 cb 40 0c 26 a4 d0 81 90 fa 46
                 46 65 c4 41 d6 26 33 9f 38 c0 4c 97 da 89 72 46
                 23 c5 2c 2d 71 1d 19 90 32 57 24 00 3b 0a 03 7e
                 d5 76 b0 2c a7 3d 31 da 14 0d fe e7 f1 8c df a1
                 7e c3 0f fd 7c de c5",
            ),
            agent(
                "00 06 2a 3f c7 e8 b1 70 00 05 2d 35 db f7 d4 00
                 03 34 6b a1 00 00",
            ),
            Piece::AgentCloses,
            Piece::ClientCloses,
        ],
    )
    .await;
    assert_eq!(lines, [&b"hello\n"[..], b"oops\n", b"v1\n"]);
    assert_eq!(end, CommandEnd::Status(0));
}

#[tokio::test]
async fn session_12_3_writing_a_small_file() {
    let (writer, peer) = replay(vec![
        agent(
            "00 42 4c 69 6e 75 78 7c 55 54 46 2d 38 7c 37 36
             36 63 39 32 62 63 65 38 35 36 36 62 37 66 31 64
             61 33 34 35 65 64 36 34 34 66 32 32 63 34 66 30
             62 61 32 36 62 62 39 38 62 66 7c 54 61 67 65 6e
             74 31 2e 31",
        ),
        client(
            "00 2a 37 30 36 32 39 66 62 31 65 61 34 38 36 38
             37 65 31 66 61 32 35 30 66 30 36 32 34 31 32 65
             63 32 66 34 62 62 32 30 62 33 39 37",
        ),
        agent("00 0c 61 75 74 68 20 73 75 63 63 65 65 64"),
        client(
            "00 47 72 6f 6f 74 7c 75 70 6c 6f 61 64 7c 55 54
             46 2d 38 7c 36 36 36 39 36 63 36 35 7c 37 37 32
             65 37 34 37 38 37 34 7c 32 66 37 34 36 64 37 30
             32 66 36 34 36 35 36 64 36 66 32 66 37 37 32 65
             37 34 37 38 37 34 7c 30 30",
        ),
        agent("00 0a 53 74 61 74 75 73 3a 32 30 30"),
        client("00 0e 73 6d 61 6c 6c 20 63 6f 6e 74 65 6e 74 0a 00 00"),
        Piece::ClientCloses,
        agent("00 00"),
        Piece::AgentCloses,
    ])
    .await;
    let source = UploadSource::Bytes(b"small content\n".to_vec());
    writer.upload_file(source, "/tmp/demo/w.txt", None, &StopToken::never()).await.unwrap();
    peer.await.unwrap();
}

const READING: [&str; 3] = [
    "00 42 4c 69 6e 75 78 7c 55 54 46 2d 38 7c 37 30
     36 61 39 38 62 35 65 63 35 36 36 66 37 38 31 39
     61 36 34 39 65 64 36 34 34 66 32 32 63 34 66 30
     62 61 32 36 62 62 39 38 62 66 7c 54 61 67 65 6e
     74 31 2e 31",
    "00 28 37 37 36 66 39 62 62 31 65 62 34 63 36 61
     37 39 31 38 62 61 34 64 66 36 36 63 34 64 32 38
     63 36 66 35 62 64 32 38 62 63",
    "00 0c 61 75 74 68 20 73 75 63 63 65 65 64",
];

#[tokio::test]
async fn session_12_4_reading_it_back() {
    let (reader, peer) = replay(vec![
        agent(READING[0]),
        client(READING[1]),
        agent(READING[2]),
        client(
            "00 34 72 6f 6f 74 7c 64 6f 77 6e 6c 6f 61 64 7c
             55 54 46 2d 38 7c 32 66 37 34 36 64 37 30 32 66
             36 34 36 35 36 64 36 66 32 66 37 37 32 65 37 34
             37 38 37 34 7c 30",
        ),
        agent(
            "00 18 53 74 61 74 75 73 3a 32 30 30 2c 46 69 6c
             65 54 79 70 65 3a 66 69 6c 65 00 0e 73 6d 61 6c
             6c 20 63 6f 6e 74 65 6e 74 0a 00 00",
        ),
        Piece::AgentCloses,
    ])
    .await;
    let found = reader.read_file("/tmp/demo/w.txt", 14, &StopToken::never()).await.unwrap();
    assert_eq!(found.unwrap(), b"small content\n");
    peer.await.unwrap();
}

#[tokio::test]
async fn session_12_5_a_failed_download() {
    let answer = [&[0, 0][..], b"/tmp/demo/none not exists."].concat();
    let request = b"root|download|UTF-8|2f746d702f64656d6f2f6e6f6e65|0";
    let length = u8::try_from(request.len()).unwrap();
    let (reader, peer) = replay(vec![
        agent(READING[0]),
        client(READING[1]),
        agent(READING[2]),
        Piece::Client([&[0, length][..], request].concat()),
        Piece::Agent(answer),
        Piece::AgentCloses,
        Piece::ClientCloses,
    ])
    .await;
    assert_eq!(reader.read_file("/tmp/demo/none", 14, &StopToken::never()).await.unwrap(), None);
    peer.await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_longer_than_allowed_is_refused() {
    let (reader, peer) = replay(vec![
        agent(READING[0]),
        client(READING[1]),
        agent(READING[2]),
        client(
            "00 34 72 6f 6f 74 7c 64 6f 77 6e 6c 6f 61 64 7c
             55 54 46 2d 38 7c 32 66 37 34 36 64 37 30 32 66
             36 34 36 35 36 64 36 66 32 66 37 37 32 65 37 34
             37 38 37 34 7c 30",
        ),
        agent(
            "00 18 53 74 61 74 75 73 3a 32 30 30 2c 46 69 6c
             65 54 79 70 65 3a 66 69 6c 65 00 0e 73 6d 61 6c
             6c 20 63 6f 6e 74 65 6e 74 0a",
        ),
    ])
    .await;
    let error = reader.read_file("/tmp/demo/w.txt", 13, &StopToken::never()).await.unwrap_err();
    assert!(matches!(error.kind(), TagentErrorKind::TooLarge { limit: 13, .. }), "{error}");
    assert!(error.target().starts_with("root@127.0.0.1:"));
    peer.await.unwrap();
}

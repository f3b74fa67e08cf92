//! What must hold for any bytes of a target agent. Used by the fuzz target and by the property tests of
//! `autoexec-transport`.

use autoexec_transport::Secret;
use autoexec_transport::tagent::codec::{
    Cipher, CommandEnd, Decoder, Download, Frame, FrameError, Greeting, MAX_FINAL_TEXT, MAX_PAYLOAD,
    OutputDecoder, Request, TextConverter, UploadKind, chunk, final_chunk, upload_ready, verdict,
};
use autoexec_transport::tagent::{Charset, LineEnds};

/// Whatever an agent sends: cut anywhere it gives the same frames, little is held, and no reader of a payload panics.
pub(crate) fn conversation(bytes: &[u8]) {
    let whole = frames(bytes, bytes.len().max(1));
    for piece in [1, 2, 7, 1000] {
        let cut = frames(bytes, piece);
        // The text of a final chunk may turn out too long earlier or later, but it does.
        assert_eq!(cut, whole, "in pieces of {piece}");
    }
    for payload in whole.0.iter().chain(&whole.1.ok()) {
        readers(payload);
    }
    readers(bytes);
}

type Frames = (Vec<Vec<u8>>, Result<Vec<u8>, FrameError>);

fn frames(bytes: &[u8], piece: usize) -> Frames {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece) {
        if let Err(error) = decoder.feed(piece) {
            return (frames, Err(error));
        }
        while let Some(frame) = decoder.next_frame() {
            assert!((1..=MAX_PAYLOAD).contains(&frame.len()));
            frames.push(frame);
        }
        assert!(decoder.held() <= MAX_PAYLOAD.max(MAX_FINAL_TEXT) + 2 + piece.len());
    }
    (frames, decoder.end())
}

fn readers(payload: &[u8]) {
    let Some(cipher) = Cipher::new(&Secret::new("demo-Secret-01".to_owned())) else { return };
    if let Ok(greeting) = Greeting::parse(payload)
        && let Ok(answer) = greeting.answer(&cipher, 1)
    {
        let opened = cipher.open(answer.as_bytes()).unwrap_or_default();
        assert!(opened.iter().all(|byte| byte.is_ascii_digit() || *byte == b','), "{opened:?}");
    }
    assert_eq!(verdict(payload).is_ok(), payload == b"auth succeed");
    assert_eq!(upload_ready(payload).is_ok(), payload == b"Status:200");
    for label in ["UTF-8", "cp936", "cp932", "cp1252"] {
        let Some(charset) = Charset::for_label(label) else { continue };
        let _ = Download::parse(payload, charset);
        if let CommandEnd::Refused(text) = CommandEnd::parse(payload, charset) {
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
        texts(payload, charset);
    }
}

fn texts(bytes: &[u8], charset: Charset) {
    // Converted in pieces or at once is the same, and it is the identity where nothing is to be done.
    let convert = |piece: usize| {
        let (mut converter, mut out) = (TextConverter::new(charset, LineEnds::Windows), Vec::new());
        for piece in bytes.chunks(piece) {
            converter.push(piece, &mut out);
        }
        (converter.finish(&mut out), out)
    };
    assert_eq!(convert(1), convert(bytes.len().max(1)));
    // Output loses nothing: what is valid in either charset becomes UTF-8, all else stays.
    let (mut decoder, mut out) = (OutputDecoder::new(charset), Vec::new());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        decoder.push(line, &mut |bytes| out.extend_from_slice(bytes));
    }
    decoder.finish(&mut |bytes| out.extend_from_slice(bytes));
    if std::str::from_utf8(bytes).is_ok() {
        assert_eq!(out, bytes);
    }
    assert!(out.len() >= bytes.len() / 4);
}

/// What we send is read back as it was, encrypted or not; what cannot be sent is no chunk.
pub(crate) fn requests(text: &str) {
    let cipher = Cipher::new(&Secret::new("k".to_owned()));
    let env = [("NAME".to_owned(), text.to_owned())];
    let requests = [
        Request::Run { command: text, env: &env, limit_secs: 1 },
        Request::Upload { kind: UploadKind::Folder, source: text, dest: text },
        Request::Download { path: text, follow_links: true },
        Request::Echo { text },
    ];
    for request in &requests {
        let Ok(payload) = request.encode("user", Charset::utf8()) else { continue };
        let fields = payload.split(|byte| *byte == b'|').count();
        assert!(fields >= 4, "{payload:?}");
        for cipher in [None, cipher.as_ref()] {
            let Some(mut bytes) = chunk(&payload, cipher) else { panic!("{} bytes", payload.len()) };
            bytes.extend(final_chunk(text.as_bytes(), None));
            let (frames, end) = frames(&bytes, 3);
            let [frame] = frames.as_slice() else { panic!("{} frames", frames.len()) };
            let mut frame = frame.clone();
            if let Some(cipher) = cipher {
                cipher.apply(&mut frame);
            }
            assert_eq!(Frame::Data(frame), Frame::Data(payload.clone()));
            assert!(end.is_err() || end.as_deref() == Ok(text.as_bytes()));
        }
    }
}

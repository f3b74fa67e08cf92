//! `OP_MSG`: one command, one reply.

use std::io::{self, Cursor, Read, Write};

use bson::{Bson, Document};

const OP_MSG: i32 = 2013;
const LARGEST: i32 = 48_000_000;
const CHECKSUM: u32 = 1;
const MORE_TO_COME: u32 = 2;

pub(super) struct Request {
    pub(super) id: i32,
    pub(super) body: Document,
    pub(super) wants_no_reply: bool,
}

/// Reads a request; none when the peer closed the connection between two.
pub(super) fn read(stream: &mut impl Read) -> io::Result<Option<Request>> {
    let mut header = [0; 16];
    match stream.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let mut fields = header.as_slice();
    let [length, id, _, code] = [int(&mut fields)?, int(&mut fields)?, int(&mut fields)?, int(&mut fields)?];
    if code != OP_MSG || !(21..=LARGEST).contains(&length) {
        return Err(wrong("not an OP_MSG of a permitted length"));
    }
    let mut bytes = vec![0; usize::try_from(length - 16).map_err(io::Error::other)?];
    stream.read_exact(&mut bytes)?;
    let mut rest = bytes.as_slice();
    let flags = int(&mut rest)?.cast_unsigned();
    if flags & CHECKSUM != 0 {
        rest = rest.get(..rest.len().saturating_sub(4)).unwrap_or_default();
    }
    Ok(Some(Request { id, body: sections(rest)?, wants_no_reply: flags & MORE_TO_COME != 0 }))
}

/// The body, with document sequences put where they belong.
fn sections(mut rest: &[u8]) -> io::Result<Document> {
    let mut body = Document::new();
    let mut sequences = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        rest = after;
        match kind {
            0 => body = document(&mut rest)?,
            1 => sequences.push(sequence(&mut rest)?),
            _ => return Err(wrong("a section of unknown kind")),
        }
    }
    body.extend(sequences);
    Ok(body)
}

fn sequence(rest: &mut &[u8]) -> io::Result<(String, Bson)> {
    let length = usize::try_from(int(rest)?).map_err(io::Error::other)?;
    let (mut inside, after) =
        rest.split_at_checked(length.saturating_sub(4)).ok_or_else(|| wrong("cut off"))?;
    *rest = after;
    let end = inside.iter().position(|byte| *byte == 0).ok_or_else(|| wrong("a name without end"))?;
    let name = String::from_utf8_lossy(inside.get(..end).unwrap_or_default()).into_owned();
    inside = inside.get(end + 1..).unwrap_or_default();
    let mut documents = Vec::new();
    while !inside.is_empty() {
        documents.push(Bson::Document(document(&mut inside)?));
    }
    Ok((name, Bson::Array(documents)))
}

fn document(rest: &mut &[u8]) -> io::Result<Document> {
    let mut cursor = Cursor::new(*rest);
    let found = Document::from_reader(&mut cursor).map_err(io::Error::other)?;
    let read = usize::try_from(cursor.position()).map_err(io::Error::other)?;
    *rest = rest.get(read..).unwrap_or_default();
    Ok(found)
}

fn int(rest: &mut &[u8]) -> io::Result<i32> {
    let mut bytes = [0; 4];
    rest.read_exact(&mut bytes)?;
    Ok(i32::from_le_bytes(bytes))
}

/// Writes the reply to the request `to`.
pub(super) fn write(stream: &mut impl Write, to: i32, reply: &Document) -> io::Result<()> {
    let body = reply.to_vec().map_err(io::Error::other)?;
    let length = i32::try_from(16 + 4 + 1 + body.len()).map_err(io::Error::other)?;
    let mut message = Vec::with_capacity(body.len() + 21);
    for field in [length, 0, to, OP_MSG, 0] {
        message.extend_from_slice(&field.to_le_bytes());
    }
    message.push(0);
    message.extend_from_slice(&body);
    stream.write_all(&message)
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

//! Chunks: the framing of both directions (spec §1).
//!
//! No I/O and no state but the bytes that are not judged yet, which are bounded by one chunk.

use super::cipher::Cipher;

/// Most bytes in a chunk's payload.
pub const MAX_PAYLOAD: usize = 65535;
/// Most bytes of the text after a final chunk that are kept: an agent sends at most 16 KiB of tar's messages.
pub const MAX_FINAL_TEXT: usize = 64 * 1024;
/// Most bytes of data in a chunk that is sent, as the agent's own client does.
pub const DATA_CHUNK: usize = 32 * 1024;

const HEAD: usize = 2;

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// An ordinary chunk; never empty.
    Data(Vec<u8>),
    /// The final chunk with its text, which is empty for success. Nothing follows.
    Final(Vec<u8>),
}

/// Why bytes are no chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The stream ended where a chunk had to begin or go on.
    #[error("the connection ended in the middle of the conversation")]
    Cut,
    /// The text after the final chunk does not end.
    #[error("the text after the final chunk is longer than {MAX_FINAL_TEXT} bytes")]
    EndlessText,
}

/// Takes bytes in any pieces and gives chunks.
#[derive(Debug, Default)]
pub struct Decoder {
    held: Vec<u8>,
    /// How much of it was given out: moving the rest up for each chunk would cost its square for small ones.
    used: usize,
    /// The final chunk's length has been seen: all that follows is its text.
    is_final: bool,
}

impl Decoder {
    /// Takes the next bytes of the stream. Take frames by [`Self::next_frame`] until there is none before feeding more:
    /// then never more than one chunk and what was fed is held.
    ///
    /// # Errors
    /// [`FrameError::EndlessText`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        self.held.drain(..self.used);
        self.used = 0;
        self.held.extend_from_slice(bytes);
        if self.is_final && self.held.len() > MAX_FINAL_TEXT {
            return Err(FrameError::EndlessText);
        }
        Ok(())
    }

    /// The next whole chunk. A final chunk comes from [`Self::end`] only, for its text goes on to the end of the stream.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        if self.is_final {
            return None;
        }
        let length = self.announced()?;
        if length == 0 {
            self.is_final = true;
            self.used += HEAD;
            return None;
        }
        let payload = self.held_bytes().get(HEAD..HEAD + length)?.to_vec();
        self.used += HEAD + length;
        Some(payload)
    }

    /// True once the final chunk has begun.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    /// The end of the stream: the text of the final chunk.
    ///
    /// # Errors
    /// [`FrameError::Cut`] when there was no final chunk, [`FrameError::EndlessText`].
    pub fn end(self) -> Result<Vec<u8>, FrameError> {
        if !self.is_final {
            return Err(FrameError::Cut);
        }
        let text = self.held_bytes();
        if text.len() > MAX_FINAL_TEXT {
            return Err(FrameError::EndlessText);
        }
        Ok(text.to_vec())
    }

    /// Number of bytes that are held.
    pub fn held(&self) -> usize {
        self.held_bytes().len()
    }

    /// The bytes that are held.
    pub(super) fn held_bytes(&self) -> &[u8] {
        self.held.get(self.used..).unwrap_or_default()
    }

    /// The payload's length that the chunk at hand announces; none while it is not known.
    pub(super) fn announced(&self) -> Option<usize> {
        match *self.held_bytes() {
            [high, low, ..] if !self.is_final => Some(usize::from(u16::from_be_bytes([high, low]))),
            _ => None,
        }
    }
}

/// A chunk with this payload, encrypted if there is a cipher. None for an empty payload and for one that is too long:
/// such chunks do not exist.
pub fn chunk(payload: &[u8], cipher: Option<&Cipher>) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len()).ok().filter(|length| *length > 0)?;
    let mut bytes = Vec::with_capacity(HEAD + payload.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
    if let (Some(cipher), Some(body)) = (cipher, bytes.get_mut(HEAD..)) {
        cipher.apply(body);
    }
    Some(bytes)
}

/// A final chunk; an empty text says success.
pub fn final_chunk(text: &[u8], cipher: Option<&Cipher>) -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    bytes.extend_from_slice(text);
    if let (Some(cipher), Some(body)) = (cipher, bytes.get_mut(HEAD..)) {
        cipher.apply(body);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_cut_the_stream_gives_the_same() {
        let mut stream = chunk(b"hello\n", None).unwrap();
        stream.extend(chunk(&[0], None).unwrap());
        stream.extend(final_chunk(b"3", None));
        for cut in 0..=stream.len() {
            let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
            for part in [&stream[..cut], &stream[cut..]] {
                decoder.feed(part).unwrap();
                frames.extend(std::iter::from_fn(|| decoder.next_frame()));
            }
            assert_eq!(frames, [b"hello\n".to_vec(), vec![0]], "{cut}");
            assert_eq!(decoder.end(), Ok(b"3".to_vec()), "{cut}");
        }
    }

    #[test]
    fn an_end_without_final_chunk_is_an_error() {
        for stream in [&b""[..], b"\0", b"\0\x05hell", b"\0\x05hello"] {
            let mut decoder = Decoder::default();
            decoder.feed(stream).unwrap();
            while decoder.next_frame().is_some() {}
            assert_eq!(decoder.end(), Err(FrameError::Cut), "{stream:?}");
        }
    }

    #[test]
    fn the_final_text_is_bounded() {
        let mut decoder = Decoder::default();
        decoder.feed(b"\0\0").unwrap();
        assert_eq!(decoder.next_frame(), None);
        decoder.feed(&vec![b'x'; MAX_FINAL_TEXT]).unwrap();
        assert_eq!(decoder.feed(b"x"), Err(FrameError::EndlessText));
        // All at once, so that the text arrives before the final chunk was seen.
        let mut decoder = Decoder::default();
        decoder.feed(&[&b"\0\0"[..], &vec![b'x'; MAX_FINAL_TEXT + 1]].concat()).unwrap();
        assert_eq!(decoder.next_frame(), None);
        assert_eq!(decoder.end(), Err(FrameError::EndlessText));
    }

    #[test]
    fn sizes_of_chunks() {
        assert_eq!(chunk(b"", None), None);
        assert_eq!(chunk(&vec![0; MAX_PAYLOAD + 1], None), None);
        assert_eq!(chunk(&vec![1; MAX_PAYLOAD], None).unwrap()[..3], [255, 255, 1]);
        assert_eq!(final_chunk(b"", None), [0, 0]);
    }
}

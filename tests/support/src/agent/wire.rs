//! Chunks and the cipher, from §1 and §2.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, bail};

/// RC4 with a key schedule of its own for each use.
pub(super) fn rc4(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut s: Vec<usize> = (0..256).collect();
    let mut j = 0;
    for i in 0..256 {
        j = (j + s[i] + usize::from(key[i % key.len()])) % 256;
        s.swap(i, j);
    }
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::with_capacity(data.len());
    for byte in data {
        i = (i + 1) % 256;
        j = (j + s[i]) % 256;
        s.swap(i, j);
        let k = s[(s[i] + s[j]) % 256];
        out.push(byte ^ u8::try_from(k).unwrap_or(0));
    }
    out
}

/// One side of a connection.
pub(super) struct Wire<'a> {
    pub(super) socket: &'a TcpStream,
    /// The key, once everything is encrypted.
    pub(super) key: Option<Vec<u8>>,
    /// Pause between bytes.
    pub(super) pause: Option<Duration>,
}

impl Wire<'_> {
    fn hidden(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.as_ref().map_or_else(|| bytes.to_vec(), |key| rc4(key, bytes))
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        let mut socket = self.socket;
        match self.pause {
            None => socket.write_all(bytes)?,
            Some(pause) => {
                for byte in bytes {
                    socket.write_all(&[*byte])?;
                    std::thread::sleep(pause);
                }
            }
        }
        Ok(())
    }

    pub(super) fn chunk(&mut self, payload: &[u8]) -> Result<()> {
        let mut bytes = u16::try_from(payload.len())?.to_be_bytes().to_vec();
        bytes.extend(self.hidden(payload));
        self.raw(&bytes)
    }

    pub(super) fn end(&mut self, text: &str) -> Result<()> {
        let mut bytes = vec![0, 0];
        bytes.extend(self.hidden(text.as_bytes()));
        self.raw(&bytes)?;
        self.socket.shutdown(std::net::Shutdown::Write)?;
        Ok(())
    }

    /// The next chunk's payload; none for the final chunk.
    pub(super) fn read_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let mut socket = self.socket;
        let mut head = [0; 2];
        socket.read_exact(&mut head)?;
        let length = usize::from(u16::from_be_bytes(head));
        if length == 0 {
            return Ok(None);
        }
        let mut payload = vec![0; length];
        socket.read_exact(&mut payload)?;
        Ok(Some(self.hidden(&payload)))
    }

    /// The text after a final chunk.
    pub(super) fn read_final_text(&mut self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut socket = self.socket.take(1024 * 1024);
        socket.read_to_end(&mut text)?;
        if text.len() == 1024 * 1024 {
            bail!("an endless text");
        }
        Ok(self.hidden(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_self_test_of_the_specification() {
        assert_eq!(hex::encode(rc4(b"Key", b"Plaintext")), "bbf316e8d940af0ad3");
    }
}

//! The bytes of a file on their way here, packed or not.

use std::io::{self, Write};

use flate2::write::GzDecoder;

use super::error::{SshErrorKind, Step};

/// From here on a file is packed.
pub(super) const MIN_GZIP: u64 = 64 * 1024;

type Take<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), SshErrorKind>;

/// Unpacks what arrives, of which the first byte says whether it is packed (`z`, else `p`).
pub(super) enum Unpacking<'a> {
    Unknown(Counted<'a>),
    Plain(Counted<'a>),
    Packed(Box<GzDecoder<Counted<'a>>>, Option<io::Error>),
    /// Between two of the others.
    Gone,
}

/// Hands on at most as many bytes as are allowed, and counts all.
pub(super) struct Counted<'a> {
    length: u64,
    max: u64,
    take: Take<'a>,
    failed: Option<SshErrorKind>,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length = self.length.saturating_add(bytes.len() as u64);
        if self.failed.is_none() && self.length <= self.max {
            self.failed = (self.take)(bytes).err();
        }
        if self.failed.is_some() || self.length > self.max {
            return Err(io::Error::other("no more is taken"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Counted<'_> {
    fn finish(self) -> Result<u64, SshErrorKind> {
        self.failed.map_or(Ok(self.length), Err)
    }
}

impl<'a> Unpacking<'a> {
    /// What arrives follows `offset` bytes that are here; all of it together is to be at most `max`.
    pub(super) fn new(offset: u64, max: u64, take: Take<'a>) -> Self {
        Self::Unknown(Counted { length: offset, max, take, failed: None })
    }

    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        if let Self::Unknown(_) = self
            && let Some((first, rest)) = bytes.split_first()
        {
            bytes = rest;
            if let Self::Unknown(counted) = std::mem::replace(self, Self::Gone) {
                *self = match first {
                    b'z' => Self::Packed(Box::new(GzDecoder::new(counted)), None),
                    _ => Self::Plain(counted),
                };
            }
        }
        match self {
            // What is wrong is kept, and said at the end.
            Self::Plain(counted) => drop(counted.write(bytes)),
            Self::Packed(decoder, failed) if failed.is_none() => *failed = decoder.write_all(bytes).err(),
            _ => {}
        }
    }

    /// The length of the whole.
    pub(super) fn finish(self) -> Result<u64, SshErrorKind> {
        match self {
            Self::Unknown(counted) | Self::Plain(counted) => counted.finish(),
            Self::Packed(mut decoder, failed) => {
                let failed = failed.or_else(|| decoder.try_finish().err());
                let counted = decoder.get_mut();
                if let Some(kind) = counted.failed.take() {
                    return Err(kind);
                }
                match failed {
                    Some(error) if counted.length <= counted.max => {
                        Err(SshErrorKind::Channel { step: Step::Output, detail: error.to_string() })
                    }
                    _ => Ok(counted.length),
                }
            }
            Self::Gone => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(bytes: &[u8], max: u64) -> (Result<u64, SshErrorKind>, Vec<u8>) {
        let mut got = Vec::new();
        let mut take = |bytes: &[u8]| {
            got.extend_from_slice(bytes);
            Ok(())
        };
        let mut unpacking = Unpacking::new(0, max, &mut take);
        for piece in bytes.chunks(7) {
            unpacking.take(piece);
        }
        let end = unpacking.finish();
        (end, got)
    }

    #[test]
    fn packed_and_plain_files_arrive_and_are_bounded() {
        let content: Vec<u8> = (0..100_000_u64)
            .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).to_le_bytes()[0])
            .collect();
        let mut packed = vec![b'z'];
        let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::fast());
        encoder.write_all(&content).unwrap();
        encoder.finish().unwrap();
        let plain = [&b"p"[..], &content].concat();
        for sent in [&packed, &plain] {
            let (end, got) = unpack(sent, 100_000);
            assert_eq!(end.unwrap(), 100_000);
            assert!(got == content);
            let (end, got) = unpack(sent, 99_999);
            assert!(end.unwrap() > 99_999 && got.len() < 100_000, "more than allowed is not kept");
        }
        unpack(&packed[..packed.len() - 9], 100_000).0.unwrap_err();
        assert_eq!(unpack(b"", 9).0.unwrap(), 0);
    }
}

//! Where the output of a process goes, and the buffer it is read through.

use std::cell::Cell;

/// The most bytes handed to a sink at once.
pub(crate) const CHUNK: usize = 64 * 1024;

/// Receives the output of a process.
pub trait OutputSink: Send + Sync {
    /// Called with the next piece (1 byte to 64 KiB) of merged stdout and stderr, in order and never from two
    /// threads at once for one process. Lines may be split anywhere. It may be called on an async worker: it must
    /// not block for long.
    fn output(&self, bytes: &[u8]);
}

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's read buffer. Buffers belong to threads, not to processes, so that a thousand silent
/// processes do not hold 64 MiB.
pub(crate) fn with_buffer<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = BUFFER.take();
    buffer.resize(CHUNK, 0);
    let result = read(&mut buffer);
    BUFFER.set(buffer);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_borrowers_get_buffers_of_their_own() {
        with_buffer(|outer| {
            outer[0] = 1;
            with_buffer(|inner| inner[0] = 2);
            assert_eq!((outer[0], outer.len()), (1, CHUNK));
        });
    }
}

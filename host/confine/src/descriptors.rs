//! Files that this process has open stay its own.

use std::io;
use std::os::fd::RawFd;

/// The first number after standard input, output and error.
const FIRST: RawFd = 3;

/// Keeps every file that is open, but for standard input, output and error, from all programs that this process starts or
/// becomes. What Rust opens has the mark for that already; this is for what whoever started the process left open. To be
/// called before there are threads. Nothing is closed.
///
/// # Errors
/// The kernel has no call for it (before Linux 5.11), and `/proc` can not be read either.
pub fn keep_open_files() -> io::Result<()> {
    // SAFETY: the call reads no memory, and changes nothing but a flag of open files.
    let marked =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if marked == 0 { Ok(()) } else { keep_one_by_one() }
}

fn keep_one_by_one() -> io::Result<()> {
    // All names first: the directory is an open file itself, and closed by then.
    let names = std::fs::read_dir("/proc/self/fd")?.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    let numbers = names.iter().filter_map(|name| name.to_str()?.parse::<RawFd>().ok());
    for number in numbers.filter(|number| *number >= FIRST) {
        // SAFETY: the call takes numbers only. That a file is kept from other programs breaks no promise to its owner.
        let marked = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        if marked != 0 {
            let problem = io::Error::last_os_error();
            if problem.raw_os_error() != Some(libc::EBADF) {
                return Err(problem);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

    use super::*;

    #[test]
    fn what_is_open_is_marked_in_both_ways() {
        for keep in [keep_open_files, keep_one_by_one] {
            let open: Vec<File> = (0..3).map(|_| File::open("/dev/null").unwrap()).collect();
            for file in &open {
                fcntl_setfd(file, FdFlags::empty()).unwrap();
            }
            let before = fcntl_getfd(io::stderr().as_fd()).unwrap();
            keep().unwrap();
            for file in &open {
                assert_eq!(fcntl_getfd(file).unwrap(), FdFlags::CLOEXEC);
                // And open still.
                assert!(file.metadata().is_ok());
            }
            assert_eq!(fcntl_getfd(io::stderr().as_fd()).unwrap(), before, "standard error is for everybody");
        }
    }
}

//! Whether a file's blocks could be mapped now: nobody else may have it open for writing.

use std::fs::File;
use std::os::fd::AsRawFd as _;

/// `F_SETSIG`: which signal tells that somebody wants the file.
const F_SETSIG: libc::c_int = 10;

/// What asking for a lease shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It is to be had: nobody has the file open for writing.
    Free,
    /// Somebody has the file open for writing, or mapped into memory for it.
    Writers,
    /// The filesystem grants none.
    None,
    /// Only the file's owner may ask, or who has CAP_LEASE.
    NotPermitted,
}

/// Asks for a lease, which is what rloop does before it maps, and gives it back at once.
///
/// `file` is open for reading only; who opens the file for writing at this moment waits for an instant.
pub fn ask(file: &File) -> Lease {
    let lease = |kind: libc::c_int| {
        // SAFETY: the descriptor is open, and the argument a number.
        let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
        (answer == -1).then(|| std::io::Error::last_os_error().raw_os_error())
    };
    // A signal that is ignored, should somebody want the file meanwhile: the usual one ends a program.
    // SAFETY: as above.
    unsafe { libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG) };
    match lease(libc::F_RDLCK) {
        None => {
            lease(libc::F_UNLCK);
            Lease::Free
        }
        Some(Some(libc::EAGAIN)) => Lease::Writers,
        Some(Some(libc::EACCES)) => Lease::NotPermitted,
        Some(_) => Lease::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_noticed_and_a_reader_is_not() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let reader = File::open(file.path()).expect("opens");
        // The one that made it still writes.
        assert_eq!(ask(&reader), Lease::Writers);
        let path = file.into_temp_path();
        let _another = File::open(&path).expect("opens");
        assert_eq!(ask(&reader), Lease::Free);
        // It was given back: opening for writing does not wait.
        let writer = File::options().append(true).open(&path).expect("opens");
        assert_eq!(ask(&reader), Lease::Writers);
        drop(writer);
        assert_eq!(ask(&reader), Lease::Free);
    }

    #[test]
    fn what_has_no_leases_says_so() {
        let null = File::open("/dev/null").expect("opens");
        assert_eq!(ask(&null), Lease::None);
    }
}

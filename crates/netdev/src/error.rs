//! Why an operation on a device failed.
//!
//! Where it sits: the answer of [`crate::Netdev`]'s calls; its text is what `Interface.error` says in parentheses.

use std::fmt;
use std::io;

/// Why an operation on a device failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetdevError {
    /// The user's options are wrong: the text says how.
    Options(String),
    /// The device, or its type, cannot do this.
    NotSupported,
    /// No such type of device.
    UnknownType,
    /// The operating system refused: its error number.
    Os(i32),
    /// The operating system refused for a reason that deserves more words than its error number has.
    Explained(i32, String),
}

/// Linux's numbers of the errors that have a name here.
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;
const EAFNOSUPPORT: i32 = 97;

impl NetdevError {
    /// The error as a system error number.
    pub fn errno(&self) -> i32 {
        match self {
            NetdevError::Options(_) => EINVAL,
            NetdevError::NotSupported => EOPNOTSUPP,
            NetdevError::UnknownType => EAFNOSUPPORT,
            NetdevError::Os(errno) | NetdevError::Explained(errno, _) => *errno,
        }
    }
}

/// What `strerror` says of an error number.
fn errno_text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    match text.rfind(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

impl fmt::Display for NetdevError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetdevError::Options(text) | NetdevError::Explained(_, text) => f.write_str(text),
            other => f.write_str(&errno_text(other.errno())),
        }
    }
}

impl std::error::Error for NetdevError {}

impl From<io::Error> for NetdevError {
    fn from(e: io::Error) -> NetdevError {
        NetdevError::Os(e.raw_os_error().unwrap_or(EINVAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_systems_own() {
        assert_eq!(NetdevError::Os(19).to_string(), "No such device");
        assert_eq!(NetdevError::NotSupported.to_string(), "Operation not supported");
        assert_eq!(NetdevError::UnknownType.to_string(), "Address family not supported by protocol");
    }
}

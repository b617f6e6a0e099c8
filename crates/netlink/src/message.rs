//! Messages: the header that all families share, and several messages in a row.
//!
//! Where it sits: what one read from a netlink socket, or one request to the datapath's device, consists of.

use crate::{DecodeError, DecodeErrorKind, align, array};

/// Bytes of a message's header.
pub const HEADER_LEN: usize = 16;

/// The flags of a header.
pub mod flags {
    /// A request.
    pub const REQUEST: u16 = 0x1;
    /// One of several messages, the last of which is a `DONE`.
    pub const MULTI: u16 = 0x2;
    /// Asks for an acknowledgement.
    pub const ACK: u16 = 0x4;
    /// Asks for an echo of what was done.
    pub const ECHO: u16 = 0x8;
    /// The dump is inconsistent: something changed meanwhile.
    pub const DUMP_INTR: u16 = 0x10;
    /// Asks for everything.
    pub const DUMP: u16 = 0x300;
    /// Replaces what exists.
    pub const REPLACE: u16 = 0x100;
    /// Fails if it exists.
    pub const EXCL: u16 = 0x200;
    /// Makes it if it does not exist.
    pub const CREATE: u16 = 0x400;
    /// An error that holds attributes about it.
    pub const ACK_TLVS: u16 = 0x200;
    /// An error that holds only the header of the request.
    pub const CAPPED: u16 = 0x100;
}

/// The types that all families share.
pub mod kinds {
    /// Nothing.
    pub const NOOP: u16 = 1;
    /// An error, or an acknowledgement (error zero).
    pub const ERROR: u16 = 2;
    /// The end of a dump.
    pub const DONE: u16 = 3;
    /// Messages were lost.
    pub const OVERRUN: u16 = 4;
    /// The smallest type of a family's own.
    pub const MIN_TYPE: u16 = 16;
}

/// A message's header, without its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Its type.
    pub kind: u16,
    /// [`flags`].
    pub flags: u16,
    /// The request's number, repeated in replies.
    pub seq: u32,
    /// The sender's, or receiver's, port.
    pub pid: u32,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its header.
    pub header: Header,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// The body of an `ERROR` message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorReply<'a> {
    /// The error number, positive; zero acknowledges.
    pub errno: i32,
    /// The kernel's explanation, if there is one.
    pub text: Option<&'a str>,
}

/// The attribute of an error that explains it.
const NLMSGERR_ATTR_MSG: u16 = 1;

impl<'a> Message<'a> {
    /// The error that the message reports; `None` if it is no error message.
    pub fn error(&self) -> Option<ErrorReply<'a>> {
        if self.header.kind != kinds::ERROR {
            return None;
        }
        let errno = i32::from_ne_bytes(array(self.payload, 0)?).checked_neg()?;
        let text = self.explanation().filter(|_| self.header.flags & flags::ACK_TLVS != 0);
        Some(ErrorReply { errno, text })
    }

    fn explanation(&self) -> Option<&'a str> {
        // The request follows, whole or only its header, and then the attributes.
        let request = if self.header.flags & flags::CAPPED != 0 {
            HEADER_LEN
        } else {
            u32::from_ne_bytes(array(self.payload, 4)?) as usize
        };
        let attrs = crate::Attrs::new(self.payload.get(align(request.checked_add(4)?)..)?);
        attrs.find(NLMSGERR_ATTR_MSG)?.str()
    }
}

/// Messages in a row. Ends after an error.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Messages<'a> {
    /// The messages in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Messages<'a> {
        Messages { bytes, offset: 0 }
    }

    fn read(&mut self) -> Result<Message<'a>, DecodeErrorKind> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let head: [u8; HEADER_LEN] = array(rest, 0).ok_or(DecodeErrorKind::Truncated)?;
        let u16_at = |off| array(&head, off).map_or(0, u16::from_ne_bytes);
        let u32_at = |off| array(&head, off).map_or(0, u32::from_ne_bytes);
        let len = usize::try_from(u32_at(0)).unwrap_or(usize::MAX);
        let payload = rest.get(HEADER_LEN..len).ok_or(DecodeErrorKind::BadLength)?;
        self.offset = self.offset.saturating_add(align(len));
        let header = Header { kind: u16_at(4), flags: u16_at(6), seq: u32_at(8), pid: u32_at(12) };
        Ok(Message { header, payload })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        let offset = self.offset;
        Some(self.read().map_err(|kind| {
            self.offset = self.bytes.len();
            DecodeError { kind, offset }
        }))
    }
}

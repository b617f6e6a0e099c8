//! TCP (RFC 9293).
//!
//! Where it sits: read by key extraction and by conntrack's state machine; built by tests.
//!
//! ~~~text
//!  0: source port | destination port
//!  4: sequence number           8: acknowledgement number
//! 12: header length (4), flags (12) | window
//! 16: checksum | urgent pointer                20: options
//! ~~~

use crate::bytes;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Offset of the source port.
pub const OFF_SRC: usize = 0;
/// Offset of the destination port.
pub const OFF_DST: usize = 2;
/// Offset of the sequence number.
pub const OFF_SEQ: usize = 4;
/// Offset of the acknowledgement number.
pub const OFF_ACK: usize = 8;
/// Offset of header length and flags.
pub const OFF_FLAGS: usize = 12;
/// Offset of the checksum.
pub const OFF_CHECKSUM: usize = 16;

/// No more data from the sender.
pub const FIN: u16 = 0x001;
/// Synchronise sequence numbers.
pub const SYN: u16 = 0x002;
/// Reset the connection.
pub const RST: u16 = 0x004;
/// Push.
pub const PSH: u16 = 0x008;
/// The acknowledgement number is significant.
pub const ACK: u16 = 0x010;
/// The urgent pointer is significant.
pub const URG: u16 = 0x020;
/// ECN echo.
pub const ECE: u16 = 0x040;
/// Congestion window reduced.
pub const CWR: u16 = 0x080;
/// The nonce of RFC 3540.
pub const NS: u16 = 0x100;
/// All twelve bits that a flow key holds.
pub const FLAGS_MASK: u16 = 0xfff;

/// Option: end of the list.
pub const OPT_END: u8 = 0;
/// Option: one byte of padding.
pub const OPT_NOP: u8 = 1;
/// Option: window scale (RFC 7323).
pub const OPT_WINDOW_SCALE: u8 = 3;

/// A view of a header: at least 20 bytes.
#[derive(Clone, Copy, Debug)]
pub struct TcpRef<'a> {
    fixed: &'a [u8; HEADER_LEN],
    all: &'a [u8],
}

impl<'a> TcpRef<'a> {
    /// The header at the start of `bytes`; `None` if fewer than 20 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Option<TcpRef<'a>> {
        Some(TcpRef { fixed: bytes.first_chunk()?, all: bytes })
    }

    /// Source port.
    pub const fn src(&self) -> u16 {
        u16::from_be_bytes([self.fixed[0], self.fixed[1]])
    }

    /// Destination port.
    pub const fn dst(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// Sequence number.
    pub const fn seq(&self) -> u32 {
        u32::from_be_bytes([self.fixed[4], self.fixed[5], self.fixed[6], self.fixed[7]])
    }

    /// Acknowledgement number.
    pub const fn ack(&self) -> u32 {
        u32::from_be_bytes([self.fixed[8], self.fixed[9], self.fixed[10], self.fixed[11]])
    }

    /// Bytes of the header with options, as the header says; may be less than 20 or more than there are.
    pub const fn header_len(&self) -> usize {
        (self.fixed[OFF_FLAGS] >> 4) as usize * 4
    }

    /// The twelve flag bits.
    pub const fn flags(&self) -> u16 {
        u16::from_be_bytes([self.fixed[12], self.fixed[13]]) & FLAGS_MASK
    }

    /// Window, unscaled.
    pub const fn window(&self) -> u16 {
        u16::from_be_bytes([self.fixed[14], self.fixed[15]])
    }

    /// Checksum.
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.fixed[16], self.fixed[17]])
    }

    /// The bytes of the options that are there; empty if the header's length makes no sense.
    pub fn options(&self) -> &'a [u8] {
        let end = self.header_len().min(self.all.len());
        self.all.get(HEADER_LEN..end).unwrap_or_default()
    }

    /// The shift of the window scale option, if there is one of the right length.
    pub fn window_scale(&self) -> Option<u8> {
        let mut rest = self.options();
        loop {
            match *rest {
                [OPT_NOP, ref more @ ..] => rest = more,
                [OPT_WINDOW_SCALE, 3, shift, ..] => return Some(shift),
                // A length below two would not get on; the list is broken.
                [kind, len, ..] if kind != OPT_END && len >= 2 => rest = rest.get(usize::from(len)..)?,
                _ => return None,
            }
        }
    }
}

/// A header without options, to be emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags.
    pub flags: u16,
    /// Window, unscaled.
    pub window: u16,
    /// Checksum.
    pub checksum: u16,
}

impl Tcp {
    /// The header's bytes.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        self.emit_with_options(0)
    }

    /// The fixed part of a header that `words` 32-bit words of options will follow (at most 10).
    pub fn emit_with_options(&self, words: u8) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let len_flags = u16::from(5 + words.min(10)) << 12 | self.flags & FLAGS_MASK;
        // Every offset below is within the array, so `put` cannot fail.
        let _ = bytes::put(&mut out, OFF_SRC, &self.src.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_DST, &self.dst.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_SEQ, &self.seq.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_ACK, &self.ack.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_FLAGS, &len_flags.to_be_bytes());
        let _ = bytes::put(&mut out, 14, &self.window.to_be_bytes());
        let _ = bytes::put(&mut out, OFF_CHECKSUM, &self.checksum.to_be_bytes());
        out
    }
}

impl From<TcpRef<'_>> for Tcp {
    fn from(h: TcpRef<'_>) -> Tcp {
        Tcp {
            src: h.src(),
            dst: h.dst(),
            seq: h.seq(),
            ack: h.ack(),
            flags: h.flags(),
            window: h.window(),
            checksum: h.checksum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        let h = Tcp { src: 1, dst: 2, seq: 3, ack: 4, flags: SYN | ACK | NS, window: 5, checksum: 6 };
        let b = h.emit();
        let r = TcpRef::parse(&b).unwrap();
        assert_eq!(Tcp::from(r), h);
        assert_eq!(r.header_len(), 20);
        assert!(TcpRef::parse(&b[..19]).is_none());
    }

    #[test]
    fn the_window_scale_is_found_among_options() {
        let with = |options: &[u8; 8]| {
            let mut b = [0; 28];
            b[..20].copy_from_slice(&Tcp::default().emit_with_options(2));
            b[20..].copy_from_slice(options);
            TcpRef::parse(&b).unwrap().window_scale()
        };
        assert_eq!(with(&[2, 4, 5, 0xb4, 1, 3, 3, 7]), Some(7));
        assert_eq!(with(&[0, 3, 3, 7, 0, 0, 0, 0]), None);
        assert_eq!(with(&[9, 0, 3, 3, 7, 0, 0, 0]), None);
        assert_eq!(with(&[9, 200, 3, 3, 7, 0, 0, 0]), None);
    }
}

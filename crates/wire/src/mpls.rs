//! MPLS label stack entries (RFC 3032).
//!
//! Where it sits: read by key extraction, written by the actions that push and pop labels.
//!
//! ~~~text
//! label (20) | traffic class (3) | bottom of stack (1) | TTL (8)
//! ~~~

/// Bytes of an entry.
pub const LSE_LEN: usize = 4;
/// Bit of the last entry of a stack.
pub const BOTTOM: u32 = 0x100;

/// The label of an entry.
pub const fn label(lse: u32) -> u32 {
    lse >> 12
}

/// The TTL of an entry.
pub const fn ttl(lse: u32) -> u8 {
    lse as u8
}

/// True for the last entry of a stack.
pub const fn is_bottom(lse: u32) -> bool {
    lse & BOTTOM != 0
}

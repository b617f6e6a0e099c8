//! Bits of `ct_state` (ovs-fields(7)).

/// The packet begins a connection that is not committed.
pub const NEW: u8 = 0x01;
/// Part of a committed connection.
pub const EST: u8 = 0x02;
/// Related to a committed connection (ICMP error, expected data connection).
pub const REL: u8 = 0x04;
/// In the reply direction.
pub const RPL: u8 = 0x08;
/// Could not be tracked.
pub const INV: u8 = 0x10;
/// Went through the connection tracker.
pub const TRK: u8 = 0x20;
/// Its source was translated.
pub const SNAT: u8 = 0x40;
/// Its destination was translated.
pub const DNAT: u8 = 0x80;

/// Name of each bit, lowest first, as flows print it.
pub const NAMES: [&str; 8] = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];

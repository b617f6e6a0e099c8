//! OpenFlow 1.0 to 1.5 with Nicira's extensions, and the ovs-ofctl text syntax, to and from version-free requests.
//!
//! Where it sits: `ofproto` and the tools speak its types; sockets are `stream`'s. Pure: bytes or text in, values or
//! an error out. Byte order and the differences between versions exist only in here.
//!
//! ~~~text
//! bytes ── decode ──►                      ◄── parse ── text
//!                    FlowMod, Match, Action
//! bytes ◄── encode ──                      ── print ──► text
//! ~~~
//!
//! Decoding is total: any bytes give a value or an [`OfpError`]. Parsing gives a value, the protocols able to carry
//! it, or the words that Open vSwitch says of the fault.
//!
//! Next: `version.rs`, `ports.rs`, `error.rs`; then `matches/mod.rs`, `actions/mod.rs`, `flow_mod.rs`, `text/flow.rs`.
#![forbid(unsafe_code)]

mod bits;
mod buf;
mod error;
mod flow_mod;
mod ports;
mod version;

pub mod actions;
pub mod conn;
pub mod field;
pub mod matches;
pub mod msg;
pub mod print;
pub mod text;

pub use actions::{Action, Subfield};
pub use bits::Bits;
pub use buf::PutBytes;
pub use error::{ErrorCode, NX_VENDOR, ONF_VENDOR, OfpError};
pub use flow_mod::{FlowMod, FlowModCommand, FlowModFlags};
pub use ports::{NameMap, Names, OfpPort};
pub use text::TextError;
pub use version::{Protocols, Version};

//! Shared test code: packet notation, what code costs, golden comparison, both suites of programs, manual pages, folders and namespaces of a test's own.
//!
//! Where it sits: a dev-dependency of any crate; it depends on none of the crates it tests, so that what it computes
//! (checksums, lengths) is a second opinion.
//!
//! A test that cannot run where it is says so with [`skip!`] and returns; the gate lists those.
//!
//! Next: `notation.rs`, how tests write packets.

pub mod cost;
pub mod golden;
pub mod hex;
pub mod manual;
pub mod notation;
pub mod pki;
pub mod programs;
pub mod scratch;
pub mod skip;
pub mod switch;

pub use golden::golden;
pub use hex::{from_hex, to_hex};
pub use manual::Page;
pub use notation::packet;
pub use pki::{Peer, Pki};
pub use programs::{Suite, oracle, ours};
pub use scratch::Scratch;
pub use switch::{Ran, SwitchUnderTest};

#[doc(hidden)]
pub use sandbox;

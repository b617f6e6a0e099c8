//! JSON-RPC 1.0 in both directions over a byte stream, as RFC 7047 section 4 uses it.
//!
//! Where it sits: database servers and clients, run-time control and its client use `Session`; `Client` is for programs that ask one
//! thing at a time. It knows requests from replies, not what methods mean, except `echo`, which it answers and sends as a probe.
//!
//! Next: `message.rs`.

mod client;
mod message;
mod session;

pub use client::{CallError, Client};
pub use message::{BadMessage, Message};
pub use session::{Event, Options, Session};

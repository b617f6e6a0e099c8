//! Datapath actions and keys: types, validation, text form and netlink form.
//!
//! Where it sits: the language between the switch and the datapath. Translation writes it, `datapath` executes it,
//! `dpctl/dump-flows` and `ofproto/trace` print it. It knows nothing of OpenFlow.
//!
//! Next: `action.rs`, then `datapath/src/execute.rs`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]
extern crate alloc;

pub mod action;
pub mod cookie;
mod copy;
pub mod header;
pub mod netlink;
pub mod text;
mod ufid;
mod validate;

pub use action::{
    Action, CtAction, HashAlg, MplsLayer, Nat, NatKind, Psample, PushNsh, TnlPush, TunnelKind, Userspace,
};
pub use cookie::Cookie;
pub use copy::try_copy;
pub use header::{Header, NshFields};
pub use ufid::Ufid;
pub use validate::{InvalidActions, MAX_DEPTH, validate};

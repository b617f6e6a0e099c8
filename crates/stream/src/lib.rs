//! Byte streams and sessions: unix sockets, TCP, TLS, JSON-RPC, OpenFlow connections, reconnection.
//!
//! Where it sits: above the operating system's sockets, below every daemon and tool that speaks to another process. It knows the
//! framing of its two protocols and nothing of what the messages mean.
//!
//! ~~~text
//! name ──► socket ──► link (socket + buffers + reconnect machine, timed by clock) ──► jsonrpc::Session, openflow::Connection
//! ~~~
//! A session is driven by calling `next` in a loop; every other method only queues or reads. One task owns one session.
//!
//! I1  Time comes from `Clock` alone, so stopped and warped time moves probes and backoff too.
//! I2  Buffers are bounded in both directions; a peer that does not read is cut, not waited for.
//!
//! Log lines go to the `log` facade with Open vSwitch's module name as target; a target `MODULE@RATE/BURST` asks the backend to admit
//! at most RATE lines a minute with bursts of BURST (RATE, if not given), counted together for all lines with that target.
//!
//! Reading order: `clock`, `name`, `files`, `socket`, `replay`, `tls`, `reconnect`, `link`, `jsonrpc`, `openflow`, `replicated`.

pub mod clock;
pub mod dirs;
pub mod files;
pub mod name;
pub mod replay;
pub mod socket;
pub mod tls;

pub mod reconnect;

pub mod link;

pub mod jsonrpc;
pub mod openflow;
pub mod replicated;

pub use clock::Clock;
pub use socket::{Listener, Stream, error_text};

//! A simulated Hyper-V extensible switch with NDIS and the kernel under it, for one seed at a time.
//!
//! Where it sits: implements `ndis-sys`'s functions, under which the driver runs: linked in, so that debuggers and sanitizers
//! see it, or as the real image (`image.rs`).
//!
//! ~~~text
//!   guests (smoltcp)  wire     administrator      user space (a whole switch)
//!        │ frames      │            │ ports, NICs, pause      │ answers to misses
//!        ▼             ▼            ▼                         ▼
//!   ┌──────────────────────── Hyper-V switch ──────────────────────────┐
//!   │ packets, destinations, requests        every rule that is broken │──► one line with the seed
//!   └───────────▲──────────────────────────────────┬───────────────────┘
//!     NdisF… functions, completions          callbacks of the driver, IOCTLs
//! ~~~
//!
//! Processors are threads of which one runs at a time; which is next is decided at each call into the simulated kernel by
//! the seed. So a run is the same whenever its seed is, with all its interleavings.
//!
//! Invariants
//! I1  Every packet, MDL, pool, request, timer and device is in a ledger; a run ends with empty ledgers.
//! I2  What the driver may not do ends the run with the rule's name and the seed.
//! I3  Time is virtual: it passes when nobody has anything to do.
//!
//! Next: `processors.rs`, `world.rs`, `packets.rs`, `filter.rs`, `netio.rs`, `files.rs`, `user_space.rs`, `administrator.rs`, `policies.rs`, `requests.rs`, `guest.rs`, `scenario.rs`, `dialogue.rs`; `host.rs`, where it runs in real
//! time; `load.rs`, which measures the driver.
#![allow(unsafe_code, reason = "a kernel's functions, called with pointers")]
#![allow(non_snake_case, non_upper_case_globals, reason = "Windows' own names")]

mod processors;
mod world;

mod fault;
mod filter;
mod kernel;
mod ledger;
mod mdl;
mod packets;
mod policies;
mod requests;
mod switch_functions;

mod files;
mod netio;

mod channel;
mod over_device;
mod user_space;

mod administrator;
mod attended;
mod dialogue;
mod far;
mod guest;
mod harass;
mod host;
mod image;
mod large_send;
mod load;
mod scenario;
mod stopwatch;
mod stt;

pub use attended::{Attended, WentUp, attend};
pub use dialogue::retell;
pub use fault::Fault;
pub use host::{HostPlan, serve};
pub use image::Image;
pub use load::{Carried, Load, carry};
pub use scenario::{Plan, Report, Tunnel, run};
pub use world::{Counts, Driver};

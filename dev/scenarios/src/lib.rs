//! What the datapath does, written once and run on every host: flows, packets in, packets out, upcalls, drops, counters.
//!
//! Where it sits: the corpus is text (`corpus/*.txt`), one file for each subject; `tests/corpus.rs` runs every scenario on
//! every [`Host`] that is here; `hyperv-sim`'s test of that name on the whole driver. A host knows no scenario, a scenario no host.
//!
//! ~~~text
//! corpus ──► Scenario ──► run ──► Host: the bare core │ dpif-netdev over dummy ports │ the Hyper-V extension
//! ~~~
//!
//! Next: `scenario.rs` for the notation, `run.rs` for what is compared.

mod scenario;

mod run;

mod hosts;

pub use hosts::{Core, DummyPorts, Extension};
pub use run::{Host, Passed, run};
pub use scenario::{Scenario, corpus, parse};

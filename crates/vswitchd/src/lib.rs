//! ovs-vswitchd: the Open_vSwitch database drives the switch.
//!
//! Where it sits: the top of the switch. It reads rows, makes the switch and its ports what they say, and writes back what
//! became of it. It knows OVSDB and the switch's surface, nothing of packets.
//!
//! ~~~text
//! Open_vSwitch rows ─► config (what is wanted) ─► the switch
//!         ▲                                           │
//!         └────────── status (what is) ◄──────────────┘
//! ~~~
//!
//! Configuration flows one way, and status flows back through one writer.
//!
//! Reading order: `run`, `config`, `engine`, `observe`, `status`, `controllers`, `openflow_io`, `commands`, `dpctl`,
//! `pmd_commands`.

mod auto_add;
mod commands;
pub mod config;
mod controllers;
pub mod dpctl;
pub mod engine;
mod observe;
mod openflow_io;
mod options;
mod pmd_commands;
mod routes;
mod rows;
mod run;
pub mod status;
mod tunnel_options;
mod underlay;

pub use run::main;

#[cfg(test)]
mod testing;

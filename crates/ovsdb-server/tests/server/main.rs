//! The program as clients see it.
//!
//! Where it sits: drives the built program, beside Open vSwitch's where that can be compared.

mod control;
mod copies;
mod differential;
mod faults;
mod files;
mod generator;
mod idl;
mod kill;
mod messages;
mod python;
mod remotes;
mod replay;
mod replicas;
mod schema;
mod support;
mod tls;

//! The program ovs-ofctl.
//!
//! Where it sits: `tools::ofctl` is all of it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::ofctl::main()
}

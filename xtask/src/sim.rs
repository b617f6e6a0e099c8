//! `cargo xtask sim`: the driver in the simulated Hyper-V, seed by seed.
//!
//! Where it sits: builds and runs `hyperv-sim`, to which all arguments go; `--image` becomes the path of the driver that
//! `cargo xtask windows` links.

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::{
    shell::{cargo, check, target_dir},
    windows,
};

pub fn run(args: &[OsString]) -> Result<ExitCode> {
    check(cargo().args(["build", "--quiet", "-p", "hyperv-sim"]))?;
    let mut command = Command::new(target_dir().join("debug/hyperv-sim"));
    for arg in args {
        command.arg(arg);
        if arg == "--image" {
            command.arg(windows::driver()?);
        }
    }
    let status = command.status().context("cannot run hyperv-sim")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

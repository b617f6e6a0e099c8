//! `cargo xtask demo`: builds the release binaries and hands over to `oxvs demo`.
//!
//! Where it sits: called by people. The demonstration itself lives in `crates/oxvs` and works from an installed copy
//! too; this only makes sure that there is something to run. With `--hyperv` that is also the driver's image.

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};

use crate::{install::build_release, needs, shell::announce, windows};

/// Builds and plays; the exit status is the demonstration's.
pub fn run(args: &[OsString]) -> Result<ExitCode> {
    needs::for_demo()?;
    announce("building the release binaries");
    let oxvs = build_release()?.join("oxvs");
    ensure!(oxvs.is_file(), "oxvs was not built");
    let mut command = Command::new(&oxvs);
    command.arg("demo");
    for arg in args {
        command.arg(arg);
        if arg == "--hyperv" {
            command.arg(windows::driver()?);
        }
    }
    let status = command.status().context("cannot run oxvs")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

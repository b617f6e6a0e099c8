//! `cargo xtask demo`: builds the release binaries and hands over to `oxvs demo`.
//!
//! Where it sits: called by people. The demonstration itself lives in `crates/oxvs` and works from an installed copy
//! too; this only makes sure that there is something to run.

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};

use crate::{install::build_release, needs, shell::announce};

/// Builds and plays; the exit status is the demonstration's.
pub fn run(args: &[OsString]) -> Result<ExitCode> {
    needs::for_demo()?;
    announce("building the release binaries");
    let oxvs = build_release()?.join("oxvs");
    ensure!(oxvs.is_file(), "oxvs was not built");
    let status = Command::new(&oxvs).arg("demo").args(args).status().context("cannot run oxvs")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

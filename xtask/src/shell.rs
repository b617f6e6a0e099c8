//! Running programs: where the workspace is, which cargo to call, and commands that say what they do.
//!
//! Where it sits: every command of this crate runs its programs through here.

use std::{
    env,
    ffi::OsString,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// The workspace's top folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask sits in the workspace").into()
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The cargo that started us, ready to run in the workspace. What it told us of our own package is left out: there are build
/// scripts that run again whenever that changes, with all that depends on them.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    let of_package = |name: &OsString| {
        ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.to_string_lossy().starts_with(start))
    };
    env::vars_os().map(|(name, _)| name).filter(of_package).for_each(|name| {
        command.env_remove(name);
    });
    command.current_dir(workspace()).stdin(Stdio::null());
    command
}

/// Whether we run as root in the machine's own user namespace or in one of our making: the uid decides.
pub fn is_root() -> bool {
    let uid = Command::new("id").arg("-u").output().ok();
    uid.is_some_and(|out| out.stdout.trim_ascii() == b"0")
}

/// The full path of `program`, also where an ordinary user's PATH does not look.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Says what is about to happen.
pub fn announce(what: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("\x1b[1m== {what}\x1b[0m");
    } else {
        eprintln!("== {what}");
    }
}

/// Runs `command` to its end; an exit status other than 0 is an error that shows the command.
pub fn check(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("cannot run {shown}"))?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}

/// Runs `command` quietly and returns its standard output; on failure the error carries what it said.
pub fn capture(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {shown}"))?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{shown}: {}: {}", out.status, said.trim());
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

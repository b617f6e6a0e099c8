//! What the tests need from the machine: Debian packages, and the C programs to compare with.
//!
//! Where it sits: `gate` and `demo` ask for it first. As root the packages are installed; otherwise what is missing is
//! reported with the command that installs it, and the tests that need it skip.
//!
//! I1  Nothing that starts a daemon is ever installed: Open vSwitch's own packages are unpacked into a cache folder.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, bail};

use crate::{
    oracle,
    shell::{capture, check, is_root, which},
};

/// One purpose, the programs that show that it is met, and the packages that meet it.
struct Need {
    purpose: &'static str,
    programs: &'static [&'static str],
    packages: &'static [&'static str],
}

const DEMO: Need = Need {
    purpose: "namespaces and virtual links",
    programs: &["ip", "unshare", "mount"],
    packages: &["iproute2", "util-linux", "mount"],
};

const TEST: [Need; 2] = [
    Need {
        purpose: "traffic of the end-to-end tests",
        programs: &["ping", "iperf3", "ethtool", "nc", "ps"],
        packages: &["iputils-ping", "iperf3", "ethtool", "netcat-openbsd", "procps"],
    },
    Need {
        purpose: "the Windows kernel image",
        programs: &["rustc", "cargo", "lld-link-22", "objdump", "openssl", "osslsigncode"],
        packages: &[
            "rustc-web",
            "cargo-web",
            "rust-web-src",
            "lld-22",
            "gcc",
            "libc6-dev",
            "binutils",
            "openssl",
            "osslsigncode",
        ],
    },
];

/// A need that is not met, and why.
pub struct Missing {
    /// What it is for.
    pub purpose: String,
    /// What is missing, and how to get it.
    pub reason: String,
}

/// Meets what the tests need as far as this user may; returns the rest.
pub fn for_tests() -> Vec<Missing> {
    let mut missing = meet(&[DEMO]);
    missing.extend(TEST.iter().flat_map(|need| meet(std::slice::from_ref(need))));
    if let Err(error) = oracle::fetch() {
        let reason = format!("the C programs of Open vSwitch could not be fetched: {error:#}");
        missing.push(Missing { purpose: "comparison with C Open vSwitch".into(), reason });
    }
    missing
}

/// Meets what the demonstration needs, or says in one line what is missing.
pub fn for_demo() -> Result<()> {
    match meet(&[DEMO]).first() {
        Some(missing) => bail!("{}", missing.reason),
        None => Ok(()),
    }
}

/// `cargo xtask needs`.
pub fn run() -> Result<ExitCode> {
    let missing = for_tests();
    for need in &missing {
        println!("{}: {}", need.purpose, need.reason);
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn meet(needs: &[Need]) -> Vec<Missing> {
    needs
        .iter()
        .filter(|need| !need.is_met())
        .filter_map(|need| need.install().err().map(|why| need.missing(&why)))
        .collect()
}

impl Need {
    fn is_met(&self) -> bool {
        // the toolchain for the kernel image is Debian's, whatever else is on the PATH
        let debian = self.packages.contains(&"rustc-web");
        let met = |program: &&str| match (debian, *program) {
            (true, "rustc" | "cargo") => std::path::Path::new("/usr/bin").join(program).is_file(),
            _ => which(program).is_some(),
        };
        self.programs.iter().all(met)
            && (!debian || std::path::Path::new("/usr/lib/rustlib/src/rust").is_dir())
    }

    fn install(&self) -> Result<()> {
        if !is_root() {
            bail!("only root can install packages");
        }
        apt_update_once()?;
        let mut apt = Command::new("apt-get");
        apt.args(["install", "-y", "-qq", "--no-install-recommends"]).args(self.packages);
        quiet(&mut apt)?;
        if !self.is_met() {
            bail!("the packages are installed, but {:?} are not all there", self.programs);
        }
        Ok(())
    }

    fn missing(&self, why: &anyhow::Error) -> Missing {
        let packages = self.packages.join(" ");
        let reason =
            format!("missing for {}: as root run `apt-get install {packages}` ({why:#})", self.purpose);
        Missing { purpose: self.purpose.into(), reason }
    }
}

/// Package lists are refreshed once per run, and only by root.
pub fn apt_update_once() -> Result<()> {
    static DONE: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    let done = DONE.get_or_init(|| {
        if !is_root() {
            return Ok(());
        }
        quiet(Command::new("apt-get").args(["update", "-qq"])).map_err(|error| format!("{error:#}"))
    });
    done.clone().map_err(anyhow::Error::msg)
}

/// Runs a package command without questions; its chatter is shown only if it fails.
fn quiet(command: &mut Command) -> Result<()> {
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    capture(command).map(drop)
}

/// Whether this is a system with Debian's package tools.
pub fn has_apt() -> bool {
    which("apt-get").is_some()
        && which("dpkg-deb").is_some()
        && check(Command::new("true").stdin(Stdio::null())).is_ok()
}

//! Namespaces of one's own: run a program in them, as root or not, and leave nothing behind.
//!
//! Where it sits: the demonstration and the end-to-end tests run in it; it calls `unshare`, `setpriv` and `ip` and knows
//! nothing of switches. A host's own network, mounts and processes are never touched.
//!
//! ~~~text
//! caller ── setpriv --pdeathsig KILL ── unshare (net, mount, pid; user too unless root) ── sh, pid 1 ── the program
//!   dies?            └── dies with it ──────── └── --kill-child: everything inside dies with it
//! ~~~
//!
//! I1  Whatever way the caller ends, every process inside ends, and with the last of them every namespace and link.
//! I2  Pid 1 inside is a shell that waits: it reaps what daemons leave, so that a pid that ended is really gone.
//! I3  `/run` inside is a fresh tmpfs, so `ip netns add` works and names nothing outside.
//!
//! Spec: unshare(1), setpriv(1), ip-netns(8), namespaces(7).

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
};

/// Set inside a sandbox.
const INSIDE: &str = "OXVS_SANDBOX";

/// What pid 1 does before and while it runs the program.
const INIT: &str = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up || exit 125
\"$@\"
exit $?";

/// Exit status of pid 1 when the sandbox could not be set up.
pub const SETUP_FAILED: i32 = 125;

/// Why there can be no sandbox here; says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// A program is missing; the package that has it.
    NoProgram(&'static str, &'static str),
    /// The kernel or its settings refuse; what `unshare` said.
    Refused(String),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProgram(program, package) => {
                write!(f, "no '{program}' here: as root run `apt-get install {package}`")
            }
            Self::Refused(said) => {
                write!(f, "namespaces are refused ({said}): run as root, or allow user namespaces")
            }
        }
    }
}

impl std::error::Error for Unavailable {}

/// Whether this process already runs inside a sandbox.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Whether a sandbox can be made here; tried once per process.
pub fn available() -> Result<(), Unavailable> {
    static TRIED: OnceLock<Result<(), Unavailable>> = OnceLock::new();
    TRIED.get_or_init(try_once).clone()
}

/// A command that runs `program` in namespaces of its own; give it arguments like any other.
///
/// Standard streams, environment and working folder pass through. The exit status is the program's.
pub fn command(program: impl AsRef<OsStr>) -> Result<Command, Unavailable> {
    available()?;
    Ok(build(program.as_ref()))
}

/// The full path of a system program, also where an ordinary user's PATH does not look.
pub fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&system_path()).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// This process's PATH, with the system's folders added.
pub fn system_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
    path
}

fn try_once() -> Result<(), Unavailable> {
    let programs =
        [("ip", "iproute2"), ("unshare", "util-linux"), ("setpriv", "util-linux"), ("mount", "mount")];
    if let Some((program, package)) = programs.into_iter().find(|(program, _)| which(program).is_none()) {
        return Err(Unavailable::NoProgram(program, package));
    }
    let tried = build(OsStr::new("true")).stdin(Stdio::null()).output();
    match tried {
        Ok(out) if out.status.success() => Ok(()),
        Ok(out) => Err(Unavailable::Refused(String::from_utf8_lossy(&out.stderr).trim().replace('\n', "; "))),
        Err(error) => Err(Unavailable::Refused(error.to_string())),
    }
}

fn build(program: &OsStr) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare"]);
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--"]);
    command.args(["sh", "-c", INIT, "sandbox"]).arg(program);
    command.env("PATH", system_path()).env(INSIDE, "1");
    command
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1).map(|effective| effective == "0")).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script inside; None (after saying why) where there are no namespaces.
    fn inside(script: &str) -> Option<String> {
        let mut command = match command("sh") {
            Ok(command) => command,
            Err(why) => {
                println!("skip: {why}");
                return None;
            }
        };
        let out = command.args(["-c", script]).output().expect("sh runs");
        Some(format!("{}{}", String::from_utf8_lossy(&out.stdout), out.status.code().unwrap_or(-1)))
    }

    #[test]
    fn network_is_empty_and_status_passes_through() {
        let Some(said) = inside("ip -o link | wc -l; exit 7") else { return };
        assert_eq!(said, "1\n7");
    }

    #[test]
    fn named_namespaces_join_by_veth() {
        let script = "ip netns add a && ip netns add b && ip link add va netns a type veth peer name vb netns b \
            && ip -n a link set va up && ip -n b link show vb | grep -c vb@";
        let Some(said) = inside(script) else { return };
        assert_eq!(said, "1\n0");
    }

    #[test]
    fn orphans_are_reaped() {
        let script = "sh -c 'sleep 0.05 & echo $! > /run/pid'; p=$(cat /run/pid)
            for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05; kill -0 $p 2>/dev/null || { echo gone; exit; }; done; echo there";
        let Some(said) = inside(script) else { return };
        assert_eq!(said, "gone\n0");
    }

    #[test]
    fn killing_the_caller_ends_everything_inside() {
        let mut command = match command("sh") {
            Ok(command) => command,
            Err(why) => return println!("skip: {why}"),
        };
        let mark = format!("{}.25", 100_000 + std::process::id());
        let mut child =
            command.args(["-c", &format!("sleep {mark} & sleep {mark}")]).spawn().expect("setpriv runs");
        let alive = || {
            let wanted = format!("sleep\0{mark}\0");
            let mut processes = std::fs::read_dir("/proc").expect("/proc").flatten();
            processes.any(|entry| {
                std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes())
            })
        };
        let wait_for = |state: bool| {
            (0..500).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(10));
                alive() == state
            })
        };
        assert!(wait_for(true), "the program inside did not start");
        child.kill().expect("our own child");
        child.wait().expect("our own child");
        assert!(wait_for(false), "a process inside outlived its sandbox");
    }
}

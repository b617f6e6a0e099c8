//! Our ovs-appctl beside C's, both asking C's ovsdb-server: same output, same exit status.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use testkit::{Scratch, Suite};

/// A folder with a C server in it, which is ended with the test.
struct Folder<'a> {
    oracle: &'a Suite,
    scratch: Scratch,
}

impl<'a> Folder<'a> {
    fn new(oracle: &'a Suite) -> Folder<'a> {
        let folder = Folder { oracle, scratch: Scratch::new() };
        let mut server = folder.environment(oracle.command("ovsdb-server"));
        server.args(["--detach", "--no-chdir", "--pidfile", "--no-dbs", "-vconsole:off"]);
        assert!(server.status().unwrap().success());
        // A pid file of nobody, and one that holds nothing.
        std::fs::write(folder.scratch.join("stale.pid"), "99999999\n").unwrap();
        std::fs::write(folder.scratch.join("empty.pid"), "").unwrap();
        folder
    }

    fn environment(&self, mut command: Command) -> Command {
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(variable, self.scratch.path());
        }
        // glibc's messages begin with the name as it was called.
        let name = command.get_program().to_owned();
        command.arg0(std::path::Path::new(&name).file_name().unwrap());
        command.env("OVS_SYSLOG_METHOD", "null").env_remove("OVS_CTL_TIMEOUT").stdin(Stdio::null());
        command
    }

    fn theirs(&self) -> Command {
        self.environment(self.oracle.command("ovs-appctl"))
    }

    fn ours(&self) -> Command {
        self.environment(Command::new(env!("CARGO_BIN_EXE_ovs-appctl")))
    }
}

impl Drop for Folder<'_> {
    fn drop(&mut self) {
        let _ = self.theirs().args(["-T", "20", "-t", "ovsdb-server", "exit"]).status();
    }
}

/// Exit status (or signal), standard output, standard error without the times of log lines.
fn run(mut command: Command, args: &[&str]) -> (String, String, String) {
    let output = command.args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let stderr = text(output.stderr);
    let timeless = |line: &str| match line.split_once("Z|") {
        Some((time, rest)) if time.len() == 19 => format!("TIME|{rest}\n"),
        _ => format!("{line}\n"),
    };
    (output.status.to_string(), text(output.stdout), stderr.lines().map(timeless).collect())
}

#[test]
fn it_says_and_exits_like_the_c_program() {
    let Some(oracle) = testkit::oracle() else { return };
    let folder = Folder::new(&oracle);
    let pid = std::fs::read_to_string(folder.scratch.join("ovsdb-server.pid")).unwrap();
    let socket = folder.scratch.join(format!("ovsdb-server.{}.ctl", pid.trim()));
    let socket = socket.to_str().unwrap();
    let cases: [&[&str]; 28] = [
        &["-t", "ovsdb-server", "version"],
        &["-tovsdb-server", "list-commands"],
        &["--target=ovsdb-server", "vlog/list-pattern"],
        &["--targ", socket, "memory/show"],
        &["-t", "ovsdb-server", "nosuch"],
        &["-t", "ovsdb-server", "version", "--help", "x"],
        &["-t", "ovsdb-server", "vlog/set", "-x"],
        &["-t", "ovsdb-server", "vlog/set", "jsonrpc:off"],
        &["-t", "ovsdb-server", "--timeout=5", "coverage/read-counter", "nosuch"],
        &["-t", "ovsdb-server", "ovsdb-server/list-dbs"],
        &["-t", socket, "nosuch"],
        &[],
        &["-t", "nosuch", "version"],
        &["version"],
        &["-t", "/nodir/x.ctl", "version"],
        &["-t", "stale", "version"],
        &["-t", "empty", "version"],
        &["-T", "x", "version"],
        &["-T", "-5", "version"],
        &["-T", "0", "-t", "ovsdb-server", "version"],
        &["--nosuch"],
        &["-q"],
        &["-t"],
        &["--target"],
        &["--ver"],
        &["--help=3"],
        &["-vfoo", "version"],
        &["-vconsole:off", "-t", "nosuch", "version"],
    ];
    for args in cases {
        assert_eq!(run(folder.ours(), args), run(folder.theirs(), args), "{args:?}");
    }
}

#[test]
fn json_is_refused_by_an_older_daemon_and_its_options_are_checked() {
    let Some(oracle) = testkit::oracle() else { return };
    let folder = Folder::new(&oracle);
    let check = |args: &[&str], expected: &str| assert_eq!(run(folder.ours(), args).2, expected, "{args:?}");
    check(
        &["-t", "ovsdb-server", "-f", "JSON", "version"],
        "\"set-options\" is not a valid command (use \"list-commands\" to see a list of valid commands)\n\
         ovs-appctl: ovsdb-server: server returned an error\n",
    );
    check(&["-f", "xml", "version"], "ovs-appctl: value xml on -f or --format is invalid\n");
    check(&["--pretty", "version"], "ovs-appctl: --pretty is supported with --format json only\n");
    assert_eq!(run(folder.ours(), &["-t", "ovsdb-server", "-f", "json", "version"]).0, "exit status: 2");
}

#[test]
fn a_mute_daemon_is_given_up_by_sigalrm() {
    use std::os::unix::process::ExitStatusExt;
    let scratch = Scratch::new();
    let socket = scratch.join("mute.ctl");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovs-appctl"));
    let output = command.arg("-T1").arg("-t").arg(&socket).arg("version").output().unwrap();
    assert_eq!(output.status.signal(), Some(14));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.ends_with("|00001|fatal_signal|WARN|terminating with signal 14 (Alarm clock)\n"), "{text}");
}

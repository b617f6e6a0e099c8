//! The life of a daemon, seen from outside: the example `greeter` beside C's ovs-appctl and C's ovsdb-server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use testkit::Scratch;

/// A folder in which a greeter runs, and is ended when the test is.
struct Folder {
    scratch: Scratch,
}

impl Folder {
    fn new() -> Folder {
        Folder { scratch: Scratch::new() }
    }

    fn set_environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(variable, self.scratch.path());
        }
        command.env("OVS_SYSLOG_METHOD", "null").stdin(Stdio::null())
    }

    fn greeter(&self, options: &[&str]) -> Command {
        let mut command = Command::new(greeter());
        self.set_environment(&mut command).args(options);
        command
    }

    fn start(&self, options: &[&str]) -> Output {
        self.greeter(options).output().expect("the example was built with the tests")
    }

    fn pid(&self) -> Option<i32> {
        self.pid_in("greeter.pid")
    }

    fn pid_in(&self, file: &str) -> Option<i32> {
        std::fs::read_to_string(self.scratch.join(file)).ok()?.trim().parse().ok()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.join("greeter.log")).unwrap_or_default()
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.scratch.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Sends one command over the control socket and returns the raw reply.
    fn ask(&self, method: &str, args: &[&str]) -> String {
        let pid = self.pid().expect("a daemon runs");
        raw_request(&self.scratch.join(format!("greeter.{pid}.ctl")), method, args)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for name in ["greeter.pid", "ovsdb-server.pid"] {
            if let Some(pid) = self.pid_in(name) {
                signal(pid, "KILL");
            }
        }
    }
}

fn greeter() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples/greeter")
}

fn raw_request(socket: &Path, method: &str, args: &[&str]) -> String {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let args: Vec<String> = args.iter().map(|arg| format!("{arg:?}")).collect();
    write!(stream, "{{\"id\":0,\"method\":\"{method}\",\"params\":[{}]}}", args.join(",")).unwrap();
    let mut reply = Vec::new();
    let mut chunk = [0; 4096];
    while !reply.ends_with(b"}") {
        match stream.read(&mut chunk).unwrap() {
            0 => break,
            count => reply.extend_from_slice(&chunk[..count]),
        }
    }
    String::from_utf8(reply).unwrap()
}

fn signal(pid: i32, name: &str) {
    let _ = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).stderr(Stdio::null()).status();
}

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

#[track_caller]
fn await_true(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const DETACH: [&str; 4] = ["--detach", "--no-chdir", "--pidfile", "--log-file"];

#[test]
fn a_detached_daemon_serves_when_its_parent_returns_and_leaves_nothing() {
    let folder = Folder::new();
    let started = folder.start(&DETACH);
    assert_eq!((started.status.code(), started.stdout.as_slice()), (Some(0), &b""[..]));
    assert!(stderr(&started).ends_with(&format!(
        "|00001|vlog|INFO|opened log file {}/greeter.log\n",
        folder.scratch.path().display()
    )));
    let pid = folder.pid().unwrap();
    assert_eq!(folder.files(), [format!("greeter.{pid}.ctl"), "greeter.log".into(), "greeter.pid".into()]);
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "greeter\n");
    assert_eq!(folder.ask("greet", &["you"]), r#"{"id":0,"result":"hello, you","error":null}"#);
    assert_eq!(folder.ask("exit", &["--cleanup"]), r#"{"id":0,"result":"","error":null}"#);
    await_true("the daemon's end", || !is_alive(pid));
    assert_eq!(folder.files(), ["greeter.log"]);
}

#[test]
fn errors_of_the_start_reach_the_shell() {
    let folder = Folder::new();
    let failed = folder.start(&["--detach", "--no-chdir", "--pidfile", "--monitor", "--fail"]);
    assert_eq!((failed.status.code(), stderr(&failed).as_str()), (Some(3), "greeter: failed on request\n"));
    assert!(folder.files().is_empty(), "{:?}", folder.files());
    let table = [
        ("--pidfile=/nodir/x.pid", "greeter: /nodir/x.pid.tmp: create failed (No such file or directory)\n"),
        (
            "--unixctl=/nodir/x",
            "greeter: /nodir/x: could not initialize control socket (No such file or directory)\n",
        ),
        ("-vfoo:bar", "greeter: processing \"foo:bar\": no destination, level, or module \"foo\"\n"),
        ("--syslog-method=foo", "greeter: unsupported syslog method 'foo'\n"),
        ("--foo", "greeter: unrecognized option '--foo'\n"),
    ];
    for (option, expected) in table {
        let failed = folder.start(&["--detach", "--no-chdir", option]);
        assert_eq!(failed.status.code(), Some(1), "{option}");
        assert!(stderr(&failed).ends_with(expected), "{option}: {}", stderr(&failed));
    }
}

#[test]
fn a_second_instance_is_refused_and_changes_nothing() {
    let folder = Folder::new();
    folder.start(&DETACH);
    let (pid, files) = (folder.pid().unwrap(), folder.files());
    let second = folder.start(&DETACH);
    let path = folder.scratch.join("greeter.pid");
    let text = format!("{}: already running as pid {pid}, aborting", path.display());
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).ends_with(&format!("greeter: {text}\n")), "{}", stderr(&second));
    assert!(folder.log().ends_with(&format!("|00002|daemon_unix|EMER|{text}\n")), "{}", folder.log());
    assert_eq!((folder.pid(), folder.files()), (Some(pid), files));
    assert_eq!(folder.ask("greet", &[]), r#"{"id":0,"result":"hello, world","error":null}"#);
}

#[test]
fn sigterm_ends_it_by_the_signal_and_removes_its_files() {
    use std::os::unix::process::ExitStatusExt;
    let folder = Folder::new();
    let mut child = folder.greeter(&["--pidfile", "-vconsole:off", "--log-file"]).spawn().unwrap();
    await_true("the control socket", || folder.files().iter().any(|name| name.ends_with(".ctl")));
    await_true("the banner", || folder.log().contains("greeter|INFO"));
    signal(child.id() as i32, "TERM");
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    assert_eq!(folder.files(), ["greeter.log"]);
    assert!(folder.log().ends_with("|fatal_signal|WARN|terminating with signal 15 (Terminated)\n"));
}

#[test]
fn the_monitor_restarts_a_crashed_daemon_and_ends_with_a_terminated_one() {
    let folder = Folder::new();
    let mut start = folder.greeter(&["--detach", "--pidfile", "--log-file", "--monitor"]);
    start.current_dir(folder.scratch.path()).output().unwrap();
    let first = folder.pid().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{first}/stat")).unwrap();
    let monitor: i32 = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(std::fs::read_to_string(format!("/proc/{monitor}/comm")).unwrap(), "monitor\n");
    // The daemon leaves the folder; what is started anew finds it by the monitor's.
    let cwd = |pid: i32| std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    await_true("the daemon's leaving", || cwd(first) == Path::new("/"));
    assert_eq!(cwd(monitor), folder.scratch.path());
    signal(first, "SEGV");
    await_true("a new daemon", || folder.pid().is_some_and(|pid| pid != first));
    let second = folder.pid().unwrap();
    await_true("its banner", || folder.log().contains("|greeter(greeter)|INFO|"));
    let line = format!(
        "|daemon_unix(monitor)|ERR|1 crashes: pid {first} died, killed (Segmentation fault), restarting\n"
    );
    assert!(folder.log().contains(&line), "{}", folder.log());
    assert_eq!(folder.ask("greet", &[]), r#"{"id":0,"result":"hello, world","error":null}"#);
    signal(second, "TERM");
    await_true("the end of both", || !is_alive(second) && !is_alive(monitor));
    let line = format!("|daemon_unix(monitor)|INFO|pid {second} died, killed (Terminated), exiting\n");
    assert!(folder.log().ends_with(&line), "{}", folder.log());
}

#[test]
fn the_log_follows_its_levels_patterns_and_rotation() {
    let folder = Folder::new();
    folder.start(&DETACH);
    folder.ask("vlog/set", &["PATTERN:file:%c/%p/%N/%m"]);
    folder.ask("vlog/message", &["one"]);
    folder.ask("vlog/set", &["vlog:file:err"]);
    folder.ask("vlog/message", &["two"]);
    folder.ask("vlog/set", &["vlog:file:info"]);
    folder.ask("vlog/message", &["three"]);
    assert!(
        folder.log().ends_with("vlog/INFO/3/user-message: one\nvlog/INFO/5/user-message: three\n"),
        "{}",
        folder.log()
    );
    std::fs::rename(folder.scratch.join("greeter.log"), folder.scratch.join("old.log")).unwrap();
    folder.ask("vlog/reopen", &[]);
    folder.ask("vlog/message", &["four"]);
    assert!(folder.log().ends_with("user-message: four\n") && !folder.log().contains("three"));
    std::fs::rename(folder.scratch.join("greeter.log"), folder.scratch.join("old.log")).unwrap();
    signal(folder.pid().unwrap(), "HUP");
    await_true("a new file", || folder.log().contains("opened log file"));
}

#[test]
fn time_stands_still_and_is_warped_in_steps() {
    let folder = Folder::new();
    folder.start(&["--detach", "--no-chdir", "--pidfile", "--enable-dummy"]);
    folder.ask("time/stop", &[]);
    let pid = folder.pid().unwrap();
    let socket = folder.scratch.join(format!("greeter.{pid}.ctl"));
    let alarm = std::thread::spawn(move || {
        let began = Instant::now();
        (raw_request(&socket, "alarm", &["3600000"]), began.elapsed())
    });
    // The alarm is set once its connection is served, which a request after it on another connection cannot prove: warp until it rings.
    let mut warped = 0;
    while !alarm.is_finished() {
        assert_eq!(
            folder.ask("time/warp", &["1000000", "100000"]),
            r#"{"id":0,"result":"warped","error":null}"#
        );
        warped += 1;
        assert!(warped < 100, "the alarm never rang");
    }
    let (reply, took) = alarm.join().unwrap();
    assert_eq!(reply, r#"{"id":0,"result":"rang","error":null}"#);
    assert!(took < Duration::from_secs(60));
    assert!(warped >= 4, "an hour passed in {warped} steps of a quarter");
}

#[test]
fn bad_requests_are_refused_and_answers_come_as_json_if_wanted() {
    use std::io::{Read, Write};
    let folder = Folder::new();
    folder.start(&DETACH);
    let error = |method: &str, args: &[&str]| folder.ask(method, args);
    assert_eq!(
        error("nosuch", &[]),
        r#"{"id":0,"error":"\"nosuch\" is not a valid command (use \"list-commands\" to see a list of valid commands)"}"#
    );
    assert_eq!(
        error("greet", &["a", "b"]),
        r#"{"id":0,"error":"\"greet\" command takes at most 1 arguments"}"#
    );
    let pid = folder.pid().unwrap();
    let mut stream =
        std::os::unix::net::UnixStream::connect(folder.scratch.join(format!("greeter.{pid}.ctl"))).unwrap();
    let requests = concat!(
        r#"{"id":1,"method":"set-options","params":["--format","json"]}"#,
        r#"{"id":2,"method":"greet","params":[]}"#,
        r#"{"id":3,"method":"greet","params":[1]}"#,
        "}"
    );
    stream.write_all(requests.as_bytes()).unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    let expected = concat!(
        r#"{"id":1,"result":"","error":null}"#,
        r#"{"id":2,"result":{"reply":"hello, world","reply-format":"plain"},"error":null}"#,
        r#"{"id":3,"error":"\"greet\" command has non-string argument"}"#
    );
    assert_eq!(replies, expected);
    assert!(folder.log().contains("|jsonrpc|WARN|"), "{}", folder.log());
}

/// What C's ovs-appctl prints about the greeter is what it prints about C's own server.
#[test]
fn the_c_client_finds_and_understands_it() {
    let Some(oracle) = testkit::oracle() else { return };
    let folder = Folder::new();
    folder.start(&DETACH);
    let mut server = oracle.command("ovsdb-server");
    let status =
        folder.set_environment(&mut server).args(["--detach", "--no-chdir", "--pidfile", "--no-dbs"]);
    assert!(status.stderr(Stdio::null()).status().unwrap().success());
    let appctl = |target: &str, args: &[&str]| {
        let mut command = oracle.command("ovs-appctl");
        let output = folder
            .set_environment(&mut command)
            .args(["-T", "20", "-t", target])
            .args(args)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap().replace(target, "TARGET");
        (output.status.code(), text)
    };
    let commands: [&[&str]; 19] = [
        &["nosuch"],
        &["version", "x"],
        &["vlog/set", "foo"],
        &["vlog/set", "foo:bar:baz"],
        &["vlog/set", "jsonrpc:console:xx"],
        &["vlog/set", "PATTERN:foo:bar"],
        &["vlog/set", "FACILITY:foo"],
        &["vlog/set", "FACILITY:daemon"],
        &["vlog/set", "dbg", "info"],
        &["vlog/set", "PATTERN:console:%m%n"],
        &["vlog/list-pattern"],
        &["vlog/reopen", "x"],
        &["vlog/enable-rate-limit", "foo"],
        &["vlog/disable-rate-limit", "jsonrpc"],
        &["coverage/read-counter"],
        &["coverage/read-counter", "foo"],
        &["time/stop"],
        &["list-commands", "x"],
        &["vlog/close"],
    ];
    for args in commands {
        let (ours, theirs) = (appctl("greeter", args), appctl("ovsdb-server", args));
        // C's server of this version ends its texts with a newline, and its client adds none.
        let unify = |(code, text): (Option<i32>, String)| (code, text.replace('\n', ""));
        assert_eq!(unify(ours), unify(theirs), "{args:?}");
    }
    assert_eq!(appctl("greeter", &["version"]).1, "TARGET (Open vSwitch) 3.7.1");
    assert_eq!(appctl("ovsdb-server", &["exit"]).0, Some(0));
}

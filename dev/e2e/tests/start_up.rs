//! The start-up sequence that scripts rely on, each step byte for byte.

use std::{fs, process::Output, time::Duration};

use e2e::ours;
use testkit::{Scratch, Suite};

struct Folder {
    suite: Suite,
    dir: Scratch,
}

impl Folder {
    fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = self.suite.command(program);
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR", "OVS_PKGDATADIR"] {
            command.env(name, self.dir.path());
        }
        command.env("OVS_CTL_TIMEOUT", "30").env("OVS_SYSLOG_METHOD", "null").current_dir(self.dir.path());
        // a detached daemon must not keep its caller's pipes open: files, as a script's redirection would be
        let (out, err) = (self.dir.join("stdout"), self.dir.join("stderr"));
        let file = |path| fs::File::create(path).expect("scratch is writable");
        let status = command.args(args).stdout(file(&out)).stderr(file(&err)).status().expect("it starts");
        let read = |path| fs::read(path).expect("written just now");
        Output { status, stdout: read(out), stderr: read(err) }
    }

    #[track_caller]
    fn silent(&self, program: &str, args: &[&str]) {
        let out = self.run(program, args);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{program} {args:?}: {}: {said}", out.status);
        assert!(out.stdout.is_empty(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stdout));
        for line in said.lines() {
            assert!(is_allowed(line), "{program} {args:?} said: {line}");
        }
    }

    fn pid(&self, program: &str) -> u32 {
        let text = fs::read_to_string(self.dir.join(format!("{program}.pid"))).expect("a pid file");
        assert!(
            text.ends_with('\n') && text.trim_end().bytes().all(|byte| byte.is_ascii_digit()),
            "{text:?}"
        );
        text.trim().parse().expect("digits")
    }

    #[track_caller]
    fn ends(&self, program: &str, args: &[&str]) {
        let pid = self.pid(program);
        self.silent("ovs-appctl", &[&["-t", program, "exit"], args].concat());
        let gone = (0..3000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            !fs::exists(format!("/proc/{pid}")).unwrap_or(true)
        });
        assert!(gone, "{program} is still there");
        assert!(!self.dir.join(format!("{program}.pid")).exists(), "{program} left its pid file");
    }
}

/// What a daemon may say on its console while it starts.
fn is_allowed(line: &str) -> bool {
    let rest = line.splitn(3, '|').nth(2).unwrap_or("");
    [
        "vlog|INFO|opened log file",
        "ovsdb_server|INFO|",
        "vswitchd|INFO|",
        "ovs_numa|INFO|Discovered",
        "reconnect|INFO|",
    ]
    .iter()
    .chain(&[
        "bridge|INFO|ovs-vswitchd (Open vSwitch)",
        "odp_execute_impl|INFO|",
        "dpif_netdev",
        "pmd_perf|INFO|",
    ])
    .chain(&["ofproto|INFO|using datapath ID", "ofproto|INFO|datapath ID changed to fedcba9876543210"])
    .any(|prefix| rest.starts_with(prefix))
}

#[test]
fn start_up_sequence() {
    // detached daemons leave this process's tree: the sandbox ends them whatever happens here
    testkit::sandboxed!();
    let Some(suite) = ours() else { return };
    let schema = suite.schema().display().to_string();
    let folder = Folder { suite, dir: Scratch::new() };
    let path = |name: &str| folder.dir.join(name).display().to_string();
    fs::write(folder.dir.join(".conf.db.~lock~"), "").expect("scratch is writable");

    folder.silent("ovsdb-tool", &["create", "conf.db", &schema]);
    let remote = format!("--remote=punix:{}", path("db.sock"));
    folder.silent("ovsdb-server", &["--detach", "--no-chdir", "--pidfile", "--log-file", &remote]);
    assert!(folder.dir.join("db.sock").exists(), "the socket must be there when the parent returns");
    folder.silent("ovs-vsctl", &["--no-wait", "init"]);
    let switch = [
        "--enable-dummy=override",
        "--disable-system",
        "--disable-system-route",
        "--detach",
        "--no-chdir",
        "--pidfile",
        "--log-file",
        "-vvconn",
        "-vofproto_dpif",
        "-vunixctl",
    ];
    folder.silent("ovs-vswitchd", &switch);
    let bridge = "add-br br0 -- set bridge br0 datapath-type=dummy fail-mode=secure \
        other-config:datapath-id=fedcba9876543210 other-config:hwaddr=aa:55:aa:55:00:00 \
        protocols=[OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15]";
    folder.silent("ovs-vsctl", &bridge.split_whitespace().collect::<Vec<_>>());

    for program in ["ovs-vswitchd", "ovsdb-server"] {
        let comm = fs::read_to_string(format!("/proc/{}/comm", folder.pid(program))).expect("it runs");
        assert_eq!(comm.trim(), program);
    }
    for log in ["ovs-vswitchd.log", "ovsdb-server.log"] {
        let text = fs::read_to_string(folder.dir.join(log)).expect("a log");
        let bad =
            text.lines().find(|line| ["|WARN|", "|ERR|", "|EMER|"].iter().any(|level| line.contains(level)));
        assert_eq!(bad, None, "{log}");
    }
    let second = folder.run("ovs-vswitchd", &switch);
    assert!(!second.status.success(), "a second daemon with the same pid file must fail");

    folder.ends("ovs-vswitchd", &["--cleanup"]);
    folder.ends("ovsdb-server", &[]);
}

//! A database server and a switch in a folder of their own, of either suite, stopped by pid when the test ends.
//!
//! Where it sits: end-to-end and differential tests. The daemons run in the foreground as our children, so a test can
//! kill one at any instant and start it again; tools of either suite run against them.

use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::{Scratch, Suite};

/// How long a daemon may take to come up, and a condition to come true, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a tool did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Exit status; None if a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(out: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { status: out.status.code(), stdout: text(&out.stdout), stderr: text(&out.stderr) }
    }
}

/// A running (or killed) pair of daemons.
#[derive(Debug)]
pub struct SwitchUnderTest {
    // before the folder: fields drop in order, and the daemons must end first
    switch: Option<Daemon>,
    database: Option<Daemon>,
    datapath: Option<Daemon>,
    suite: Suite,
    dir: Scratch,
}

impl SwitchUnderTest {
    /// An empty folder with a fresh `conf.db`; nothing runs yet.
    ///
    /// # Panics
    /// When the database cannot be created.
    pub fn new(suite: &Suite) -> Self {
        let this =
            Self { switch: None, database: None, datapath: None, suite: suite.clone(), dir: Scratch::new() };
        let schema = suite.schema().display().to_string();
        this.ok(suite, "ovsdb-tool", &["create", &this.path("conf.db"), &schema]);
        this
    }

    /// A pair that runs: database initialised, switch started with `options`.
    ///
    /// # Panics
    /// When a daemon does not come up.
    pub fn started(suite: &Suite, options: &[&str]) -> Self {
        let mut this = Self::new(suite);
        this.start_database();
        this.ok(suite, "ovs-vsctl", &["--no-wait", "init"]);
        this.start_switch(options);
        this
    }

    /// Starts the database server and waits for its socket.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_database(&mut self) {
        let remote = format!("--remote=punix:{}", self.path("db.sock"));
        let _ = std::fs::remove_file(self.dir.join("db.sock"));
        let args = [&remote, "--pidfile", "--log-file", "-vconsole:off"];
        self.database = Some(self.daemon("ovsdb-server", &args));
        self.await_socket("db.sock", "ovsdb-server");
    }

    /// Starts the switch and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_switch(&mut self, options: &[&str]) {
        self.start_switch_as("ovs-vswitchd", options);
    }

    /// The same with a switch of another name.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_switch_as(&mut self, program: &str, options: &[&str]) {
        let mut args = vec!["--pidfile", "--log-file", "-vconsole:off"];
        args.extend(options);
        let daemon = self.daemon(program, &args);
        let control = format!("{program}.{}.ctl", daemon.0.id());
        self.switch = Some(daemon);
        self.await_socket(&control, program);
    }

    /// Starts ovsextd, the datapath in a process of its own, and waits for its device.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_datapath(&mut self, options: &[&str]) {
        let mut args = vec!["--pidfile", "--log-file", "-vconsole:off"];
        args.extend(options);
        let daemon = self.daemon("ovsextd", &args);
        let control = format!("ovsextd.{}.ctl", daemon.0.id());
        self.datapath = Some(daemon);
        self.await_socket(&control, "ovsextd");
        let device = self.dir.join("ovsext.dev");
        self.await_true("ovsextd has its device", || device.exists());
    }

    /// Kills ovsextd (SIGKILL) and reaps it.
    pub fn kill_datapath(&mut self) {
        self.datapath = None;
    }

    /// Kills the database server (SIGKILL) and reaps it.
    pub fn kill_database(&mut self) {
        self.database = None;
    }

    /// Kills the switch (SIGKILL) and reaps it.
    pub fn kill_switch(&mut self) {
        self.switch = None;
    }

    /// A path in the folder, as text.
    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// A command of either suite with the environment that makes it talk to these daemons.
    pub fn command(&self, suite: &Suite, program: &str) -> Command {
        let mut command = suite.command(program);
        self.environment(&mut command);
        command
    }

    /// Points `command` at this folder.
    pub fn environment(&self, command: &mut Command) {
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR", "OVS_PKGDATADIR"] {
            command.env(name, self.dir.path());
        }
        command.env("OVS_CTL_TIMEOUT", "30").env("OVS_SYSLOG_METHOD", "null");
        command.current_dir(self.dir.path());
    }

    /// Runs a tool of either suite against these daemons.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, suite: &Suite, program: &str, args: &[impl AsRef<OsStr>]) -> Ran {
        self.command(suite, program).args(args).output().expect("the tool starts").into()
    }

    /// Like [`run`](Self::run), for what must succeed; returns standard output.
    ///
    /// # Panics
    /// When it fails, with what it said and the end of the daemons' logs.
    #[track_caller]
    pub fn ok(&self, suite: &Suite, program: &str, args: &[impl AsRef<OsStr>]) -> String {
        let ran = self.run(suite, program, args);
        let words: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
        assert!(ran.status == Some(0), "{program} {}: {ran:?}\n{}", words.join(" "), self.logs());
        ran.stdout
    }

    /// Waits until `holds`; real daemons and real links need real time.
    ///
    /// # Panics
    /// When it does not come true, naming `what` and showing the end of the logs.
    #[track_caller]
    pub fn await_true(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < end, "waited in vain: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The end of each daemon's log and console output.
    pub fn logs(&self) -> String {
        let names = ["ovsdb-server", "ovs-vswitchd", "ovsextd"];
        let names = names.iter().flat_map(|name| [format!("{name}.log"), format!("{name}.out")]);
        names.map(|name| tail(&self.dir.join(name))).collect()
    }

    /// The pid of the running switch.
    pub fn switch_pid(&self) -> Option<u32> {
        self.switch.as_ref().map(|daemon| daemon.0.id())
    }

    /// The pid of the running datapath, where it has a process of its own; a successor's is another.
    pub fn datapath_pid(&self) -> Option<u32> {
        self.datapath.as_ref().map(|daemon| daemon.0.id())
    }

    fn daemon(&self, program: &str, args: &[&str]) -> Daemon {
        let console = self.dir.join(format!("{program}.out"));
        let console = File::create(console).expect("the folder is writable");
        let mut command = self.command(&self.suite, program);
        command.args(args).stdout(console.try_clone().expect("a file can be cloned")).stderr(console);
        Daemon(command.stdin(Stdio::null()).spawn().expect("the daemon starts"))
    }

    #[track_caller]
    fn await_socket(&self, name: &str, program: &str) {
        let socket: PathBuf = self.dir.join(name);
        self.await_true(&format!("{program} listens on {name}"), || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
    }
}

/// A child that ends with its owner.
#[derive(Debug)]
pub struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn tail(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(15);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if lines.is_empty() { String::new() } else { format!("-- {name}\n{}\n", lines[from..].join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_suite_starts_and_ends() {
        let Some(c) = crate::oracle() else { return };
        let mut pair = SwitchUnderTest::started(&c, &["--enable-dummy", "--disable-system"]);
        pair.ok(&c, "ovs-vsctl", &["add-br", "br0", "--", "set", "bridge", "br0", "datapath-type=dummy"]);
        assert_eq!(pair.ok(&c, "ovs-vsctl", &["list-br"]), "br0\n");
        pair.kill_switch();
        pair.kill_database();
        pair.start_database();
        pair.start_switch(&["--enable-dummy", "--disable-system"]);
        assert_eq!(pair.ok(&c, "ovs-vsctl", &["list-br"]), "br0\n");
        let refused = pair.run(&c, "ovs-vsctl", &["del-br", "none"]);
        assert_eq!((refused.status, refused.stderr.as_str()), (Some(1), "ovs-vsctl: no bridge named none\n"));
    }
}

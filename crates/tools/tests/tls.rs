//! Tools over TLS, against our ovsdb-server, beside C's: the same options lead to the same results.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Ran, Scratch, Suite, oracle, ours, skip};

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Keys of an authority in `folder`: `sc` and `cl`, `ca.pem` that signed them and `other.pem` that did not.
fn make_keys(oracle: &Suite, folder: &Scratch) {
    let run = |arguments: &[&str]| {
        let mut pki = oracle.command("ovs-pki");
        // The authority's program is the system's own, with its own libraries.
        pki.env_remove("LD_LIBRARY_PATH").current_dir(folder.path());
        let dir = format!("--dir={}", folder.join("pki").display());
        let out = pki.args(["-b", "-u", &dir, "--log=log"]).args(arguments).output().unwrap();
        assert!(out.status.success(), "ovs-pki {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    run(&["init"]);
    run(&["req+sign", "sc", "switch"]);
    run(&["req+sign", "cl", "switch"]);
    std::fs::copy(folder.join("pki/switchca/cacert.pem"), folder.join("ca.pem")).unwrap();
    std::fs::copy(folder.join("pki/controllerca/cacert.pem"), folder.join("other.pem")).unwrap();
}

/// Starts our server with a database in `folder`; its TLS port.
fn serve(suite: &Suite, folder: &Scratch) -> (Server, u16) {
    let schema = suite.schema().display().to_string();
    let created =
        suite.command("ovsdb-tool").current_dir(folder.path()).args(["create", "db", &schema]).status();
    assert!(created.unwrap().success());
    let mut server = suite.command("ovsdb-server");
    server.current_dir(folder.path()).env("OVS_RUNDIR", folder.path()).env("OVS_SYSLOG_METHOD", "null");
    server.args(["--log-file=server.log", "-vconsole:off", "-p", "sc-privkey.pem", "-c", "sc-cert.pem"]);
    server.args(["-C", "ca.pem", "--peer-ca-cert=ca.pem", "--remote=pssl:0:127.0.0.1", "db"]);
    let server = Server(server.stdin(Stdio::null()).spawn().unwrap());
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
        let line = log.lines().find(|line| line.contains("listening on port"));
        if let Some(port) = line.and_then(|line| line.rsplit(' ').next()?.parse().ok()) {
            return (server, port);
        }
        assert!(Instant::now() < end, "no port: {log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Status, output, and the program's own last word.
fn outcome(mut command: Command, folder: &Scratch, arguments: &[&str]) -> (Option<i32>, String, String) {
    command.current_dir(folder.path()).env("OVS_SYSLOG_METHOD", "null").env("OVS_CTL_TIMEOUT", "30");
    let ran: Ran = command.args(arguments).output().unwrap().into();
    let word = ran.stderr.lines().rfind(|line| line.contains(": ") && !line.contains('|'));
    (ran.status, ran.stdout, word.unwrap_or_default().to_owned())
}

#[test]
fn vsctl_and_ovsdb_client_over_tls() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let Some(suite) = ours(&["ovsdb-server", "ovsdb-tool"]) else { return };
    if Command::new("openssl").arg("version").output().is_err() {
        skip!("no openssl to make keys with");
    }
    let folder = Scratch::new();
    make_keys(&theirs, &folder);
    let (_server, port) = serve(&suite, &folder);
    let remote = format!("ssl:127.0.0.1:{port}");
    let db = format!("--db={remote}");
    let vsctl = |arguments: &[&str]| {
        let ours = Command::new(env!("CARGO_BIN_EXE_ovs-vsctl"));
        let got = outcome(ours, &folder, &[&["--no-wait", &db], arguments].concat());
        (got, outcome(theirs.command("ovs-vsctl"), &folder, &[&["--no-wait", &db], arguments].concat()))
    };
    let identity = ["-p", "cl-privkey.pem", "--certificate=cl-cert.pem"];

    // Ours changes the database, both read it.
    let add = [&identity[..], &["-C", "ca.pem", "add-br", "br0"]].concat();
    let ours = Command::new(env!("CARGO_BIN_EXE_ovs-vsctl"));
    let got = outcome(ours, &folder, &[&["--no-wait", db.as_str()], &add[..]].concat());
    assert_eq!(got, (Some(0), String::new(), String::new()));
    let (got, expected) = vsctl(&[&identity[..], &["-C", "ca.pem", "list-br"]].concat());
    assert_eq!((got.0, got.1.as_str()), (Some(0), "br0\n"));
    assert_eq!(got, expected);
    // Without keys, and with an authority that did not sign the server's certificate.
    for arguments in [vec!["list-br"], [&identity[..], &["-C", "other.pem", "list-br"]].concat()] {
        let (got, expected) = vsctl(&arguments);
        assert_eq!(got.0, Some(1), "{arguments:?}: {got:?}");
        assert_eq!(got, expected, "{arguments:?}");
    }
    // The authority is learned from the first connection, which is dropped; the next one uses it.
    let bootstrap = [&identity[..], &["--bootstrap-ca-cert=learned.pem", "list-br"]].concat();
    let ours = Command::new(env!("CARGO_BIN_EXE_ovs-vsctl"));
    let first = outcome(ours, &folder, &[&["--no-wait", db.as_str()], &bootstrap[..]].concat());
    assert!(folder.join("learned.pem").is_file());
    std::fs::remove_file(folder.join("learned.pem")).unwrap();
    let expected = outcome(
        theirs.command("ovs-vsctl"),
        &folder,
        &[&["--no-wait", db.as_str()], &bootstrap[..]].concat(),
    );
    assert_eq!(first, expected);
    let (got, expected) = vsctl(&bootstrap);
    assert_eq!(got.1, "br0\n");
    assert_eq!(got, expected);

    let client = [&identity[..], &["-C", "ca.pem", "list-dbs", &remote]].concat();
    let got = outcome(Command::new(env!("CARGO_BIN_EXE_ovsdb-client")), &folder, &client);
    assert_eq!(got, outcome(theirs.command("ovsdb-client"), &folder, &client));
    assert!(got.1.contains("Open_vSwitch\n"), "{got:?}");
}

//! Bad input and bad days: the server says so, cuts whom it must, and goes on.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use testkit::{Scratch, Suite};

use crate::support::{Server, command, create, start, wait_for};

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{
 "T":{"columns":{"n":{"type":"integer"},"text":{"type":"string"}},"isRoot":true}}}"#;

fn serve() -> Server {
    let folder = Scratch::new();
    create(&folder.join("db"), SCHEMA);
    start(None, folder, &["db"])
}

/// Whether the server still serves.
fn alive(server: &Server) {
    let reply = server.connect().transact("D", r#"{"op":"select","table":"T","where":[]}"#).unwrap();
    assert!(reply.to_string().contains("rows"), "{reply}");
}

/// Bytes that may wait for a client.
const BACKLOG_LIMIT: u64 = 256 << 20;

/// What a process has in memory, and has had at most, in bytes.
fn memory(server: &Server) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
    };
    (field("VmRSS"), field("VmHWM"))
}

/// A reader that does not read is cut when as much waits for it as may, and the log says so. The server holds hardly more than
/// that, and gives it back; others are served all the while, with every update.
#[test]
fn slow_reader_is_cut() {
    let server = serve();
    let slow = UnixStream::connect(server.socket()).unwrap();
    slow.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    // Every change is told twenty times.
    for i in 0..20 {
        let monitor = format!(r#"{{"id":1,"method":"monitor","params":["D",{i},{{"T":{{}}}}]}}"#);
        (&slow).write_all(monitor.as_bytes()).unwrap();
    }
    let (mut client, mut reader) = (server.connect(), server.connect());
    client.transact("D", r#"{"op":"insert","table":"T","row":{}}"#).unwrap();
    reader.call("monitor", r#"["D",0,{"T":{"columns":["n"]}}]"#);
    let text = "x".repeat(256 << 10);
    let (before, _) = memory(&server);
    let (mut sent, is_cut) = (0, || server.log().contains("send queue is full, disconnecting"));
    while !is_cut() {
        sent += 1;
        assert!(sent * 20 * text.len() as u64 <= 2 * BACKLOG_LIMIT, "not cut");
        let update =
            format!(r#"{{"op":"update","table":"T","where":[],"row":{{"n":{sent},"text":"{sent}{text}"}}}}"#);
        assert!(client.transact("D", &update).unwrap().to_string().contains("count"));
        assert_eq!(reader.sync().len(), 1);
    }
    assert!(sent * 20 * text.len() as u64 > BACKLOG_LIMIT / 2, "cut after {sent} updates");
    let (after, peak) = memory(&server);
    assert!(peak - before < BACKLOG_LIMIT + (64 << 20), "{before} bytes became {peak}");
    assert!(after - before < 64 << 20, "{before} bytes became {after}");
    assert_eq!(memory(&server).1, peak);
    alive(&server);
}

#[test]
fn files_that_cannot_be_served_are_refused_plainly() {
    let folder = Scratch::new();
    let clustered = "OVSDB CLUSTER 2 0000000000000000000000000000000000000000\n{}\n";
    std::fs::write(folder.join("cluster"), clustered).unwrap();
    for (file, text) in [
        ("cluster", "clustered databases are not supported"),
        ("missing", "open failed (No such file or directory)"),
    ] {
        let out = command(None, folder.path()).args(["--run=true", file]).output().unwrap();
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && error.contains(text), "{file}: {error}");
    }
}

/// A start that fails late leaves neither pid file nor socket, in the foreground or behind.
#[test]
fn a_failed_start_leaves_nothing() {
    for suite in [None, testkit::oracle()] {
        for detach in [None, Some("--detach")] {
            let folder = Scratch::new();
            create(&folder.join("db"), SCHEMA);
            let mut start = command(suite.as_ref(), folder.path());
            start.args(["--pidfile=pid", "--remote=punix:s", "--remote=db:D,T,nosuch", "db"]).args(detach);
            let out = start.args(["--no-chdir", "-vsyslog:off"]).output().unwrap();
            assert_eq!(out.status.code(), Some(1), "{out:?}");
            let entries = std::fs::read_dir(folder.path()).unwrap();
            let mut left: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            left.retain(|name| name != ".db.~lock~");
            left.sort();
            assert_eq!(left, ["db", "log"], "{detach:?}");
        }
    }
}

/// A database that may be read and not written is not served, and C says the same.
#[test]
fn read_only_file_is_refused() {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let said = |suite: Option<&Suite>| {
        let folder = Scratch::new();
        create(&folder.join("db"), SCHEMA);
        std::fs::set_permissions(folder.join("db"), Permissions::from_mode(0o444)).unwrap();
        let program = command(suite, folder.path());
        // Root may write whatever it likes, unless it gives that up.
        let mut bound = Command::new(if is_root { "setpriv" } else { "env" });
        if is_root {
            bound.args(["--bounding-set=-all", "--inh-caps=-all"]);
        }
        bound.arg(program.get_program()).args(program.get_args()).args(["--run=true", "db"]);
        bound.current_dir(folder.path());
        for (name, value) in program.get_envs() {
            bound.env(name, value.unwrap_or_default());
        }
        let out = bound.output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let ours = said(None);
    assert!(ours.0 == Some(1) && ours.1.contains("open failed (Permission denied)"), "{ours:?}");
    if let Some(oracle) = testkit::oracle() {
        assert_eq!(ours, said(Some(&oracle)));
    }
}

/// Compaction, by command, in the middle of commits: nothing is lost, and the file is small afterwards.
#[test]
fn compaction_amid_commits() {
    let mut server = serve();
    let mut client = server.connect();
    client.transact("D", r#"{"op":"insert","table":"T","row":{"n":0}}"#).unwrap();
    for round in 0..5 {
        for i in 0..200 {
            let update =
                format!(r#"{{"op":"update","table":"T","where":[],"row":{{"n":{}}}}}"#, round * 200 + i);
            client.transact("D", &update).unwrap();
            if i == 100 {
                server.appctl("ovsdb-server/compact", &["D"]).unwrap();
            }
        }
    }
    let size = std::fs::metadata(server.folder.join("db")).unwrap().len();
    assert!(size < 30_000, "{size} bytes");
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let folder = std::mem::replace(&mut server.folder, Scratch::new());
    let again = start(None, folder, &["db"]);
    let rows =
        again.connect().transact("D", r#"{"op":"select","table":"T","where":[],"columns":["n"]}"#).unwrap();
    assert!(rows.to_string().contains("{\"n\":999}"), "{rows}");
}

/// A disk that takes nothing holds up the compaction, not the clients; what they commit meanwhile is there afterwards.
#[test]
fn slow_disk_holds_up_no_client() {
    let mut server = serve();
    let mut client = server.connect();
    let insert =
        |n: u64, text: &str| format!(r#"{{"op":"insert","table":"T","row":{{"n":{n},"text":"{text}"}}}}"#);
    client.transact("D", &insert(0, &"x".repeat(1 << 20))).unwrap();
    // The temporary file is a pipe that nobody reads, and so full long before the rows are in it.
    let pipe = server.folder.join("db.tmp");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| server.appctl("ovsdb-server/compact", &["D"]));
        wait_for("the compaction", || server.log().contains("compacting D database").then_some(()));
        for n in 1..200 {
            assert!(client.transact("D", &insert(n, "meanwhile")).unwrap().to_string().contains("uuid"));
        }
        let durable = format!(r#"{},{{"op":"commit","durable":true}}"#, insert(200, "durable"));
        assert!(client.transact("D", &durable).unwrap().to_string().contains("uuid"));
        assert!(!asked.is_finished());
        // Somebody reads; but a pipe cannot be forced to disk, so this compaction fails, and says so.
        let mut reader = std::fs::File::open(&pipe).unwrap();
        std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        let error = asked.join().unwrap().unwrap_err();
        assert!(error.contains("db.tmp: write failed"), "{error}");
    });
    assert!(!pipe.exists());
    server.appctl("ovsdb-server/compact", &["D"]).unwrap();
    assert!(server.log().contains("D: Database compaction took"), "{}", server.log());
    client.transact("D", &insert(201, "after")).unwrap();
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let again = start(None, std::mem::replace(&mut server.folder, Scratch::new()), &["db"]);
    let select = r#"{"op":"select","table":"T","where":[],"columns":["n"]}"#;
    let rows = again.connect().transact("D", select).unwrap();
    assert_eq!(rows.to_string().matches("\"n\":").count(), 202);
}

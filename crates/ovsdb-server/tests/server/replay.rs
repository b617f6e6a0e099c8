//! `--record` and `--replay`: a replay does what was done, to the byte and to the millisecond, and its files are called as C's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use testkit::{Scratch, Suite, oracle, ours};

use crate::support::{Server, command, create, start, wait_for};

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{
 "T":{"columns":{"n":{"type":"integer"},"text":{"type":"string"}},"isRoot":true,"indexes":[["n"]]}}}"#;

/// What is put on the command line to record.
pub const RECORD: &str = "--record=tapes";

/// A folder with a database and room for tapes.
pub fn folder(schema: &str) -> Scratch {
    let folder = Scratch::new();
    create(&folder.join("db"), schema);
    fs::copy(folder.join("db"), folder.join("before")).unwrap();
    fs::create_dir(folder.join("tapes")).unwrap();
    folder
}

/// The log, some of it at debug level, up to the end: which clients see that to the end is chance.
fn log_of(server: &Server) -> Vec<String> {
    let modules = ["jsonrpc", "reconnect", "unixctl", "ovsdb_server", "ovsdb_jsonrpc_server", "transaction"];
    let lines = server.lines_of(&modules).into_iter();
    lines.take_while(|line| !line.contains("received request exit")).collect()
}

/// Ends a server that `RECORD` and `arguments` started in a `folder`, and starts it anew from its tapes: it does the same and ends.
pub fn assert_replays(mut server: Server, arguments: &[&str]) {
    server.appctl("exit", &[]).unwrap();
    assert!(server.child.wait().unwrap().success());
    let recorded = (log_of(&server), fs::read_to_string(server.folder.join("db")).unwrap());
    fs::remove_file(server.folder.join("log")).unwrap();
    fs::copy(server.folder.join("before"), server.folder.join("db")).unwrap();
    let mut replay = command(None, server.folder.path());
    server.child = replay.arg("--remote=punix:s").args(arguments).arg("--replay=tapes").spawn().unwrap();
    let status = wait_for("the end of the replay", || server.child.try_wait().unwrap());
    assert!(status.success() && !server.socket().exists(), "{status}");
    let replayed = (log_of(&server), fs::read_to_string(server.folder.join("db")).unwrap());
    assert_eq!(replayed, recorded, "what was replayed, what was recorded");
}

fn insert(n: u32, text: &str) -> String {
    format!(r#"{{"op":"insert","table":"T","row":{{"n":{n},"text":"{text}"}}}}"#)
}

fn wait(n: u32, timeout: u32) -> String {
    format!(
        r#"{{"op":"wait","table":"T","timeout":{timeout},"where":[["n","==",{n}]],"columns":["n"],"until":"==","rows":[{{"n":{n}}}]}}"#
    )
}

/// Clients come, wait, time out, watch, lock, vanish and are told of each other.
fn session(server: &Server) {
    let mut one = server.connect();
    one.call("monitor_cond", r#"["D","m",{"T":[{"columns":["n","text"]}]}]"#);
    one.call("lock", r#"["l"]"#);
    // More than the server reads at once.
    one.transact("D", &insert(0, &"x".repeat(200_000))).unwrap();
    one.transact("D", &format!("{},{}", insert(1, "never"), wait(99, 30))).unwrap();
    let mut two = server.connect();
    two.call("lock", r#"["l"]"#);
    two.send(&format!(
        r#"{{"id":7,"method":"transact","params":["D",{},{}]}}"#,
        wait(2, 60_000),
        insert(3, "after")
    ));
    one.transact("D", &insert(2, "awaited")).unwrap();
    two.receive();
    // Only one of both has the lock while the other is there.
    drop(one);
    wait_for("the lock", || two.receive().filter(|message| message.to_string().contains("locked")));
    let assert = r#"{"op":"assert","lock":"l"}"#;
    two.transact("D", &format!("{assert},{}", insert(4, "locked"))).unwrap();
    assert!(server.appctl("ovsdb-server/list-dbs", &[]).unwrap().contains('D'));
    server.appctl("ovsdb-server/add-remote", &["punix:second"]).unwrap();
    let mut three = crate::support::connect(&server.folder.join("second"));
    three.transact("D", r#"{"op":"delete","table":"T","where":[["n","==",0]]}"#).unwrap();
    three.send("{]");
    assert!(three.receive().is_none());
}

fn recorded(suite: Option<&Suite>) -> Server {
    let server = start(suite, folder(SCHEMA), &[RECORD, "-vfile:dbg", "db"]);
    session(&server);
    server
}

#[test]
fn a_replay_does_what_was_done() {
    assert_replays(recorded(None), &["-vfile:dbg", "db"]);
}

/// Timers of a recording take no time in its replay, and have the same moments.
#[test]
fn time_is_that_of_the_recording() {
    let server = start(None, folder(SCHEMA), &[RECORD, "-vfile:dbg", "db"]);
    let mut client = server.connect();
    for n in 0..3 {
        let reply = client.transact("D", &format!("{},{}", insert(n, ""), wait(99, 400))).unwrap();
        assert!(reply.to_string().contains("timed out after 4"), "{reply}");
        client.transact("D", &insert(n, "")).unwrap();
    }
    let begin = Instant::now();
    assert_replays(server, &["-vfile:dbg", "db"]);
    assert!(begin.elapsed() < Duration::from_millis(1000), "{:?}", begin.elapsed());
}

/// What a backup heard of its source, and how it dialled in vain, is played without either peer.
#[test]
fn what_is_dialled_is_played_too() {
    let source = start(None, folder(SCHEMA), &["db"]);
    source.connect().transact("D", &insert(1, "before")).unwrap();
    let from = format!("--sync-from=unix:{}", source.socket().display());
    // Nobody listens there, and it is dialled again and again.
    let arguments = ["--remote=unix:nobody", &from, "-vfile:dbg", "db"];
    let server = start(None, folder(SCHEMA), &[arguments.as_slice(), &[RECORD]].concat());
    let copied = |text: &str| {
        wait_for("a copy", || {
            let rows = server.connect().transact("D", r#"{"op":"select","table":"T","where":[]}"#)?;
            rows.to_string().contains(text).then_some(())
        });
    };
    copied("before");
    source.connect().transact("D", &insert(2, "meanwhile")).unwrap();
    copied("meanwhile");
    drop(source);
    wait_for("the loss of the source", || server.log().contains("closed by peer").then_some(()));
    server.appctl("ovsdb-server/disconnect-active-ovsdb-server", &[]).unwrap();
    server.connect().transact("D", &insert(3, "alone")).unwrap();
    assert_replays(server, &arguments);
}

/// A server that was killed leaves tapes that can be played up to there.
#[test]
fn a_recording_that_was_cut_off_is_played() {
    let mut server = recorded(None);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let read = |server: &Server| fs::read_to_string(server.folder.join("db")).unwrap();
    let recorded = read(&server);
    fs::copy(server.folder.join("before"), server.folder.join("db")).unwrap();
    fs::remove_file(server.folder.join("s")).unwrap();
    let mut replay = command(None, server.folder.path());
    server.child = replay.args(["--remote=punix:s", "--replay=tapes", "db"]).spawn().unwrap();
    wait_for("the last commit", || (read(&server) == recorded).then_some(()));
    assert!(server.child.try_wait().unwrap().is_none());
}

/// The names of tapes, without the numbers of their first events.
fn tapes(folder: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    let names = names.map(|name| name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned());
    // C has none of times; and its control socket's name is that of the whole path.
    names.filter(|name| name != "replay__time_" && !name.ends_with("_ctl_")).collect()
}

#[test]
fn tapes_are_called_as_in_c() {
    let Some(oracle) = oracle() else { return };
    let names = [None, Some(&oracle)].map(|suite| {
        let server = recorded(suite);
        tapes(&server.folder.join("tapes"))
    });
    assert_eq!(names[0], names[1]);
    assert!(names[0].len() >= 4, "{names:?}");
}

/// A folder that is not there is refused as by C, by the server at its start and by the client when it connects.
#[test]
fn a_folder_that_is_missing_is_refused_as_by_c() {
    let Some(oracle) = oracle() else { return };
    let Some(own) = ours(&["ovsdb-client"]) else { return };
    let scratch = folder(SCHEMA);
    let said = |mut command: std::process::Command| {
        let out = command.output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        let lines = text.lines().map(|line| match line.rsplit_once("|ovs_replay|") {
            // Which event would have been the first is each program's own.
            Some((_, line)) => line.replace(|c: char| c.is_ascii_digit(), "N"),
            None => line.rsplit_once("Z|").map_or(line, |(_, line)| line).to_owned(),
        });
        (out.status.code(), lines.collect::<Vec<_>>())
    };
    for mode in ["--record=nowhere", "--replay=nowhere"] {
        let [c, own_server] = [Some(&oracle), None].map(|suite| {
            let mut command = command(suite, scratch.path());
            command.args(["-vconsole:info", "--unixctl=none", "--remote=punix:s", mode, "db"]);
            said(command)
        });
        assert_eq!(own_server, c, "{mode}");
        let [c, own_client] = [&oracle, &own].map(|suite| {
            let mut command = suite.command("ovsdb-client");
            command.env("OVS_RUNDIR", scratch.path()).current_dir(scratch.path());
            command.args([mode, "list-dbs", "unix:nobody"]);
            said(command)
        });
        assert_eq!(own_client, c, "{mode}");
    }
}

/// What a client was answered it prints again, without a server.
#[test]
fn a_client_replays_its_answers() {
    let Some(own) = ours(&["ovsdb-client"]) else { return };
    let server = start(None, folder(SCHEMA), &["db"]);
    server.connect().transact("D", &insert(5, "five")).unwrap();
    let socket = format!("unix:{}", server.socket().display());
    let tapes = Scratch::new();
    let dump = |mode: &str| {
        let mut client = own.command("ovsdb-client");
        let mode = format!("--{mode}={}", tapes.path().display());
        let out = client.args([&mode, "dump", &socket, "D"]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let recorded = dump("record");
    assert!(recorded.contains("five"), "{recorded}");
    drop(server);
    assert_eq!(dump("replay"), recorded);
}

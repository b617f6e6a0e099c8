//! Run-time commands: replies and errors are those of Open vSwitch's server.

use testkit::Scratch;

use crate::support::{Server, command, create, start, wait_for};

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{
 "T":{"columns":{"n":{"type":"integer"},"text":{"type":"string"},
   "refs":{"type":{"key":{"type":"uuid","refTable":"T"},"min":0,"max":"unlimited"}}},"isRoot":true}}}"#;

const COMMANDS: &[&str] = &[
    "memory/show",
    "ovsdb-server/sync-status",
    "ovsdb-server/list-dbs",
    "ovsdb-server/tlog-list",
    "ovsdb-server/tlog-set D:T on",
    "ovsdb-server/tlog-list",
    "ovsdb-server/tlog-set D:Foo on",
    "ovsdb-server/tlog-set X:Foo on",
    "ovsdb-server/tlog-set Foo on",
    "ovsdb-server/tlog-set D:T foo",
    "ovsdb-server/perf-counters-show",
    "ovsdb-server/memory-trim-on-compaction on",
    "ovsdb-server/memory-trim-on-compaction x",
    "ovsdb-server/get-active-ovsdb-server",
    "ovsdb-server/connect-active-ovsdb-server",
    "ovsdb-server/disconnect-active-ovsdb-server",
    "ovsdb-server/set-active-ovsdb-server unix:nowhere",
    "ovsdb-server/get-active-ovsdb-server",
    "ovsdb-server/set-active-ovsdb-server-probe-interval x",
    "ovsdb-server/set-active-ovsdb-server-probe-interval 500",
    "ovsdb-server/get-sync-exclude-tables",
    "ovsdb-server/set-sync-exclude-tables D:T,X:y",
    "ovsdb-server/get-sync-exclude-tables",
    "ovsdb-server/get-db-storage-status D",
    "ovsdb-server/get-db-storage-status x",
    "ovsdb-server/add-db /nonexistent",
    "ovsdb-server/add-db nonexistent",
    "ovsdb-server/add-db db",
    "ovsdb-server/add-db ./db",
    "ovsdb-server/add-db again",
    "ovsdb-server/add-db relay:D:unix:nowhere",
    "ovsdb-server/add-db relay:foo",
    "ovsdb-server/add-db relay:foo:unix:nowhere",
    "ovsdb-server/list-dbs",
    "ovsdb-server/sync-status",
    "ovsdb-server/remove-db foo",
    "ovsdb-server/remove-db _Server",
    "ovsdb-server/remove-db x",
    "ovsdb-server/compact x",
    "ovsdb-server/compact _Server",
    "ovsdb-server/compact",
    "ovsdb-server/compact D",
    "ovsdb-server/add-remote db:x",
    "ovsdb-server/add-remote db:x,y,z",
    "ovsdb-server/add-remote db:D,y,z",
    "ovsdb-server/add-remote db:D,T,z",
    "ovsdb-server/add-remote db:D,T,text",
    "ovsdb-server/add-remote db:D,T,n",
    "ovsdb-server/list-remotes",
    "ovsdb-server/remove-remote db:D,T,n",
    "ovsdb-server/remove-remote x",
    "ovsdb-server/add-remote unix:nowhere",
    "memory/show",
    "ovsdb-server/remove-remote unix:nowhere",
    "memory/show",
    "ovsdb-server/remove-remote db:D,T,text",
    "ovsdb-server/list-remotes",
    "vlog/set console:off,syslog:err",
    "vlog/set jsonrpc,reconnect:dbg",
    "vlog/set dbg:info",
    "vlog/set any:any:info",
    "vlog/disable-rate-limit any",
    "vlog/enable-rate-limit ANY",
    "vlog/enable-rate-limit nosuch",
    "ovsdb-server/reconnect",
    "ovsdb-server/add-remote",
    "ovsdb-server/tlog-set D:T",
];

fn serve(suite: Option<&testkit::Suite>) -> Server {
    let folder = Scratch::new();
    create(&folder.join("db"), SCHEMA);
    create(&folder.join("again"), SCHEMA);
    create(&folder.join("other"), &SCHEMA.replace("\"D\"", "\"E\""));
    start(suite, folder, &["db"])
}

#[test]
fn replies_are_those_of_open_vswitch() {
    let Some(oracle) = testkit::oracle() else { return };
    let (ours, theirs) = (serve(None), serve(Some(&oracle)));
    // The connection that found out whether they listen is closed, but they may not have noticed.
    for server in [&ours, &theirs] {
        let idle = || !server.appctl("memory/show", &[]).is_ok_and(|text| text.contains("sessions"));
        wait_for("an idle server", || idle().then_some(()));
    }
    for line in COMMANDS {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let arguments: Vec<&str> = words.collect();
        let [ours, theirs] = [&ours, &theirs].map(|server| server.appctl(name, &arguments));
        assert_eq!(ours, theirs, "{line}");
    }
}

/// Clients that do not follow changes of the set of databases are cut by them, and the log says why.
#[test]
fn who_is_cut_and_why_is_told_as_in_open_vswitch() {
    let told = |suite: Option<&testkit::Suite>| {
        let server = serve(suite);
        let schema = SCHEMA.replace("1.0.0", "1.0.1");
        let convert = format!("[\"D\",{schema}]");
        let cut = |what: &mut dyn FnMut()| {
            let mut client = server.connect();
            client.sync();
            what();
            assert!(client.receive().is_none());
        };
        for command in [
            "ovsdb-server/add-db other",
            "ovsdb-server/remove-db E",
            "ovsdb-server/reconnect",
            "ovsdb-server/disable-monitor-cond",
            "ovsdb-server/add-db relay:F:unix:nowhere",
            "ovsdb-server/remove-db F",
        ] {
            let (name, argument) = command.split_once(' ').map_or((command, None), |(a, b)| (a, Some(b)));
            cut(&mut || drop(server.appctl(name, &Vec::from_iter(argument)).unwrap()));
        }
        let mut aware = server.connect();
        aware.call("set_db_change_aware", "[true]");
        cut(&mut || drop(aware.call("convert", &convert)));
        let mut lines = server.lines_of(&["ovsdb_jsonrpc_server"]);
        // Whoever asked whether the server is there may be cut as well.
        lines.dedup();
        lines
    };
    let Some(oracle) = testkit::oracle() else { return };
    let (ours, theirs) = (told(None), told(Some(&oracle)));
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 7, "{ours:?}");
}

/// How the command of `--run` ended is how the server does, and what it says.
#[test]
fn the_end_of_a_run_is_told_as_in_open_vswitch() {
    let Some(oracle) = testkit::oracle() else { return };
    for run in ["true", "exit 3", "kill -9 $$", "/nonexistent/x", "echo said"] {
        let told = |suite: Option<&testkit::Suite>| {
            let folder = Scratch::new();
            create(&folder.join("db"), SCHEMA);
            let out = command(suite, folder.path()).args(["--run", run, "db"]).output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (out.status.code(), text(&out.stdout), text(&out.stderr))
        };
        assert_eq!(told(None), told(Some(&oracle)), "{run}");
    }
}

/// Whoever has a database already is named.
#[test]
fn a_database_in_use_is_refused_as_in_open_vswitch() {
    let Some(oracle) = testkit::oracle() else { return };
    let first = serve(None);
    // By whatever name it is asked for again, its lock is kept.
    first.appctl("ovsdb-server/add-db", &["./db"]).unwrap_err();
    let told = |suite: Option<&testkit::Suite>| {
        let mut second = command(suite, first.folder.path());
        let out = second.args(["--unixctl=ctl2", "-vconsole:warn", "--run=true", "db"]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        let lines = text.lines().map(|line| line.rsplit('|').next().unwrap_or_default().to_owned());
        (out.status.code(), lines.collect::<Vec<_>>())
    };
    let ours = told(None);
    let holder = format!("already locked by pid {}", first.child.id());
    assert!(ours.1.iter().any(|line| line.contains(&holder)), "{ours:?}");
    assert_eq!(ours, told(Some(&oracle)));
}

/// Events that both count, as often as they happened.
#[test]
fn counters_are_those_of_open_vswitch_where_they_mean_anything_here() {
    let Some(oracle) = testkit::oracle() else { return };
    let counted = |suite: Option<&testkit::Suite>| {
        let server = serve(suite);
        let counter = |name: &str| server.appctl("coverage/read-counter", &[name]).unwrap();
        let listening = counter("pstream_open");
        server.appctl("ovsdb-server/add-remote", &["unix:nowhere"]).unwrap();
        server.appctl("ovsdb-server/add-db", &["other"]).unwrap();
        wait_for("an attempt", || (counter("stream_open") != "0").then_some(()));
        (listening, counter("lockfile_lock"))
    };
    assert_eq!(counted(None), counted(Some(&oracle)));
}

/// With `--disable-file-column-diff` there is a command that takes it back; then a change of a set is recorded as a difference.
#[test]
fn differences_can_be_switched_on() {
    for suite in [None, testkit::oracle()] {
        let folder = Scratch::new();
        create(&folder.join("db"), SCHEMA);
        let server = start(suite.as_ref(), folder, &["--disable-file-column-diff", "db"]);
        let mut client = server.connect();
        let insert = r#"{"op":"insert","table":"T","uuid-name":"t","row":{"n":1,"refs":["named-uuid","t"]}}"#;
        let change = |n| format!(r#"{{"op":"update","table":"T","where":[],"row":{{"n":{n}}}}}"#);
        client.transact("D", insert).unwrap();
        client.transact("D", &change(2)).unwrap();
        let marks = || std::fs::read_to_string(server.folder.join("db")).unwrap().matches("_is_diff").count();
        assert_eq!(marks(), 0);
        assert!(server.appctl("ovsdb/file/column-diff-enable", &["x"]).is_err());
        assert_eq!(server.appctl("ovsdb/file/column-diff-enable", &[]), Ok(String::new()));
        client.transact("D", &change(3)).unwrap();
        assert_eq!(marks(), 1);
    }
}

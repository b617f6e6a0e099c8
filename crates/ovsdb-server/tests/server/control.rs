//! Run-time commands: replies and errors are those of Open vSwitch's server.

use testkit::Scratch;

use crate::support::{Server, create, start, wait_for};

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
    "ovsdb-server/list-remotes",
    "ovsdb-server/remove-remote x",
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

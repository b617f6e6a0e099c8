//! Backups, relays, and the configuration file.

use testkit::Scratch;

use crate::support::{Server, command, create, start, wait_for};

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{
 "T":{"columns":{"n":{"type":"integer"}},"isRoot":true},"U":{"columns":{"n":{"type":"integer"}},"isRoot":true}}}"#;
const ALL: &str = r#"{"op":"select","table":"T","where":[],"columns":["n"]},{"op":"select","table":"U","where":[],"columns":["n"]}"#;

fn with_database() -> Scratch {
    let folder = Scratch::new();
    create(&folder.join("db"), SCHEMA);
    folder
}

fn insert(table: &str, n: u64) -> String {
    format!(r#"{{"op":"insert","table":"{table}","row":{{"n":{n}}}}}"#)
}

fn sees(server: &Server, text: &str) {
    wait_for(text, || {
        let rows = server.connect().transact("D", ALL)?.to_string();
        rows.contains(text).then_some(())
    });
}

/// A backup of ours follows an active server, ours or C's, takes over, and steps back; what it has is in its file.
#[test]
fn backup_follows_and_takes_over() {
    let oracle = testkit::oracle();
    for active in [None, oracle.as_ref()] {
        let active = start(active, with_database(), &["db"]);
        let mut writer = active.connect();
        writer.transact("D", &[insert("T", 1), insert("U", 2)].join(",")).unwrap();
        let folder = with_database();
        let from = format!("--sync-from=unix:{}", active.socket().display());
        let backup = start(None, folder, &[&from, "--sync-exclude-tables=D:U", "db"]);
        sees(&backup, r#"[{"rows":[{"n":1}]},{"rows":[]}]"#);
        writer.transact("D", &insert("T", 3)).unwrap();
        sees(&backup, r#"{"n":3}"#);
        let target = format!("unix:{}", active.socket().display());
        let status = format!("database: D\nstate: backup\nreplicating: {target}\nexclude: U");
        assert_eq!(backup.appctl("ovsdb-server/sync-status", &[]).unwrap(), status);
        assert_eq!(backup.appctl("ovsdb-server/get-active-ovsdb-server", &[]).unwrap(), target);
        let refused = backup.connect().transact("D", &insert("T", 9)).unwrap().to_string();
        assert!(
            refused.contains("insert operation not allowed when database server is in read only mode"),
            "{refused}"
        );
        let refused = backup.connect().call("lock", "[\"a\"]").to_string();
        assert!(
            refused.contains("lock and unlock methods not allowed, DB server is read only."),
            "{refused}"
        );
        let mut client = backup.connect();
        backup.appctl("ovsdb-server/disconnect-active-ovsdb-server", &[]).unwrap();
        assert!(client.try_call("echo", "[]").is_none(), "clients are cut at a change of roles");
        assert_eq!(backup.appctl("ovsdb-server/sync-status", &[]).unwrap(), "database: D\nstate: active");
        assert!(backup.connect().transact("D", &insert("T", 4)).unwrap().to_string().contains("uuid"));
        backup.appctl("ovsdb-server/connect-active-ovsdb-server", &[]).unwrap();
        wait_for("the active server's rows alone", || {
            let rows = backup.connect().transact("D", ALL)?.to_string();
            (!rows.contains("\"n\":4") && rows.contains("\"n\":3")).then_some(())
        });
        backup.appctl("exit", &[]).unwrap();
        let mut backup = backup;
        backup.child.wait().unwrap();
        let folder = std::mem::replace(&mut backup.folder, Scratch::new());
        let again = start(None, folder, &["db"]);
        sees(&again, r#"{"n":3}"#);
    }
}

/// C's backup follows our active server.
#[test]
fn c_backup_follows_ours() {
    let Some(oracle) = testkit::oracle() else { return };
    let active = start(None, with_database(), &["db"]);
    active.connect().transact("D", &insert("T", 1)).unwrap();
    let from = format!("--sync-from=unix:{}", active.socket().display());
    let backup = start(Some(&oracle), with_database(), &[&from, "db"]);
    sees(&backup, r#"{"n":1}"#);
    active.connect().transact("D", &insert("T", 2)).unwrap();
    sees(&backup, r#"{"n":2}"#);
}

/// A relay that has not reached its source says so, whatever is asked of its database.
#[test]
fn a_relay_without_its_source_has_no_database_yet() {
    let argument = ["relay:D:unix:nobody.sock"];
    let Some(oracle) = testkit::oracle() else { testkit::skip!("no C programs to compare with") };
    let servers = [None, Some(&oracle)].map(|suite| start(suite, Scratch::new(), &argument));
    let [mut ours, mut theirs] = servers.each_ref().map(Server::connect);
    for (method, params) in [
        ("get_schema", r#"["D"]"#),
        ("transact", r#"["D"]"#),
        ("monitor", r#"["D",null,{}]"#),
        ("monitor_cond_since", r#"["D",null,{}]"#),
        ("convert", r#"["D",{"name":"D","tables":{}}]"#),
        ("get_schema", r#"["E"]"#),
        ("list_dbs", "[]"),
    ] {
        assert_eq!(
            ours.call(method, params).to_string(),
            theirs.call(method, params).to_string(),
            "{method}"
        );
    }
}

/// Ephemeral columns have no place in the file, but keep their values through a conversion.
#[test]
fn a_conversion_keeps_what_is_not_on_disk() {
    let folder = Scratch::new();
    let schema = r#"{"name":"D","version":"1.0.0","tables":{"T":{"columns":{"n":{"type":"integer"},
        "e":{"type":"integer","ephemeral":true}},"isRoot":true}}}"#;
    create(&folder.join("db"), schema);
    let mut server = start(None, folder, &["db"]);
    let mut client = server.connect();
    client.call("set_db_change_aware", "[true]");
    client.transact("D", r#"{"op":"insert","table":"T","row":{"n":1,"e":2}}"#).unwrap();
    client.call("convert", &format!("[\"D\",{}]", schema.replace("1.0.0", "1.0.1")));
    let rows = |client: &mut crate::support::Client| {
        let select = r#"{"op":"select","table":"T","where":[],"columns":["n","e"]}"#;
        client.transact("D", select).unwrap().to_string()
    };
    assert_eq!(rows(&mut client), r#"[{"rows":[{"e":2,"n":1}]}]"#);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let folder = std::mem::replace(&mut server.folder, Scratch::new());
    std::fs::remove_file(folder.join("s")).unwrap();
    let server = start(None, folder, &["db"]);
    assert_eq!(rows(&mut server.connect()), r#"[{"rows":[{"e":0,"n":1}]}]"#);
}

/// Relays, ours and C's, of servers, ours and C's.
#[test]
fn relay_reads_and_writes() {
    let oracle = testkit::oracle();
    let mut pairs = vec![(None, None)];
    if let Some(oracle) = &oracle {
        pairs.extend([(None, Some(oracle)), (Some(oracle), None)]);
    }
    for (source, relay) in pairs {
        let mut source = start(source, with_database(), &["db"]);
        let argument = format!("relay:D:unix:{}", source.socket().display());
        let is_ours = relay.is_none();
        let relay = start(relay, Scratch::new(), &[&argument]);
        wait_for("the schema", || {
            // Clients that do not follow changes of databases are cut when the schema comes.
            let schema = relay.connect().try_call("get_schema", "[\"D\"]")?;
            schema.to_string().contains("\"T\"").then_some(())
        });
        let mut client = relay.connect();
        client.call("set_db_change_aware", "[true]");
        wait_for("the data", || {
            let reply = client.call("monitor_cond", r#"["D","m",{"T":[{}]}]"#);
            reply.get("error").is_none_or(|error| error.is_null()).then_some(())
        });
        let reply = client.transact("D", &insert("T", 7)).unwrap().to_string();
        assert!(reply.contains("uuid"), "{reply}");
        // The update came before the reply.
        let heard: Vec<String> = client.heard.iter().map(ToString::to_string).collect();
        assert!(heard.iter().any(|text| text.contains("\"n\":7")), "{heard:?}");
        sees(&source, r#"{"n":7}"#);
        let state = r#"{"op":"select","table":"Database","where":[["name","==","D"]],"columns":["connected","model","leader"]}"#;
        let connected = |yes: bool| {
            wait_for("the relay's state", || {
                let row = relay.connect().transact("_Server", state)?.to_string();
                let text = format!("\"connected\":{yes}");
                (row.contains(&text)
                    && row.contains("\"leader\":false")
                    && row.contains("\"model\":\"relay\""))
                .then_some(())
            });
        };
        connected(true);
        // A conversion is the source's business too.
        let wider =
            SCHEMA.replace("\"tables\":{", "\"tables\":{\"V\":{\"columns\":{\"n\":{\"type\":\"integer\"}}},");
        let reply = relay.connect().call("convert", &format!("[\"D\",{wider}]"));
        assert!(reply.get("error").is_none_or(|error| error.is_null()), "{reply}");
        wait_for("the new schema", || {
            let schema = relay.connect().try_call("get_schema", "[\"D\"]")?;
            schema.to_string().contains("\"V\"").then_some(())
        });
        connected(true);
        source.child.kill().unwrap();
        // C gives its source half a minute before it says so.
        if is_ours {
            connected(false);
        }
    }
}

#[test]
fn configuration_file_is_loaded_again() {
    let folder = with_database();
    create(&folder.join("second"), &SCHEMA.replace("\"D\"", "\"E\""));
    let write = |text: &str| std::fs::write(folder.join("conf"), text).unwrap();
    write(r#"{"remotes":{"punix:s":{}},"databases":{"db":{}}}"#);
    let mut program = command(None, folder.path());
    let child = program.arg("--config-file=conf").spawn().unwrap();
    let path = folder.path().to_owned();
    let server = Server { child, folder };
    let write = |text: &str| std::fs::write(path.join("conf"), text).unwrap();
    assert_eq!(
        server.connect().call("list_dbs", "[]").get("result").unwrap().to_string(),
        r#"["D","_Server"]"#
    );
    write(r#"{"remotes":{"punix:s":{},"punix:r":{"read-only":true}},"databases":{"db":null,"second":null}}"#);
    server.appctl("ovsdb-server/reload", &[]).unwrap();
    assert_eq!(server.appctl("ovsdb-server/list-dbs", &[]).unwrap(), "D\nE\n_Server");
    let mut reader = crate::support::connect(&path.join("r"));
    let refused = reader.transact("D", &insert("T", 1)).unwrap().to_string();
    assert!(refused.contains("read only mode"), "{refused}");
    // A mistake changes nothing.
    write(r#"{"remotes":{},"databases":{"db":{"service-model":"what"}}}"#);
    let error = server.appctl("ovsdb-server/reload", &[]).unwrap_err();
    assert!(error.contains("'what' is not a service model"), "{error}");
    assert_eq!(server.appctl("ovsdb-server/list-remotes", &[]).unwrap(), "punix:r\npunix:s");
    write(r#"{"remotes":{"punix:s":{}},"databases":{"second":null}}"#);
    server.appctl("ovsdb-server/reload", &[]).unwrap();
    assert_eq!(server.appctl("ovsdb-server/list-dbs", &[]).unwrap(), "E\n_Server");
    let out = command(None, &path).args(["--config-file=conf", "db"]).output().unwrap();
    assert!(!out.status.success());
    assert!(start(None, with_database(), &["db"]).appctl("ovsdb-server/reload", &[]).is_err());
}

/// A client that comes back hears only what it has missed.
#[test]
fn history_by_transaction() {
    let server = start(None, with_database(), &["db"]);
    let mut client = server.connect();
    client.transact("D", &insert("T", 1)).unwrap();
    let since = |client: &mut crate::support::Client, name: &str, last: &str| {
        let reply = client.call("monitor_cond_since", &format!(r#"["D","{name}",{{"T":[{{}}]}},"{last}"]"#));
        reply.get("result").unwrap().clone()
    };
    let zero = "00000000-0000-0000-0000-000000000000";
    let first = since(&mut client, "a", zero);
    let first = first.as_array().unwrap();
    assert!(first[0].as_bool() == Some(false) && first[2].to_string().contains("initial"));
    let last = first[1].as_str().unwrap().to_owned();
    assert_ne!(last, zero);
    client.transact("D", &insert("T", 2)).unwrap();
    let heard = client.sync();
    let newest = heard[0].get("params").unwrap().as_array().unwrap()[1].as_str().unwrap().to_owned();
    let mut other = server.connect();
    let missed = since(&mut other, "b", &last);
    let missed = missed.as_array().unwrap();
    assert_eq!((missed[0].as_bool(), missed[1].as_str()), (Some(true), Some(newest.as_str())));
    let rows = missed[2].to_string();
    assert!(rows.contains("\"insert\"") && rows.contains("\"n\":2") && !rows.contains("\"n\":1"), "{rows}");
    let nothing = since(&mut other, "c", &newest);
    assert_eq!(nothing.as_array().unwrap()[2].to_string(), "{}");
}

//! Remotes that the database names: what the server writes into their rows is what Open vSwitch's server writes.

use std::net::TcpListener;
use std::time::Duration;

use ovsdb::json::Json;
use testkit::{Scratch, Suite};

use crate::support::{Client, Server, connect, create, start, wait_for};

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{
 "Root":{"isRoot":true,"columns":{
   "remotes":{"type":{"key":{"type":"uuid","refTable":"Remote"},"min":0,"max":"unlimited"}}}},
 "Remote":{"columns":{"target":{"type":"string"},
   "is_connected":{"type":"boolean","ephemeral":true},
   "status":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"},"ephemeral":true}}}}}"#;

/// A server with these remotes.
fn serve(suite: Option<&Suite>, targets: &[&str]) -> Server {
    let folder = Scratch::new();
    create(&folder.join("db"), SCHEMA);
    let server = start(suite, folder, &["--remote=db:D,Root,remotes", "db"]);
    let names = (0..targets.len()).map(|n| format!(r#"["named-uuid","r{n}"]"#)).collect::<Vec<_>>();
    let rows = targets.iter().enumerate().map(|(n, target)| {
        format!(r#"{{"op":"insert","table":"Remote","uuid-name":"r{n}","row":{{"target":"{target}"}}}},"#)
    });
    let root =
        format!(r#"{{"op":"insert","table":"Root","row":{{"remotes":["set",[{}]]}}}}"#, names.join(","));
    server.connect().transact("D", &(rows.collect::<String>() + &root)).unwrap();
    server
}

/// What is said of a remote, in order; numbers that are chance are called `N`, and lists are put in order.
fn said(client: &mut Client, target: &str) -> Vec<String> {
    let select = format!(r#"{{"op":"select","table":"Remote","where":[["target","==","{target}"]]}}"#);
    let reply = client.transact("D", &select).unwrap();
    let row = &reply.as_array().unwrap()[0].get("rows").unwrap().as_array().unwrap()[0];
    let status = row.get("status").and_then(Json::as_array).unwrap()[1].as_array().unwrap();
    let pairs = status.iter().map(|pair| {
        let [name, value] = [0, 1].map(|at| pair.as_array().unwrap()[at].as_str().unwrap());
        let mut words: Vec<&str> = value.split(' ').collect();
        words.sort();
        match name {
            "bound_port" => format!("{name}={}", if value.parse() == Ok(0) { "0" } else { "N" }),
            // Zero where nobody counts.
            "sec_since_connect" | "sec_since_disconnect" if target.starts_with("tcp:") => format!("{name}=N"),
            _ => format!("{name}={}", words.join(" ")),
        }
    });
    let mut all: Vec<String> = pairs.collect();
    all.push(format!("is_connected={}", row.get("is_connected").unwrap()));
    all.sort();
    all
}

/// The stages that a server says its remotes to be in: nobody there; clients and peers with locks; all gone again.
fn stages(suite: Option<&Suite>) -> Vec<Vec<String>> {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = format!("tcp:{}", peer.local_addr().unwrap());
    let targets = ["ptcp:0:127.0.0.1", "punix:p", "unix:nowhere", "nonsense:x", &dialled];
    let server = serve(suite, &targets);
    let mut client = server.connect();
    let mut await_in = |target: &str, part: &str| {
        wait_for(&format!("{part} of {target}"), || {
            let said = said(&mut client, target);
            said.iter().any(|pair| pair.starts_with(part)).then_some(said)
        })
    };
    let mut stages = Vec::new();
    stages.extend(targets[..4].iter().map(|target| {
        await_in(target, if target.starts_with('p') { "sec_since_connect" } else { "state=BACKOFF" })
    }));

    let (stream, _) = peer.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (mut far, mut rival) = (Client::new(Box::new(stream)), server.connect());
    rival.call("lock", r#"["wanted"]"#);
    for (how, name) in [
        ("lock", "b"),
        ("lock", "a"),
        ("lock", "wanted"),
        ("lock", "taken"),
        ("steal", "lost"),
        ("steal", "c"),
    ] {
        far.call(how, &format!(r#"["{name}"]"#));
    }
    for name in ["taken", "lost"] {
        rival.call("steal", &format!(r#"["{name}"]"#));
    }
    stages.push(await_in(&dialled, "locks_lost"));
    let near = || connect(&server.folder.join("p"));
    let (_one, two) = (near(), near());
    stages.push(await_in("punix:p", "n_connections"));
    drop(two);
    stages.push(wait_for("one client less", || {
        let said = said(&mut server.connect(), "punix:p");
        (!said.iter().any(|pair| pair.starts_with("n_conn"))).then_some(said)
    }));
    drop((far, peer));
    stages.push(await_in(&dialled, "state=BACKOFF"));
    stages
}

#[test]
fn their_rows_say_what_they_say_in_open_vswitch() {
    let Some(oracle) = testkit::oracle() else { return };
    let (ours, theirs) = std::thread::scope(|s| {
        let ours = s.spawn(|| stages(None));
        let theirs = stages(Some(&oracle));
        (ours.join(), theirs)
    });
    assert_eq!(ours.unwrap(), theirs);
}

//! No acknowledged commit is lost to SIGKILL.

use std::process::Command;
use std::time::Duration;

use ovsdb_engine::record::Unknown;
use testkit::Scratch;

use crate::support::{create, is_long, start};

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{
 "R":{"columns":{"n":{"type":"integer"},"text":{"type":"string"}},"isRoot":true,"indexes":[["n"]]}}}"#;

/// The server dies somewhere amid ten thousand commits, again and again; what it leaves behind is what the next one starts with.
#[test]
fn sigkill_loses_no_acknowledged_commit() {
    let mut folder = Scratch::new();
    create(&folder.join("db"), SCHEMA);
    let rounds = if is_long() { 100 } else { 4 };
    let mut acknowledged = 0i64;
    for round in 0..rounds {
        let mut server = start(None, folder, &["db"]);
        let mut client = server.connect();
        let pid = server.child.id();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20 + round * 13 % 400));
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        });
        // Several at once, so that the kill falls between commits and replies.
        let mut sent = acknowledged;
        'round: for _ in 0..2500 {
            for _ in 0..4 {
                let insert =
                    format!(r#"{{"op":"insert","table":"R","row":{{"n":{sent},"text":"{sent:>40}"}}}}"#);
                let text = format!(r#"{{"id":{sent},"method":"transact","params":["D",{insert}]}}"#);
                if client.send(&text).is_none() {
                    break 'round;
                }
                sent += 1;
            }
            for _ in 0..4 {
                let Some(reply) = client.receive() else { break 'round };
                let fine = reply
                    .get("result")
                    .and_then(|r| r.as_array())
                    .is_some_and(|r| r[0].get("uuid").is_some());
                assert!(fine, "round {round}: {reply}");
                acknowledged += 1;
            }
        }
        killer.join().unwrap();
        let _ = server.child.kill();
        server.child.wait().unwrap();
        folder = std::mem::replace(&mut server.folder, Scratch::new());
        let data = std::fs::read(folder.join("db")).unwrap();
        let (loaded, _) = ovsdb_engine::storage::load(&data, "db", None, Unknown::Refuse).unwrap();
        let found = loaded.db.table("R").unwrap().rows.len() as i64;
        assert!(
            (acknowledged..=sent).contains(&found),
            "round {round}: {acknowledged} acknowledged, {sent} sent, {found} found"
        );
        // What was not acknowledged may be there all the same: in order, so the numbers tell.
        acknowledged = found;
        if acknowledged > 10_000 {
            (acknowledged, folder) = (0, Scratch::new());
            create(&folder.join("db"), SCHEMA);
        }
    }
}

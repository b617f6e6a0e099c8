//! SIGKILL, at an acknowledgement chosen beforehand, amid thousands of commits: what is there afterwards is every acknowledged commit
//! with its values, then perhaps some of those that were under way, in their order, and nothing else.
//!
//! Where it sits: drives the built program. A model of the rows says what each number of commits comes to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::Command;

use ovsdb::json::Json;
use testkit::Scratch;

use crate::support::{Client, Dice, Server, connect, create, is_long, seed, start, wait_for};

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{
 "R":{"columns":{"n":{"type":"integer"},"text":{"type":"string"},
   "tags":{"type":{"key":"integer","min":0,"max":"unlimited"}}},"isRoot":true,"indexes":[["n"]]}}}"#;

/// Text and tags of each row, by its number.
type Rows = BTreeMap<u64, (String, BTreeSet<u64>)>;

/// What one commit does.
enum Change {
    Insert { n: u64, text: String },
    Text { n: u64, text: String },
    Tag { n: u64, tag: u64 },
    Untag { n: u64, tag: u64 },
    Delete { n: u64 },
}

impl Change {
    fn apply(&self, rows: &mut Rows) {
        match self {
            Change::Insert { n, text } => drop(rows.insert(*n, (text.clone(), BTreeSet::new()))),
            Change::Text { n, text } => rows.get_mut(n).unwrap().0.clone_from(text),
            Change::Tag { n, tag } => drop(rows.get_mut(n).unwrap().1.insert(*tag)),
            Change::Untag { n, tag } => drop(rows.get_mut(n).unwrap().1.remove(tag)),
            Change::Delete { n } => drop(rows.remove(n)),
        }
    }

    fn operation(&self) -> String {
        let to = |op: &str, n: &u64, what: &str| {
            format!(r#"{{"op":"{op}","table":"R","where":[["n","==",{n}]]{what}}}"#)
        };
        match self {
            Change::Insert { n, text } => {
                format!(r#"{{"op":"insert","table":"R","row":{{"n":{n},"text":"{text}"}}}}"#)
            }
            Change::Text { n, text } => to("update", n, &format!(r#","row":{{"text":"{text}"}}"#)),
            Change::Tag { n, tag } => to("mutate", n, &format!(r#","mutations":[["tags","insert",{tag}]]"#)),
            Change::Untag { n, tag } => {
                to("mutate", n, &format!(r#","mutations":[["tags","delete",{tag}]]"#))
            }
            Change::Delete { n } => to("delete", n, ""),
        }
    }
}

/// What was sent and what was acknowledged.
#[derive(Default)]
struct Commits {
    acknowledged: Rows,
    /// Sent and not acknowledged, in order.
    under_way: VecDeque<Change>,
    /// The rows when all that was sent is done.
    ahead: Rows,
    /// The next row's number.
    next: u64,
    /// How many were made in this file.
    made: u64,
}

impl Commits {
    /// Some change of the rows as they will be.
    fn compose(&mut self, dice: &mut Dice) -> String {
        let kind = dice.pick(10);
        let text = format!("{:>1$}", self.made, 1 + dice.pick(80) as usize);
        let skipped = dice.pick(self.ahead.len() as u64) as usize;
        let change = match self.ahead.keys().filter(|n| **n > 0).nth(skipped).copied() {
            // One row is longer than a pipe, for compactions that are held up.
            _ if self.made == 0 => Change::Insert { n: 0, text: "x".repeat(1 << 17) },
            Some(n) if kind < 3 => Change::Text { n, text },
            Some(n) if kind < 5 => Change::Tag { n, tag: dice.pick(20) },
            Some(n) if kind < 6 => Change::Untag { n, tag: dice.pick(20) },
            Some(n) if kind < 8 || self.ahead.len() > 300 => Change::Delete { n },
            _ => {
                self.next += 1;
                Change::Insert { n: self.next, text }
            }
        };
        self.made += 1;
        change.apply(&mut self.ahead);
        let operation = change.operation();
        self.under_way.push_back(change);
        operation
    }

    fn acknowledge(&mut self) {
        self.under_way.pop_front().expect("replies are fewer than requests").apply(&mut self.acknowledged);
    }

    /// Goes on from what a server has after its death; `Err` is what should have been there at least, if it has something else.
    fn resume(&mut self, found: &Rows) -> Result<(), Rows> {
        let least = self.acknowledged.clone();
        while self.acknowledged != *found {
            self.under_way.pop_front().ok_or_else(|| least.clone())?.apply(&mut self.acknowledged);
        }
        self.under_way.clear();
        self.ahead.clone_from(found);
        Ok(())
    }
}

/// What happens to one server.
struct Round {
    /// The acknowledgement at which it is killed.
    kill_at: u64,
    /// How many commits are under way at a time: some are between log and reply when the kill comes.
    window: usize,
    compaction: Compaction,
    /// The acknowledgement at which compaction is asked for.
    compact_at: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Compaction {
    None,
    /// It goes on as fast as it can while the kill comes.
    Racing,
    /// Its temporary file is a pipe that nobody reads: it is under way when the kill comes.
    HeldUp,
}

impl Round {
    fn draw(dice: &mut Dice, number: u64, commits: u64) -> Round {
        let kinds = [Compaction::None, Compaction::Racing, Compaction::HeldUp];
        let kill_at = 1 + dice.pick(commits);
        let compaction = kinds[(number % 3) as usize];
        let before = if compaction == Compaction::Racing { dice.pick(20) } else { dice.pick(kill_at) };
        Round {
            kill_at,
            window: 1 + dice.pick(32) as usize,
            compaction,
            compact_at: kill_at.saturating_sub(before),
        }
    }

    /// Commits until the kill, and takes the replies that were on their way.
    fn run(&self, server: &mut Server, dice: &mut Dice, commits: &mut Commits) {
        let mut client = server.connect();
        let (mut replies, mut killed, mut asked) = (0, false, None);
        loop {
            while !killed && commits.under_way.len() < self.window {
                let operation = commits.compose(dice);
                client
                    .send(&format!(r#"{{"id":0,"method":"transact","params":["D",{operation}]}}"#))
                    .unwrap();
            }
            if replies == self.compact_at && asked.is_none() && !killed {
                asked = self.compact(server);
            }
            if replies == self.kill_at && !killed {
                server.child.kill().unwrap();
                killed = true;
            }
            let Some(reply) = client.receive() else { break };
            assert!(is_done(&reply), "{reply}");
            commits.acknowledge();
            replies += 1;
        }
        assert!(killed, "the server ended by itself:\n{}", server.log());
        server.child.wait().unwrap();
    }

    /// Asks for compaction and waits for nothing but, where it is held up, its beginning.
    fn compact(&self, server: &Server) -> Option<Client> {
        if self.compaction == Compaction::None {
            return None;
        }
        if self.compaction == Compaction::HeldUp {
            let pipe = server.folder.join("db.tmp");
            // A compaction that died with its server has left its file.
            let _ = std::fs::remove_file(&pipe);
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        let mut control = connect(&server.folder.join("ctl"));
        control.send(r#"{"id":0,"method":"ovsdb-server/compact","params":["D"]}"#).unwrap();
        if self.compaction == Compaction::HeldUp {
            let begun = || server.log().contains("compacting D database").then_some(());
            wait_for("the compaction", begun);
        }
        Some(control)
    }
}

fn is_done(reply: &Json) -> bool {
    let done = |result: &Json| result.get("uuid").is_some() || result.get("count") == Some(&Json::Integer(1));
    reply
        .get("result")
        .and_then(Json::as_array)
        .is_some_and(|results| results.len() == 1 && done(&results[0]))
}

/// The rows that a server has.
fn rows(server: &Server) -> Rows {
    let select = r#"{"op":"select","table":"R","where":[],"columns":["n","text","tags"]}"#;
    let reply = server.connect().transact("D", select).unwrap();
    let number = |json: &Json| json.as_i64().unwrap() as u64;
    let tags = |json: &Json| match json.as_array() {
        Some([_, members]) => members.as_array().unwrap().iter().map(number).collect(),
        _ => BTreeSet::from([number(json)]),
    };
    let found = reply.as_array().unwrap()[0].get("rows").unwrap().as_array().unwrap();
    let row = |row: &Json| {
        let text = row.get("text").unwrap().as_str().unwrap().to_owned();
        (number(row.get("n").unwrap()), (text, tags(row.get("tags").unwrap())))
    };
    let rows: Rows = found.iter().map(row).collect();
    assert_eq!(rows.len(), found.len(), "two rows of one number");
    rows
}

/// Each round goes on in the file that the last one left, and ends amid its commits.
#[test]
fn sigkill_loses_no_acknowledged_commit() {
    let (rounds, per_round) = if is_long() { (100, 10_000) } else { (6, 1_000) };
    let seed = seed();
    let mut dice = Dice::new(seed);
    let fresh = || {
        let folder = Scratch::new();
        create(&folder.join("db"), SCHEMA);
        folder
    };
    let (mut commits, mut server) = (Commits::default(), start(None, fresh(), &["db"]));
    for number in 0..rounds {
        let round = Round::draw(&mut dice, number, per_round);
        round.run(&mut server, &mut dice, &mut commits);
        let folder = std::mem::replace(&mut server.folder, Scratch::new());
        if round.compaction == Compaction::HeldUp {
            std::fs::remove_file(folder.join("db.tmp")).unwrap();
        }
        std::fs::remove_file(folder.join("log")).unwrap();
        server = start(None, folder, &["db"]);
        let found = rows(&server);
        if let Err(least) = commits.resume(&found) {
            panic!("seed {seed}, round {number}: {found:?}\n is no state after {least:?}\n{}", server.log());
        }
        if commits.made > 50_000 {
            (commits, server) = (Commits::default(), start(None, fresh(), &["db"]));
        }
    }
}

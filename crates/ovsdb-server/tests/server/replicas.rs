//! The replica of `ovsdb-idl`, kept by `stream`, where several servers are members of a cluster: the one that leads is followed.

use std::time::Duration;

use ovsdb::schema::FIRST_COLUMN;
use ovsdb::{Atom, Datum, Uuid};
use ovsdb_idl::{Fitness, Idl, Outcome, State, Txn, Wanted};
use stream::Clock;
use stream::jsonrpc::Options;
use stream::replicated::Replicated;
use testkit::{Scratch, Suite, oracle, skip};

use crate::support::{Server, start, wait_for};

const SCHEMA: &str =
    r#"{"name":"D","version":"1.0.0","tables":{"T":{"columns":{"n":{"type":"integer"}},"isRoot":true}}}"#;

/// What follows the database.
pub(crate) struct Follower {
    pub runtime: tokio::runtime::Runtime,
    pub db: Replicated,
}

impl Follower {
    pub fn of(remotes: Vec<String>, idl: Idl) -> Follower {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let db = {
            let _in_runtime = runtime.enter();
            let mut options = Options::quiet();
            (options.reconnect.min_backoff, options.reconnect.max_backoff) = (20, 200);
            Replicated::dial(remotes, idl, options, &Clock::new())
        };
        Follower { runtime, db }
    }

    pub fn until(&mut self, what: &str, done: impl Fn(&Replicated) -> bool) {
        let reached = self.runtime.block_on(async {
            let all = async {
                while !done(&self.db) {
                    assert!(self.db.next().await, "the session is over");
                }
            };
            tokio::time::timeout(Duration::from_secs(30), all).await.is_ok()
        });
        assert!(reached, "waited in vain for {what}: {:?}", self.db.idl().state());
    }

    /// Adds a row with this number.
    fn insert(&mut self, n: i64) -> Outcome {
        let mut txn = Txn::new(self.db.idl().replica());
        let new = Uuid::from_random(n as u128);
        txn.insert("T", new);
        txn.set("T", new, "n", Datum::scalar(Atom::Integer(n)));
        self.runtime.block_on(self.db.commit(txn))
    }

    /// Waits until the replica has these numbers, and no other row.
    fn has(&mut self, numbers: &[i64]) {
        self.until("the rows", |db| {
            let table = db.idl().replica().table("T").expect("it is monitored");
            let mut found: Vec<_> =
                table.rows().filter_map(|row| row.column(FIRST_COLUMN).single()?.as_integer()).collect();
            found.sort_unstable();
            found == numbers
        });
    }
}

/// Three members of a cluster, C's; we serve none.
fn cluster(theirs: &Suite, folder: &Scratch, schema: &str) -> Vec<Server> {
    std::fs::write(folder.join("schema"), schema).unwrap();
    let raft = |n: usize| format!("unix:{}", folder.join(format!("raft{n}")).display());
    let members = (0..3).map(|n| {
        let own = Scratch::new();
        let mut tool = theirs.command("ovsdb-tool");
        match n {
            0 => tool.args(["create-cluster", "db"]).arg(folder.join("schema")).arg(raft(0)),
            _ => tool.args(["join-cluster", "db", "D"]).args([raft(n), raft(0)]),
        };
        let made = tool.current_dir(own.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        start(Some(theirs), own, &["db"])
    });
    let servers: Vec<Server> = members.collect();
    for server in &servers {
        wait_for("a member", || status(server).contains("Status: cluster member").then_some(()));
    }
    servers
}

fn status(server: &Server) -> String {
    server.appctl("cluster/status", &["D"]).unwrap_or_default()
}

/// With several remotes, the one that leads is followed; when it dies, the one that leads then.
#[test]
fn the_leader_of_a_cluster_is_followed() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let folder = Scratch::new();
    let mut servers = cluster(&theirs, &folder, SCHEMA);
    let leads = |servers: &[Server]| {
        wait_for("a leader", || servers.iter().position(|server| status(server).contains("Role: leader")))
    };
    let remote = |server: &Server| format!("unix:{}", server.socket().display());
    let first = leads(&servers);
    // The leader comes last.
    servers.swap(first, 2);
    let remotes: Vec<String> = servers.iter().map(remote).collect();
    let idl = Idl::new("D", Wanted::Everything).with_fitness(Fitness::Leader);
    let mut follower = Follower::of(remotes, idl);
    follower.until("the replica", |db| *db.idl().state() == State::Synced);
    assert_eq!(follower.db.session().name(), remote(&servers[2]));
    assert!(matches!(follower.insert(1), Outcome::Committed { .. }));
    follower.has(&[1]);
    let mut dead = servers.pop().unwrap();
    dead.child.kill().unwrap();
    dead.child.wait().unwrap();
    let second = leads(&servers);
    let wanted = remote(&servers[second]);
    let follows = |db: &Replicated| *db.idl().state() == State::Synced && db.session().name() == wanted;
    follower.until("the new leader", follows);
    assert!(matches!(follower.insert(2), Outcome::Committed { .. }));
    follower.has(&[1, 2]);
}

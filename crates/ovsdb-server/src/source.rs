//! Following another server: relays and backups keep a copy of its database.
//!
//! Where it sits: `Control` starts one task per database that has a source; the task talks to the source and hands what it hears to
//! `Server`.
//!
//! ~~~text
//! connected ─► get_server_id ─► get_schema ─► monitor_cond_since (monitor_cond, where that is unknown) ─► updates
//!                 │ our own: refused    │ relay: becomes ours; backup: must be ours
//! requests that change rows, on a relay ─► transact ─► the answer goes back to the client, after the update
//! ~~~
//! I1  A copy is never older than an answer that was given for it: updates and answers come over the same connection, in order.
//!
//! Spec: ovsdb(7) "Relay Service Model", "Active-Backup Database Service Model".

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use ovsdb::json::{Json, Object};
use ovsdb::{DbSchema, Error, Uuid};
use ovsdb_engine::lock::SessionId;
use ovsdb_engine::mirror::Extent;
use stream::jsonrpc::{Event, Message, Options, Session};
use tokio::sync::Notify;

use crate::connection::Shared;

/// Probes of a source, unless somebody says otherwise.
pub const PROBE_MS: u64 = 60_000;

/// What a database follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The server.
    pub target: String,
    /// Silence before a probe, in milliseconds.
    pub probe_interval: u64,
    /// Longest wait between attempts, in milliseconds.
    pub max_backoff: Option<u64>,
    /// Tables that are not followed.
    pub excluded: BTreeSet<String>,
}

impl Source {
    /// A server with the usual options.
    pub fn new(target: &str) -> Source {
        Source {
            target: target.to_owned(),
            probe_interval: PROBE_MS,
            max_backoff: None,
            excluded: BTreeSet::new(),
        }
    }
}

/// How far a copy has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// The server was not reached.
    #[default]
    Connecting,
    /// The copy follows.
    Following,
    /// It never will.
    Failed,
}

/// A client's request on its way through a relay.
pub struct Forwarded {
    /// Whose.
    pub session: SessionId,
    /// The client's name for it.
    pub id: Json,
    /// What is asked.
    pub method: &'static str,
    /// Its parameters behind the database's name.
    pub params: Vec<Json>,
}

/// Requests that wait for a relay's task.
#[derive(Clone, Default)]
pub struct Outbox(Rc<(RefCell<VecDeque<Forwarded>>, Notify)>);

impl Outbox {
    /// Adds a request.
    pub fn put(&self, request: Forwarded) {
        self.0.0.borrow_mut().push_back(request);
        self.0.1.notify_one();
    }
}

/// One connection's state.
struct Follower {
    server: Shared,
    database: String,
    source: Source,
    outbox: Option<Outbox>,
    sent: BTreeMap<i64, Forwarded>,
    next_id: i64,
    following: bool,
    /// The schema that the monitor was asked under.
    tables: Vec<String>,
    last: Uuid,
}

/// Keeps `database` a copy of its source, for as long as the task lives. A relay has an outbox.
pub async fn follow(server: Shared, database: String, source: Source, outbox: Option<Outbox>) {
    let clock = server.borrow().clock.clone();
    let mut options = Options::default();
    options.reconnect.probe_interval = source.probe_interval;
    if let Some(ms) = source.max_backoff {
        options.reconnect.max_backoff = ms.max(1000);
    }
    let mut session = Session::dial(vec![source.target.clone()], options, &clock);
    let waker = outbox.clone();
    let mut follower = Follower {
        server,
        database,
        source,
        outbox,
        sent: BTreeMap::new(),
        next_id: 0,
        following: false,
        tables: Vec::new(),
        last: Uuid::ZERO,
    };
    loop {
        let woken = async {
            match &waker {
                Some(outbox) => outbox.0.1.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = session.next() => match event {
                None => break,
                Some(Event::Connected) => {
                    session.send(&Message::request("server", "get_server_id", Vec::new()));
                }
                Some(Event::Disconnected) => follower.lost(),
                Some(Event::Message(message)) => follower.take_in(&mut session, message),
            },
            () = woken => {}
        }
        follower.forward(&mut session);
        if follower.server.borrow().link(&follower.database) == Some(Link::Failed) {
            break;
        }
    }
}

impl Follower {
    fn lost(&mut self) {
        self.following = false;
        let mut server = self.server.borrow_mut();
        for request in std::mem::take(&mut self.sent).into_values() {
            // Whether it has happened, nobody knows.
            server.tell(request.session, Message::error(request.id, "disconnected"));
        }
        server.set_link(&self.database, Link::Connecting);
    }

    fn forward(&mut self, session: &mut Session) {
        if !self.following {
            return;
        }
        let Some(outbox) = self.outbox.clone() else { return };
        while let Some(request) = outbox.0.0.borrow_mut().pop_front() {
            self.next_id += 1;
            let mut params = vec![Json::string(&*self.database)];
            params.extend(request.params.iter().cloned());
            session.send(&Message::request(self.next_id, request.method, params));
            self.sent.insert(self.next_id, request);
        }
    }

    fn take_in(&mut self, session: &mut Session, message: Message) {
        let done = match message {
            Message::Reply { id, result } => self.reply(session, &id, Ok(result)),
            Message::Error { id, error } => self.reply(session, &id, Err(error)),
            Message::Notification { method, params } => self.notification(&method, &params),
            Message::Request { id, .. } => {
                session.send(&Message::error(id, "unknown method"));
                Ok(())
            }
        };
        if let Err(error) = done {
            log::warn!(target: "ovsdb_server", "{}: {}: {error}", self.database, self.source.target);
            session.link_mut().force_reconnect();
        }
    }

    fn reply(&mut self, session: &mut Session, id: &Json, result: Result<Json, Json>) -> Result<(), Error> {
        let failed = |error: Json| Error::new("ovsdb error", error.to_string());
        match id {
            Json::Integer(id) => {
                if let Some(request) = self.sent.remove(id) {
                    let answer = match result {
                        Ok(result) => Message::reply(request.id, result),
                        Err(error) => Message::error(request.id, error),
                    };
                    self.server.borrow().tell(request.session, answer);
                }
                Ok(())
            }
            Json::String(step) => match (step.as_str(), result) {
                ("server", result) => {
                    self.meet(result.ok());
                    let database = vec![Json::string(&*self.database)];
                    session.send(&Message::request("schema", "get_schema", database));
                    Ok(())
                }
                ("schema", Ok(schema)) => self.learn_schema(session, &schema),
                ("since", Ok(result)) => {
                    let Some([Json::Bool(found), last, updates]) = result.as_array() else {
                        return Err(Error::syntax(&result, "reply to monitor_cond_since expected"));
                    };
                    let extent = if *found { Extent::Changes } else { Extent::Everything };
                    self.begin(updates, extent, last)
                }
                ("since", Err(_)) => {
                    let params = vec![self.name(), self.name(), self.requests()];
                    session.send(&Message::request("cond", "monitor_cond", params));
                    Ok(())
                }
                ("cond", Ok(updates)) => self.begin(&updates, Extent::Everything, &Json::Null),
                (_, Err(error)) => Err(failed(error)),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn name(&self) -> Json {
        Json::string(&*self.database)
    }

    /// The tables to follow, as a monitor's requests: every column that can be set.
    fn requests(&self) -> Json {
        let all = || Json::Object(Object::new());
        Json::object(self.tables.iter().map(|name| (name.clone(), all())))
    }

    fn meet(&self, id: Option<Json>) {
        let mut server = self.server.borrow_mut();
        if self.outbox.is_none() && id.and_then(|id| Uuid::parse(id.as_str()?)) == Some(server.id) {
            log::error!(target: "replication", "{}: Self replicating is not allowed", self.database);
            server.set_link(&self.database, Link::Failed);
        }
    }

    fn learn_schema(&mut self, session: &mut Session, json: &Json) -> Result<(), Error> {
        let schema = DbSchema::from_json(json)?;
        {
            let mut server = self.server.borrow_mut();
            if self.outbox.is_some() {
                if server.adopt_schema(&self.database, &schema) {
                    self.last = Uuid::ZERO;
                }
            } else if !server.databases.get(&self.database).is_some_and(|s| *s.db.schema == schema) {
                let name = &self.database;
                log::warn!(target: "replication", "{name}: schema of the active server differs, {name} cannot be replicated.");
                server.set_link(name, Link::Failed);
                return Ok(());
            }
        }
        let excluded = &self.source.excluded;
        self.tables = schema.tables.keys().filter(|name| !excluded.contains(*name)).cloned().collect();
        let last = Json::string(self.last.to_string());
        let params = vec![self.name(), self.name(), self.requests(), last];
        session.send(&Message::request("since", "monitor_cond_since", params));
        Ok(())
    }

    fn begin(&mut self, updates: &Json, extent: Extent, last: &Json) -> Result<(), Error> {
        self.apply(updates, extent, last)?;
        self.following = true;
        self.server.borrow_mut().set_link(&self.database, Link::Following);
        Ok(())
    }

    fn notification(&mut self, method: &str, params: &[Json]) -> Result<(), Error> {
        match (method, params) {
            ("update3", [_, last, updates]) => self.apply(updates, Extent::Changes, last),
            ("update2", [_, updates]) => self.apply(updates, Extent::Changes, &Json::Null),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, updates: &Json, extent: Extent, last: &Json) -> Result<(), Error> {
        self.last = last.as_str().and_then(Uuid::parse).unwrap_or(Uuid::ZERO);
        let mut server = self.server.borrow_mut();
        server.mirror(&self.database, updates, extent, &self.source.excluded, self.last)
    }
}

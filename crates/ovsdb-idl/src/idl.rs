//! The client's conversation with a server: schema, monitor, updates, transactions, a lock.
//!
//! Where it sits: its owner forwards what a session receives and sends what [`Idl::poll_outgoing`] gives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use ovsdb::json::Json;
use ovsdb::schema::FIRST_COLUMN;
use ovsdb::{DbSchema, Error, SmolStr, TableSchema, Uuid};

use crate::cluster::{Fitness, Member};
use crate::conditions::Conditions;
use crate::replica::{Replica, Seen};
use crate::txn::{Outcome, Pending, Request, Txn};

/// A message to the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// Expects an answer with the same id.
    Request {
        /// Chosen here; distinct as long as unanswered.
        id: Json,
        /// The method.
        method: &'static str,
        /// Its arguments.
        params: Vec<Json>,
    },
}

/// A message from the server.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// A notification.
    Notification {
        /// The method.
        method: SmolStr,
        /// Its arguments.
        params: Vec<Json>,
    },
    /// An answer: the result, or the error.
    Answer {
        /// The request's id.
        id: Json,
        /// Result or error.
        result: Result<Json, Json>,
    },
}

/// Which part of the database is replicated.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Every column of every table.
    Everything,
    /// Every column of these tables.
    Tables(BTreeSet<String>),
    /// Some columns of some tables, chosen once the schema is known.
    Columns(Choice),
}

/// Columns by table. A table without columns is one whose rows matter, but not what is in them.
pub type Columns = BTreeMap<String, BTreeSet<String>>;

/// Chooses columns out of a schema.
#[derive(Clone)]
pub struct Choice(Arc<dyn Fn(&DbSchema) -> Columns + Send + Sync>);

impl Choice {
    /// Chooses by a function; what the schema has not, it need not name.
    pub fn new(choose: impl Fn(&DbSchema) -> Columns + Send + Sync + 'static) -> Choice {
        Choice(Arc::new(choose))
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Choice")
    }
}

/// How far the conversation has come.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Not connected.
    Disconnected,
    /// The server was asked what it is to the database.
    ServerRequested,
    /// The schema was asked for.
    SchemaRequested,
    /// The monitor was asked for.
    MonitorRequested(Monitor),
    /// The replica follows the database.
    Synced,
    /// The server refused; the text says why.
    Failed(String),
    /// Another remote has to be tried; the text says why.
    Unfit(String),
}

/// Which rows a monitor tells first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monitor {
    /// All.
    Whole,
    /// Those that changed after this commit, if the server knows; else all.
    Since(Uuid),
}

/// A replica of one database.
#[derive(Debug)]
pub struct Idl {
    database: String,
    wanted: Wanted,
    conditions: Conditions,
    /// Columns that the replica indexes, by table.
    indexes: Vec<(String, Vec<String>)>,
    member: Option<Member>,
    lock: Option<String>,
    has_lock: bool,
    state: State,
    schema: Option<Arc<DbSchema>>,
    /// What is monitored of each table that the replica has.
    seen: BTreeMap<String, Seen>,
    replica: Arc<Replica>,
    /// The commit that the replica shows; zero if it cannot go on from there.
    last: Uuid,
    /// Changes with every change of the replica.
    seqno: u64,
    next_id: i64,
    outgoing: VecDeque<Outgoing>,
    pending: BTreeMap<i64, Pending>,
    outcomes: BTreeMap<i64, Outcome>,
}

const SCHEMA_ID: &str = "schema";
const MONITOR_ID: &str = "monitor";
const LOCK_ID: &str = "lock";
const SERVER_ID: &str = "server";
const CONDITION_ID: &str = "condition";

impl Idl {
    /// A replica of the wanted part of `database`; nothing is sent before [`Idl::connected`].
    pub fn new(database: &str, wanted: Wanted) -> Idl {
        Idl {
            database: database.to_owned(),
            wanted,
            conditions: Conditions::default(),
            indexes: Vec::new(),
            member: None,
            lock: None,
            has_lock: false,
            state: State::Disconnected,
            schema: None,
            seen: BTreeMap::new(),
            replica: Arc::default(),
            last: Uuid::ZERO,
            seqno: 0,
            next_id: 0,
            outgoing: VecDeque::new(),
            pending: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// Also asks for the server's lock `name` whenever connected; see [`Idl::has_lock`].
    pub fn with_lock(mut self, name: &str) -> Idl {
        self.lock = Some(name.to_owned());
        self
    }

    /// Keeps an index of the replica's rows by these columns together; see [`crate::TableReplica::find`].
    pub fn with_index(mut self, table: &str, columns: &[&str]) -> Idl {
        self.indexes.push((table.to_owned(), columns.iter().map(|c| (*c).to_owned()).collect()));
        self
    }

    /// Looks at each server before it is believed: one that has lost its cluster is left for the next remote, and so is one
    /// that does not lead it, if `fitness` says so. ovsdb(7), "Clustered Database Service Model".
    pub fn with_fitness(mut self, fitness: Fitness) -> Idl {
        self.member = Some(Member::new(&self.database, fitness));
        self
    }

    /// Replicates, of `table`, only rows that satisfy one of `clauses` (RFC 7047, 5.1: `[column, function, value]`), now and
    /// after every reconnection; without clauses, every row. [`Idl::conditions_hold`] tells when the replica is so.
    pub fn set_condition(&mut self, table: &str, clauses: Vec<Json>) {
        self.conditions.set(table, clauses);
        self.change_conditions();
    }

    /// Asks for rows by the conditions that are wanted, if the server shows others and has answered all before.
    fn change_conditions(&mut self) {
        if self.state != State::Synced {
            return;
        }
        if let Some(changes) = self.conditions.change(|table| is_monitored(&self.seen, table)) {
            let params = vec![Json::string(MONITOR_ID), Json::string(MONITOR_ID), changes];
            self.request(Json::string(CONDITION_ID), "monitor_cond_change", params);
        }
    }

    /// True if the replica is what all conditions ask for.
    pub fn conditions_hold(&self) -> bool {
        self.state == State::Synced && self.conditions.hold(|table| is_monitored(&self.seen, table))
    }

    /// How far the conversation has come.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// True if the lock was granted (or none was asked for).
    pub fn has_lock(&self) -> bool {
        self.lock.is_none() || self.has_lock
    }

    /// True while another client holds the lock.
    pub fn is_lock_contended(&self) -> bool {
        self.lock.is_some() && !self.has_lock && self.state == State::Synced
    }

    /// The database's schema, once known.
    pub fn schema(&self) -> Option<&Arc<DbSchema>> {
        self.schema.as_ref()
    }

    /// The rows.
    pub fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// A number that changes with every change of the replica.
    pub fn seqno(&self) -> u64 {
        self.seqno
    }

    /// The next message to send.
    pub fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    /// The session is connected: the conversation begins anew. The old rows stay until new ones come.
    pub fn connected(&mut self) {
        self.disconnected();
        if let Some(lock) = self.lock.clone() {
            self.request(Json::string(LOCK_ID), "lock", vec![Json::string(lock)]);
        }
        match &self.member {
            Some(_) => {
                self.state = State::ServerRequested;
                self.request(Json::string(SERVER_ID), "monitor_cond", Member::monitor(SERVER_ID));
            }
            None => self.request_schema(),
        }
    }

    fn request_schema(&mut self) {
        self.state = State::SchemaRequested;
        self.request(Json::string(SCHEMA_ID), "get_schema", vec![Json::string(&*self.database)]);
    }

    /// What the server has said of itself.
    fn server_told(&mut self, updates: &Json) {
        let Some(member) = &mut self.member else { return };
        member.apply(updates);
        match member.unfit() {
            Some(why) => self.state = State::Unfit(why),
            None if self.state == State::ServerRequested => self.request_schema(),
            None => {}
        }
    }

    /// The session is disconnected: transactions in flight may or may not have happened.
    pub fn disconnected(&mut self) {
        self.state = State::Disconnected;
        self.has_lock = false;
        if !self.conditions.lose() {
            self.last = Uuid::ZERO;
        }
        if let Some(member) = &mut self.member {
            member.forget();
        }
        self.outgoing.clear();
        for id in std::mem::take(&mut self.pending).into_keys() {
            self.outcomes.insert(id, Outcome::TryAgain);
        }
    }

    fn request(&mut self, id: Json, method: &'static str, params: Vec<Json>) {
        self.outgoing.push_back(Outgoing::Request { id, method, params });
    }

    /// Takes in a message; an error means that the server talks nonsense and the session should be ended.
    pub fn handle(&mut self, message: Incoming) -> Result<(), Error> {
        let handled = self.take_in(message);
        if handled.is_err() {
            // What the server meant is not known: next time the replica begins anew.
            self.last = Uuid::ZERO;
        }
        handled
    }

    fn take_in(&mut self, message: Incoming) -> Result<(), Error> {
        match message {
            Incoming::Notification { method, params } => self.notified(&method, &params),
            Incoming::Answer { id, result } => match (id.as_str(), id.as_i64()) {
                (Some(SCHEMA_ID), _) => self.schema_answered(result),
                (Some(MONITOR_ID), _) => self.monitor_answered(result),
                (Some(SERVER_ID), _) => {
                    // A server without the database about itself is no member of a cluster.
                    self.server_told(&result.unwrap_or(Json::Null));
                    Ok(())
                }
                (Some(CONDITION_ID), _) => {
                    self.seqno += 1;
                    match result {
                        Ok(_) => self.conditions.confirm(),
                        Err(error) => self.state = State::Failed(error.to_string()),
                    }
                    self.change_conditions();
                    Ok(())
                }
                (Some(LOCK_ID), _) => {
                    let granted = result.ok().and_then(|r| r.get("locked").and_then(Json::as_bool));
                    self.has_lock = granted == Some(true);
                    Ok(())
                }
                (_, Some(id)) => {
                    if let Some(pending) = self.pending.remove(&id) {
                        self.outcomes.insert(id, pending.outcome(result));
                    }
                    Ok(())
                }
                _ => Ok(()),
            },
        }
    }

    fn notified(&mut self, method: &str, params: &[Json]) -> Result<(), Error> {
        match (method, params) {
            ("update2", [id, updates]) if id.as_str() == Some(MONITOR_ID) => self.updated(updates)?,
            ("update3", [id, last, updates]) if id.as_str() == Some(MONITOR_ID) => {
                self.updated(updates)?;
                self.last = commit_id(last)?;
            }
            ("update2", [id, updates]) if id.as_str() == Some(SERVER_ID) => self.server_told(updates),
            ("locked", _) => {
                self.has_lock = true;
                self.seqno += 1;
            }
            ("stolen", _) => {
                self.has_lock = false;
                self.seqno += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn updated(&mut self, updates: &Json) -> Result<(), Error> {
        Arc::make_mut(&mut self.replica).apply(updates)?;
        self.seqno += 1;
        Ok(())
    }

    fn schema_answered(&mut self, result: Result<Json, Json>) -> Result<(), Error> {
        let json = match result {
            Ok(json) => json,
            Err(error) => {
                self.state = State::Failed(error.to_string());
                return Ok(());
            }
        };
        let schema = Arc::new(DbSchema::from_json(&json)?);
        if self.schema.as_ref() != Some(&schema) {
            self.last = Uuid::ZERO;
        }
        self.seen = self.seen(&schema);
        self.schema = Some(schema);
        if self.last == Uuid::ZERO {
            self.conditions.begin();
        }
        self.request_monitor(Monitor::Since(self.last));
        Ok(())
    }

    /// Asks for the rows: what the replica has missed, if it goes on from where it was, or all of them.
    fn request_monitor(&mut self, kind: Monitor) {
        let Some(schema) = &self.schema else { return };
        let monitored = self.seen.iter().filter(|(name, _)| is_monitored(&self.seen, name));
        let requests: Vec<_> = monitored
            .filter_map(|(name, seen)| {
                let table = schema.table(name)?;
                let columns = table.columns.iter().enumerate().skip(FIRST_COLUMN);
                let columns =
                    columns.filter(|(index, _)| seen.has(*index)).map(|(_, c)| Json::string(&*c.name));
                let mut request = vec![("columns", Json::Array(columns.collect()))];
                request.extend(self.conditions.of(name).map(|clauses| ("where", clauses.clone())));
                Some((name.clone(), Json::object(request)))
            })
            .collect();
        let mut params =
            vec![Json::string(&*self.database), Json::string(MONITOR_ID), Json::object(requests)];
        let method = match kind {
            Monitor::Whole => "monitor_cond",
            Monitor::Since(last) => {
                params.push(Json::string(last.to_string()));
                "monitor_cond_since"
            }
        };
        self.request(Json::string(MONITOR_ID), method, params);
        self.state = State::MonitorRequested(kind);
    }

    /// What is monitored of each table. A table of which nothing is wanted is in the replica all the same if columns are chosen,
    /// so that its schema can be looked at.
    fn seen(&self, schema: &DbSchema) -> BTreeMap<String, Seen> {
        let chosen = match &self.wanted {
            Wanted::Columns(Choice(choose)) => choose(schema),
            Wanted::Everything | Wanted::Tables(_) => Columns::new(),
        };
        let seen = |table: &TableSchema| match &self.wanted {
            Wanted::Everything => Some(Seen::Everything),
            Wanted::Tables(names) => names.contains(&table.name).then_some(Seen::Everything),
            Wanted::Columns(_) => Some(chosen.get(&table.name).map_or(Seen::Nothing, |columns| {
                let index = |name: &String| table.column_index(name).filter(|index| *index >= FIRST_COLUMN);
                let mut indices: BTreeSet<usize> = columns.iter().filter_map(index).collect();
                // A server has nothing to say of rows of which no column is asked for.
                if indices.is_empty() {
                    indices.extend((FIRST_COLUMN < table.columns.len()).then_some(FIRST_COLUMN));
                }
                Seen::Columns(indices)
            })),
        };
        schema.tables.values().filter_map(|table| Some((table.name.clone(), seen(table)?))).collect()
    }

    fn monitor_answered(&mut self, result: Result<Json, Json>) -> Result<(), Error> {
        let State::MonitorRequested(kind) = self.state else { return Ok(()) };
        let answer = match result {
            Ok(answer) => answer,
            Err(error) if kind != Monitor::Whole && error.as_str() == Some("unknown method") => {
                // A server from before Open vSwitch 2.12.
                self.last = Uuid::ZERO;
                self.conditions.begin();
                self.request_monitor(Monitor::Whole);
                return Ok(());
            }
            Err(error) => {
                self.state = State::Failed(error.to_string());
                self.seqno += 1;
                return Ok(());
            }
        };
        match (kind, answer.as_array()) {
            (Monitor::Whole, _) => self.begin_replica(&answer)?,
            (Monitor::Since(_), Some([found, last, updates])) => {
                let last = commit_id(last)?;
                match found.as_bool() {
                    Some(true) => self.updated(updates)?,
                    _ => self.begin_replica(updates)?,
                }
                self.last = last;
            }
            (Monitor::Since(_), _) => {
                return Err(Error::syntax(&answer, "<monitor-cond-since> reply expected"));
            }
        }
        self.state = State::Synced;
        self.change_conditions();
        Ok(())
    }

    /// Begins anew with all rows there are.
    fn begin_replica(&mut self, updates: &Json) -> Result<(), Error> {
        let Some(schema) = &self.schema else { return Ok(()) };
        let tables = self.seen.iter().filter_map(|(n, seen)| Some((schema.tables.get(n)?, seen)));
        let mut replica = Replica::new(tables.map(|(t, seen)| (t.clone(), seen.clone())));
        for (table, columns) in &self.indexes {
            replica.add_index(table, columns)?;
        }
        replica.apply(updates)?;
        self.replica = Arc::new(replica);
        self.seqno += 1;
        Ok(())
    }

    /// Sends a transaction; [`Idl::take_outcome`] gives its outcome under the returned number. Without the lock, where one was asked
    /// for, nothing is sent.
    pub fn commit(&mut self, txn: Txn) -> i64 {
        self.next_id += 1;
        let id = self.next_id;
        if self.lock.is_some() && !self.has_lock() {
            self.outcomes.insert(id, Outcome::NotLocked);
            return id;
        }
        match txn.into_request(&self.database, self.lock.as_deref()) {
            Request::Nothing => {
                self.outcomes.insert(id, Outcome::Unchanged);
            }
            Request::Transact(params, pending) => {
                if self.state == State::Synced {
                    self.pending.insert(id, pending);
                    self.request(Json::Integer(id), "transact", params);
                } else {
                    self.outcomes.insert(id, Outcome::TryAgain);
                }
            }
        }
        id
    }

    /// The outcome of a transaction, once there is one; it is given once.
    pub fn take_outcome(&mut self, id: i64) -> Option<Outcome> {
        self.outcomes.remove(&id)
    }
}

/// Whether the server tells of rows of a table.
fn is_monitored(seen: &BTreeMap<String, Seen>, table: &str) -> bool {
    seen.get(table).is_some_and(|seen| *seen != Seen::Nothing)
}

/// The name of a commit.
fn commit_id(json: &Json) -> Result<Uuid, Error> {
    json.as_str().and_then(Uuid::parse).ok_or_else(|| Error::syntax(json, "<last-txn-id> expected"))
}

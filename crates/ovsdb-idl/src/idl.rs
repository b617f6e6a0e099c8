//! The client's conversation with a server: schema, monitor, updates, transactions, a lock.
//!
//! Where it sits: its owner forwards what a session receives and sends what [`Idl::poll_outgoing`] gives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ovsdb::json::Json;
use ovsdb::schema::FIRST_COLUMN;
use ovsdb::{DbSchema, Error};

use crate::replica::Replica;
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
        method: String,
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
}

/// How far the conversation has come.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Not connected.
    Disconnected,
    /// The schema was asked for.
    SchemaRequested,
    /// The monitor was asked for.
    MonitorRequested,
    /// The replica follows the database.
    Synced,
    /// The server refused; the text says why.
    Failed(String),
}

/// A replica of one database.
#[derive(Debug)]
pub struct Idl {
    database: String,
    wanted: Wanted,
    lock: Option<String>,
    has_lock: bool,
    state: State,
    schema: Option<Arc<DbSchema>>,
    replica: Arc<Replica>,
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

impl Idl {
    /// A replica of the wanted part of `database`; nothing is sent before [`Idl::connected`].
    pub fn new(database: &str, wanted: Wanted) -> Idl {
        Idl {
            database: database.to_owned(),
            wanted,
            lock: None,
            has_lock: false,
            state: State::Disconnected,
            schema: None,
            replica: Arc::default(),
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
        self.state = State::SchemaRequested;
        if let Some(lock) = self.lock.clone() {
            self.request(Json::string(LOCK_ID), "lock", vec![Json::string(lock)]);
        }
        self.request(Json::string(SCHEMA_ID), "get_schema", vec![Json::string(&*self.database)]);
    }

    /// The session is disconnected: transactions in flight may or may not have happened.
    pub fn disconnected(&mut self) {
        self.state = State::Disconnected;
        self.has_lock = false;
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
        match message {
            Incoming::Notification { method, params } => self.notified(&method, &params),
            Incoming::Answer { id, result } => match (id.as_str(), id.as_i64()) {
                (Some(SCHEMA_ID), _) => self.schema_answered(result),
                (Some(MONITOR_ID), _) => self.monitor_answered(result),
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
            ("update2", [id, updates]) if id.as_str() == Some(MONITOR_ID) => {
                Arc::make_mut(&mut self.replica).apply(updates)?;
                self.seqno += 1;
            }
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

    fn schema_answered(&mut self, result: Result<Json, Json>) -> Result<(), Error> {
        let json = match result {
            Ok(json) => json,
            Err(error) => {
                self.state = State::Failed(error.to_string());
                return Ok(());
            }
        };
        let schema = Arc::new(DbSchema::from_json(&json)?);
        let requests: Vec<_> = schema
            .tables
            .values()
            .filter(|t| match &self.wanted {
                Wanted::Everything => true,
                Wanted::Tables(names) => names.contains(&t.name),
            })
            .map(|t| {
                let columns = t.columns[FIRST_COLUMN..].iter().map(|c| Json::string(&*c.name));
                (t.name.clone(), Json::object([("columns", Json::Array(columns.collect()))]))
            })
            .collect();
        let params = vec![Json::string(&*self.database), Json::string(MONITOR_ID), Json::object(requests)];
        self.schema = Some(schema);
        self.request(Json::string(MONITOR_ID), "monitor_cond", params);
        self.state = State::MonitorRequested;
        Ok(())
    }

    fn monitor_answered(&mut self, result: Result<Json, Json>) -> Result<(), Error> {
        match (result, &self.schema) {
            (Ok(updates), Some(schema)) => {
                let tables = schema.tables.values().filter(|t| match &self.wanted {
                    Wanted::Everything => true,
                    Wanted::Tables(names) => names.contains(&t.name),
                });
                let mut replica = Replica::new(tables.cloned());
                replica.apply(&updates)?;
                self.replica = Arc::new(replica);
                self.state = State::Synced;
            }
            (Err(error), _) => self.state = State::Failed(error.to_string()),
            (Ok(_), None) => self.state = State::Failed("monitor without schema".to_owned()),
        }
        self.seqno += 1;
        Ok(())
    }

    /// Sends a transaction; [`Idl::take_outcome`] gives its outcome under the returned number.
    pub fn commit(&mut self, txn: Txn) -> i64 {
        self.next_id += 1;
        let id = self.next_id;
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

//! A database that the server offers: its rows, its file, and what commits do to both.
//!
//! Where it sits: `Server` holds them by name.
//!
//! I1  A commit that reaches the file has reached it before anybody hears of it; a commit that does not is undone and reported.
//!
//! Spec: ovsdb-server(1).

use std::collections::BTreeSet;

use ovsdb::json::Json;
use ovsdb::{DbSchema, Result};
use ovsdb_engine::mirror::{self, Extent};
use ovsdb_engine::record::{self, Columns, Unknown};
use ovsdb_engine::storage::{self, Compaction, Mode};
use ovsdb_engine::{
    Access, Changes, Database, History, Outcome, Prepared, Request, Storage, Transaction, UuidSource,
    Waiting, execute_as,
};

use crate::source::{Link, Outbox, Source};
use crate::watchers::Watchers;

/// The shortest time between two automatic compactions.
const COMPACT_INTERVAL_MS: u64 = 10 * 60 * 1000;

/// How a database is served.
pub enum Role {
    /// By this server alone.
    Standalone,
    /// As the active one of a pair; the other server is known.
    Active(Option<Source>),
    /// As a copy of the active one, which clients can only read.
    Backup(Source),
    /// As a copy without a file; what clients want to change goes to the source.
    Relay(Source, Outbox),
}

impl Role {
    /// Whether clients can only read.
    pub fn is_backup(&self) -> bool {
        matches!(self, Role::Backup(_))
    }

    /// What is followed, and where a relay's requests go.
    pub fn follows(&self) -> Option<(&Source, Option<&Outbox>)> {
        match self {
            Role::Backup(source) => Some((source, None)),
            Role::Relay(source, outbox) => Some((source, Some(outbox))),
            _ => None,
        }
    }
}

/// A database on offer.
pub struct Served {
    /// Its rows.
    pub db: Database,
    /// Its file; the server's own database has none.
    pub storage: Option<Storage>,
    /// How modified columns are recorded.
    pub columns: Columns,
    /// How it is served.
    pub role: Role,
    /// How far a copy has come.
    pub link: Link,
    /// The last commits.
    pub history: History,
    /// Who watches it.
    pub(crate) watchers: Watchers,
    /// Tables whose operations are logged.
    pub logged: BTreeSet<String>,
    /// Tables whose rows arrange what this server does.
    pub arranging: BTreeSet<usize>,
    last_compaction_ms: u64,
}

/// How a request ended.
pub enum Executed {
    /// With these results, and these changes if any.
    Done(Vec<Json>, Changes),
    /// Not yet; at the latest so many milliseconds after its arrival.
    Blocked(Option<u64>),
}

/// The time, both ways.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic, in milliseconds.
    pub mono_ms: u64,
    /// Since the epoch, in milliseconds.
    pub wall_ms: u64,
}

impl Served {
    /// Whether it can be told what the database is like: a relay that has never reached its source has no schema.
    pub fn is_known(&self) -> bool {
        !matches!(self.role, Role::Relay(..)) || !self.db.tables.is_empty()
    }

    /// Opens a database file. A damaged end is reported in the log and otherwise ignored, as after a power failure.
    pub fn open(name: &str, columns: Columns, now: Now) -> Result<Served> {
        let (storage, loaded) = Storage::open(name, Mode::ReadWrite, Unknown::Refuse)?;
        if let Some(damage) = loaded.damage {
            log::error!(target: "ovsdb_server", "{damage}");
        }
        Ok(Served::new(loaded.db, Some(storage), columns, now.mono_ms))
    }

    /// A database without a file.
    pub fn in_memory(schema: DbSchema) -> Served {
        Served::new(Database::new(schema), None, Columns::Diff, 0)
    }

    fn new(db: Database, storage: Option<Storage>, columns: Columns, last_compaction_ms: u64) -> Served {
        Served {
            db,
            storage,
            columns,
            role: Role::Standalone,
            link: Link::default(),
            history: History::default(),
            watchers: Watchers::default(),
            logged: BTreeSet::new(),
            arranging: BTreeSet::new(),
            last_compaction_ms,
        }
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.db.schema.name
    }

    /// Executes operations and makes what they did permanent.
    pub fn transact(
        &mut self,
        request: &Request<'_>,
        role: Option<&ovsdb_engine::Role>,
        uuids: &mut UuidSource,
        now: Now,
    ) -> Executed {
        self.log_operations(request.operations);
        let mut make_uuid = || uuids.next_uuid();
        let (mut results, prepared) = match execute_as(&mut self.db, request, role, &mut make_uuid) {
            Outcome::Blocked(until) => return Executed::Blocked(until),
            Outcome::Done { results, prepared: None } => return Executed::Done(results, Changes::new()),
            Outcome::Done { results, prepared: Some(prepared) } => (results, prepared),
        };
        match write(self.storage.as_mut(), &prepared, self.columns, now) {
            Ok(()) => Executed::Done(results, prepared.commit()),
            Err(error) => {
                log::error!(target: "ovsdb_server", "{error}");
                results.push(error.to_json());
                Executed::Done(results, Changes::new())
            }
        }
    }

    /// Repeats another server's updates.
    pub fn mirror(
        &mut self,
        updates: &Json,
        extent: Extent,
        excluded: &BTreeSet<String>,
        uuids: &mut UuidSource,
        now: Now,
    ) -> Result<Changes> {
        let mut txn = Transaction::new(&mut self.db);
        mirror::apply(&mut txn, updates, extent, excluded)?;
        let prepared = txn.prepare_recorded(&mut || uuids.next_uuid());
        write(self.storage.as_mut(), &prepared, self.columns, now)?;
        Ok(prepared.commit())
    }

    fn log_operations(&self, operations: &[Json]) {
        if self.logged.is_empty() {
            return;
        }
        let table = |operation: &&Json| {
            let name = operation.get("table").and_then(Json::as_str);
            name.is_some_and(|name| self.logged.contains(name))
        };
        for operation in operations.iter().filter(table) {
            log::info!(target: "transaction@60", "{}: {operation}", self.name());
        }
    }

    /// Executes the server's own operations; they cannot fail for a reason of the client's.
    pub fn change(&mut self, operations: &[Json], uuids: &mut UuidSource, now: Now) -> Changes {
        let request = Request {
            operations,
            access: Access::ReadWrite,
            waiting: Waiting::Impossible,
            owns_lock: &|_| false,
        };
        match self.transact(&request, None, uuids, now) {
            Executed::Done(results, changes) => {
                if let Some(error) = results.iter().find(|result| result.get("error").is_some()) {
                    log::warn!(target: "ovsdb_server", "Failed to update {}: {error}", self.name());
                }
                changes
            }
            Executed::Blocked(_) => Changes::new(),
        }
    }

    /// Whether the file has grown enough, long enough after the last time.
    pub fn wants_compaction(&self, now: Now) -> bool {
        let rested = now.mono_ms.saturating_sub(self.last_compaction_ms) >= COMPACT_INTERVAL_MS;
        rested && self.storage.as_ref().is_some_and(Storage::grew_lots)
    }

    /// Begins to rewrite the file without its history; nothing if there is no file.
    pub fn begin_compaction(&mut self, comment: &str, now: Now) -> Option<Compaction> {
        self.last_compaction_ms = now.mono_ms;
        Some(self.storage.as_ref()?.begin_compaction(&self.db, comment, now.wall_ms as i64))
    }

    /// Moves the database to another schema of the same name.
    pub fn convert(&mut self, schema: DbSchema, now: Now) -> Result<()> {
        let date = now.wall_ms as i64;
        let db = converted(&record::whole(&self.db), &schema)?;
        if let Some(storage) = &mut self.storage {
            let contents = record::snapshot(&db, "converted by ovsdb-server", date);
            storage.replace(&schema, contents.as_ref())?;
        }
        self.db = db;
        self.history.clear();
        Ok(())
    }
}

/// Writes what a transaction is about to change.
fn write(storage: Option<&mut Storage>, prepared: &Prepared<'_>, columns: Columns, now: Now) -> Result<()> {
    let Some(storage) = storage else { return Ok(()) };
    let (date, comment) = (now.wall_ms as i64, prepared.comment());
    if let Some(record) = record::compose(prepared.db(), prepared.changes(), &comment, date, columns) {
        storage.append(&record)?;
    }
    if prepared.durable() { storage.sync() } else { Ok(()) }
}

/// The rows of a snapshot under another schema.
fn converted(contents: &str, schema: &DbSchema) -> Result<Database> {
    let mut data = ovsdb_engine::log::encode(&schema.to_json().to_string());
    data.extend(ovsdb_engine::log::encode(contents));
    let (loaded, _) = storage::load(&data, &schema.name, None, Unknown::Ignore)?;
    match loaded.damage {
        Some(error) => Err(error),
        None => Ok(loaded.db),
    }
}

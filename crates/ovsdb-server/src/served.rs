//! A database that the server offers: its rows, its file, and what commits do to both.
//!
//! Where it sits: `Server` holds them by name.
//!
//! I1  A commit that reaches the file has reached it before anybody hears of it; a commit that does not is undone and reported.
//!
//! Spec: ovsdb-server(1).

use std::time::Instant;

use ovsdb::json::Json;
use ovsdb::{DbSchema, Error, Result};
use ovsdb_engine::record::{self, Columns, Unknown};
use ovsdb_engine::storage::{self, Mode};
use ovsdb_engine::{Access, Changes, Database, Outcome, Request, Storage, UuidSource, Waiting, execute};

/// The shortest time between two automatic compactions.
const COMPACT_INTERVAL_MS: u64 = 10 * 60 * 1000;

/// A database on offer.
pub struct Served {
    /// Its rows.
    pub db: Database,
    /// Its file; the server's own database has none.
    pub storage: Option<Storage>,
    /// How modified columns are recorded.
    pub columns: Columns,
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
    /// Opens a database file. A damaged end is reported in the log and otherwise ignored, as after a power failure.
    pub fn open(name: &str, columns: Columns, now: Now) -> Result<Served> {
        let (storage, loaded) = Storage::open(name, Mode::ReadWrite, Unknown::Refuse)?;
        if let Some(damage) = loaded.damage {
            log::error!(target: "ovsdb_file", "{damage}");
        }
        Ok(Served { db: loaded.db, storage: Some(storage), columns, last_compaction_ms: now.mono_ms })
    }

    /// A database without a file.
    pub fn in_memory(schema: DbSchema) -> Served {
        Served { db: Database::new(schema), storage: None, columns: Columns::Diff, last_compaction_ms: 0 }
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.db.schema.name
    }

    /// Executes operations and makes what they did permanent.
    pub fn transact(&mut self, request: &Request<'_>, uuids: &mut UuidSource, now: Now) -> Executed {
        let (mut results, prepared) = match execute(&mut self.db, request, &mut || uuids.next_uuid()) {
            Outcome::Blocked(until) => return Executed::Blocked(until),
            Outcome::Done { results, prepared: None } => return Executed::Done(results, Changes::new()),
            Outcome::Done { results, prepared: Some(prepared) } => (results, prepared),
        };
        if let Some(storage) = &mut self.storage {
            let date = now.wall_ms as i64;
            let comment = prepared.comment();
            let record = record::compose(prepared.db(), prepared.changes(), &comment, date, self.columns);
            let written = record.map_or(Ok(()), |record| storage.append(&record));
            let durable = prepared.durable();
            let written = written.and_then(|()| if durable { storage.sync() } else { Ok(()) });
            if let Err(error) = written {
                log::error!(target: "ovsdb_file", "{error}");
                results.push(error.to_json());
                return Executed::Done(results, Changes::new());
            }
        }
        let changes = prepared.commit();
        Executed::Done(results, changes)
    }

    /// Executes the server's own operations; they cannot fail for a reason of the client's.
    pub fn change(&mut self, operations: &[Json], uuids: &mut UuidSource, now: Now) -> Changes {
        let request = Request {
            operations,
            access: Access::ReadWrite,
            waiting: Waiting::Impossible,
            owns_lock: &|_| false,
        };
        match self.transact(&request, uuids, now) {
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

    /// Rewrites the file without its history.
    pub fn compact(&mut self, comment: &str, now: Now) -> Result<()> {
        self.last_compaction_ms = now.mono_ms;
        let Some(storage) = &mut self.storage else { return Ok(()) };
        let begin = Instant::now();
        storage.compact(&self.db, comment, now.wall_ms as i64)?;
        let (name, took) = (&self.db.schema.name, begin.elapsed().as_millis());
        log::info!(target: "ovsdb", "{name}: Database compaction took {took}ms");
        Ok(())
    }

    /// Moves the database to another schema of the same name.
    pub fn convert(&mut self, schema: DbSchema, now: Now) -> Result<()> {
        let date = now.wall_ms as i64;
        let Some(contents) = record::snapshot(&self.db, "converted by ovsdb-server", date) else {
            return Err(Error::new("internal error", "no snapshot"));
        };
        let db = converted(&contents, &schema)?;
        if let Some(storage) = &mut self.storage {
            let contents = record::snapshot(&db, "converted by ovsdb-server", date);
            storage.replace(&schema, contents.as_ref())?;
        }
        self.db = db;
        Ok(())
    }
}

/// The rows of a snapshot under another schema.
fn converted(contents: &Json, schema: &DbSchema) -> Result<Database> {
    let mut data = ovsdb_engine::log::encode(&schema.to_json());
    data.extend(ovsdb_engine::log::encode(contents));
    let (loaded, _) = storage::load(&data, &schema.name, None, Unknown::Ignore)?;
    match loaded.damage {
        Some(error) => Err(error),
        None => Ok(loaded.db),
    }
}

//! Remotes: where clients come from, and the tasks that serve them.
//!
//! Where it sits: `run` gives it the remotes of the command line and of run-time control; `db:` remotes are read out of databases
//! again after every commit to their tables.
//!
//! ~~~text
//! punix:, ptcp: ─► a task that accepts, one task per connection      unix:, tcp: ─► one task that dials
//! db:DB,TABLE,COLUMN ─► strings, or rows with target, max_backoff, inactivity_probe, read_only
//! ~~~
//! I1  A remote whose definition did not change keeps its connections.
//!
//! Spec: ovsdb-server(1) "--remote".

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ovsdb::{Atom, AtomicType, TableSchema};
use ovsdb_engine::lock::SessionId;
use ovsdb_engine::{Access, Database, Row};
use stream::jsonrpc::{Options, Session};
use stream::name::{self, OVSDB_PORT, Passive};
use stream::reconnect::{State, Stats};
use stream::{Listener, error_text};
use tokio::task::JoinHandle;

use crate::connection::{self, Shared};
use crate::server::Server;

/// How clients of a remote are treated.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteOptions {
    /// Longest wait between attempts, in milliseconds.
    pub max_backoff: Option<u64>,
    /// Silence before a probe, in milliseconds; 0 is never.
    pub probe_interval: Option<u64>,
    /// What clients may do.
    pub access: Access,
    /// The role of clients; none if empty.
    pub role: String,
}

impl Default for RemoteOptions {
    fn default() -> RemoteOptions {
        RemoteOptions {
            max_backoff: None,
            probe_interval: None,
            access: Access::ReadWrite,
            role: String::new(),
        }
    }
}

/// How a remote that runs stands.
#[derive(Default)]
pub struct Standing {
    /// Clients that are connected.
    pub(crate) connections: Cell<usize>,
    /// The session of the last of them.
    pub(crate) session: Cell<SessionId>,
    /// The connection of one that is dialled.
    pub(crate) dialled: Cell<Option<(State, Stats)>>,
    /// The TCP port of one that listens.
    pub(crate) port: Cell<Option<u16>>,
}

struct Running {
    options: RemoteOptions,
    standing: Rc<Standing>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The remotes in use.
#[derive(Default)]
pub struct Remotes {
    /// As the user named them.
    pub names: Vec<String>,
    /// The options of those that a configuration file names.
    pub configured: BTreeMap<String, RemoteOptions>,
    running: BTreeMap<String, Running>,
}

impl Remotes {
    /// Starts and stops tasks until they are what the names and databases say. The error is of the first bad name.
    pub fn reconfigure(&mut self, server: &Shared) -> Result<(), String> {
        let mut wanted = BTreeMap::new();
        let mut result = Ok(());
        for name in &self.names {
            match name.strip_prefix("db:") {
                None => {
                    let options = self.configured.get(name).cloned().unwrap_or_default();
                    wanted.insert(name.clone(), options);
                }
                Some(_) => match query(&server.borrow(), name) {
                    Ok(remotes) => wanted.extend(remotes),
                    Err(error) => result = result.and(Err(error)),
                },
            }
        }
        self.running.retain(|name, running| {
            let kept = wanted.get(name).is_some_and(|options| *options == running.options);
            if !kept {
                log::info!(target: "ovsdb_jsonrpc_server", "{name}: remote deconfigured");
            }
            kept
        });
        for (name, options) in wanted {
            if !self.running.contains_key(&name)
                && let Some(running) = start(server, &name, options)
            {
                self.running.insert(name, running);
            }
        }
        result
    }

    /// The number of remotes that are dialled and have no connection.
    pub fn unanswered(&self) -> usize {
        let dialled = self.running.values().filter(|running| running.standing.dialled.get().is_some());
        dialled.filter(|running| running.standing.connections.get() == 0).count()
    }

    /// How a remote stands, if it runs.
    pub fn standing(&self, name: &str) -> Option<&Standing> {
        Some(&self.running.get(name)?.standing)
    }
}

/// `name` is the remote's: a process at the other end of a unix socket cannot vanish unseen, so it is probed only where that is asked for.
fn session_options(name: &str, options: &RemoteOptions, quiet: bool) -> Options {
    let mut session = if quiet { Options::quiet() } else { Options::default() };
    let default = name::needs_probes(name).then_some(session.reconnect.probe_interval);
    session.reconnect.probe_interval = options.probe_interval.or(default).unwrap_or(0);
    if let Some(ms) = options.max_backoff {
        session.reconnect.max_backoff = ms.max(1000);
    }
    session
}

fn start(server: &Shared, name: &str, options: RemoteOptions) -> Option<Running> {
    let standing = Rc::new(Standing::default());
    let mut running = Running { options: options.clone(), standing: standing.clone(), tasks: Vec::new() };
    if name::is_passive(name) {
        let bound = Passive::parse(name, OVSDB_PORT).map_err(Into::into).and_then(|t| Listener::bind(&t));
        let listener = match bound {
            Ok(listener) => listener,
            Err(error) => {
                log::error!(target: "ovsdb_jsonrpc_server", "{name}: listen failed: {}", error_text(&error));
                return None;
            }
        };
        standing.port.set(listener.port());
        let task = accept(server.clone(), name.to_owned(), listener, options, standing);
        running.tasks.push(tokio::task::spawn_local(task));
    } else {
        let clock = server.borrow().clock.clone();
        let mut session =
            Session::dial(vec![name.to_owned()], session_options(name, &options, false), &clock);
        let told = standing.clone();
        session.link_mut().observe(Box::new(move |machine| {
            told.dialled.set(Some((machine.state(), machine.stats())));
        }));
        let task = connection::serve(server.clone(), session, options, standing);
        running.tasks.push(tokio::task::spawn_local(task));
    }
    Some(running)
}

/// Accepts connections; the tasks that serve them end with this one.
async fn accept(
    server: Shared,
    name: String,
    listener: Listener,
    options: RemoteOptions,
    standing: Rc<Standing>,
) {
    let clock = server.borrow().clock.clone();
    let mut clients = tokio::task::JoinSet::new();
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let session = Session::accepted(stream, session_options(&name, &options, true), &clock);
                clients.spawn_local(connection::serve(
                    server.clone(),
                    session,
                    options.clone(),
                    standing.clone(),
                ));
            }
            Err(error) => {
                log::warn!(target: "ovsdb_jsonrpc_server@5", "{name}: accept failed: {}", error_text(&error));
                // Out of descriptors, most likely: give clients time to go.
                clock.sleep_until(clock.now_ms() + 100).await;
            }
        }
        while clients.try_join_next().is_some() {}
    }
}

/// The remotes that a `db:` name leads to.
fn query(server: &Server, name: &str) -> Result<BTreeMap<String, RemoteOptions>, String> {
    let (db, table, column) = resolve(server, name)?;
    let place = &db.tables[table];
    let kind = &place.schema.columns[column].kind;
    let mut remotes = BTreeMap::new();
    let atoms = place.rows.values().flat_map(|row| row.fields[column].keys());
    if kind.key.kind == AtomicType::String && kind.value.is_none() {
        remotes.extend(atoms.filter_map(Atom::as_str).map(|t| (t.to_owned(), RemoteOptions::default())));
        return Ok(remotes);
    }
    let target = kind.key.reference().filter(|_| kind.value.is_none()).and_then(|(t, _)| db.table(t));
    // Columns of other types name none.
    let Some(target) = target else { return Ok(remotes) };
    for uuid in atoms.filter_map(Atom::as_uuid) {
        if let Some((name, options)) = target.rows.get(&uuid).and_then(|row| remote_row(&target.schema, row))
        {
            remotes.insert(name, options);
        }
    }
    Ok(remotes)
}

/// The database, table and column of `db:DB,TABLE,COLUMN`.
pub(crate) fn resolve<'s>(server: &'s Server, name: &str) -> Result<(&'s Database, usize, usize), String> {
    let parts: Vec<&str> = name.strip_prefix("db:").unwrap_or_default().split(',').collect();
    let [db_name, table_name, column_name] = parts.as_slice() else {
        return Err(format!("\"{name}\": invalid syntax"));
    };
    let served = server.databases.get(*db_name);
    let db = &served.ok_or_else(|| format!("\"{name}\": no database named {db_name}"))?.db;
    let table =
        db.table_index(table_name).ok_or_else(|| format!("\"{name}\": no table named {table_name}"))?;
    let column = db.tables[table].schema.column_index(column_name);
    let column = column
        .ok_or_else(|| format!("\"{name}\": table \"{table_name}\" has no column \"{column_name}\""))?;
    Ok((db, table, column))
}

fn remote_row(schema: &TableSchema, row: &Row) -> Option<(String, RemoteOptions)> {
    let atom = |column: &str| row.fields[schema.column_index(column)?].keys().first();
    let target = atom("target").and_then(Atom::as_str).filter(|target| !target.is_empty());
    let Some(target) = target else {
        let table = &schema.name;
        log::info!(target: "ovsdb_server@5", "Table `{table}' has missing or invalid `target' column");
        return None;
    };
    let number = |column| atom(column).and_then(Atom::as_integer).and_then(|n| u64::try_from(n).ok());
    let text = |column| atom(column).and_then(Atom::as_str).unwrap_or_default().to_owned();
    let read_only = atom("read_only").and_then(Atom::as_bool) == Some(true);
    let access = if read_only { Access::ReadOnly } else { Access::ReadWrite };
    let options = RemoteOptions {
        max_backoff: number("max_backoff"),
        probe_interval: number("inactivity_probe"),
        access,
        role: text("role"),
    };
    Some((target.to_owned(), options))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A silent client in the same machine is left alone, unless its remote's row says otherwise.
    #[test]
    fn unix_sockets_are_probed_on_demand() {
        let told = RemoteOptions { probe_interval: Some(7000), ..RemoteOptions::default() };
        for (name, options, expected) in [
            ("ptcp:1", RemoteOptions::default(), 5000),
            ("punix:s", RemoteOptions::default(), 0),
            ("unix:s", RemoteOptions::default(), 0),
            ("punix:s", told.clone(), 7000),
            ("pssl:1", told, 7000),
        ] {
            assert_eq!(session_options(name, &options, true).reconnect.probe_interval, expected, "{name}");
        }
    }
}

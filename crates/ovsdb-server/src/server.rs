//! The server's state: databases, sessions, locks, and requests that wait.
//!
//! Where it sits: one value, shared by the tasks of a single thread. `requests` answers clients, `connection` carries messages,
//! `commands` serves run-time control. No I/O but the databases' files.
//!
//! ~~~text
//! request ─► Served::transact ─► changes ─► monitors of every session ─► mailboxes ─► the reply into the asker's mailbox
//!                                   └────► requests that wait on this database are tried again
//! ~~~
//! I1  A client hears of its own changes before it gets the reply (ovsdb-server(7) section 4.1.5).
//! I2  A waiting request is tried again only after a change of its database, or to time out.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ovsdb::json::Json;
use ovsdb::{Error, Result, Uuid};
use ovsdb_engine::lock::{LockEvent, LockTable, SessionId};
use ovsdb_engine::mirror::Extent;
use ovsdb_engine::monitor::Version;
use ovsdb_engine::record::Columns;
use ovsdb_engine::{Access, Changes, Monitor, Request, Role, UuidSource, Waiting};
use stream::Clock;
use stream::jsonrpc::Message;
use tokio::sync::Notify;

use crate::compaction::Compactions;
use crate::mailbox::Mailbox;
use crate::served::{Executed, Now, Role as ServedRole, Served};
use crate::server_db;
use crate::source::{Forwarded, Link, Outbox, Source};
use crate::watchers::Watchers;

/// The name of the server's own database.
pub const SERVER_DB: &str = "_Server";

/// The whole server.
pub struct Server {
    /// Fresh for every start.
    pub id: Uuid,
    /// Time.
    pub clock: Clock,
    /// Databases by name, the server's own among them.
    pub databases: BTreeMap<String, Served>,
    /// How modified columns are recorded in databases opened from now on.
    pub columns: Columns,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) locks: LockTable,
    pub(crate) uuids: UuidSource,
    pub(crate) waiting: Vec<WaitingRequest>,
    /// Whether only `monitor` is offered, as by old servers.
    pub old_monitors_only: bool,
    /// Database files that are being compacted, by path.
    pub(crate) compactions: Compactions,
    /// Rises with every commit that can change what is arranged: those of `_Server` and of `Served::arranging`.
    pub arrangements: u64,
    /// Woken after those and when a request starts to wait.
    pub changed: Rc<Notify>,
    next_session: SessionId,
}

/// A client.
pub struct Session {
    /// Where its messages go.
    pub mailbox: Mailbox,
    /// What it may do.
    pub access: Access,
    /// Its role and its name.
    pub role: Role,
    /// By the client's name for it, as JSON text. Change them by `put_monitor` and `take_monitor` only.
    pub(crate) monitors: BTreeMap<String, Watching>,
    pub(crate) db_change_aware: bool,
}

/// A monitor of a client.
pub(crate) struct Watching {
    /// The client's name for it.
    pub name: Json,
    pub database: String,
    pub monitor: Monitor,
}

/// A request whose `wait` is not satisfied yet.
pub(crate) struct WaitingRequest {
    pub session: SessionId,
    pub id: Json,
    pub database: String,
    pub operations: Vec<Json>,
    pub arrived_ms: u64,
    pub until_ms: Option<u64>,
}

impl Server {
    /// A server that offers only its own database.
    pub fn new(clock: Clock, mut uuids: UuidSource) -> Server {
        let mut server = Server {
            id: uuids.next_uuid(),
            clock,
            databases: BTreeMap::new(),
            columns: Columns::Diff,
            sessions: BTreeMap::new(),
            locks: LockTable::default(),
            uuids,
            waiting: Vec::new(),
            old_monitors_only: false,
            compactions: Compactions::default(),
            arrangements: 0,
            changed: Rc::default(),
            next_session: 1,
        };
        server.databases.insert(SERVER_DB.to_owned(), Served::in_memory(server_db::schema()));
        server.refresh_server_db();
        server
    }

    /// The time.
    pub fn now(&self) -> Now {
        Now { mono_ms: self.clock.now_ms(), wall_ms: self.clock.wall_ms() }
    }

    /// Offers the database in a file, and gives its name.
    pub fn add_database(&mut self, file: &str) -> std::result::Result<String, String> {
        // To open it once more would also give up its lock, which is the process's.
        let open = |served: &&Served| served.storage.as_ref().is_some_and(|s| s.is_file(file));
        if self.databases.values().find(open).is_some() {
            return Err(format!("ovsdb error: {file}: already open"));
        }
        let served = Served::open(file, self.columns, self.now()).map_err(|error| error.to_string())?;
        let name = served.name().to_owned();
        if self.databases.contains_key(&name) {
            return Err(format!("ovsdb error: {name}: duplicate database name"));
        }
        self.databases.insert(name.clone(), served);
        self.refresh_server_db();
        self.disconnect_unaware(&format!("adding {name} database"));
        Ok(name)
    }

    /// Offers the database in a file in this role; one that is offered already changes its role.
    pub fn serve_file(&mut self, file: &str, role: ServedRole) -> std::result::Result<(), String> {
        let open =
            |(_, served): &(&String, &Served)| served.storage.as_ref().is_some_and(|s| s.name() == file);
        let name = match self.databases.iter().find(open) {
            Some((name, _)) => name.clone(),
            None => self.add_database(file)?,
        };
        if let Some(served) = self.databases.get_mut(&name) {
            let changed = served.role.is_backup() != role.is_backup();
            served.role = role;
            if changed {
                self.disconnect_all(None);
            }
        }
        Ok(())
    }

    /// Offers a copy of a database that another server has.
    pub fn add_relay(&mut self, name: &str, source: Source) -> std::result::Result<(), String> {
        match self.databases.get_mut(name) {
            Some(Served { role: ServedRole::Relay(old, _), .. }) => *old = source,
            Some(_) => return Err(format!("ovsdb error: {name}: duplicate database name")),
            None => {
                log::info!(target: "relay", "{name}: relay source set to '{}'", source.target);
                let mut served = Served::in_memory(ovsdb::DbSchema::empty(name));
                served.role = ServedRole::Relay(source, Outbox::default());
                self.databases.insert(name.to_owned(), served);
                self.refresh_server_db();
                self.disconnect_unaware(&format!("adding {name} database"));
            }
        }
        Ok(())
    }

    /// Offers what an argument names: a file, or `relay:DATABASE:SERVER`.
    pub fn add_argument(&mut self, argument: &str) -> std::result::Result<(), String> {
        let Some(relay) = argument.strip_prefix("relay:") else {
            return self.add_database(argument).map(drop);
        };
        match relay.split_once(':') {
            Some((name, target)) if !name.is_empty() && !target.is_empty() => {
                self.add_relay(name, Source::new(target))
            }
            _ => Err(format!("ovsdb error: {argument}: invalid syntax")),
        }
    }

    /// Stops offering a database.
    pub fn remove_database(&mut self, name: &str) {
        self.forget_database_in_sessions(name);
        self.databases.remove(name);
        self.refresh_server_db();
        self.disconnect_unaware(&format!("removing {name} database by user request"));
    }

    /// Moves a database to another schema; monitors of it end.
    pub fn convert_database(&mut self, name: &str, schema: ovsdb::DbSchema) -> Result<()> {
        let now = self.now();
        if let Some(served) = self.databases.get_mut(name) {
            served.convert(schema, now)?;
        }
        self.forget_database_in_sessions(name);
        self.refresh_server_db();
        self.disconnect_unaware(&format!("committed {name} database schema conversion"));
        Ok(())
    }

    fn forget_database_in_sessions(&mut self, name: &str) {
        for session in self.sessions.values_mut() {
            let gone = session.monitors.extract_if(.., |_, watching| watching.database == name);
            for (_, watching) in gone.collect::<Vec<_>>().into_iter().filter(|_| session.db_change_aware) {
                session.mailbox.put(Message::notification("monitor_canceled", vec![watching.name]));
            }
        }
        if let Some(served) = self.databases.get_mut(name) {
            served.watchers = Watchers::default();
        }
        let (gone, kept) =
            std::mem::take(&mut self.waiting).into_iter().partition(|request| request.database == name);
        self.waiting = kept;
        let gone: Vec<WaitingRequest> = gone;
        for request in gone {
            self.tell(request.session, Message::error(request.id, "canceled"));
        }
    }

    /// Clients that do not follow changes of the set of databases notice by reconnecting.
    fn disconnect_unaware(&mut self, reason: &str) {
        for session in self.sessions.values().filter(|session| !session.db_change_aware) {
            session.mailbox.close_for(reason);
        }
    }

    /// Closes every connection, for a reason that the log tells of each if there is one; clients come back.
    pub fn disconnect_all(&mut self, reason: Option<&str>) {
        for session in self.sessions.values() {
            match reason {
                Some(reason) => session.mailbox.close_for(reason),
                None => session.mailbox.close(),
            }
        }
    }

    /// Starts a session.
    pub fn open_session(&mut self, access: Access, role: Role) -> (SessionId, Mailbox) {
        let id = self.next_session;
        self.next_session += 1;
        let mailbox = Mailbox::default();
        let session = Session {
            mailbox: mailbox.clone(),
            access,
            role,
            monitors: BTreeMap::new(),
            db_change_aware: false,
        };
        self.sessions.insert(id, session);
        (id, mailbox)
    }

    /// Notes a client's name, which TLS tells only after the handshake.
    pub fn name_session(&mut self, id: SessionId, client: &str) {
        if let Some(session) = self.sessions.get_mut(&id).filter(|session| session.role.client.is_none()) {
            session.role.client = Some(client.to_owned());
        }
    }

    /// Ends a session: its locks, monitors and waiting requests.
    pub fn close_session(&mut self, id: SessionId) {
        let names =
            self.sessions.get(&id).map(|session| session.monitors.keys().cloned().collect::<Vec<_>>());
        for name in names.unwrap_or_default() {
            self.take_monitor(id, &name);
        }
        self.sessions.remove(&id);
        self.waiting.retain(|request| request.session != id);
        let events = self.locks.release_all(id);
        self.tell_lock_events(events);
    }

    /// Gives a session a monitor.
    pub(crate) fn put_monitor(&mut self, session: SessionId, watching: Watching) {
        let key = (session, watching.name.to_string());
        let Some(session) = self.sessions.get_mut(&session) else { return };
        if let Some(served) = self.databases.get_mut(&watching.database) {
            served.watchers.add(&key, &watching.monitor);
        }
        session.monitors.insert(key.1, watching);
    }

    /// Takes a monitor from a session; `name` is JSON text.
    pub(crate) fn take_monitor(&mut self, session: SessionId, name: &str) -> Option<Watching> {
        let watching = self.sessions.get_mut(&session)?.monitors.remove(name)?;
        if let Some(served) = self.databases.get_mut(&watching.database) {
            served.watchers.remove(&(session, name.to_owned()), &watching.monitor);
        }
        Some(watching)
    }

    /// The number of sessions.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The number of monitors of all sessions.
    pub fn monitor_count(&self) -> usize {
        self.sessions.values().map(|session| session.monitors.len()).sum()
    }

    /// The number of requests that wait.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn tell(&self, session: SessionId, message: Message) {
        if let Some(session) = self.sessions.get(&session) {
            session.mailbox.put(message);
        }
    }

    pub(crate) fn tell_lock_events(&self, events: Vec<LockEvent>) {
        for event in events {
            let (session, method, name) = match event {
                LockEvent::Locked(session, name) => (session, "locked", name),
                LockEvent::Stolen(session, name) => (session, "stolen", name),
            };
            self.tell(session, Message::notification(method, vec![Json::string(name)]));
        }
    }

    /// Executes a request, and again those that waited for its effects.
    pub(crate) fn transact(&mut self, session: SessionId, id: Json, database: &str, operations: Vec<Json>) {
        let arrived_ms = self.clock.now_ms();
        let request = WaitingRequest {
            session,
            id,
            database: database.to_owned(),
            operations,
            arrived_ms,
            until_ms: None,
        };
        if self.try_request(request) {
            self.retry(database);
        }
    }

    /// Executes a request or queues it. Says whether the database changed.
    fn try_request(&mut self, mut request: WaitingRequest) -> bool {
        let now = self.now();
        let Some(client) = self.sessions.get(&request.session) else { return false };
        let Some(served) = self.databases.get_mut(&request.database) else { return false };
        let access = match client.access {
            _ if request.database == SERVER_DB => Access::Reserved,
            _ if served.role.is_backup() => Access::ReadOnly,
            access => access,
        };
        if let ServedRole::Relay(_, outbox) = &served.role
            && access == Access::ReadWrite
            && changes_rows(&request.operations)
        {
            let WaitingRequest { session, id, operations, .. } = request;
            outbox.put(Forwarded { session, id, method: "transact", params: operations });
            return false;
        }
        let role = Some(&client.role);
        let (locks, session) = (&self.locks, request.session);
        let executable = Request {
            operations: &request.operations,
            access,
            waiting: Waiting::Since(now.mono_ms.saturating_sub(request.arrived_ms)),
            owns_lock: &|name| locks.owns(session, name),
        };
        match served.transact(&executable, role, &mut self.uuids, now) {
            Executed::Blocked(until) => {
                request.until_ms = until.map(|ms| request.arrived_ms.saturating_add(ms));
                self.waiting.push(request);
                self.changed.notify_one();
                false
            }
            Executed::Done(results, changes) => {
                let changed = self.publish(&request.database, changes);
                self.tell(request.session, Message::reply(request.id, Json::Array(results)));
                changed
            }
        }
    }

    /// Tells every monitor of a commit. Says whether there was one.
    pub(crate) fn publish(&mut self, database: &str, changes: Changes) -> bool {
        let id = self.uuids.next_uuid();
        self.publish_as(database, changes, id)
    }

    /// The same, of a commit that another server has named.
    fn publish_as(&mut self, database: &str, changes: Changes, id: Uuid) -> bool {
        let (false, Some(served)) = (changes.is_empty(), self.databases.get_mut(database)) else {
            return false;
        };
        if database == SERVER_DB || changes.keys().any(|table| served.arranging.contains(table)) {
            self.arrangements += 1;
            self.changed.notify_one();
        }
        for (session, name) in served.watchers.of(&changes) {
            let Some(session) = self.sessions.get(session) else { continue };
            let Some(Watching { name, monitor, .. }) = session.monitors.get(name) else { continue };
            if let Some(update) = monitor.update(&served.db, &changes) {
                session.mailbox.put(notification(monitor, name, id, update));
            }
        }
        served.history.push(id, changes);
        true
    }

    /// Repeats another server's updates on a copy; `id` names its last commit.
    pub fn mirror(
        &mut self,
        name: &str,
        updates: &Json,
        extent: Extent,
        excluded: &BTreeSet<String>,
        id: Uuid,
    ) -> Result<()> {
        let now = self.now();
        let Some(served) = self.databases.get_mut(name) else { return Ok(()) };
        let changes = served.mirror(updates, extent, excluded, &mut self.uuids, now)?;
        let id = if id.is_zero() { self.uuids.next_uuid() } else { id };
        if self.publish_as(name, changes, id) {
            self.retry(name);
        }
        Ok(())
    }

    /// Gives a relay its source's schema; says whether it was another one.
    pub fn adopt_schema(&mut self, name: &str, schema: &ovsdb::DbSchema) -> bool {
        let Some(served) = self.databases.get_mut(name) else { return false };
        if *served.db.schema == *schema {
            return false;
        }
        served.db = ovsdb_engine::Database::new(schema.clone());
        served.history.clear();
        self.forget_database_in_sessions(name);
        self.refresh_server_db();
        self.disconnect_unaware(&format!("adopted another schema of {name} database"));
        true
    }

    /// How far a copy has come.
    pub fn link(&self, name: &str) -> Option<Link> {
        Some(self.databases.get(name)?.link.clone())
    }

    /// Notes how far a copy has come.
    pub fn set_link(&mut self, name: &str, link: Link) {
        if let Some(served) = self.databases.get_mut(name).filter(|served| served.link != link) {
            served.link = link;
            self.refresh_server_db();
        }
    }

    /// Tries what waits on a database until nothing changes any more.
    pub(crate) fn retry(&mut self, database: &str) {
        loop {
            let (due, kept) =
                std::mem::take(&mut self.waiting).into_iter().partition(|r| r.database == database);
            self.waiting = kept;
            let due: Vec<WaitingRequest> = due;
            let changed = due.into_iter().fold(false, |changed, request| self.try_request(request) | changed);
            if !changed {
                break;
            }
        }
    }

    /// When the next waiting request times out.
    pub fn next_timeout(&self) -> Option<u64> {
        self.waiting.iter().filter_map(|request| request.until_ms).min()
    }

    /// Lets waiting requests time out.
    pub fn run_timeouts(&mut self) {
        let now = self.clock.now_ms();
        let (due, kept) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|request| request.until_ms.is_some_and(|until| until <= now));
        self.waiting = kept;
        let due: Vec<WaitingRequest> = due;
        for request in due {
            let database = request.database.clone();
            if self.try_request(request) {
                self.retry(&database);
            }
        }
    }

    /// The databases whose files have grown so much that they are to be compacted.
    pub fn due_for_compaction(&self) -> Vec<String> {
        let now = self.now();
        let due = self.databases.iter().filter(|(_, served)| served.wants_compaction(now));
        due.map(|(name, _)| name.clone()).collect()
    }

    /// Brings `_Server` up to date with the set of databases.
    pub(crate) fn refresh_server_db(&mut self) {
        let wanted: Vec<server_db::Entry> =
            self.databases.iter().map(|(name, served)| server_db::Entry::new(name, served)).collect();
        let now = self.now();
        let Some(own) = self.databases.get_mut(SERVER_DB) else { return };
        let operations = server_db::operations(&own.db, &wanted);
        let changes = own.change(&operations, &mut self.uuids, now);
        if self.publish(SERVER_DB, changes) {
            self.retry(SERVER_DB);
        }
    }

    /// Executes the server's own operations on a database that it offers, and tells the monitors.
    pub fn change_database(&mut self, name: &str, operations: &[Json]) {
        let now = self.now();
        let Some(served) = self.databases.get_mut(name) else { return };
        let changes = served.change(operations, &mut self.uuids, now);
        if self.publish(name, changes) {
            self.retry(name);
        }
    }
}

/// The notification that carries an update; `last` names the last commit.
pub(crate) fn notification(monitor: &Monitor, name: &Json, last: Uuid, update: Json) -> Message {
    let mut params = vec![name.clone()];
    if monitor.version() == Version::V3 {
        params.push(Json::string(last.to_string()));
    }
    params.push(update);
    Message::notification(monitor.version().method(), params)
}

/// Whether a request may change rows.
fn changes_rows(operations: &[Json]) -> bool {
    let writes = ["insert", "update", "mutate", "delete"];
    operations.iter().any(|o| o.get("op").and_then(Json::as_str).is_some_and(|op| writes.contains(&op)))
}

/// A `syntax error` that shows the request's parameters.
pub(crate) fn bad_params(params: &[Json], details: impl Into<String>) -> Error {
    Error::syntax(&Json::Array(params.to_vec()), details)
}

//! Writes into the database how the remotes that it defines stand.
//!
//! Where it sits: run every few seconds by `run`; the columns `is_connected` and `status` are ephemeral, so nothing goes to disk.
//!
//! Spec: ovs-vswitchd.conf.db(5), "Manager TABLE", "Status".

use ovsdb::json::Json;
use ovsdb::{Atom, Datum};
use stream::name::{OVSDB_PORT, Passive};
use stream::reconnect::{State, Stats};

use crate::connection::Shared;
use crate::remotes::{Remotes, Standing, resolve};
use crate::server::Server;

/// Updates the rows of all `db:` remotes.
pub fn update(server: &Shared, remotes: &Remotes) {
    for name in remotes.names.iter().filter(|name| name.starts_with("db:")) {
        let operations = operations(server, remotes, name);
        if let Some((database, operations)) = operations.filter(|(_, operations)| !operations.is_empty()) {
            server.borrow_mut().change_database(&database, &operations);
        }
    }
}

fn operations(server: &Shared, remotes: &Remotes, name: &str) -> Option<(String, Vec<Json>)> {
    let server = server.borrow();
    let (db, table, column) = resolve(&server, name).ok()?;
    let place = &db.tables[table];
    let target = db.table(place.schema.columns[column].kind.key.reference()?.0)?;
    let schema = &target.schema;
    let (connected, status) = (schema.column("is_connected")?, schema.column("status"));
    let target_column = schema.column_index("target")?;
    let uuids = place.rows.values().flat_map(|row| row.fields[column].keys()).filter_map(Atom::as_uuid);
    let mut operations = Vec::new();
    for row in uuids.filter_map(|uuid| target.rows.get(&uuid)) {
        let name = row.fields[target_column].single().and_then(Atom::as_str).unwrap_or_default();
        let standing = remotes.standing(name);
        let is_connected = standing.is_some_and(|standing| standing.connections.get() > 0);
        let mut new = vec![("is_connected", Datum::scalar(is_connected), connected)];
        if let Some(column) = status {
            let pairs = match standing.and_then(|standing| Some((standing, standing.dialled.get()?))) {
                Some((standing, (state, stats))) => of_dialled(&server, standing, state, stats),
                None if Passive::parse(name, OVSDB_PORT).is_ok() => of_listening(standing),
                None => vec![("state", State::Backoff.to_string())],
            };
            new.push(("status", Datum::string_map(pairs), column));
        }
        let differs = new.iter().any(|(name, datum, _)| {
            schema.column_index(name).is_some_and(|index| row.fields[index] != *datum)
        });
        if differs {
            let clause = Json::Array(vec![Json::string("_uuid"), Json::string("=="), row.uuid.to_json()]);
            operations.push(Json::object([
                ("op", Json::string("update")),
                ("table", Json::string(&*schema.name)),
                ("where", Json::Array(vec![clause])),
                ("row", Json::object(new.into_iter().map(|(name, d, c)| (name, d.to_json(&c.kind))))),
            ]));
        }
    }
    Some((db.schema.name.clone(), operations))
}

/// What is told of a remote that listens: of its clients nothing but their number.
fn of_listening(standing: Option<&Standing>) -> Vec<(&'static str, String)> {
    let mut pairs = Vec::new();
    if let Some(standing) = standing {
        let clients = standing.connections.get();
        pairs.extend(standing.port.get().map(|port| ("bound_port", port.to_string())));
        pairs.extend((clients > 1).then(|| ("n_connections", clients.to_string())));
    }
    pairs.extend(["sec_since_connect", "sec_since_disconnect"].map(|name| (name, "0".to_owned())));
    pairs
}

/// What is told of a remote that is dialled.
fn of_dialled(
    server: &Server,
    standing: &Standing,
    state: State,
    stats: Stats,
) -> Vec<(&'static str, String)> {
    let mut pairs = vec![("state", state.to_string())];
    let seconds = |at: u64| (server.clock.now_ms().saturating_sub(at) / 1000).to_string();
    pairs.extend(stats.last_connected.map(|at| ("sec_since_connect", seconds(at))));
    pairs.extend(stats.last_disconnected.map(|at| ("sec_since_disconnect", seconds(at))));
    if standing.connections.get() > 0 {
        let claims = server.locks.claims(standing.session.get());
        let lists =
            [("locks_held", claims.held), ("locks_waiting", claims.waiting), ("locks_lost", claims.lost)];
        let some = lists.into_iter().filter(|(_, names)| !names.is_empty());
        pairs.extend(some.map(|(name, names)| (name, names.join(" "))));
    }
    pairs
}

//! Writes into the database whether the remotes that it defines are connected.
//!
//! Where it sits: run every few seconds by `run`; the columns `is_connected` and `status` are ephemeral, so nothing goes to disk.

use ovsdb::json::Json;
use ovsdb::{Atom, Datum};

use crate::connection::Shared;
use crate::remotes::{Remotes, resolve};

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
        let (clients, port) = remotes.status(name).unwrap_or((0, None));
        let mut new = vec![("is_connected", Datum::scalar(clients > 0), connected)];
        if let Some(column) = status {
            let mut pairs = Vec::new();
            pairs.extend(port.map(|port| ("bound_port", port.to_string())));
            pairs.extend((clients > 1).then(|| ("n_connections", clients.to_string())));
            pairs.push(("state", if clients > 0 { "ACTIVE" } else { "IDLE" }.to_owned()));
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

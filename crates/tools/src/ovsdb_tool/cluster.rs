//! What is in the file of a clustered database's member: identities, the history, and the data, as a standalone database.
//!
//! Where it sits: commands of ovsdb-tool.
//!
//! I1  An entry of the log takes the place of those with its index or greater: a leader that was deposed had written them.
//!
//! Spec: ovsdb(5), "Clustered Format"; ovsdb-tool(1).

use std::process::ExitCode;

use ovsdb::json::Json;
use ovsdb::{DbSchema, Uuid};
use ovsdb_engine::Storage;
use ovsdb_engine::log::{self, Kind, Reader};
use ovsdb_engine::record::{self, Unknown};
use ovsdb_engine::storage;

use super::show_log::{Names, print_transaction};
use super::{Call, read_any, text};

/// The bytes of a member's file.
fn read_member(file: &str) -> Result<Vec<u8>, String> {
    match read_any(file)? {
        (data, Kind::Clustered) => Ok(data),
        (_, Kind::Standalone) => Err(format!("{file}: not a clustered database")),
    }
}

/// A string of a file's first record.
fn header(file: &str, member: &str) -> Result<Option<String>, String> {
    let data = read_member(file)?;
    let first = Reader::clustered(&data, file).next();
    let first =
        first.ok_or_else(|| format!("{file}: unexpected end of file reading header"))?.map_err(text)?;
    Ok(first.get(member).and_then(Json::as_str).map(str::to_owned))
}

fn print(call: &Call, member: &str) -> Result<ExitCode, String> {
    let file = call.db(0);
    let missing = || format!("{file}: header without {member}");
    println!("{}", header(&file, member)?.ok_or_else(missing)?);
    Ok(ExitCode::SUCCESS)
}

/// `db-name`.
pub(super) fn name(call: &Call) -> Result<ExitCode, String> {
    print(call, "name")
}

/// `db-sid`.
pub(super) fn sid(call: &Call) -> Result<ExitCode, String> {
    print(call, "server_id")
}

/// `db-local-address`.
pub(super) fn local_address(call: &Call) -> Result<ExitCode, String> {
    print(call, "local_address")
}

/// `db-cid`.
pub(super) fn cid(call: &Call) -> Result<ExitCode, String> {
    let file = call.db(0);
    match header(&file, "cluster_id")? {
        Some(id) => println!("{id}"),
        None => {
            eprintln!("{file}: cluster ID not yet known");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The two parts of a `<cluster-txn>`: a schema, if it changes, and a transaction, if there is one.
fn parts(data: &Json) -> Result<(Option<DbSchema>, Option<&Json>), String> {
    let [schema, transaction] = data.as_array().unwrap_or_default() else { return Ok((None, None)) };
    let schema = if schema.is_null() { None } else { Some(DbSchema::from_json(schema).map_err(text)?) };
    Ok((schema, Some(transaction).filter(|t| !t.is_null())))
}

/// `cluster-to-standalone`: entries that no majority may have confirmed are taken as well, for nobody can be asked.
pub(super) fn to_standalone(call: &Call) -> Result<ExitCode, String> {
    let (target, file) = (&call.args[0], &call.args[1]);
    let (data, kind) = read_any(file)?;
    if kind != Kind::Clustered {
        return Err("Database is not clustered db.\n".to_owned());
    }
    let mut entries: Vec<(i64, Json)> = Vec::new();
    for record in Reader::clustered(&data, file) {
        let record = record.map_err(text)?;
        if let Some(first) = record.get("prev_data") {
            entries.push((i64::MIN, first.clone()));
        } else if let Some(index) = record.get("index").and_then(Json::as_i64) {
            // I1
            entries.retain(|(earlier, _)| *earlier < index);
            entries.extend(record.get("data").map(|data| (index, data.clone())));
        }
    }
    let standalone = records(entries.iter().map(|(_, data)| data), file)?;
    let (schema, records) =
        standalone.ok_or_else(|| format!("{file}: no data, as it has not joined its cluster"))?;
    let mut storage = Storage::create(target, &schema).map_err(text)?;
    records.iter().try_for_each(|record| storage.append(record)).map_err(text)?;
    storage.sync().map_err(text)?;
    Ok(ExitCode::SUCCESS)
}

/// Schema and records of a standalone database that says what `entries` say.
fn records<'a>(
    entries: impl Iterator<Item = &'a Json>,
    file: &str,
) -> Result<Option<(DbSchema, Vec<String>)>, String> {
    let mut standalone: Option<(DbSchema, Vec<String>)> = None;
    for data in entries {
        let (schema, transaction) = parts(data)?;
        let transaction = transaction.map(Json::to_string);
        standalone = match (schema, transaction, standalone) {
            // The transaction is the whole database.
            (Some(schema), Some(whole), _) => Some((schema, vec![whole])),
            (Some(schema), None, Some(before)) => Some(converted(before, schema, file)?),
            (Some(schema), None, None) => Some((schema, Vec::new())),
            (None, Some(more), Some((schema, mut records))) => {
                records.push(more);
                Some((schema, records))
            }
            (None, _, before) => before,
        };
    }
    Ok(standalone)
}

/// What a conversion that the log tells without its data makes of the records before it.
fn converted(
    (old, records): (DbSchema, Vec<String>),
    schema: DbSchema,
    file: &str,
) -> Result<(DbSchema, Vec<String>), String> {
    let mut data = log::encode(&old.to_json().to_string());
    records.iter().for_each(|record| data.extend(log::encode(record)));
    let (loaded, _) = storage::load(&data, file, Some(schema.clone()), Unknown::Ignore).map_err(text)?;
    let contents = record::snapshot(&loaded.db, "converted by ovsdb-server", 0);
    Ok((schema, contents.into_iter().collect()))
}

/// `show-log` of a member's file.
pub(super) fn show_log(reader: Reader<'_>, verbosity: usize) -> Result<ExitCode, String> {
    let mut shown = Shown { schema: None, names: Names::new(), verbosity };
    for (number, record) in reader.enumerate() {
        let record = record.map_err(text)?;
        println!("record {number}:");
        let shows_data = if number == 0 { shown.header(&record)? } else { shown.record(&record)? };
        // The rows of a transaction end with an empty line themselves.
        if !shows_data {
            println!();
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What has been shown so far.
struct Shown {
    schema: Option<DbSchema>,
    names: Names,
    verbosity: usize,
}

/// The first digits of an identity, as clusters are talked of.
fn short(id: &str) -> String {
    Uuid::parse(id).map_or_else(|| id.to_owned(), |id| format!("{:04x}", id.first_word() >> 16))
}

fn servers(servers: &Json) -> String {
    let servers = servers.as_object().into_iter().flatten();
    let each = servers.map(|(id, address)| format!("{}({address})", short(id)));
    each.collect::<Vec<_>>().join(", ")
}

impl Shown {
    /// True if there was data to show.
    fn header(&mut self, record: &Json) -> Result<bool, String> {
        let string = |name| record.get(name).and_then(Json::as_str);
        println!(" name: \"{}'", string("name").unwrap_or_default());
        println!(" local address: \"{}\"", string("local_address").unwrap_or_default());
        println!(" server_id: {}", short(string("server_id").unwrap_or_default()));
        if let Some(id) = string("cluster_id") {
            println!(" cluster_id: {}", short(id));
        }
        if let Some(remotes) = record.get("remote_addresses").and_then(Json::as_array) {
            let remotes: Vec<&str> = remotes.iter().filter_map(Json::as_str).collect();
            println!(" remote_addresses: {}", remotes.join(" "));
        }
        self.members(record, &["prev_index", "prev_term"]);
        if let Some(all) = record.get("prev_servers") {
            println!(" prev_servers: {}", servers(all));
        }
        if let Some(id) = string("prev_eid") {
            println!(" prev_eid: {}", short(id));
        }
        record.get("prev_data").map_or(Ok(false), |data| self.data(data, "prev_"))
    }

    /// True if there was data to show.
    fn record(&mut self, record: &Json) -> Result<bool, String> {
        if let Some(comment) = record.get("comment").and_then(Json::as_str) {
            println!(" comment: \"{comment}\"");
        }
        self.members(record, &["term", "index"]);
        for name in ["eid", "vote", "leader"] {
            if let Some(id) = record.get(name).and_then(Json::as_str) {
                println!(" {name}: {}", short(id));
            }
        }
        self.members(record, &["commit_index"]);
        if let Some(note) = record.get("note").and_then(Json::as_str) {
            println!(" note: \"{note}\"");
        }
        if let Some(all) = record.get("servers") {
            println!(" servers: {}", servers(all));
        }
        record.get("data").map_or(Ok(false), |data| self.data(data, ""))
    }

    fn members(&self, record: &Json, names: &[&str]) {
        for name in names {
            if let Some(value) = record.get(name) {
                println!(" {name}: {value}");
            }
        }
    }

    fn data(&mut self, data: &Json, prefix: &str) -> Result<bool, String> {
        let (schema, transaction) = parts(data)?;
        if let Some(schema) = schema {
            let (name, version, cksum) = (&schema.name, &schema.version, &schema.cksum);
            println!(" {prefix}schema: \"{name}\", version=\"{version}\", cksum=\"{cksum}\"");
            self.schema = Some(schema);
        }
        if let (Some(schema), Some(transaction)) = (&self.schema, transaction) {
            print_transaction(schema, transaction, self.verbosity, &mut self.names);
        }
        Ok(true)
    }
}

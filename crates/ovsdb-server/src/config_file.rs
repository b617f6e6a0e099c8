//! The configuration file: remotes and databases in one JSON object.
//!
//! Where it sits: read at start and by `ovsdb-server/reload`; `load` makes the server what it says.
//!
//! ~~~text
//! { "remotes":   { "punix:db.sock": {}, "pssl:6640": {"role": "ctl", "read-only": true, …} },
//!   "databases": { "conf.db": null, "OVN_Southbound": {"service-model": "relay", "source": {"tcp:…": {…}}} } }
//! ~~~
//! I1  A file with a mistake changes nothing.
//!
//! Spec: ovsdb-server(1) "--config-file".

use std::collections::BTreeMap;

use ovsdb::json::{self, Json};
use ovsdb::members::{Kinds, Members};
use ovsdb::{Error, Result};
use ovsdb_engine::Access;

use crate::control::Control;
use crate::remotes::RemoteOptions;
use crate::served::Role;
use crate::source::Source;

/// What a file says.
#[derive(Debug, Default, PartialEq)]
pub struct Config {
    remotes: BTreeMap<String, RemoteOptions>,
    databases: BTreeMap<String, Model>,
}

/// How a database is served.
#[derive(Clone, Debug, PartialEq)]
enum Model {
    File,
    Active(Source),
    Backup(Source),
    Relay(Source),
}

impl Config {
    /// Reads the text of a file.
    pub fn parse(text: &[u8]) -> Result<Config> {
        let json = json::parse(text).map_err(|error| Error::new("syntax error", error.to_string()))?;
        let mut members = Members::new(&json, &"configuration file");
        let remotes = members.required("remotes", Kinds::OBJECT).and_then(Json::as_object);
        let databases = members.required("databases", Kinds::OBJECT).and_then(Json::as_object);
        members.finish()?;
        let mut config = Config::default();
        for (target, options) in remotes.into_iter().flatten() {
            config.remotes.insert(target.to_string(), parse_remote(target, options)?);
        }
        for (name, options) in databases.into_iter().flatten() {
            config.databases.insert(name.to_string(), parse_database(name, options)?);
        }
        Ok(config)
    }
}

static NO_OPTIONS: std::sync::LazyLock<Json> = std::sync::LazyLock::new(|| Json::Object(Default::default()));

fn or_empty(json: &Json) -> &Json {
    if json.is_null() { &NO_OPTIONS } else { json }
}

fn milliseconds(members: &mut Members<'_>, name: &'static str) -> Option<u64> {
    members.optional(name, Kinds::INTEGER).and_then(Json::as_i64).and_then(|n| u64::try_from(n).ok())
}

fn parse_remote(target: &str, json: &Json) -> Result<RemoteOptions> {
    let what = format!("JSON-RPC options for '{target}'");
    let mut members = Members::new(or_empty(json), &what);
    let max_backoff = milliseconds(&mut members, "max-backoff");
    let probe_interval = milliseconds(&mut members, "inactivity-probe");
    let read_only = members.optional("read-only", Kinds::BOOL).and_then(Json::as_bool) == Some(true);
    let role = members.optional("role", Kinds::STRING).and_then(Json::as_str).unwrap_or_default().to_owned();
    members.optional("dscp", Kinds::INTEGER);
    members.finish()?;
    let access = if read_only { Access::ReadOnly } else { Access::ReadWrite };
    Ok(RemoteOptions { max_backoff, probe_interval, access, role })
}

fn parse_database(name: &str, json: &Json) -> Result<Model> {
    let what = format!("database '{name}'");
    let mut members = Members::new(or_empty(json), &what);
    let model = members.optional("service-model", Kinds::STRING).and_then(Json::as_str);
    let source = members.optional("source", Kinds::OBJECT).and_then(Json::as_object);
    let backup = members.optional("backup", Kinds::BOOL).and_then(Json::as_bool) == Some(true);
    let excluded = members.optional("exclude-tables", Kinds::ARRAY).and_then(Json::as_array);
    members.finish()?;
    let failed = |text: &str| Error::new("syntax error", format!("{what}: {text}"));
    let source = match source {
        None => None,
        Some(source) if source.len() == 1 => source.iter().next(),
        Some(_) => return Err(failed("'source' must have exactly one target")),
    };
    let source = source.map(|(target, options)| parse_source(target, options, excluded)).transpose()?;
    match (model.unwrap_or("standalone"), source) {
        ("standalone", None) => Ok(Model::File),
        ("standalone", Some(_)) => Err(failed("a standalone database has no 'source'")),
        ("relay", Some(source)) => Ok(Model::Relay(source)),
        ("active-backup", Some(source)) if backup => Ok(Model::Backup(source)),
        ("active-backup", Some(source)) => Ok(Model::Active(source)),
        ("relay" | "active-backup", None) => Err(failed("'source' is required")),
        ("clustered", _) => Err(failed("clustered databases are not supported")),
        (other, _) => Err(failed(&format!("'{other}' is not a service model"))),
    }
}

fn parse_source(target: &str, json: &Json, excluded: Option<&[Json]>) -> Result<Source> {
    let what = format!("JSON-RPC options for '{target}'");
    let mut members = Members::new(or_empty(json), &what);
    let mut source = Source::new(target);
    source.max_backoff = milliseconds(&mut members, "max-backoff");
    if let Some(ms) = milliseconds(&mut members, "inactivity-probe") {
        source.probe_interval = ms;
    }
    members.optional("dscp", Kinds::INTEGER);
    members.finish()?;
    source.excluded = excluded.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
    Ok(source)
}

/// Makes the server what the configuration file says.
pub fn load(control: &Control) -> std::result::Result<(), String> {
    let Some(file) = &control.config_file else {
        return Err("Configuration file was not specified on command line.".to_owned());
    };
    log::info!(target: "ovsdb_server", "loading configuration from '{file}'");
    let text = std::fs::read(file).map_err(|error| format!("'{file}': {}", stream::error_text(&error)))?;
    let config = Config::parse(&text).map_err(|error| format!("'{file}': {error}"))?;
    let databases = sync_databases(control, &config);
    {
        let mut remotes = control.remotes.borrow_mut();
        remotes.configured = config.remotes;
        remotes.names = remotes.configured.keys().cloned().collect();
    }
    databases.and(control.apply())
}

fn sync_databases(control: &Control, config: &Config) -> std::result::Result<(), String> {
    let mut server = control.server.borrow_mut();
    let file_of = |name: &str| control.folder.join(name).display().to_string();
    let unwanted: Vec<String> = server
        .databases
        .iter()
        .filter(|(name, served)| match (&served.storage, &served.role) {
            (Some(storage), _) => !config
                .databases
                .iter()
                .any(|(n, m)| !matches!(m, Model::Relay(_)) && file_of(n) == storage.name()),
            (None, Role::Relay(..)) => !matches!(config.databases.get(*name), Some(Model::Relay(_))),
            _ => false,
        })
        .map(|(name, _)| name.clone())
        .collect();
    for name in unwanted {
        server.remove_database(&name);
    }
    let mut result = Ok(());
    for (name, model) in &config.databases {
        let done = match model {
            Model::Relay(source) => server.add_relay(name, source.clone()),
            Model::File => server.serve_file(&file_of(name), Role::Standalone),
            Model::Active(source) => server.serve_file(&file_of(name), Role::Active(Some(source.clone()))),
            Model::Backup(source) => server.serve_file(&file_of(name), Role::Backup(source.clone())),
        };
        if let Err(error) = done {
            log::error!(target: "ovsdb_server", "{error}");
            result = result.and(Err(error));
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_say() {
        let parse = |text: &str| Config::parse(text.as_bytes()).map_err(|error| error.to_string());
        let config = parse(
            r#"{"remotes":{"punix:s":null,"pssl:1":{"role":"r","read-only":true,"inactivity-probe":5,"dscp":1}},
                "databases":{"a.db":{},"b.db":null,"R":{"service-model":"relay","source":{"tcp:1.2.3.4:5":{"max-backoff":9}}},
                "c.db":{"service-model":"active-backup","backup":true,"source":{"unix:x":null},"exclude-tables":["T"]}}}"#,
        );
        let config = config.unwrap();
        let remote = &config.remotes["pssl:1"];
        assert_eq!(
            (remote.role.as_str(), remote.access, remote.probe_interval),
            ("r", Access::ReadOnly, Some(5))
        );
        assert_eq!(config.databases["a.db"], Model::File);
        assert!(matches!(&config.databases["R"], Model::Relay(s) if s.max_backoff == Some(9)));
        assert!(matches!(&config.databases["c.db"], Model::Backup(s) if s.excluded.contains("T")));
        for bad in [
            "[]",
            "{",
            r#"{"remotes":{}}"#,
            r#"{"remotes":{"x":{"role":1}},"databases":{}}"#,
            r#"{"remotes":{"x":{"what":1}},"databases":{}}"#,
            r#"{"remotes":{},"databases":{"d":{"service-model":"relay"}}}"#,
            r#"{"remotes":{},"databases":{"d":{"service-model":"relay","source":{"a":null,"b":null}}}}"#,
            r#"{"remotes":{},"databases":{"d":{"service-model":"clustered"}}}"#,
            r#"{"remotes":{},"databases":{"d":{"service-model":"x"}}}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

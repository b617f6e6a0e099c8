//! TLS settings whose files the database may name.
//!
//! Where it sits: filled by the command line; applied at start and after every commit to a table that they name.
//!
//! Spec: ovsdb-server(1) "Public Key Infrastructure Options".

use ovsdb::{Atom, AtomicType};
use stream::tls::{Authority, Settings};

use crate::remotes::resolve;
use crate::server::Server;

/// Settings in which `db:DB,TABLE,COLUMN` stands for the first string in that column.
#[derive(Clone, Debug, Default)]
pub struct Pki(pub Settings);

impl Pki {
    /// What the settings that may be `db:` names say.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let settings = &self.0;
        let authority = match &settings.authority {
            Authority::File(name) | Authority::Bootstrap(name) => Some(name),
            _ => None,
        };
        let optional = [
            &settings.private_key,
            &settings.certificate,
            &settings.peer_ca_cert,
            &settings.protocols,
            &settings.ciphers,
            &settings.ciphersuites,
        ];
        optional.into_iter().flatten().chain(authority).map(String::as_str)
    }

    /// Uses what the settings and the databases say now. The error is of the first bad name.
    pub fn apply(&self, server: &Server) -> Result<(), String> {
        let mut result = Ok(());
        let mut value = |text: &str| {
            lookup(server, text).unwrap_or_else(|error| {
                if result.is_ok() {
                    result = Err(error);
                }
                None
            })
        };
        let mut optional = |text: &Option<String>| value(text.as_deref()?);
        let settings = &self.0;
        let resolved = Settings {
            private_key: optional(&settings.private_key),
            certificate: optional(&settings.certificate),
            peer_ca_cert: optional(&settings.peer_ca_cert),
            protocols: optional(&settings.protocols),
            ciphers: optional(&settings.ciphers),
            ciphersuites: optional(&settings.ciphersuites),
            server_name: settings.server_name.clone(),
            authority: match &settings.authority {
                Authority::File(name) => match value(name) {
                    Some(file) if file == "none" => Authority::Unverified,
                    Some(file) => Authority::File(file),
                    None => Authority::Unset,
                },
                Authority::Bootstrap(name) => value(name).map_or(Authority::Unset, Authority::Bootstrap),
                other => other.clone(),
            },
        };
        stream::tls::configure(resolved);
        result
    }
}

/// The text itself, or what the database has for it.
fn lookup(server: &Server, text: &str) -> Result<Option<String>, String> {
    if !text.starts_with("db:") {
        return Ok(Some(text.to_owned()));
    }
    let (db, table, column) = resolve(server, text)?;
    let schema = &db.tables[table].schema;
    let kind = &schema.columns[column].kind;
    if kind.key.kind != AtomicType::String || kind.value.is_some() {
        let (table, column) = (&schema.name, &schema.columns[column].name);
        return Err(format!(
            "\"{text}\": table \"{table}\" column \"{column}\" is not string or set of strings"
        ));
    }
    let atoms = db.tables[table].rows.values().flat_map(|row| row.fields[column].keys());
    Ok(atoms.filter_map(Atom::as_str).find(|text| !text.is_empty()).map(str::to_owned))
}

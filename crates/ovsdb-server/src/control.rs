//! What users arrange: databases, remotes, roles of this server, and the tasks that follow from it.
//!
//! Where it sits: made by `run` out of the command line or a configuration file; changed by run-time commands.
//!
//! I1  `apply` is all that has to be called after a change: it starts and stops tasks until they are what was arranged.
//! I2  It tells the server which tables it has looked into, so that only their commits make `run` call it again.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tokio::task::JoinHandle;

use crate::connection::Shared;
use crate::pki::Pki;
use crate::remotes::{Remotes, resolve};
use crate::served::Role;
use crate::source::{self, Source};

/// The roles of an active-backup pair, as the command line and run-time commands arrange them for every database.
#[derive(Clone, Debug, Default)]
pub struct Replication {
    /// The server to follow when a backup.
    pub active: Option<String>,
    /// Tables that are not followed, as users wrote them.
    pub excluded: String,
    /// Silence before the active server is probed, in milliseconds.
    pub probe_interval: Option<u64>,
    /// What this server is; `None` where nobody spoke of replication.
    pub backup: Option<bool>,
}

impl Replication {
    /// The tables of `database` that are not followed.
    fn excluded(&self, database: &str) -> BTreeSet<String> {
        let pairs = self.excluded.split(',').filter_map(|item| item.trim().split_once(':'));
        pairs.filter(|(db, _)| *db == database).map(|(_, table)| table.to_owned()).collect()
    }
}

/// Everything that is arranged.
pub struct Control {
    /// The server.
    pub server: Shared,
    /// Where clients come from.
    pub remotes: RefCell<Remotes>,
    /// TLS.
    pub pki: Pki,
    /// Active and backup.
    pub replication: RefCell<Replication>,
    /// The configuration file, if there is one.
    pub config_file: Option<String>,
    /// Where names of files begin.
    pub folder: std::path::PathBuf,
    followers: RefCell<BTreeMap<String, (Source, JoinHandle<()>)>>,
}

/// The control, as commands share it.
pub type SharedControl = Rc<Control>;

impl Control {
    /// Nothing runs yet.
    pub fn new(server: Shared, pki: Pki, config_file: Option<String>) -> Control {
        Control {
            server,
            remotes: RefCell::default(),
            pki,
            replication: RefCell::default(),
            config_file,
            folder: std::env::current_dir().unwrap_or_default(),
            followers: RefCell::default(),
        }
    }

    /// Brings every task in line. The error is of the first bad name.
    pub fn apply(&self) -> Result<(), String> {
        let pki = self.pki.apply(&self.server.borrow());
        self.assign_roles();
        self.follow();
        let remotes = self.remotes.borrow_mut().reconfigure(&self.server);
        self.note_arranging();
        pki.and(remotes)
    }

    /// Notes the tables that `db:` names lead to.
    fn note_arranging(&self) {
        let mut server = self.server.borrow_mut();
        let remotes = self.remotes.borrow();
        let mut tables = BTreeSet::new();
        for name in remotes.names.iter().map(String::as_str).chain(self.pki.names()) {
            let Ok((db, table, column)) = resolve(&server, name) else { continue };
            let database = &db.schema.name;
            let target = db.tables[table].schema.columns[column].kind.key.reference();
            let target = target.and_then(|(target, _)| db.table_index(target));
            tables.extend([Some(table), target].into_iter().flatten().map(|table| (database.clone(), table)));
        }
        for (name, served) in &mut server.databases {
            let own = tables.iter().filter(|(database, _)| database == name);
            served.arranging = own.map(|(_, table)| *table).collect();
        }
    }

    /// Gives the databases without a role of their own the one of this server.
    fn assign_roles(&self) {
        let replication = self.replication.borrow();
        let Some(backup) = replication.backup else { return };
        let mut server = self.server.borrow_mut();
        let mut changed = false;
        for (name, served) in server.databases.iter_mut().filter(|(_, served)| served.storage.is_some()) {
            let source = replication.active.as_deref().map(|target| Source {
                probe_interval: replication.probe_interval.unwrap_or(source::PROBE_MS),
                excluded: replication.excluded(name),
                ..Source::new(target)
            });
            let role = match source {
                Some(source) if backup => Role::Backup(source),
                source => Role::Active(source),
            };
            changed |= served.role.is_backup() != role.is_backup();
            served.role = role;
        }
        if changed {
            server.disconnect_all(None);
        }
    }

    fn follow(&self) {
        let wanted: BTreeMap<String, _> = {
            let server = self.server.borrow();
            let followed = |(name, served): (&String, &crate::served::Served)| {
                let (source, outbox) = served.role.follows()?;
                Some((name.clone(), (source.clone(), outbox.cloned())))
            };
            server.databases.iter().filter_map(followed).collect()
        };
        let mut followers = self.followers.borrow_mut();
        followers.retain(|name, (source, task)| {
            let kept = wanted.get(name).is_some_and(|(wanted, _)| wanted == source);
            if !kept {
                task.abort();
                self.server.borrow_mut().set_link(name, source::Link::Connecting);
            }
            kept
        });
        for (name, (source, outbox)) in wanted {
            followers.entry(name.clone()).or_insert_with(|| {
                let task = source::follow(self.server.clone(), name, source.clone(), outbox);
                (source, tokio::task::spawn_local(task))
            });
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.followers.borrow().values().for_each(|(_, task)| task.abort());
    }
}

//! The types of devices that this process can open.
//!
//! Where it sits: filled by a daemon at start (dummy devices if enabled, Linux's if not disabled), asked by the host
//! of the datapath when a port is added.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Netdev, NetdevError};

/// Opens the device of a name: an existing one, or one that is made for it and lives as long as the result.
pub trait OpenNetdev: Send + Sync {
    /// Opens the device `name`.
    fn open(&self, name: &str) -> Result<Arc<dyn Netdev>, NetdevError>;
}

impl<F: Fn(&str) -> Result<Arc<dyn Netdev>, NetdevError> + Send + Sync> OpenNetdev for F {
    fn open(&self, name: &str) -> Result<Arc<dyn Netdev>, NetdevError> {
        self(name)
    }
}

/// Types of devices by name.
#[derive(Default)]
pub struct Registry {
    types: BTreeMap<String, Arc<dyn OpenNetdev>>,
}

impl Registry {
    /// A registry that knows no type.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Adds a type, or replaces it.
    pub fn register(&mut self, kind: &str, open: Arc<dyn OpenNetdev>) {
        self.types.insert(kind.to_owned(), open);
    }

    /// The types, sorted: what `Open_vSwitch.iface_types` lists.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }

    /// True if devices of this type can be opened.
    pub fn knows(&self, kind: &str) -> bool {
        self.types.contains_key(kind)
    }

    /// Opens the device `name` of the type `kind` (empty means `system`).
    pub fn open(&self, name: &str, kind: &str) -> Result<Arc<dyn Netdev>, NetdevError> {
        let kind = if kind.is_empty() { "system" } else { kind };
        match self.types.get(kind) {
            Some(opener) => opener.open(name),
            None => {
                log::warn!(target: "netdev", "could not create netdev {name} of unknown type {kind}");
                Err(NetdevError::UnknownType)
            }
        }
    }
}

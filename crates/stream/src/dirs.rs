//! Where programs keep their sockets, logs, databases and data: from the environment, else as Debian packages Open vSwitch.
//!
//! Where it sits: socket names, pid files, log files and default databases resolve against these folders. `daemon` re-exports it.

use std::path::{Path, PathBuf};

fn from_environment(variable: &str, default: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(value) if !value.is_empty() => value.into(),
        _ => default.into(),
    }
}

/// Sockets and pid files: `OVS_RUNDIR`.
pub fn rundir() -> PathBuf {
    from_environment("OVS_RUNDIR", "/var/run/openvswitch")
}

/// Log files: `OVS_LOGDIR`.
pub fn logdir() -> PathBuf {
    from_environment("OVS_LOGDIR", "/var/log/openvswitch")
}

/// Databases: `OVS_DBDIR`, else `OVS_SYSCONFDIR/openvswitch`.
pub fn dbdir() -> PathBuf {
    match std::env::var_os("OVS_DBDIR") {
        Some(value) if !value.is_empty() => value.into(),
        _ => sysconfdir().join("openvswitch"),
    }
}

/// Configuration: `OVS_SYSCONFDIR`.
pub fn sysconfdir() -> PathBuf {
    from_environment("OVS_SYSCONFDIR", "/etc")
}

/// Schemas and scripts: `OVS_PKGDATADIR`.
pub fn pkgdatadir() -> PathBuf {
    from_environment("OVS_PKGDATADIR", "/usr/share/openvswitch")
}

/// `path` itself if it is absolute, else in `folder`.
pub fn in_folder(folder: PathBuf, path: &str) -> PathBuf {
    // `Path::join` replaces the folder when the second part is absolute.
    folder.join(Path::new(path))
}

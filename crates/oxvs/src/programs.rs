//! Where the Open vSwitch programs are: beside this one, or in a folder that the user names.
//!
//! Where it sits: the demonstration asks it for every command it runs.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// What the demonstration runs.
const NEEDED: [&str; 6] =
    ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl"];

/// Folders of an installation, from its top.
const FOLDERS: [&str; 6] = ["", "bin", "sbin", "usr/bin", "usr/sbin", "usr/lib/openvswitch-switch"];
const SCHEMAS: [&str; 3] = [
    "share/openvswitch/vswitch.ovsschema",
    "usr/share/openvswitch/vswitch.ovsschema",
    "crates/ovsdb-server/schema/vswitch.ovsschema",
];

/// A complete set of programs.
#[derive(Debug)]
pub struct Programs {
    folders: Vec<PathBuf>,
    libraries: Option<PathBuf>,
    /// The database schema that belongs to them.
    pub schema: PathBuf,
}

impl Programs {
    /// Finds them under `dir`, or beside this program: in one folder with it, or in the installation that it is part of.
    pub fn find(dir: Option<&Path>) -> Result<Self> {
        let this = env::current_exe().context("cannot tell where this program is")?;
        let tops: Vec<PathBuf> = match dir {
            Some(dir) => vec![dir.canonicalize().with_context(|| format!("{}", dir.display()))?],
            // beside; PREFIX of PREFIX/bin; the source tree of target/release
            None => this.ancestors().skip(1).take(4).map(PathBuf::from).collect(),
        };
        let folders: Vec<PathBuf> =
            tops.iter().flat_map(|top| FOLDERS.iter().map(|folder| top.join(folder))).collect();
        let find = |name: &str| folders.iter().find(|folder| folder.join(name).is_file());
        let missing: Vec<&str> = NEEDED.into_iter().filter(|name| find(name).is_none()).collect();
        let place = dir.or(this.parent()).unwrap_or(Path::new("."));
        if !missing.is_empty() {
            bail!("not found beside {}: {}", place.display(), missing.join(", "));
        }
        let schema =
            tops.iter().flat_map(|top| SCHEMAS.iter().map(|file| top.join(file))).find(|file| file.is_file());
        let schema = schema.with_context(|| format!("no vswitch.ovsschema near {}", place.display()))?;
        let libraries = tops.iter().map(|top| top.join("usr/lib/x86_64-linux-gnu")).find(|dir| dir.is_dir());
        Ok(Self { folders, libraries: libraries.filter(|_| dir.is_some()), schema })
    }

    /// The full path of one of them.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folders
            .iter()
            .map(|dir| dir.join(name))
            .find(|file| file.is_file())
            .unwrap_or_else(|| name.into())
    }

    /// A command whose directories are all `rundir`, so that each hypervisor is a world of its own.
    pub fn command(&self, program: impl AsRef<OsStr>, rundir: &Path) -> Command {
        let mut command = Command::new(program);
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(name, rundir);
        }
        command.env("OVS_CTL_TIMEOUT", "20").env("OVS_SYSLOG_METHOD", "null");
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

//! `cargo xtask install DIR`: the release binaries under the names and in the places that users know.
//!
//! Where it sits: called by people and by packaging. Installs as far as the programs exist, and says what it left out.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::shell::{cargo, check, target_dir, workspace};

const BIN: [&str; 8] =
    ["ovs-vsctl", "vtep-ctl", "ovs-ofctl", "ovs-appctl", "ovs-dpctl", "ovsdb-client", "ovsdb-tool", "oxvs"];
const SBIN: [&str; 3] = ["ovs-vswitchd", "ovsdb-server", "ovsextd"];

/// Files that are installed as they are in the source tree: from where, and to where.
const FILES: [(&str, &str); 4] = [
    ("crates/ovsdb-server/schema/vswitch.ovsschema", "share/openvswitch/vswitch.ovsschema"),
    ("crates/ovsdb-server/schema/vtep.ovsschema", "share/openvswitch/vtep.ovsschema"),
    ("crates/tools/completion/ovs-vsctl", "share/bash-completion/completions/ovs-vsctl"),
    ("crates/tools/completion/ovs-appctl", "share/bash-completion/completions/ovs-appctl"),
];

/// Builds the release binaries; returns the folder that holds them.
pub fn build_release() -> Result<PathBuf> {
    check(cargo().args(["build", "--workspace", "--bins", "--release", "--quiet"]))?;
    Ok(target_dir().join("release"))
}

/// Installs into `dir`.
pub fn run(dir: &Path) -> Result<()> {
    let built = build_release()?;
    let mut absent = Vec::new();
    for (place, names) in [("bin", &BIN[..]), ("sbin", &SBIN[..])] {
        for name in names {
            match place_file(&built.join(name), &dir.join(place).join(name), 0o755)? {
                Placed::Yes => {}
                Placed::NoSource => absent.push(*name),
            }
        }
    }
    for (from, to) in FILES {
        if let Placed::NoSource = place_file(&workspace().join(from), &dir.join(to), 0o644)? {
            absent.push(from);
        }
    }
    println!("installed into {}", dir.display());
    if !absent.is_empty() {
        println!("not there yet: {}", absent.join(" "));
    }
    Ok(())
}

enum Placed {
    Yes,
    NoSource,
}

/// Copies through a new file and a rename, so that a running program is replaced and not overwritten.
fn place_file(from: &Path, to: &Path, mode: u32) -> Result<Placed> {
    if !from.is_file() {
        return Ok(Placed::NoSource);
    }
    let parent = to.parent().context("a place without a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
    fs::rename(&fresh, to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(Placed::Yes)
}

//! The C programs of Open vSwitch, unpacked into a cache folder to compare with; never installed.
//!
//! Where it sits: `needs` fetches them before the tests run; the tests find them through `testkit::oracle`, which looks
//! into the environment (`OXVS_ORACLE`) and then into the folder filled here. Works without root as long as the machine
//! has Debian's package lists.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    needs::{apt_update_once, has_apt},
    shell::{capture, target_dir},
};

/// Open vSwitch, and the libraries that its programs load and a bare machine does not have.
const PACKAGES: [&str; 11] = [
    "openvswitch-switch",
    "openvswitch-common",
    "openvswitch-vtep",
    "libxdp1",
    "libbpf1",
    "libelf1",
    "libunbound8",
    "libevent-2.1-7",
    "libnuma1",
    "libcap-ng0",
    "libhogweed6",
];

/// Where the unpacked programs are kept.
pub fn folder() -> PathBuf {
    env::var_os("OXVS_ORACLE").map_or_else(|| target_dir().join("oracle"), PathBuf::from)
}

/// Unpacks the C programs unless they are there.
pub fn fetch() -> Result<()> {
    let root = folder();
    if is_complete(&root) {
        return Ok(());
    }
    ensure!(
        env::var_os("OXVS_ORACLE").is_none(),
        "OXVS_ORACLE names {}, which has no ovs-vsctl",
        root.display()
    );
    ensure!(has_apt(), "apt-get and dpkg-deb are not here");
    apt_update_once()?;
    // unpack beside and rename, so that an interrupted run leaves no half-filled folder behind
    let fresh = root.with_extension("new");
    let packages = root.with_extension("debs");
    for dir in [&fresh, &packages] {
        drop(fs::remove_dir_all(dir));
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    capture(Command::new("apt-get").args(["download", "-qq"]).args(PACKAGES).current_dir(&packages))?;
    for entry in fs::read_dir(&packages)? {
        let file = entry?.path();
        capture(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&fresh))?;
    }
    fs::remove_dir_all(&packages)?;
    drop(fs::remove_dir_all(&root));
    fs::rename(&fresh, &root)?;
    ensure!(is_complete(&root), "the packages do not hold ovs-vsctl");
    Ok(())
}

fn is_complete(root: &Path) -> bool {
    root.join("usr/bin/ovs-vsctl").is_file() && root.join("usr/sbin/ovsdb-server").is_file()
}

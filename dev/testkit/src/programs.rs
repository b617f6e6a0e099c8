//! The two suites of programs that tests drive: ours, just built, and the C original, unpacked and never installed.
//!
//! Where it sits: tests ask [`ours`] and [`oracle`]; the gate prepares both and tells where by `OXVS_PROGRAMS` and
//! `OXVS_ORACLE`. Without the gate ours are built on demand and the C ones are looked for in the usual cache folders.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// A suite of Open vSwitch programs.
#[derive(Clone, Debug)]
pub struct Suite {
    folders: Vec<PathBuf>,
    libraries: Option<PathBuf>,
    schema: PathBuf,
    root: PathBuf,
    namespace: Option<String>,
}

/// The C programs; None, after reporting the skip, where they are not.
pub fn oracle() -> Option<Suite> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(find_oracle) {
        Ok(root) => Some(Suite {
            folders: ["usr/bin", "usr/sbin", "usr/lib/openvswitch-switch", "usr/lib/openvswitch-switch-dpdk"]
                .map(|dir| root.join(dir))
                .into(),
            libraries: Some(root.join("usr/lib/x86_64-linux-gnu")),
            schema: root.join("usr/share/openvswitch/vswitch.ovsschema"),
            root: root.clone(),
            namespace: None,
        }),
        Err(reason) => {
            println!("skip: {reason}");
            None
        }
    }
}

/// Our programs; None, after reporting the skip, when one of `names` does not exist yet.
///
/// # Panics
/// When they do not build.
pub fn ours(names: &[&str]) -> Option<Suite> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(build_ours);
    let missing: Vec<&str> = names.iter().copied().filter(|name| !folder.join(name).is_file()).collect();
    if !missing.is_empty() {
        println!("skip: not built yet: {}", missing.join(", "));
        return None;
    }
    let top = workspace();
    Some(Suite {
        folders: vec![folder.clone()],
        libraries: None,
        schema: top.join("crates/ovsdb-server/schema/vswitch.ovsschema"),
        root: folder.clone(),
        namespace: None,
    })
}

impl Suite {
    /// A command that runs `program` of this suite; its folders are on the PATH as well.
    ///
    /// # Panics
    /// When the suite has no such program.
    pub fn command(&self, program: &str) -> Command {
        let file = self.folders.iter().map(|dir| dir.join(program)).find(|file| file.is_file());
        let file = file.unwrap_or_else(|| panic!("no {program} in {:?}", self.folders));
        let mut command = Command::new(self.namespace.as_ref().map_or(file.as_os_str(), |_| "ip".as_ref()));
        if let Some(namespace) = &self.namespace {
            command.args(["netns", "exec", namespace]).arg(&file);
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(self.folders.iter().cloned().chain(env::split_paths(&path)));
        command.env("PATH", path.expect("folders without ':'")).stdin(Stdio::null());
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
            // C's AF_XDP ports take their programs from files.
            command.env("LIBXDP_OBJECT_PATH", libraries.join("bpf"));
        }
        command
    }

    /// The same programs, run in a network namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Suite {
        Suite { namespace: Some(namespace.to_owned()), ..self.clone() }
    }

    /// The Open_vSwitch database schema that comes with the suite.
    pub fn schema(&self) -> &Path {
        &self.schema
    }

    /// The folder that holds the suite: for the C programs, the root of the unpacked packages.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

fn find_oracle() -> Result<PathBuf, String> {
    let complete = |root: &PathBuf| root.join("usr/bin/ovs-vsctl").is_file();
    if let Some(root) = env::var_os("OXVS_ORACLE").map(PathBuf::from) {
        let error = format!("no C programs of Open vSwitch in {}, which OXVS_ORACLE names", root.display());
        return Some(root).filter(complete).ok_or(error);
    }
    let cache = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/oxvs/oracle"));
    let places = [Some(target_dir().join("oracle")), cache];
    places.into_iter().flatten().find(complete).ok_or_else(|| {
        "no C programs of Open vSwitch: `cargo xtask needs` fetches them, or set OXVS_ORACLE".into()
    })
}

/// The folder that cargo builds into: test programs lie in `PROFILE/deps` of it.
fn target_dir() -> PathBuf {
    let exe = env::current_exe().expect("a test program knows its own path");
    exe.ancestors().nth(3).expect("test programs lie in target/PROFILE/deps").to_owned()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("testkit sits in dev/").to_owned()
}

fn build_ours() -> PathBuf {
    if let Some(folder) = env::var_os("OXVS_PROGRAMS") {
        return folder.into();
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--workspace", "--bins", "--quiet"]).current_dir(workspace()).stdin(Stdio::null());
    // What the runner tells of the test's package: there are build scripts that run again whenever that changes, with all that
    // depends on them.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(name);
        }
    }
    let out = build.output().expect("cargo runs");
    assert!(out.status.success(), "the programs do not build:\n{}", String::from_utf8_lossy(&out.stderr));
    target_dir().join("debug")
}

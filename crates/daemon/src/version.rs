//! The one place that says which version of Open vSwitch this is.
//!
//! Where it sits: `--version`, the `version` command, start-up lines and the database's `ovs_version` take it from here. Clients
//! parse the number and choose features by it, so it names the release whose interfaces are offered, not this project's own.

/// The release of Open vSwitch whose interfaces are offered.
pub const COMPAT_VERSION: &str = "3.7.1";

/// `PROGRAM (Open vSwitch) VERSION`.
pub fn banner(program: &str) -> String {
    format!("{program} (Open vSwitch) {COMPAT_VERSION}")
}

//! What `cargo metadata` says of the workspace and of all it depends on.
//!
//! Where it sits: read once per test by `layers` and `licences`.

use serde_json::Value;

use crate::shell::{capture, cargo};

pub struct Package {
    pub name: String,
    pub licence: Option<String>,
    /// Whether it is one of ours.
    pub member: bool,
    pub dependencies: Vec<Dependency>,
}

pub struct Dependency {
    pub name: String,
    /// Ours, given by its path.
    pub local: bool,
    pub dev: bool,
}

pub fn packages() -> Vec<Package> {
    let mut command = cargo();
    let text = capture(command.args(["metadata", "--format-version", "1", "--locked"]))
        .expect("cargo metadata runs");
    let metadata: Value = serde_json::from_str(&text).expect("cargo writes JSON");
    let list = metadata["packages"].as_array().expect("a list of packages");
    list.iter().map(package).collect()
}

fn package(value: &Value) -> Package {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let dependencies = value["dependencies"].as_array().expect("a list of dependencies");
    Package {
        name: text(&value["name"]).expect("a name"),
        licence: text(&value["license"]),
        member: value["source"].is_null(),
        dependencies: dependencies
            .iter()
            .map(|dependency| Dependency {
                name: text(&dependency["name"]).expect("a name"),
                local: dependency["source"].is_null(),
                dev: dependency["kind"] == "dev",
            })
            .collect(),
    }
}

//! The project's own commands: test, demo, install.
fn main() {}

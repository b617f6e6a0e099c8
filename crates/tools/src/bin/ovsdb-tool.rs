//! The ovsdb-tool program.

fn main() -> std::process::ExitCode {
    tools::ovsdb_tool::main()
}

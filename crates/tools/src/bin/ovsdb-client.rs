//! The ovsdb-client program.

fn main() -> std::process::ExitCode {
    tools::ovsdb_client::main()
}

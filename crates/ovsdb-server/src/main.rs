//! The program `ovsdb-server`; everything is in the library.

fn main() -> std::process::ExitCode {
    ovsdb_server::run::main()
}

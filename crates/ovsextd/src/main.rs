//! The ovsextd program.

fn main() -> std::process::ExitCode {
    ovsextd::main()
}

//! The ovs-appctl program.

fn main() -> std::process::ExitCode {
    tools::appctl::main()
}

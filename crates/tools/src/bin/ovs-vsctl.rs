//! The ovs-vsctl program.

fn main() -> std::process::ExitCode {
    tools::vsctl::main()
}

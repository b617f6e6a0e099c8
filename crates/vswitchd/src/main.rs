//! The ovs-vswitchd program.

fn main() -> std::process::ExitCode {
    vswitchd::main()
}

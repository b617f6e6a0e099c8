//! The ovs-dpctl program.

fn main() -> std::process::ExitCode {
    tools::dpctl::main()
}

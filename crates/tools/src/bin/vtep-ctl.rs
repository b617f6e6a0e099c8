//! The vtep-ctl program.

fn main() -> std::process::ExitCode {
    tools::vtep::main()
}

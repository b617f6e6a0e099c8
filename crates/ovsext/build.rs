//! Link options of the driver; elsewhere the program is an ordinary one.

const OPTIONS: [&str; 11] = [
    "/DRIVER",
    "/SUBSYSTEM:NATIVE,10.0",
    "/ENTRY:DriverEntry",
    "/NODEFAULTLIB",
    "/DYNAMICBASE",
    "/NXCOMPAT",
    "/HIGHENTROPYVA",
    // writes the checksum that the kernel's loader verifies
    "/RELEASE",
    "/Brepro",
    "/OPT:REF,ICF",
    "/MERGE:.xdata=.rdata",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("windows") {
        OPTIONS.iter().for_each(|option| println!("cargo:rustc-link-arg-bins={option}"));
    }
}

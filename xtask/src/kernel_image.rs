//! Windows kernel images: how they are linked, and the gate that they hold nothing that a Windows kernel would refuse.
//!
//! Where it sits: `build` links the kernel set's probe and the driver with Debian's compiler and lld, also for
//! `cargo xtask windows`; for tests, `image` reads the PE file and `code` its instructions.
//!
//! The probe is never loaded into anything: that it links, and what it holds, is the claim. The driver runs in the simulated
//! Hyper-V, too.
//!
//! Spec: Microsoft's PE format; ARCHITECTURE.md, "The kernel set".

pub mod build;
#[cfg(test)]
mod code;
#[cfg(test)]
mod image;

#[cfg(test)]
use crate::shell::target_dir;
#[cfg(test)]
use testkit::skip;

/// Stack bytes that one function may take; a kernel stack has 24 KiB for the whole path.
#[cfg(test)]
const FRAME_LIMIT: u64 = 1024;

/// Functions that the linker must have kept: the image without them would prove nothing.
#[cfg(test)]
const CORE: [&str; 5] = ["exercise", "packets7process", "Executor", "extract", "conntrack"];
#[cfg(test)]
const DRIVER: [&str; 5] = ["DriverEntry", "ingress", "Executor", "extract", "conntrack"];

#[test]
fn kernel_set_makes_a_windows_image() {
    if let Err(reason) = build::toolchain() {
        skip!("{reason}");
    }
    check("kernel-probe", &CORE);
}

#[test]
fn driver_makes_a_windows_image() {
    if let Err(reason) = build::toolchain() {
        skip!("{reason}");
    }
    check("ovsext", &DRIVER);
}

#[test]
fn driver_lives_in_the_simulator() {
    if let Err(reason) = build::toolchain() {
        skip!("{reason}");
    }
    let built = build::image("ovsext", "win").unwrap_or_else(|error| panic!("{error:#}"));
    let seeds = if std::env::var_os("OXVS_LONG").is_some() { "2000" } else { "100" };
    simulate(&built.image, &["--seeds", seeds]);
    // What user space asks of it comes to the same bytes as of the driver linked in.
    let dialogue = crate::shell::workspace().join("crates/hyperv-sim/tests/golden.txt");
    simulate(&built.image, &["--dialogue", &dialogue.to_string_lossy()]);
    // So does what scenarios have it do.
    let mut corpus = crate::shell::cargo();
    corpus.args(["test", "--quiet", "-p", "hyperv-sim", "--test", "corpus"]).env("OXVS_DRIVER", &built.image);
    let out = corpus.output().expect("cargo runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}

/// Runs an image of the driver in the simulated Hyper-V.
#[cfg(test)]
fn simulate(image: &std::path::Path, args: &[&str]) {
    let mut command = crate::shell::cargo();
    command.args(["run", "--quiet", "-p", "hyperv-sim", "--"]).args(args).arg("--image").arg(image);
    let out = command.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    println!("{}", String::from_utf8_lossy(&out.stdout).trim());
}

#[test]
fn driver_plays_the_demonstration() {
    if let Err(reason) = build::toolchain() {
        skip!("{reason}");
    }
    if let Err(why) = sandbox::available() {
        skip!("{why}");
    }
    let built = build::image("ovsext", "win").unwrap_or_else(|error| panic!("{error:#}"));
    crate::shell::check(crate::shell::cargo().args(["build", "--quiet", "--workspace", "--bins"]))
        .unwrap_or_else(|error| panic!("{error:#}"));
    let mut command = std::process::Command::new(target_dir().join("debug/oxvs"));
    let out = command.args(["demo", "--hyperv"]).arg(&built.image).output().expect("oxvs starts");
    let (said, complained) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}\n{complained}");
    let wanted = [", loaded.", "no rule broken, nothing left behind", "Everything happened as expected"];
    wanted.iter().for_each(|wanted| assert!(said.contains(wanted), "no {wanted:?}:\n{said}"));
}

/// Links `package` and complains about everything in the image at once.
#[cfg(test)]
fn check(package: &str, kept: &[&str]) {
    let built = build::image(package, "win").unwrap_or_else(|error| panic!("{error:#}"));
    let bytes = std::fs::read(&built.image).expect("the image was just linked");
    let symbols = build::Symbols::read(&built.map);
    let mut complaints = image::complaints(&bytes);
    complaints.extend(code::complaints(&built.image, &symbols, FRAME_LIMIT));
    // that the core is really in there: its entry points survived the linker
    for name in kept {
        if !symbols.contain(name) {
            complaints
                .push(format!("no function called '{name}' in the image: was the core optimised away?"));
        }
    }
    assert!(complaints.is_empty(), "{}:\n{}\n", built.image.display(), complaints.join("\n"));
    let imports = image::imports(&bytes).expect("checked above").join(" ");
    println!("{}: {} bytes; imports {imports}", built.image.display(), bytes.len());
}

#[test]
fn kernel_image_is_reproducible() {
    if std::env::var_os("OXVS_LONG").is_none() {
        skip!("builds the kernel image twice: only with --long");
    }
    if let Err(reason) = build::toolchain() {
        skip!("{reason}");
    }
    // the debug file's hash, which the image names, covers the paths of the objects: build in one place, twice
    let built = ["first", "second"].map(|turn| {
        drop(std::fs::remove_dir_all(target_dir().join("win-again")));
        let built = build::image("kernel-probe", "win-again")
            .unwrap_or_else(|error| panic!("{turn} image: {error:#}"));
        std::fs::read(built.image).expect("the image was just linked")
    });
    assert!(built[0] == built[1], "two builds of the same sources differ");
}

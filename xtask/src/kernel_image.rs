//! The kernel image gate: the kernel set, linked for Windows, holds nothing that a Windows kernel would refuse.
//!
//! Where it sits: compiled for tests only. `build` links `crates/kernel-probe` with Debian's compiler and lld; `image`
//! reads the PE file; `code` reads its instructions.
//!
//! The image is never loaded into anything: that it links, and what it holds, is the claim.
//!
//! Spec: Microsoft's PE format; ARCHITECTURE.md, "The kernel set".

mod build;
mod code;
mod image;

use testkit::skip;

use crate::shell::target_dir;

/// Stack bytes that one function may take; a kernel stack has 24 KiB for the whole path.
const FRAME_LIMIT: u64 = 1024;

/// Functions that the linker must have kept: the image without them would prove nothing.
const CORE: [&str; 5] = ["exercise", "packets7process", "Executor", "extract", "conntrack"];

#[test]
fn kernel_set_makes_a_windows_image() {
    if let Err(reason) = build::toolchain() {
        skip!("{reason}");
    }
    let built = build::image("win");
    let bytes = std::fs::read(&built.image).expect("the image was just linked");
    let symbols = build::Symbols::read(&built.map);
    let mut complaints = image::complaints(&bytes);
    complaints.extend(code::complaints(&built.image, &symbols, FRAME_LIMIT));
    // that the core is really in there: its entry points survived the linker
    for name in CORE {
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
        std::fs::read(build::image("win-again").image).unwrap_or_else(|error| panic!("{turn} image: {error}"))
    });
    assert!(built[0] == built[1], "two builds of the same sources differ");
}

//! Linking an image, with its list of symbols.
//!
//! Where it sits: rustup's stable has neither a standard library for Windows kernels nor the sources to build one;
//! Debian's `rustc-web` with `rust-web-src` does, and lld links without any Windows tool.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::shell::{target_dir, which, workspace};

const TARGET: &str = "x86_64-pc-windows-msvc";
const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const LINKER: &str = "lld-link-22";
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
const RUST_SOURCES: &str = "/usr/lib/rustlib/src/rust";

/// What was built.
pub struct Built {
    pub image: PathBuf,
    pub symbols: PathBuf,
    #[cfg_attr(not(test), expect(dead_code, reason = "the checks of the image read it"))]
    pub map: PathBuf,
}

/// Why the image cannot be built here.
pub fn toolchain() -> Result<(), String> {
    let missing = [RUSTC, CARGO, RUST_SOURCES].into_iter().find(|path| !Path::new(path).exists());
    let missing = missing.or_else(|| [LINKER, "objdump"].into_iter().find(|name| which(name).is_none()));
    missing.map_or(Ok(()), |what| {
        Err(format!("no {what}: `cargo xtask needs` as root installs the Windows toolchain"))
    })
}

/// Links `package`'s program into a folder of `target`. It is an error when it does not compile or link; a missing
/// `__chkstk` means a frame over a page, and the linker names the function.
pub fn image(package: &str, folder: &str) -> Result<Built> {
    let folder = target_dir().join(folder);
    let map = folder.join(format!("{package}.map"));
    fs::create_dir_all(&folder).context("target is not writable")?;
    let mut command = Command::new(CARGO);
    // what the outer cargo and the test runner set is for another compiler
    let foreign = std::env::vars_os().map(|(key, _)| key);
    for key in foreign.filter(|key| key.to_str().is_some_and(is_foreign)) {
        command.env_remove(key);
    }
    command.env("RUSTC", RUSTC).env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", &folder);
    command.env("SOURCE_DATE_EPOCH", "0").current_dir(workspace());
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER", LINKER);
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_RUSTFLAGS", "-Clinker-flavor=lld-link");
    command.args(["rustc", "--quiet", "--locked", "--profile", "sys", "--target", TARGET, "-p", package]);
    command.args(["--bin", package, "-Zbuild-std=core,alloc", "-Zbuild-std-features=compiler-builtins-mem"]);
    // paths of this machine stay out of the image; as flags of our own they would change the hashes in symbol names
    command.args(["-Ztrim-paths", "--config", "profile.sys.trim-paths=\"all\""]);
    command.arg("--").args(OPTIONS.map(|option| format!("-Clink-arg={option}")));
    command.arg(format!("-Clink-arg=/MAP:{}", map.display()));
    let out = command.output().context("Debian's cargo does not run")?;
    let said = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        let hint = if said.contains("__chkstk") {
            "\na frame is larger than a page: keep scratch in the worker"
        } else {
            ""
        };
        bail!("{package} does not link into a Windows image:\n{said}{hint}");
    }
    let built = folder.join(TARGET).join("sys");
    let (image, symbols) =
        (built.join(format!("{package}.exe")), built.join(format!("{}.pdb", package.replace('-', "_"))));
    Ok(Built { image, symbols, map })
}

fn is_foreign(key: &str) -> bool {
    let kept = ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_HTTP_CAINFO"];
    let prefixes = ["CARGO", "RUST", "NEXTEST", "LD_LIBRARY_PATH"];
    !kept.contains(&key)
        && !key.starts_with("CARGO_REGISTR")
        && prefixes.iter().any(|prefix| key.starts_with(prefix))
}

/// Functions by address, from the linker's map.
#[cfg(test)]
pub struct Symbols(Vec<(u64, String)>);

#[cfg(test)]
impl Symbols {
    pub fn read(map: &Path) -> Self {
        let text = fs::read_to_string(map).expect("the linker wrote its map");
        // " 0001:00000010       name       0000000140001010     object"
        let mut symbols: Vec<(u64, String)> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let at_section =
                    words.next().is_some_and(|word| word.len() == 13 && word.as_bytes()[4] == b':');
                let name = words.next().filter(|_| at_section)?;
                let address = words.next().and_then(|word| u64::from_str_radix(word, 16).ok())?;
                Some((address, name.to_owned()))
            })
            .collect();
        symbols.sort();
        Self(symbols)
    }

    /// The name of the function that holds `address`, as people read it.
    pub fn name(&self, address: u64) -> String {
        let after = self.0.partition_point(|(start, _)| *start <= address);
        let name = after.checked_sub(1).and_then(|index| self.0.get(index)).map_or("?", |(_, name)| name);
        let readable = Command::new("c++filt").arg(name).output().ok().filter(|out| out.status.success());
        readable.map_or_else(|| name.to_owned(), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    pub fn contain(&self, word: &str) -> bool {
        self.0.iter().any(|(_, name)| name.contains(word))
    }
}

//! `cargo xtask windows`: the driver as it is installed, in target/windows.
//!
//! Where it sits: links `crates/ovsext`, puts its INF beside it and, where osslsigncode is, signs with a certificate made for
//! the purpose. Such a driver loads only where test signing is on; docs/windows.md says how.

mod catalog;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow};

use crate::{
    kernel_image::build,
    shell::{announce, capture, target_dir, which, workspace},
};

/// Builds everything.
pub fn run() -> Result<()> {
    let folder = target_dir().join("windows");
    fs::create_dir_all(&folder)?;
    let sys = driver()?;
    fs::copy(workspace().join("crates/ovsext/ovsext.inf"), folder.join("ovsext.inf"))?;
    match which("osslsigncode") {
        None => eprintln!("xtask: no osslsigncode: the driver is not signed, and has no catalog"),
        Some(_) => {
            let certificate = certificate(&folder)?;
            sign(&certificate, &sys)?;
            let catalog = folder.join("ovsext.cat");
            catalog::write(&catalog, &[&sys, &folder.join("ovsext.inf")])?;
            sign(&certificate, &catalog)?;
            verify(&certificate, &sys, &catalog)?;
        }
    }
    for file in ["ovsext.sys", "ovsext.pdb", "ovsext.inf", "ovsext.cat", "test.crt"] {
        let path = folder.join(file);
        if let Ok(data) = fs::metadata(&path) {
            println!("{} ({} bytes)", path.display(), data.len());
        }
    }
    Ok(())
}

/// Links the driver; returns where it is.
pub fn driver() -> Result<PathBuf> {
    build::toolchain().map_err(|reason| anyhow!(reason))?;
    announce("the driver");
    let built = build::image("ovsext", "win")?;
    let folder = target_dir().join("windows");
    fs::create_dir_all(&folder)?;
    let sys = folder.join("ovsext.sys");
    fs::copy(&built.image, &sys).context("the linked image")?;
    fs::copy(&built.symbols, folder.join("ovsext.pdb")).context("the image's symbols")?;
    Ok(sys)
}

/// A certificate of our own, made at the first time.
fn certificate(folder: &Path) -> Result<PathBuf> {
    let certificate = folder.join("test.crt");
    if !certificate.exists() {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-sha256", "-nodes", "-days", "3650"]);
        command.args(["-subj", "/CN=oxvs test signing", "-addext", "extendedKeyUsage=codeSigning"]);
        command.args(["-addext", "keyUsage=digitalSignature", "-keyout"]).arg(folder.join("test.key"));
        capture(command.arg("-out").arg(&certificate))?;
    }
    Ok(certificate)
}

/// Signs a file in its place.
fn sign(certificate: &Path, file: &Path) -> Result<()> {
    let signed = file.with_extension("signed");
    drop(fs::remove_file(&signed));
    let mut command = Command::new("osslsigncode");
    command.args(["sign", "-h", "sha256", "-n", "ovsext", "-certs"]).arg(certificate);
    command.arg("-key").arg(certificate.with_extension("key"));
    capture(command.arg("-in").arg(file).arg("-out").arg(&signed))?;
    fs::rename(&signed, file)?;
    Ok(())
}

/// Looks at both signatures, and whether the catalog has the driver.
fn verify(certificate: &Path, sys: &Path, catalog: &Path) -> Result<()> {
    let by = |extra: &[&Path]| {
        let mut command = Command::new("osslsigncode");
        command.arg("verify").arg("-CAfile").arg(certificate);
        if let [catalog] = extra {
            command.arg("-catalog").arg(catalog);
        }
        capture(command.arg("-in").arg(sys))
    };
    by(&[])?;
    by(&[catalog])?;
    Ok(())
}

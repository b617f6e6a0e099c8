//! `cargo xtask windows`: the driver as it is installed, in target/windows.
//!
//! Where it sits: links `crates/ovsext`, puts its INF beside it and, where osslsigncode is, signs with a certificate made for
//! the purpose. Such a driver loads only where test signing is on; docs/windows.md says how.

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
        Some(_) => sign(&folder, &sys)?,
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

/// Signs the driver with a certificate of our own, made at the first time.
fn sign(folder: &Path, sys: &Path) -> Result<()> {
    let (key, certificate) = (folder.join("test.key"), folder.join("test.crt"));
    if !certificate.exists() {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-sha256", "-nodes", "-days", "3650"]);
        command.args(["-subj", "/CN=oxvs test signing", "-addext", "extendedKeyUsage=codeSigning"]);
        command
            .args(["-addext", "keyUsage=digitalSignature", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        capture(&mut command)?;
    }
    let signed = folder.join("ovsext.signed");
    drop(fs::remove_file(&signed));
    let mut command = Command::new("osslsigncode");
    command.args(["sign", "-h", "sha256", "-ph", "-n", "ovsext", "-certs"]).arg(&certificate);
    command.arg("-key").arg(&key).arg("-in").arg(sys).arg("-out").arg(&signed);
    capture(&mut command)?;
    fs::rename(&signed, sys)?;
    let mut verify = Command::new("osslsigncode");
    capture(verify.arg("verify").arg("-CAfile").arg(&certificate).arg("-in").arg(sys))?;
    Ok(())
}

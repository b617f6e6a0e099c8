//! The catalog: hashes of the driver's files in the form that Windows signs (a certificate trust list in PKCS #7).
//!
//! Where it sits: `windows` writes it and signs it like the driver. Windows installs a driver by an INF only if its catalog
//! names the INF's and the driver's hashes.
//!
//! DER is written from the inside out: each function returns whole elements.
//!
//! Spec: PKCS #7 (RFC 2315), Microsoft's Authenticode and catalog attributes.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

type Der = Vec<u8>;

/// An element: a tag, a length, and what is in it.
fn element(tag: u8, parts: &[Der]) -> Der {
    let content = parts.concat();
    let mut der = vec![tag];
    match content.len() {
        n @ 0..128 => der.push(n as u8),
        n => {
            let bytes = n.to_be_bytes();
            let used = &bytes[n.leading_zeros() as usize / 8..];
            der.push(0x80 | used.len() as u8);
            der.extend_from_slice(used);
        }
    }
    der.extend(content);
    der
}

fn sequence(parts: &[Der]) -> Der {
    element(0x30, parts)
}

fn set(mut parts: Vec<Der>) -> Der {
    parts.sort();
    element(0x31, &parts)
}

fn octets(bytes: &[u8]) -> Der {
    element(4, &[bytes.to_vec()])
}

fn null() -> Der {
    element(5, &[])
}

/// A number that is not negative.
fn integer(n: u32) -> Der {
    let bytes = n.to_be_bytes();
    let from = bytes.iter().position(|b| *b != 0).unwrap_or(3);
    let sign = if bytes[from] >= 0x80 { vec![0] } else { vec![] };
    element(2, &[sign, bytes[from..].to_vec()])
}

fn oid(text: &str) -> Der {
    let numbers: Vec<u32> = text.split('.').filter_map(|n| n.parse().ok()).collect();
    let mut content = vec![(numbers[0] * 40 + numbers[1]) as u8];
    for n in &numbers[2..] {
        let digits: Vec<u8> =
            (0..5).rev().map(|i| (n >> (7 * i) & 0x7f) as u8).skip_while(|d| *d == 0).collect();
        let digits = if digits.is_empty() { vec![0] } else { digits };
        let last = digits.len() - 1;
        content.extend(digits.iter().enumerate().map(|(i, d)| if i == last { *d } else { d | 0x80 }));
    }
    element(6, &[content])
}

fn utf16(text: &str, units: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(units).collect()
}

fn name_value(name: &str, value: &str) -> Der {
    let value = utf16(&format!("{value}\0"), u16::to_le_bytes);
    sequence(&[element(0x1e, &[utf16(name, u16::to_be_bytes)]), integer(0x1001_0001), octets(&value)])
}

fn attribute(kind: &str, value: Der) -> Der {
    sequence(&[oid(kind), set(vec![value])])
}

const NAME_VALUE: &str = "1.3.6.1.4.1.311.12.2.1";

/// A hash of `bytes`, by openssl.
fn digest(kind: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut command = Command::new("openssl");
    command.args(["dgst", kind, "-binary"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot run openssl")?;
    child.stdin.take().context("no stdin")?.write_all(bytes)?;
    let out = child.wait_with_output()?;
    ensure!(out.status.success() && !out.stdout.is_empty(), "openssl dgst failed");
    Ok(out.stdout)
}

/// What of a file is hashed: of an image all but its checksum, the entry for its signature, and the signature.
fn hashed(bytes: &[u8]) -> Vec<u8> {
    let at = |offset: usize| {
        let field = bytes.get(offset..offset + 4).and_then(|f| f.try_into().ok());
        field.map_or(0, |f| u32::from_le_bytes(f) as usize)
    };
    if !bytes.starts_with(b"MZ") {
        return bytes.to_vec();
    }
    let optional = at(0x3c) + 24;
    let (checksum, security) = (optional + 64, optional + 112 + 4 * 8);
    let end = Some(at(security)).filter(|n| *n != 0).unwrap_or(bytes.len());
    let mut hashed = [&bytes[..checksum], &bytes[checksum + 4..security], &bytes[security + 8..end]].concat();
    // the file counts as padded to eight bytes, with what was left out
    hashed.resize(hashed.len() + end.next_multiple_of(8) - end, 0);
    hashed
}

fn member(path: &Path) -> Result<Der> {
    let bytes = fs::read(path)?;
    let hash = digest("-sha256", &hashed(&bytes))?;
    let obsolete = element(0xa2, &[element(0x80, &[utf16("<<<Obsolete>>>", u16::to_be_bytes)])]);
    let data = if bytes.starts_with(b"MZ") {
        let flags = element(3, &[vec![0]]);
        sequence(&[oid("1.3.6.1.4.1.311.2.1.15"), sequence(&[flags, element(0xa0, &[obsolete])])])
    } else {
        sequence(&[oid("1.3.6.1.4.1.311.2.1.25"), obsolete])
    };
    let sha256 = sequence(&[oid("2.16.840.1.101.3.4.2.1"), null()]);
    let indirect = sequence(&[data, sequence(&[sha256, octets(&hash)])]);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let attributes = set(vec![
        attribute("1.3.6.1.4.1.311.2.1.4", indirect),
        attribute(NAME_VALUE, name_value("File", &name)),
        attribute(NAME_VALUE, name_value("OSAttr", "2:10.0")),
        attribute("1.3.6.1.4.1.311.12.2.3", element(0x80, &[])),
    ]);
    Ok(sequence(&[octets(&hash), attributes]))
}

/// Writes an unsigned catalog of `files` to `to`.
pub fn write(to: &Path, files: &[&Path]) -> Result<()> {
    let mut members = files.iter().map(|file| member(file)).collect::<Result<Vec<_>>>()?;
    members.sort();
    let extension = |name, value| sequence(&[oid(NAME_VALUE), octets(&name_value(name, value))]);
    let extensions = sequence(&[extension("HWID1", "ovsext"), extension("OS", "_v100_X64")]);
    let list = sequence(&[
        sequence(&[oid("1.3.6.1.4.1.311.12.1.1")]),
        octets(&digest("-md5", &members.concat())?),
        // one time for all builds, so that equal files have equal catalogs
        element(0x17, &[b"260101000000Z".to_vec()]),
        sequence(&[oid("1.3.6.1.4.1.311.12.1.3"), null()]),
        sequence(&members),
        element(0xa0, &[extensions]),
    ]);
    let content = sequence(&[oid("1.3.6.1.4.1.311.10.1"), element(0xa0, &[list])]);
    let signed = sequence(&[integer(1), set(vec![]), content, set(vec![])]);
    fs::write(to, sequence(&[oid("1.2.840.113549.1.7.2"), element(0xa0, &[signed])]))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_as_the_standard_has_them() {
        assert_eq!(oid("1.2.840.113549.1.7.2"), [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2]);
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(0x80), [2, 2, 0, 0x80]);
        assert_eq!(octets(&[7; 200])[..3], [4, 0x81, 200]);
        assert_eq!(octets(&[7; 300])[..4], [4, 0x82, 1, 0x2c]);
    }
}

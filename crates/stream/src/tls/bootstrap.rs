//! Learning the authority from the first peer.
//!
//! Where it sits: called after a handshake that judged nobody, because the file of `--bootstrap-ca-cert` did not exist.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::io::Errno;
use rustls::pki_types::CertificateDer;

use super::der;
use crate::error_text;

/// Keeps the last certificate of the chain, which must be self-signed. Always an error: the connection was with nobody known, so it
/// is dropped, and the next one is judged.
pub(super) fn keep(chain: Option<&[CertificateDer<'_>]>, file: &Path) -> io::Error {
    match learn(chain, file) {
        Ok(()) => {
            log::info!(target: "stream_ssl", "successfully bootstrapped CA cert to {}", file.display());
        }
        Err(text) => log::error!(target: "stream_ssl", "could not bootstrap CA cert: {text}"),
    }
    Errno::PROTO.into()
}

fn learn(chain: Option<&[CertificateDer<'_>]>, file: &Path) -> Result<(), String> {
    let Some((last, others)) = chain.and_then(<[_]>::split_last) else {
        return Err("no certificate presented by peer".to_owned());
    };
    if der::names(last).is_none_or(|names| names.issuer != names.subject) {
        let hint = "only one certificate was received, so probably the peer is not configured to send its CA \
                    certificate";
        let hint = if others.is_empty() { format!(" ({hint})") } else { String::new() };
        return Err(format!("obtained certificate is not self-signed{hint}"));
    }
    let text = pem(last);
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o444).open(file) {
        // Another connection was faster. Its authority is judged by from now on.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            log::info!(target: "stream_ssl", "rejecting SSL/TLS connection during bootstrap race window");
            Ok(())
        }
        Err(error) => Err(format!("creating {} failed: {}", file.display(), error_text(&error))),
        Ok(mut out) => out.write_all(text.as_bytes()).map_err(|error| {
            let _ = std::fs::remove_file(file);
            format!("writing {} failed: {}", file.display(), error_text(&error))
        }),
    }
}

/// A certificate as PEM text (RFC 7468).
fn pem(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let bits = three
                .iter()
                .enumerate()
                .fold(0u32, |bits, (i, byte)| bits | u32::from(*byte) << (16 - 8 * i));
            for digit in 0..4 {
                let index = (bits >> (18 - 6 * digit) & 63) as usize;
                text.push(if digit <= three.len() { char::from(DIGITS[index]) } else { '=' });
            }
        }
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    proptest! {
        #[test]
        fn pem_text_reads_back(der in prop::collection::vec(any::<u8>(), 1..200)) {
            let text = pem(&der);
            prop_assert_eq!(CertificateDer::from_pem_slice(text.as_bytes()).unwrap().to_vec(), der);
        }
    }
}

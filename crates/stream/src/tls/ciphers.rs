//! Versions and ciphers, as users of Open vSwitch write them.
//!
//! Where it sits: called by `config`, and by options' checks.
//!
//! OpenSSL's language for lists of ciphers is understood as far as it can say something about the suites that exist here: names,
//! classes, `A+B` for both, `!X` and `-X` to take away, `+X` to move to the end; `@…` and classes of ciphers that do not exist here
//! select nothing.

use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

/// A list of versions that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: SSL/TLS protocol not recognized")]
pub struct BadProtocols(String);

/// A list of ciphers, or of cipher suites, that selects none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SSL_CTX_set_{0}: no cipher match")]
pub struct BadCiphers(&'static str);

const VERSIONS: [(&str, &SupportedProtocolVersion); 2] =
    [("TLSv1.2", &version::TLS12), ("TLSv1.3", &version::TLS13)];

/// The versions to offer: all, where the list cannot be read.
pub(super) fn versions(list: Option<&str>) -> (Vec<&'static SupportedProtocolVersion>, Option<BadProtocols>) {
    let (range, error) = match list.map(parse_protocols).transpose() {
        Ok(range) => (range, None),
        Err(error) => (None, Some(error)),
    };
    let (first, last) = range.unwrap_or((0, VERSIONS.len() - 1));
    (VERSIONS[first..=last].iter().map(|(_, version)| *version).collect(), error)
}

/// The oldest and the newest version of a list, as places in `VERSIONS`.
fn parse_protocols(list: &str) -> Result<(usize, usize), BadProtocols> {
    let find = |name: &str| {
        let at = VERSIONS.iter().position(|(known, _)| *known == name);
        at.ok_or_else(|| BadProtocols(name.to_owned()))
    };
    let text = list.trim();
    if let Some(first) = text.strip_suffix('+') {
        return Ok((find(first)?, VERSIONS.len() - 1));
    }
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (find(first)?, find(last)?);
        return if first <= last { Ok((first, last)) } else { Err(BadProtocols(list.to_owned())) };
    }
    let words = text.split([' ', ',', '\t']).filter(|word| !word.is_empty());
    let places = words.map(find).collect::<Result<Vec<_>, _>>()?;
    let (first, last) = (places.iter().min(), places.iter().max());
    first.zip(last).map(|(a, b)| (*a, *b)).ok_or_else(|| BadProtocols(list.to_owned()))
}

/// The suites to offer, in order of preference, and the lists that select nothing: of TLS 1.2 there are no suites then, of TLS 1.3 the
/// default ones.
pub(super) fn suites(
    all: &[SupportedCipherSuite],
    ciphers: Option<&str>,
    ciphersuites: Option<&str>,
) -> (Vec<SupportedCipherSuite>, Vec<BadCiphers>) {
    let (new, old): (Vec<_>, Vec<_>) = all.iter().copied().partition(|suite| suite.tls13().is_some());
    let mut errors = Vec::new();
    let mut chosen = match ciphersuites {
        None => new.clone(),
        Some(list) => {
            list.split(':').filter_map(|name| new.iter().find(|s| id(s) == name).copied()).collect()
        }
    };
    if chosen.is_empty() {
        errors.push(BadCiphers("ciphersuites"));
        chosen = new;
    }
    match ciphers.map(|list| select(&old, list)) {
        None => chosen.extend(old),
        Some(selected) if selected.is_empty() => errors.push(BadCiphers("cipher_list")),
        Some(selected) => chosen.extend(selected),
    }
    (chosen, errors)
}

/// Applies a list in OpenSSL's language.
fn select(all: &[SupportedCipherSuite], list: &str) -> Vec<SupportedCipherSuite> {
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    let mut banned: Vec<SupportedCipherSuite> = Vec::new();
    for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty() && !word.starts_with('@')) {
        let (sign, classes) = match word.split_at(1) {
            (sign @ ("!" | "-" | "+"), classes) => (sign, classes),
            _ => ("", word),
        };
        let is_meant = |suite: &SupportedCipherSuite| classes.split('+').all(|class| belongs(suite, class));
        match sign {
            "!" => {
                banned.extend(all.iter().filter(|suite| is_meant(suite)));
                chosen.retain(|suite| !is_meant(suite));
            }
            "-" => chosen.retain(|suite| !is_meant(suite)),
            "+" => chosen.sort_by_key(is_meant),
            _ => {
                for suite in all.iter().filter(|suite| is_meant(suite)) {
                    if !banned.contains(suite) && !chosen.contains(suite) {
                        chosen.push(*suite);
                    }
                }
            }
        }
    }
    chosen
}

/// The name that the standards give a suite.
fn id(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

/// Whether `class` is OpenSSL's name of the suite, or of a class that it belongs to.
fn belongs(suite: &SupportedCipherSuite, class: &str) -> bool {
    let id = id(suite);
    let has = |part: &str| id.contains(part);
    match class {
        "DEFAULT" | "ALL" | "COMPLEMENTOFALL" | "HIGH" | "ECDHE" | "EECDH" | "kECDHE" | "kEECDH"
        | "TLSv1.2" | "AEAD" | "FIPS" => true,
        "aRSA" | "RSA" => has("ECDHE_RSA"),
        "aECDSA" | "ECDSA" => has("ECDHE_ECDSA"),
        "AES" | "AESGCM" => has("AES"),
        "AES128" => has("AES_128"),
        "AES256" => has("AES_256"),
        "CHACHA20" => has("CHACHA20"),
        "SHA256" => has("SHA256"),
        "SHA384" => has("SHA384"),
        name => openssl_name(&id) == name || id == name,
    }
}

/// `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` as `ECDHE-RSA-AES128-GCM-SHA256`.
fn openssl_name(id: &str) -> String {
    let name = id.trim_start_matches("TLS_").replace("_WITH_", "_").replace("AES_", "AES").replace('_', "-");
    // OpenSSL leaves the digest out of this one.
    name.strip_suffix("CHACHA20-POLY1305-SHA256")
        .map_or(name.clone(), |head| format!("{head}CHACHA20-POLY1305"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols() {
        let table = [
            ("TLSv1.2", Ok((0, 0))),
            ("TLSv1.3", Ok((1, 1))),
            ("TLSv1.2,TLSv1.3", Ok((0, 1))),
            ("TLSv1.3 TLSv1.2", Ok((0, 1))),
            ("TLSv1.2-TLSv1.3", Ok((0, 1))),
            ("TLSv1.3+", Ok((1, 1))),
            ("TLSv1.2+", Ok((0, 1))),
            ("TLSv1", Err("TLSv1")),
            ("tlsv1.2", Err("tlsv1.2")),
            ("TLSv1.3-TLSv1.2", Err("TLSv1.3-TLSv1.2")),
            ("", Err("")),
        ];
        for (list, expected) in table {
            assert_eq!(parse_protocols(list), expected.map_err(|name| BadProtocols(name.into())), "{list}");
        }
    }

    #[test]
    fn cipher_lists() {
        let all = rustls::crypto::ring::default_provider().cipher_suites;
        let names = |list: &str| {
            let old: Vec<_> = all.iter().copied().filter(|suite| suite.tls13().is_none()).collect();
            select(&old, list).iter().map(|s| openssl_name(&id(s))).collect::<Vec<_>>()
        };
        assert_eq!(names("DEFAULT:@SECLEVEL=2").len(), 6);
        assert_eq!(names("HIGH:!aNULL:!MD5").len(), 6);
        assert_eq!(names("ECDHE-RSA-AES128-GCM-SHA256"), ["ECDHE-RSA-AES128-GCM-SHA256"]);
        assert_eq!(names("ECDHE-RSA-CHACHA20-POLY1305"), ["ECDHE-RSA-CHACHA20-POLY1305"]);
        let rsa = names("ECDHE+aRSA:!AES128:+CHACHA20");
        assert_eq!(rsa, ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"]);
        assert!(names("RC4:DES").is_empty() && names("!ECDHE:ALL").is_empty());
        let versions = |ciphers: &str, suites_13: &str| {
            let (chosen, errors) = suites(&all, Some(ciphers), Some(suites_13));
            let new = chosen.iter().filter(|suite| suite.tls13().is_some()).count();
            (new, chosen.len() - new, errors)
        };
        assert_eq!(versions("HIGH", "TLS_AES_128_GCM_SHA256"), (1, 6, vec![]));
        let both = vec![BadCiphers("ciphersuites"), BadCiphers("cipher_list")];
        assert_eq!(versions("RC4", "TLS_X"), (3, 0, both));
    }
}

//! The options that configure TLS, the same in every program.
//!
//! Where it sits: programs put `OPTIONS` into their table, give what they do not know to `accept`, and hand the settings to
//! `stream::tls::configure` when all options are read.
//!
//! Spec: "Public Key Infrastructure Options" and "SSL/TLS Connection Options" of every program's manual page.

use stream::tls::{Authority, Settings};

use crate::getopt::Opt;

/// The options.
pub const OPTIONS: &[Opt] = &[
    Opt::required("private-key").short('p'),
    Opt::required("certificate").short('c'),
    Opt::required("ca-cert").short('C'),
    Opt::required("bootstrap-ca-cert"),
    Opt::required("peer-ca-cert"),
    Opt::required("ssl-protocols"),
    Opt::required("ssl-ciphers"),
    Opt::required("ssl-ciphersuites"),
    Opt::required("ssl-server-name"),
];

/// The options as usage texts show them.
pub const USAGE: &str = "\
PKI configuration (required to use SSL/TLS):
  -p, --private-key=FILE  file with private key
  -c, --certificate=FILE  file with certificate for private key
  -C, --ca-cert=FILE      file with peer CA certificate
  --bootstrap-ca-cert=FILE  file with peer CA certificate to read or create
SSL/TLS options:
  --ssl-protocols=PROTOS  list of SSL/TLS protocols to enable
  --ssl-ciphers=CIPHERS   list of SSL/TLS ciphers to enable with TLSv1.2
  --ssl-ciphersuites=SUITES  list of SSL/TLS ciphersuites to enable with
                          TLSv1.3 and later
  --ssl-server-name=NAME  server name for SNI
";

/// Takes an option of `OPTIONS` into `settings`; `false` if `name` is none of them.
pub fn accept(settings: &mut Settings, name: &str, value: Option<&str>) -> bool {
    let text = || value.map(str::to_owned);
    match (name, value) {
        ("private-key", Some(file)) => settings.private_key = Some(absolute(file)),
        ("certificate", Some(file)) => settings.certificate = Some(absolute(file)),
        ("ca-cert", Some("none")) => settings.authority = Authority::Unverified,
        ("ca-cert", Some(file)) => settings.authority = Authority::File(absolute(file)),
        ("bootstrap-ca-cert", Some(file)) => settings.authority = Authority::Bootstrap(absolute(file)),
        ("peer-ca-cert", Some(file)) => settings.peer_ca_cert = Some(absolute(file)),
        ("ssl-protocols", _) => settings.protocols = text(),
        ("ssl-ciphers", _) => settings.ciphers = text(),
        ("ssl-ciphersuites", _) => settings.ciphersuites = text(),
        ("ssl-server-name", _) => settings.server_name = text(),
        _ => return false,
    }
    true
}

/// The folder changes when a daemon detaches. What stands for a column of a database is no file.
fn absolute(file: &str) -> String {
    if file.starts_with("db:") {
        return file.to_owned();
    }
    std::path::absolute(file).map_or_else(|_| file.to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_fill_settings() {
        let mut settings = Settings::default();
        for (name, value) in [
            ("private-key", "/k"),
            ("certificate", "db:D,T,c"),
            ("ca-cert", "/a"),
            ("bootstrap-ca-cert", "/b"),
            ("ssl-protocols", "TLSv1.3"),
        ] {
            assert!(accept(&mut settings, name, Some(value)));
        }
        assert!(!accept(&mut settings, "remote", Some("x")));
        assert_eq!(settings.private_key.as_deref(), Some("/k"));
        assert_eq!(settings.certificate.as_deref(), Some("db:D,T,c"));
        assert_eq!(settings.authority, Authority::Bootstrap("/b".into()));
        accept(&mut settings, "ca-cert", Some("none"));
        assert_eq!(settings.authority, Authority::Unverified);
        assert_eq!(settings.protocols.as_deref(), Some("TLSv1.3"));
    }
}

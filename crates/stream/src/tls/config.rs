//! Settings to rustls's configurations.
//!
//! Where it sits: called by the module above whenever settings or files changed. Reads files; keeps nothing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::{ClientConfig, ServerConfig};

use super::verify::Peers;
use super::{Authority, Bootstrap, Settings, ciphers, der};

/// Why TLS cannot be used. The texts are those that Open vSwitch logs, as far as it has them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// No private key.
    #[error("Private key must be configured to use SSL/TLS")]
    NoKey,
    /// No certificate.
    #[error("Certificate must be configured to use SSL/TLS")]
    NoCertificate,
    /// Nobody to trust.
    #[error("CA certificate must be configured to use SSL/TLS")]
    NoAuthority,
    /// A file that cannot be read.
    #[error("{what}: {file}: {reason}")]
    File {
        /// Where it was needed.
        what: &'static str,
        /// Its name.
        file: String,
        /// Why not.
        reason: String,
    },
    /// Key and certificate do not belong together.
    #[error("Private key does not match certificate public key: {0}")]
    Mismatch(String),
    /// What the library refuses.
    #[error("SSL_CTX_new: {0}")]
    Refused(String),
}

/// One configuration for each direction.
pub(super) struct Pair {
    pub client: Arc<ClientConfig>,
    pub server: Arc<ServerConfig>,
    bootstrap: Bootstrap,
}

impl Pair {
    pub(super) fn bootstrap(&self) -> Bootstrap {
        self.bootstrap.clone()
    }
}

/// Reads the files and makes both configurations.
pub(super) fn build(settings: &Settings) -> Result<Pair, TlsError> {
    let key = private_key(settings)?.ok_or(TlsError::NoKey)?;
    let mut chain = own_certificate(settings)?.ok_or(TlsError::NoCertificate)?;
    chain.extend(more_certificates(settings)?);
    let (provider, _) = provider(settings);
    let provider = Arc::new(provider);
    let (versions, _) = ciphers::versions(settings.protocols.as_deref());
    let (roots, bootstrap) = authority(&settings.authority)?;
    complete(&mut chain, roots.as_deref().unwrap_or_default());
    let peers = Arc::new(Peers::new(roots, &provider)?);
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(peers.clone())
        .with_client_auth_cert(chain.clone(), key.clone_key())
        .map_err(refused)?;
    let server =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions).map_err(refused)?;
    let server = match settings.authority {
        Authority::Unverified => server.with_no_client_auth(),
        _ => server.with_client_cert_verifier(peers),
    };
    let server = server.with_single_cert(chain, key).map_err(refused)?;
    Ok(Pair { client: Arc::new(client), server: Arc::new(server), bootstrap })
}

/// What is wrong with settings, each in the log's words; what is missing may not be needed.
pub(super) fn faults(settings: &Settings) -> Vec<String> {
    let files = [
        private_key(settings).err(),
        own_certificate(settings).err(),
        more_certificates(settings).err(),
        authority(&settings.authority).err().filter(|error| *error != TlsError::NoAuthority),
    ];
    let mut faults: Vec<String> = files.iter().flatten().map(TlsError::to_string).collect();
    faults.extend(ciphers::versions(settings.protocols.as_deref()).1.map(|error| error.to_string()));
    faults.extend(provider(settings).1.iter().map(ciphers::BadCiphers::to_string));
    faults
}

/// What TLS cannot be used without, and settings do not name.
pub(super) fn missing(settings: &Settings) -> Vec<TlsError> {
    let parts = [
        (settings.private_key.is_some(), TlsError::NoKey),
        (settings.certificate.is_some(), TlsError::NoCertificate),
        (settings.authority != Authority::Unset, TlsError::NoAuthority),
    ];
    parts.into_iter().filter(|(there, _)| !there).map(|(_, error)| error).collect()
}

fn private_key(settings: &Settings) -> Result<Option<PrivateKeyDer<'static>>, TlsError> {
    let Some(file) = &settings.private_key else { return Ok(None) };
    let key = PrivateKeyDer::from_pem_file(file);
    key.map(Some).map_err(|error| unreadable("SSL_use_PrivateKey_file", file, &error))
}

fn own_certificate(settings: &Settings) -> Result<Option<Chain>, TlsError> {
    let file = settings.certificate.as_ref();
    file.map(|file| certificates("SSL_use_certificate_file", file)).transpose()
}

fn more_certificates(settings: &Settings) -> Result<Chain, TlsError> {
    let file = settings.peer_ca_cert.as_ref();
    file.map_or(Ok(Vec::new()), |file| certificates("SSL_CTX_add_extra_chain_cert", file))
}

fn provider(settings: &Settings) -> (CryptoProvider, Vec<ciphers::BadCiphers>) {
    let mut provider = rustls::crypto::ring::default_provider();
    let (suites, errors) = ciphers::suites(
        &provider.cipher_suites,
        settings.ciphers.as_deref(),
        settings.ciphersuites.as_deref(),
    );
    provider.cipher_suites = suites;
    (provider, errors)
}

type Chain = Vec<CertificateDer<'static>>;
type Roots = Option<Chain>;

/// The certificates to trust, nobody's for everybody; and the file to make, where there is none yet.
fn authority(authority: &Authority) -> Result<(Roots, Bootstrap), TlsError> {
    match authority {
        Authority::Unset => Err(TlsError::NoAuthority),
        Authority::Unverified => Ok((None, None)),
        Authority::Bootstrap(file) if !Path::new(file).exists() => Ok((None, Some(Path::new(file).into()))),
        Authority::File(file) | Authority::Bootstrap(file) => {
            Ok((Some(certificates("SSL_CTX_load_verify_locations", file)?), None))
        }
    }
}

/// Adds to a chain who signed its end, as far as these authorities go: a peer that bootstraps learns its own from it.
fn complete(chain: &mut Vec<CertificateDer<'static>>, authorities: &[CertificateDer<'static>]) {
    for _ in authorities {
        let Some(end) = chain.last().and_then(|end| der::names(end)) else { return };
        let signed = |authority: &&CertificateDer<'_>| {
            der::names(authority).is_some_and(|names| names.subject == end.issuer)
        };
        let signer = authorities.iter().find(signed).filter(|_| end.issuer != end.subject).cloned();
        let Some(signer) = signer else { return };
        chain.push(signer);
    }
}

fn certificates(what: &'static str, file: &str) -> Result<Chain, TlsError> {
    let failed = |error: pem::Error| unreadable(what, file, &error);
    let found = CertificateDer::pem_file_iter(file).map_err(failed)?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if found.is_empty() { Err(failed(pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn unreadable(what: &'static str, file: &str, error: &pem::Error) -> TlsError {
    let reason = match error {
        pem::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => "no PEM text".to_owned(),
        pem::Error::Io(error) => crate::error_text(error),
        pem::Error::NoItemsFound => "no PEM data of the wanted kind in it".to_owned(),
        other => other.to_string(),
    };
    TlsError::File { what, file: file.to_owned(), reason }
}

fn refused(error: rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(why) => TlsError::Mismatch(format!("{why:?}")),
        other => TlsError::Refused(reason(&other)),
    }
}

/// What went wrong, in words that help.
pub(super) fn reason(error: &rustls::Error) -> String {
    let text = error.to_string();
    if format!("{error:?}").contains("UnsupportedCertVersion") {
        return "a certificate of X.509 version 1, which is not supported: make one of version 3".to_owned();
    }
    match error {
        rustls::Error::InvalidCertificate(why) => format!("certificate verify failed ({why})"),
        rustls::Error::AlertReceived(alert) => format!("the peer refused ({alert:?})"),
        _ => text,
    }
}

//! Whom to believe: chains that end in the authority's certificates, whatever names they hold.
//!
//! Where it sits: one value serves both directions of a configuration.
//!
//! I1  Signatures of the handshake are always checked, also where everybody is trusted.
//! I2  A certificate that is one of the authority's own is accepted as a peer's, so that self-signed ones work.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use super::config::{TlsError, reason};

/// Judges peers.
#[derive(Debug)]
pub(super) struct Peers {
    provider: Arc<CryptoProvider>,
    trust: Option<Trust>,
}

#[derive(Debug)]
struct Trust {
    certificates: Vec<CertificateDer<'static>>,
    servers: Arc<WebPkiServerVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl Peers {
    /// Trusts those that `roots` vouch for; everybody without.
    pub(super) fn new(
        roots: Option<Vec<CertificateDer<'static>>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Peers, TlsError> {
        let provider = provider.clone();
        let Some(certificates) = roots else { return Ok(Peers { provider, trust: None }) };
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store.add(certificate.clone()).map_err(|error| TlsError::Refused(reason(&error)))?;
        }
        let (store, refused) =
            (Arc::new(store), |error: VerifierBuilderError| TlsError::Refused(error.to_string()));
        let servers = WebPkiServerVerifier::builder_with_provider(store.clone(), provider.clone());
        let clients = WebPkiClientVerifier::builder_with_provider(store, provider.clone());
        let trust = Trust {
            certificates,
            servers: servers.build().map_err(refused)?,
            clients: clients.build().map_err(refused)?,
        };
        Ok(Peers { provider, trust: Some(trust) })
    }
}

impl Trust {
    /// Overrules a refusal that Open vSwitch's certificates meet without fault.
    fn overrule(&self, leaf: &CertificateDer<'_>, error: Error) -> Result<(), Error> {
        match &error {
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => Ok(()),
            // The period of validity has been checked before this comes up.
            Error::InvalidCertificate(CertificateError::Other(why))
                if format!("{why:?}").contains("CaUsedAsEndEntity") && self.certificates.contains(leaf) =>
            {
                Ok(())
            }
            _ => Err(error),
        }
    }
}

impl ServerCertVerifier for Peers {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trust) = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        match trust.servers.verify_server_cert(leaf, others, name, ocsp, now) {
            Ok(verified) => Ok(verified),
            Err(error) => trust.overrule(leaf, error).map(|()| ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Peers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.trust.as_ref().map_or(&[], |trust| trust.clients.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let Some(trust) = &self.trust else { return Ok(ClientCertVerified::assertion()) };
        match trust.clients.verify_client_cert(leaf, others, now) {
            Ok(verified) => Ok(verified),
            Err(error) => trust.overrule(leaf, error).map(|()| ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}

//! TLS: who this process is, whom it trusts, and what it offers.
//!
//! Where it sits: programs set [`Settings`] once, or whenever the database says otherwise; `socket` asks for a configuration per
//! connection. The settings are those of the process, as the options that fill them are.
//!
//! ~~~text
//! options, database ─► Settings ─► files read, keys matched (config) ─► client and server configurations, until a file changes
//! ~~~
//! I1  A peer is trusted if its certificate leads to a certificate of the authority. Names in it are not compared: Open vSwitch's
//!     certificates carry none that lead anywhere.
//! I2  Files are read again when they change, so that renewed certificates serve the next connection.
//! I3  With a bootstrap file that does not exist, the first peer is believed, its authority is kept, and its connection is dropped.
//!
//! Reading order: `config`, `verify`, `ciphers`, `io`, `bootstrap`, `der`.

mod bootstrap;
mod ciphers;
mod config;
mod der;
mod io;
mod verify;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustix::io::Errno;
use rustls::{ClientConfig, ServerConfig};

pub use ciphers::{BadCiphers, BadProtocols};
pub use config::TlsError;
pub(crate) use io::{PeerId, TlsIo};

/// Whom to trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authority {
    /// Nothing was said: TLS cannot be used.
    #[default]
    Unset,
    /// Everybody (`none`).
    Unverified,
    /// Whoever the authority in this file vouches for.
    File(String),
    /// The same; if the file does not exist, it is made from what the first peer presents.
    Bootstrap(String),
}

/// What users configure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// File of the private key.
    pub private_key: Option<String>,
    /// File of the certificate.
    pub certificate: Option<String>,
    /// Whom to trust.
    pub authority: Authority,
    /// File of more certificates to present: that of the authority that signed ours.
    pub peer_ca_cert: Option<String>,
    /// Versions, as `TLSv1.2`, `TLSv1.2,TLSv1.3`, `TLSv1.2-TLSv1.3` or `TLSv1.2+`.
    pub protocols: Option<String>,
    /// Ciphers of TLS 1.2, as OpenSSL writes lists of them.
    pub ciphers: Option<String>,
    /// Cipher suites of TLS 1.3.
    pub ciphersuites: Option<String>,
    /// The name to ask servers for instead of the one that was dialled.
    pub server_name: Option<String>,
}

struct State {
    settings: Settings,
    built: Option<Built>,
}

/// Configurations, and the files they were made of.
struct Built {
    stamps: Vec<Stamp>,
    pair: Result<Arc<config::Pair>, TlsError>,
}

/// How a file looked.
type Stamp = Option<(u64, u64, SystemTime)>;

static STATE: Mutex<State> = Mutex::new(State {
    settings: Settings {
        private_key: None,
        certificate: None,
        authority: Authority::Unset,
        peer_ca_cert: None,
        protocols: None,
        ciphers: None,
        ciphersuites: None,
        server_name: None,
    },
    built: None,
});

/// Uses `settings` for connections from now on. Those that stand are not touched. What is wrong is said in the log, and again when it is
/// needed.
pub fn configure(settings: Settings) {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if state.settings == settings {
        return;
    }
    if settings.authority == Authority::Unverified && state.settings.authority != Authority::Unverified {
        log::warn!(target: "stream_ssl", "Peer certificate validation disabled (this is a security risk)");
    }
    for fault in config::faults(&settings) {
        log::error!(target: "stream_ssl", "{fault}");
    }
    *state = State { settings, built: None };
}

/// What is in use.
pub fn settings() -> Settings {
    STATE.lock().unwrap_or_else(PoisonError::into_inner).settings.clone()
}

impl Settings {
    /// Whether a key, a certificate and an authority are named.
    pub fn is_complete(&self) -> bool {
        self.private_key.is_some() && self.certificate.is_some() && self.authority != Authority::Unset
    }

    fn files(&self) -> impl Iterator<Item = &String> {
        let authority = match &self.authority {
            Authority::File(file) | Authority::Bootstrap(file) => Some(file),
            _ => None,
        };
        [self.private_key.as_ref(), self.certificate.as_ref(), self.peer_ca_cert.as_ref(), authority]
            .into_iter()
            .flatten()
    }
}

fn stamp(file: &String) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
}

/// The configurations by the present settings and files.
fn pair() -> Result<Arc<config::Pair>, TlsError> {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let stamps: Vec<Stamp> = state.settings.files().map(stamp).collect();
    if state.built.as_ref().is_none_or(|built| built.stamps != stamps) {
        let pair = config::build(&state.settings).map(Arc::new);
        let missing = config::missing(&state.settings);
        for error in pair.as_ref().err().filter(|_| missing.is_empty()).into_iter().chain(&missing) {
            log::error!(target: "stream_ssl", "{error}");
        }
        state.built = Some(Built { stamps, pair });
    }
    state.built.as_ref().map_or(Err(TlsError::NoKey), |built| built.pair.clone())
}

fn errno(error: &TlsError) -> Errno {
    match error {
        TlsError::Refused(_) => Errno::PROTO,
        _ => Errno::NOPROTOOPT,
    }
}

/// The configuration for dialling; the error is the errno that Open vSwitch's programs report.
pub(crate) fn client() -> std::io::Result<(Arc<ClientConfig>, Option<String>, Bootstrap)> {
    let name = settings().server_name;
    let pair = pair().map_err(|error| errno(&error))?;
    Ok((pair.client.clone(), name, pair.bootstrap()))
}

/// The configuration for serving.
pub(crate) fn server() -> std::io::Result<(Arc<ServerConfig>, Bootstrap)> {
    let pair = pair().map_err(|error| errno(&error))?;
    Ok((pair.server.clone(), pair.bootstrap()))
}

/// Whether, and into which file, the authority of the first peer is to be kept.
pub(crate) type Bootstrap = Option<Arc<Path>>;

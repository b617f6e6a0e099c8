//! Keys and certificates for tests of TLS.
//!
//! Where it sits: made by the suite's own `ovs-pki`, so that they are what users have.

use std::process::Command;

use crate::{Scratch, Suite};

/// An authority, a server and a client that it vouches for, and an authority that vouches for nobody.
pub struct Pki(Scratch);

/// Whom the authority vouches for.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// Who listens.
    Server,
    /// Who dials.
    Client,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Peer::Server => "server",
            Peer::Client => "client",
        }
    }
}

impl Pki {
    /// Makes them; without openssl it says that the test is skipped.
    ///
    /// # Panics
    /// When `ovs-pki` fails.
    pub fn new(suite: &Suite) -> Option<Pki> {
        if !Command::new("openssl").arg("version").output().is_ok_and(|out| out.status.success()) {
            println!("skip: no openssl here");
            return None;
        }
        let folder = Scratch::new();
        let signed = [Peer::Server, Peer::Client].map(|peer| ["req+sign", peer.name(), "switch"]);
        for arguments in [&["init"][..], &signed[0], &signed[1]] {
            let mut pki = suite.command("ovs-pki");
            // The authority's program is the system's own, with its own libraries.
            pki.env_remove("LD_LIBRARY_PATH").current_dir(folder.path());
            pki.args(["-b", "-u", &format!("--dir={}/pki", folder.path().display()), "--log=log"]);
            let out = pki.args(arguments).output().expect("ovs-pki runs");
            assert!(out.status.success(), "ovs-pki {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        }
        Some(Pki(folder))
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// The file with a private key.
    pub fn key(&self, peer: Peer) -> String {
        self.file(&format!("{}-privkey.pem", peer.name()))
    }

    /// The file with a certificate.
    pub fn certificate(&self, peer: Peer) -> String {
        self.file(&format!("{}-cert.pem", peer.name()))
    }

    /// The file with the certificate of the authority that vouches for both.
    pub fn authority(&self) -> String {
        self.file("pki/switchca/cacert.pem")
    }

    /// The file with the certificate of an authority that vouches for neither.
    pub fn stranger(&self) -> String {
        self.file("pki/controllerca/cacert.pem")
    }

    /// Options that name a key and its certificate.
    pub fn identity(&self, peer: Peer) -> [String; 2] {
        [format!("--private-key={}", self.key(peer)), format!("--certificate={}", self.certificate(peer))]
    }

    /// The same, and the authority that is believed.
    pub fn trusting(&self, peer: Peer) -> [String; 3] {
        let [key, certificate] = self.identity(peer);
        [key, certificate, format!("--ca-cert={}", self.authority())]
    }
}

//! TLS with certificates of ovs-pki, both ways with Open vSwitch's programs.

use std::path::Path;
use std::process::{Command, Output};

use testkit::{Peer, Pki, Scratch, Suite};

use crate::replay;
use crate::support::{Server, command, create, start, wait_for};

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{
 "T":{"columns":{"n":{"type":"integer"},"owner":{"type":"string"}},"isRoot":true},
 "SSL":{"columns":{"private_key":{"type":"string"},"certificate":{"type":"string"},"ca_cert":{"type":"string"}},"maxRows":1,"isRoot":true},
 "Remote":{"columns":{"target":{"type":"string"},"role":{"type":"string"},"read_only":{"type":"boolean"},
   "is_connected":{"type":"boolean","ephemeral":true},
   "status":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"},"ephemeral":true}},"isRoot":true},
 "Top":{"columns":{"remotes":{"type":{"key":{"type":"uuid","refTable":"Remote"},"min":0,"max":"unlimited"}}},"isRoot":true},
 "RBAC_Role":{"columns":{"name":{"type":"string"},"permissions":{"type":{"key":"string",
   "value":{"type":"uuid","refTable":"RBAC_Permission","refType":"weak"},"min":0,"max":"unlimited"}}},"isRoot":true},
 "RBAC_Permission":{"columns":{"authorization":{"type":{"key":"string","min":0,"max":"unlimited"}},
   "insert_delete":{"type":"boolean"},"update":{"type":{"key":"string","min":0,"max":"unlimited"}}},"isRoot":true}}}"#;

/// A server that listens on TLS, and where.
fn serve(suite: Option<&Suite>, identity: &[String], extra: &[&str]) -> (Server, u16) {
    let folder = Scratch::new();
    create(&folder.join("db"), SCHEMA);
    let mut arguments: Vec<&str> = identity.iter().map(String::as_str).collect();
    arguments.extend(["--remote=pssl:0:127.0.0.1", "db"]);
    arguments.extend(extra);
    let server = start(suite, folder, &arguments);
    let port = port(&server);
    (server, port)
}

fn port(server: &Server) -> u16 {
    wait_for("a port", || {
        let log = server.log();
        let line = log.lines().find(|line| line.contains("listening on port"))?;
        line.rsplit(' ').next()?.parse().ok()
    })
}

fn list_dbs(client: &Suite, port: u16, identity: &[String]) -> Output {
    let mut command = client.command("ovsdb-client");
    command.args(identity).args(["--timeout=10", "list-dbs", &format!("ssl:127.0.0.1:{port}")]);
    command.output().unwrap()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

#[test]
fn c_clients_and_our_server() {
    let Some(oracle) = testkit::oracle() else { return };
    let Some(pki) = Pki::new(&oracle) else { return };
    let ours = pki.trusting(Peer::Server);
    let client = pki.trusting(Peer::Client);
    let (server, port) = serve(None, &ours, &[]);
    let out = list_dbs(&oracle, port, &client);
    assert!(out.status.success() && said(&out).contains("D\n"), "{}\n{}", said(&out), server.log());
    // A client whose authority is another one is refused, and refuses.
    let mut stranger = client.clone();
    stranger[2] = format!("--ca-cert={}", pki.stranger());
    assert!(!list_dbs(&oracle, port, &stranger).status.success());
    // Without a certificate the server hangs up, and says why.
    let mut nameless = Command::new("openssl");
    let address = format!("127.0.0.1:{port}");
    nameless.args(["s_client", "-connect", &address]).stdin(std::process::Stdio::null());
    nameless.output().unwrap();
    wait_for("a line in the log", || server.log().contains("SSL_accept: ").then_some(()));
    // TLS 1.2 with one cipher of the client's choice.
    let old = ["--ssl-protocols=TLSv1.2", "--ssl-ciphers=ECDHE-RSA-AES128-GCM-SHA256"].map(str::to_owned);
    let out = list_dbs(&oracle, port, &[client.as_slice(), &old].concat());
    assert!(out.status.success(), "{}\n{}", said(&out), server.log());
    drop(server);
    // A server that insists on TLS 1.3 has no cipher in common with it.
    let (server, port) = serve(None, &ours, &["--ssl-protocols=TLSv1.3"]);
    assert!(!list_dbs(&oracle, port, &[client.as_slice(), &old].concat()).status.success());
    drop(server);
}

#[test]
fn bootstrapping_both_ways() {
    let Some(oracle) = testkit::oracle() else { return };
    let Some(pki) = Pki::new(&oracle) else { return };
    let learned = Scratch::new();
    // Our server learns from C's server, which dials it, and whose first connection it drops.
    let with_authority = format!("--peer-ca-cert={}", pki.authority());
    let mut ours = pki.trusting(Peer::Server);
    ours[2] = format!("--bootstrap-ca-cert={}", learned.join("server.pem").display());
    let (server, port) = serve(None, &ours, &[]);
    let client = pki.trusting(Peer::Client);
    let dial = format!("--remote=ssl:127.0.0.1:{port}");
    let (theirs, _) = serve(Some(&oracle), &client, &[&with_authority, &dial]);
    wait_for("the certificate", || learned.join("server.pem").is_file().then_some(()));
    wait_for("the log", || server.log().contains("successfully bootstrapped CA cert to").then_some(()));
    drop(theirs);
    let out = list_dbs(&oracle, port, &client);
    assert!(out.status.success(), "{}\n{}", said(&out), server.log());
    assert!(same_certificate(&learned.join("server.pem"), Path::new(&pki.authority())));
    // Our server dials C's, learns, and dials again.
    let listening = pki.trusting(Peer::Client);
    let (theirs, port) = serve(Some(&oracle), &listening, &[&with_authority]);
    let mut dialling = pki.trusting(Peer::Server);
    dialling[2] = format!("--bootstrap-ca-cert={}", learned.join("dial.pem").display());
    let folder = Scratch::new();
    let relay = format!("relay:D:ssl:127.0.0.1:{port}");
    let arguments: Vec<&str> = dialling.iter().map(String::as_str).chain([relay.as_str()]).collect();
    let copy = start(None, folder, &arguments);
    let insert = r#"{"op":"insert","table":"T","row":{"n":5}}"#;
    theirs.connect().transact("D", insert).unwrap();
    let select = r#"{"op":"select","table":"T","where":[],"columns":["n"]}"#;
    wait_for("the row", || {
        let reply = copy.connect().transact("D", select)?.to_string();
        reply.contains("\"n\":5").then_some(())
    });
    assert!(same_certificate(&learned.join("dial.pem"), Path::new(&pki.authority())));
    // A client of C's learns from our server, which presents its authority unasked. C gives up the first connection.
    let (_server, port) = serve(None, &pki.trusting(Peer::Server), &[]);
    let mut client = pki.trusting(Peer::Client);
    client[2] = format!("--bootstrap-ca-cert={}", learned.join("client.pem").display());
    list_dbs(&oracle, port, &client);
    let out = list_dbs(&oracle, port, &client);
    assert!(out.status.success(), "{}", said(&out));
    assert!(same_certificate(&learned.join("client.pem"), Path::new(&pki.authority())));
}

/// The files hold the same certificate, whatever text is around it.
fn same_certificate(a: &Path, b: &Path) -> bool {
    let body = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let start = text.find("-----BEGIN CERTIFICATE").unwrap();
        text[start..].trim().to_owned()
    };
    body(a) == body(b)
}

#[test]
fn what_is_missing_is_said() {
    let folder = Scratch::new();
    create(&folder.join("db"), SCHEMA);
    let server = start(None, folder, &["--remote=pssl:0", "db"]);
    let log = server.log();
    assert!(log.contains("stream_ssl|ERR|Private key must be configured to use SSL/TLS"), "{log}");
    assert!(log.contains("pssl:0: listen failed: Protocol not available"), "{log}");
    let folder = Scratch::new();
    create(&folder.join("db"), SCHEMA);
    let server = start(None, folder, &["--remote=pssl:0", "-p", "nokey", "-c", "nocert", "-C", "none", "db"]);
    let log = server.log();
    assert!(log.contains("SSL_use_PrivateKey_file: ") && log.contains("No such file or directory"), "{log}");
    let folder = Scratch::new();
    create(&folder.join("db"), SCHEMA);
    for (option, text) in [
        ("--private-key=db:D,SSL,zz", "\"db:D,SSL,zz\": table \"SSL\" has no column \"zz\""),
        ("--certificate=db:X,SSL,zz", "\"db:X,SSL,zz\": no database named X"),
        ("--ca-cert=db:x", "\"db:x\": invalid syntax"),
    ] {
        let out = command(None, folder.path()).args(["--run=true", option, "db"]).output().unwrap();
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && error.contains(text), "{option}: {error}");
    }
}

/// Keys and remotes come out of the database; roles go by the name in the client's certificate, in a replay of all that as well.
#[test]
fn the_database_configures_tls_and_roles() {
    let Some(oracle) = testkit::oracle() else { return };
    let Some(pki) = Pki::new(&oracle) else { return };
    let arguments = [
        "--remote=db:D,Top,remotes",
        "--private-key=db:D,SSL,private_key",
        "--certificate=db:D,SSL,certificate",
        "--ca-cert=db:D,SSL,ca_cert",
        "db",
    ];
    let server = start(None, replay::folder(SCHEMA), &[arguments.as_slice(), &[replay::RECORD]].concat());
    let mut root = server.connect();
    let set_up = format!(
        r#"{{"op":"insert","table":"SSL","row":{{"private_key":"{}","certificate":"{}","ca_cert":"{}"}}}},
        {{"op":"insert","table":"Remote","uuid-name":"r","row":{{"target":"pssl:0:127.0.0.1","role":"ctl"}}}},
        {{"op":"insert","table":"Top","row":{{"remotes":["named-uuid","r"]}}}},
        {{"op":"insert","table":"RBAC_Permission","uuid-name":"p","row":{{"authorization":"owner","insert_delete":true}}}},
        {{"op":"insert","table":"RBAC_Role","row":{{"name":"ctl","permissions":["map",[["T",["named-uuid","p"]]]]}}}}"#,
        pki.key(Peer::Server),
        pki.certificate(Peer::Server),
        pki.authority()
    );
    let reply = root.transact("D", &set_up).unwrap();
    assert!(!reply.to_string().contains("error"), "{reply}");
    let port = port(&server);
    let mut subject = Command::new("openssl");
    subject.args(["x509", "-noout", "-subject", "-nameopt", "multiline", "-in"]);
    let subject = subject.arg(pki.certificate(Peer::Client)).output().unwrap();
    let subject = String::from_utf8_lossy(&subject.stdout).into_owned();
    let name = subject.lines().find_map(|l| l.trim().strip_prefix("commonName")).unwrap();
    let name = name.trim().trim_start_matches('=').trim();
    let transact = |owner: &str| {
        let mut client = oracle.command("ovsdb-client");
        let operations = format!(r#"["D",{{"op":"insert","table":"T","row":{{"n":1,"owner":"{owner}"}}}}]"#);
        client.args(pki.trusting(Peer::Client));
        client.args(["--timeout=10", "transact", &format!("ssl:127.0.0.1:{port}"), &operations]);
        said(&client.output().unwrap())
    };
    let fine = transact(name);
    assert!(fine.contains("\"uuid\""), "{fine}\n{}", server.log());
    let refused = transact("somebody");
    let text = format!(
        "RBAC rules for client \\\"{name}\\\" role \\\"ctl\\\" prohibit row insertion into table \\\"T\\\"."
    );
    assert!(refused.contains("permission error") && refused.contains(&text), "{refused}");
    // Status is written back: the port in use.
    wait_for("the status", || {
        let rows =
            root.transact("D", r#"{"op":"select","table":"Remote","where":[],"columns":["status"]}"#)?;
        rows.to_string().contains(&format!("[\"bound_port\",\"{port}\"]")).then_some(())
    });
    drop(root);
    replay::assert_replays(server, &arguments);
}

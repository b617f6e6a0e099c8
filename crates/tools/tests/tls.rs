//! TLS in the tools, against C's server with certificates of ovs-pki.

use std::process::{Child, Command, Stdio};

use testkit::{Peer, Pki, Scratch, Suite};

/// A C server of an Open_vSwitch and a hardware_vtep database that listens on TLS, ended with the test.
struct Server {
    process: Child,
    pki: Pki,
    folder: Scratch,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(oracle: &Suite) -> Option<Server> {
    let (pki, folder) = (Pki::new(oracle)?, Scratch::new());
    let vtep = oracle.root().join("usr/share/openvswitch/vtep.ovsschema");
    let databases = [folder.join("conf.db"), folder.join("vtep.db")];
    for (database, schema) in databases.iter().zip([oracle.schema(), &vtep]) {
        let created = oracle.command("ovsdb-tool").arg("create").arg(database).arg(schema).status();
        assert!(created.unwrap().success());
    }
    let log = folder.join("log.txt");
    let mut server = oracle.command("ovsdb-server");
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
        server.env(variable, folder.path());
    }
    server.args(pki.trusting(Peer::Server));
    // The whole chain is presented, so that clients may bootstrap.
    server.arg(format!("--peer-ca-cert={}", pki.authority()));
    server.args(["--remote=pssl:0:127.0.0.1", "-vconsole:off", "--no-chdir"]);
    server.arg(format!("--log-file={}", log.display())).args(&databases).stderr(Stdio::null());
    let mut server = Server { process: server.spawn().unwrap(), pki, folder, port: 0 };
    let clock = std::time::Instant::now();
    while server.port == 0 {
        assert!(clock.elapsed().as_secs() < 30, "the server does not come up");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let line = text.lines().find(|line| line.contains("listening on port"));
        server.port = line.and_then(|l| l.rsplit(' ').next()?.parse().ok()).unwrap_or(0);
        std::thread::yield_now();
    }
    Some(server)
}

fn run(program: &str, options: &[String], rest: &[&str]) -> (bool, String) {
    let mut command = Command::new(program);
    command.env("OVS_SYSLOG_METHOD", "null").args(options).args(["--timeout=20"]).args(rest);
    let out = command.output().unwrap();
    (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

#[test]
fn clients_of_databases_speak_tls_with_the_c_server() {
    let Some(oracle) = testkit::oracle() else { return };
    let Some(server) = serve(&oracle) else { return };
    let remote = format!("ssl:127.0.0.1:{}", server.port);
    let (client, trusted) = (server.pki.identity(Peer::Client), server.pki.trusting(Peer::Client));
    let db = format!("--db={remote}");
    let vsctl = env!("CARGO_BIN_EXE_ovs-vsctl");

    let added = run(vsctl, &trusted, &[&db, "--no-wait", "add-br", "br0", "--", "list-br"]);
    assert_eq!(added, (true, "br0\n".to_owned()));
    let added = run(env!("CARGO_BIN_EXE_vtep-ctl"), &trusted, &[&db, "add-ps", "ps0", "--", "list-ps"]);
    assert_eq!(added, (true, "ps0\n".to_owned()));
    let listed = run(env!("CARGO_BIN_EXE_ovsdb-client"), &trusted, &["list-dbs", &remote]);
    assert_eq!(listed, (true, "Open_vSwitch\n_Server\nhardware_vtep\n".to_owned()));

    // Whoever is not vouched for by the named authority is not believed.
    let other = format!("--ca-cert={}", server.pki.stranger());
    let refused = run(vsctl, &[client.as_slice(), &[other]].concat(), &[&db, "--no-wait", "list-br"]);
    assert!(!refused.0 && refused.1.contains("database connection failed"), "{refused:?}");
    // Without a key there is no TLS.
    let keyless = run(vsctl, &[], &[&db, "--no-wait", "list-br"]);
    assert!(!keyless.0 && keyless.1.contains("database connection failed"), "{keyless:?}");
}

/// What is wrong with keys, certificates, ciphers and versions is in the log before anybody needs them. The rest of a line is in the words
/// of the library.
#[test]
fn bad_options_are_in_the_log_as_in_c() {
    let Some(oracle) = testkit::oracle() else { return };
    let (Some(pki), folder) = (Pki::new(&oracle), Scratch::new()) else { return };
    let junk = folder.join("junk").display().to_string();
    std::fs::write(&junk, "junk\n").unwrap();
    let key = pki.key(Peer::Client);
    let lines: [&[&str]; 9] = [
        &["-p", "/nosuch"],
        &["-p", &junk],
        &["-c", "/nosuch"],
        &["-C", &junk],
        &["--bootstrap-ca-cert", &junk],
        &["--ssl-ciphers=nosuch"],
        &["--ssl-protocols=nosuch"],
        &["-p", &key],
        &["-C", "/nosuch", "-p", "/nosuch"],
    ];
    for options in lines {
        let said = |mut command: Command| {
            let out =
                command.args(options).args(["--db=unix:/nosuch", "--no-wait", "list-br"]).output().unwrap();
            let text = String::from_utf8_lossy(&out.stderr).replace("SSL/TLS", "SSL");
            let text =
                text.replace("failed to load client certificates from", "SSL_CTX_load_verify_locations:");
            let lines = text.lines().filter_map(|line| line.split_once("|stream_ssl|"));
            let mut lines: Vec<String> =
                lines.map(|(_, said)| said.split(": ").next().unwrap_or_default().to_owned()).collect();
            lines.sort();
            (out.status.code(), lines)
        };
        let ours = said(Command::new(env!("CARGO_BIN_EXE_ovs-vsctl")));
        assert_eq!(ours, said(oracle.command("ovs-vsctl")), "{options:?}");
    }
}

#[test]
fn a_bootstrap_keeps_the_authority_that_the_server_presents() {
    let Some(oracle) = testkit::oracle() else { return };
    let Some(server) = serve(&oracle) else { return };
    let kept = server.folder.join("kept.pem");
    let options =
        [server.pki.identity(Peer::Client).as_slice(), &[format!("--bootstrap-ca-cert={}", kept.display())]]
            .concat();
    let db = format!("--db=ssl:127.0.0.1:{}", server.port);
    let vsctl = env!("CARGO_BIN_EXE_ovs-vsctl");
    // The first connection is given up for the certificate; `--retry` makes another one.
    assert!(!run(vsctl, &options, &[&db, "--no-wait", "--retry", "br-exists", "br0"]).0);
    assert!(std::fs::read_to_string(&kept).unwrap().contains("BEGIN CERTIFICATE"));
    let listed = run(vsctl, &options, &[&db, "--no-wait", "add-br", "br0", "--", "list-br"]);
    assert_eq!(listed, (true, "br0\n".to_owned()));
}

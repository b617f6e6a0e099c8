//! Python's `ovs` and `ovsdbapp`, from PyPI, drive the server over unix sockets, TCP and TLS.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::{Peer, Pki, Scratch};

use crate::support::{create, start, wait_for};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/clients.py");

/// A python with both packages, made once under target/.
pub(crate) fn python() -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = exe.ancestors().nth(3).ok_or("no target folder")?;
    let venv = target.join("tmp/python-clients");
    let python = venv.join("bin/python");
    let works = || {
        let out = Command::new(&python).args(["-c", "import ovs, ovsdbapp"]).output();
        out.is_ok_and(|out| out.status.success())
    };
    if works() {
        return Ok(python);
    }
    let run = |command: &mut Command| {
        let out = command.output().map_err(|error| format!("{error}"))?;
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        let last = error.lines().last().unwrap_or_default().to_owned();
        if out.status.success() { Ok(()) } else { Err(last) }
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "ovs==3.7.1", "ovsdbapp"]))?;
    if works() { Ok(python) } else { Err("the packages do not load".to_owned()) }
}

fn drive(python: &Path, remote: &str, identity: &[String]) -> Result<(), String> {
    let out = Command::new(python).arg(SCRIPT).arg(remote).args(identity).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    if out.status.success() && text.contains("served") { Ok(()) } else { Err(format!("{remote}: {text}")) }
}

#[test]
fn python_clients_are_served() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => testkit::skip!("no python with ovs and ovsdbapp: {reason}"),
    };
    let oracle = testkit::oracle();
    let pki = oracle.as_ref().and_then(Pki::new);
    let folder = Scratch::new();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/vswitch.ovsschema");
    create(&folder.join("db"), &std::fs::read_to_string(schema).unwrap());
    let mut arguments = vec!["--remote=ptcp:0:127.0.0.1".to_owned(), "db".to_owned()];
    if let Some(pki) = &pki {
        arguments.extend(pki.trusting(Peer::Server));
        arguments.push("--remote=pssl:0:127.0.0.1".to_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = start(None, folder, &arguments);
    server.connect().transact("Open_vSwitch", r#"{"op":"insert","table":"Open_vSwitch","row":{}}"#).unwrap();
    let ports = wait_for("the ports", || {
        let log = server.log();
        let lines = log.lines().filter(|line| line.contains("listening on port"));
        let ports: Vec<u16> = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        (ports.len() == 1 + usize::from(pki.is_some())).then_some(ports)
    });
    // ovsdbapp waits for a switch to carry out what it wrote: this thread says that it has.
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, mut switch) = (stop.clone(), server.connect());
    let acknowledge = std::thread::spawn(move || {
        let mut done = 0;
        while !stopped.load(Ordering::Relaxed) {
            let select = r#"{"op":"select","table":"Open_vSwitch","where":[],"columns":["next_cfg"]}"#;
            let reply = switch.transact("Open_vSwitch", select).unwrap();
            let row = reply.as_array().unwrap()[0].get("rows").unwrap().as_array().unwrap()[0].clone();
            let next = row.get("next_cfg").unwrap().as_i64().unwrap();
            if next != done {
                done = next;
                let update = format!(
                    r#"{{"op":"update","table":"Open_vSwitch","where":[],"row":{{"cur_cfg":{next}}}}}"#
                );
                switch.transact("Open_vSwitch", &update).unwrap();
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let mut results = vec![drive(&python, &format!("unix:{}", server.socket().display()), &[])];
    let plain = |port: &u16| drive(&python, &format!("tcp:127.0.0.1:{port}"), &[]);
    match &pki {
        None => results.push(plain(&ports[0])),
        Some(pki) => {
            let identity = [pki.key(Peer::Client), pki.certificate(Peer::Client), pki.authority()];
            // Remotes are bound in the order of their names: pssl, then ptcp.
            results.push(drive(&python, &format!("ssl:127.0.0.1:{}", ports[0]), &identity));
            results.push(plain(&ports[1]));
        }
    }
    stop.store(true, Ordering::Relaxed);
    acknowledge.join().unwrap();
    for result in results {
        result.unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
    }
}

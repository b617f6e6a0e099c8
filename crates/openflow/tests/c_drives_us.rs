//! C's ovs-ofctl against a switch of a few lines over `SwitchConn`: it negotiates, asks, changes, and prints.
//!
//! Where it sits: the check on `conn.rs` as its owner will use it, with a peer that we did not write.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use openflow::conn::SwitchConn;
use openflow::msg::*;
use openflow::{FlowModCommand, OfpError, OfpPort};
use packet::Instant;
use testkit::{Scratch, Suite};

/// What the switch holds.
type Flows = Arc<Mutex<Vec<FlowStats>>>;

fn serve(socket: &Path, flows: Flows) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, flows) = (stream.unwrap(), flows.clone());
            std::thread::spawn(move || connection(stream, &flows));
        }
    });
}

fn connection(mut stream: UnixStream, flows: &Flows) {
    let mut conn = SwitchConn::new(VersionSet::ALL, 1);
    let mut input = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if stream.write_all(&conn.take_output()).is_err() || conn.is_broken() {
            return;
        }
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => input.extend_from_slice(&chunk[..n]),
            _ => return,
        }
        while let Some(len) = header::message_len(&input).filter(|len| *len <= input.len()) {
            let message: Vec<u8> = input.drain(..len).collect();
            if let Some(request) = conn.handle_message(&message, Instant(0)) {
                match answer(&request.message, &conn, flows) {
                    Ok(Some(reply)) => conn.reply(&request, &reply).unwrap(),
                    Ok(None) => {}
                    Err(error) => conn.refuse(&request, error),
                }
            }
        }
    }
}

fn ports() -> Vec<PortDesc> {
    let port = |port, name: &str| PortDesc { port, name: name.into(), ..PortDesc::default() };
    vec![port(OfpPort(1), "p1"), port(OfpPort::LOCAL, "br0")]
}

fn answer(request: &Message, conn: &SwitchConn, flows: &Flows) -> Result<Option<Message>, OfpError> {
    let version = conn.version().unwrap();
    let flows = &mut *flows.lock().unwrap();
    Ok(Some(match request {
        Message::FeaturesRequest => Message::FeaturesReply(SwitchFeatures {
            datapath_id: 5,
            n_tables: 254,
            ports: ports(),
            ..Default::default()
        }),
        Message::GetConfigRequest => Message::GetConfigReply(SwitchConfig::default()),
        Message::PortDescRequest(_) => Message::PortDescReply(ports()),
        Message::TableFeaturesRequest(_) => Message::TableFeaturesReply(
            (0..254).map(|id| TableFeatures::of_switch(id, 253, version)).collect(),
        ),
        Message::TableStatsRequest => {
            let table = |id| TableStats {
                table_id: id,
                caps: TableCaps::of_switch(version, id == 253),
                ..Default::default()
            };
            Message::TableStatsReply((0..254).map(table).collect())
        }
        Message::BarrierRequest => Message::BarrierReply,
        Message::FlowStatsRequest(_) => Message::FlowStatsReply(flows.clone()),
        Message::FlowMod(fm) if fm.command == FlowModCommand::Add => {
            if fm.table_id == 254 {
                return Err(OfpError::OFPBRC_EPERM);
            }
            flows.push(FlowStats {
                table_id: if fm.table_id == 255 { 0 } else { fm.table_id },
                priority: fm.priority,
                matcher: fm.matcher,
                cookie: fm.new_cookie,
                actions: fm.actions.clone(),
                ..FlowStats::default()
            });
            return Ok(None);
        }
        Message::FlowMod(_) => {
            flows.clear();
            return Ok(None);
        }
        _ => return Ok(None),
    }))
}

fn ofctl(suite: &Suite, socket: &Path, args: &[&str]) -> (String, String) {
    let target = format!("unix:{}", socket.display());
    let args = args.iter().map(|a| if *a == "SWITCH" { target.as_str() } else { a });
    let run = suite.command("ovs-ofctl").args(["-t", "10"]).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(run.stdout), text(run.stderr))
}

#[test]
fn c_adds_dumps_and_deletes_flows_in_every_version() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    let scratch = Scratch::new();
    let socket = scratch.join("s");
    let flows = Flows::default();
    serve(&socket, flows.clone());
    for version in ["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"] {
        let run = |args: &[&str]| ofctl(&suite, &socket, &[&["-O", version], args].concat());
        for flow in ["table=1,priority=7,tcp,tp_dst=80,actions=output:1", "in_port=p1,actions=NORMAL"] {
            assert_eq!(run(&["add-flow", "SWITCH", flow]), (String::new(), String::new()), "{version}");
        }
        let (out, err) = run(&["--no-stats", "dump-flows", "SWITCH"]);
        let expected = " table=1, priority=7,tcp,tp_dst=80 actions=output:1\n in_port=1 actions=NORMAL\n";
        assert_eq!((out.as_str(), err.as_str()), (expected, ""), "{version}");
        let (_, err) = run(&["add-flow", "SWITCH", "table=254,actions=1"]);
        assert!(err.contains("OFPBRC_EPERM"), "{version}: {err}");
        let (out, _) = run(&["show", "SWITCH"]);
        assert!(out.contains("dpid:0000000000000005") && out.contains(" 1(p1): addr:"), "{version}: {out}");
        run(&["del-flows", "SWITCH"]);
        assert_eq!(flows.lock().unwrap().len(), 0, "{version}");
    }
}

#[test]
fn c_is_told_why_no_version_fits() {
    let Some(suite) = testkit::oracle() else { testkit::skip!("no C oracle") };
    let scratch = Scratch::new();
    let socket = scratch.join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut conn = SwitchConn::new(VersionSet::one(openflow::Version::V13), 1);
        stream.write_all(&conn.take_output()).unwrap();
        let mut hello = [0; 8];
        stream.read_exact(&mut hello).unwrap();
        conn.handle_message(&hello, Instant(0));
        assert!(conn.is_broken());
        let _ = stream.write_all(&conn.take_output());
    });
    let (_, err) = ofctl(&suite, &socket, &["show", "SWITCH"]);
    assert!(
        err.contains("version negotiation failed (we support version 0x01, peer supports version 0x04)"),
        "{err}"
    );
}

//! Sessions over real sockets with a clock that the test moves, and beside C's ovsdb-server.

use std::time::Duration;

use ovsdb::json::Json;
use stream::jsonrpc::{CallError, Client, Event, Message, Options, Session};
use stream::name::Passive;
use stream::openflow::{self, Connection};
use stream::reconnect::Config;
use stream::{Clock, Listener, Stream};
use testkit::Scratch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs a test to its end, or fails it after real time that no healthy run needs.
fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), future).await.expect("it hangs") })
}

struct Pair {
    _scratch: Scratch,
    listener: Listener,
    name: String,
}

impl Pair {
    fn new() -> Pair {
        let scratch = Scratch::new();
        let path = scratch.join("s");
        let listener = Listener::bind(&Passive::Unix(path.clone())).unwrap();
        Pair { _scratch: scratch, listener, name: format!("unix:{}", path.display()) }
    }
}

async fn read_some(stream: &mut Stream) -> String {
    let mut chunk = [0; 4096];
    let count = stream.io.read(&mut chunk).await.unwrap();
    String::from_utf8(chunk[..count].to_vec()).unwrap()
}

#[test]
fn messages_pass_both_ways_and_echoes_are_answered() {
    block_on(async {
        let (pair, clock) = (Pair::new(), Clock::stopped_at(0));
        let mut session = Session::dial(vec![pair.name.clone()], Options::default(), &clock);
        let (event, peer) = tokio::join!(session.next(), pair.listener.accept());
        assert_eq!(event, Some(Event::Connected));
        let mut peer = peer.unwrap();
        session.send(&Message::request(7i64, "m", vec![Json::string("x")]));
        session.flush().await;
        assert_eq!(read_some(&mut peer).await, r#"{"id":7,"method":"m","params":["x"]}"#);
        let input = r#"{"id":1,"method":"echo","params":[2]}{"id":7,"result":[],"error":null}"#;
        peer.io.write_all(input.as_bytes()).await.unwrap();
        let reply = Message::reply(Json::Integer(7), Json::Array(vec![]));
        assert_eq!(session.next().await, Some(Event::Message(reply)));
        session.flush().await;
        assert_eq!(read_some(&mut peer).await, r#"{"id":1,"result":[2],"error":null}"#);
    });
}

/// The clock stands; only the test moves it: a probe after five seconds, the end after ten, an attempt a second later.
#[test]
fn a_silent_peer_is_probed_cut_and_dialled_again_in_virtual_time() {
    block_on(async {
        let (pair, clock) = (Pair::new(), Clock::stopped_at(1_000_000));
        let mut session = Session::dial(vec![pair.name.clone()], Options::default(), &clock);
        let (_, peer) = tokio::join!(session.next(), pair.listener.accept());
        let mut peer = peer.unwrap();
        clock.advance(5000);
        tokio::select! {
            event = session.next() => panic!("{event:?}"),
            text = read_some(&mut peer) => assert_eq!(text, r#"{"id":"echo","method":"echo","params":[]}"#),
        }
        clock.advance(4999);
        let early = tokio::time::timeout(Duration::from_millis(50), session.next()).await;
        assert!(early.is_err(), "{early:?}");
        clock.advance(1);
        assert_eq!(session.next().await, Some(Event::Disconnected));
        assert_eq!(peer.io.read(&mut [0; 8]).await.unwrap(), 0);
        clock.advance(1000);
        let (event, again) = tokio::join!(session.next(), pair.listener.accept());
        assert_eq!((event, again.is_ok()), (Some(Event::Connected), true));
    });
}

#[test]
fn an_answered_probe_keeps_the_connection() {
    block_on(async {
        let (pair, clock) = (Pair::new(), Clock::stopped_at(0));
        let mut session = Session::dial(vec![pair.name.clone()], Options::default(), &clock);
        let (_, peer) = tokio::join!(session.next(), pair.listener.accept());
        let mut server = Session::accepted(peer.unwrap(), Options::quiet(), &clock);
        assert_eq!(server.next().await, Some(Event::Connected));
        for _ in 0..20 {
            clock.advance(4000);
            let quiet = async { tokio::join!(session.next(), server.next()) };
            let outcome = tokio::time::timeout(Duration::from_millis(20), quiet).await;
            assert!(outcome.is_err(), "{outcome:?}");
        }
        assert!(session.is_connected() && server.is_connected());
    });
}

#[test]
fn a_peer_that_breaks_the_protocol_or_does_not_read_is_cut() {
    block_on(async {
        let (pair, clock) = (Pair::new(), Clock::stopped_at(0));
        for bad in ["x ", "[1]", r#"{"id":1}"#] {
            let (peer, server) = tokio::join!(connect(&pair), pair.listener.accept());
            let mut server = Session::accepted(server.unwrap(), Options::quiet(), &clock);
            let mut peer = peer;
            peer.io.write_all(bad.as_bytes()).await.unwrap();
            assert_eq!(server.next().await, Some(Event::Connected));
            assert_eq!(
                (server.next().await, server.next().await),
                (Some(Event::Disconnected), None),
                "{bad}"
            );
        }
        let (peer, server) = tokio::join!(connect(&pair), pair.listener.accept());
        let options = Options { backlog_limit: 1000, ..Options::quiet() };
        let mut server = Session::accepted(server.unwrap(), options, &clock);
        assert_eq!(server.next().await, Some(Event::Connected));
        let big = Message::notification("n", vec![Json::string("x".repeat(2000))]);
        server.send(&big);
        assert!(server.backlog() > 2000 && server.is_connected());
        server.send(&big);
        assert_eq!((server.next().await, server.backlog()), (Some(Event::Disconnected), 0));
        drop(peer);
    });
}

async fn connect(pair: &Pair) -> Stream {
    let target = stream::name::Active::parse(&pair.name, 0).unwrap();
    Stream::connect(&target, &pair.name).await.unwrap()
}

#[test]
fn socket_files_go_with_their_listener_and_long_paths_work() {
    block_on(async {
        let scratch = Scratch::new();
        let folder = scratch.join("d".repeat(120));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("s");
        let listener = Listener::bind(&Passive::Unix(path.clone())).unwrap();
        let name = format!("unix:{}", path.display());
        let target = stream::name::Active::parse(&name, 0).unwrap();
        let (ours, theirs) = tokio::join!(Stream::connect(&target, &name), listener.accept());
        assert!(ours.is_ok() && theirs.is_ok() && path.exists());
        drop(listener);
        assert!(!path.exists());
    });
}

#[test]
fn a_port_of_the_kernels_choice_serves_openflow_bytes() {
    block_on(async {
        let clock = Clock::stopped_at(0);
        let passive = Passive::parse("ptcp:0:127.0.0.1", 6653).unwrap();
        let listener = Listener::bind(&passive).unwrap();
        let name = format!("tcp:127.0.0.1:{}", listener.port().unwrap());
        let mut active = Connection::dial_openflow(&name, Config::default(), &clock);
        let (event, peer) = tokio::join!(active.next(), listener.accept());
        assert_eq!(event, Some(openflow::Event::Connected));
        let mut passive = Connection::accepted_openflow(peer.unwrap(), Config::default(), &clock);
        assert_eq!(passive.next().await, Some(openflow::Event::Connected));
        assert_eq!(active.addresses().map(|a| a.local), passive.addresses().map(|a| a.peer));
        let hello = [4, 0, 0, 8, 0, 0, 0, 1];
        active.send(&hello);
        active.flush().await;
        assert_eq!(passive.next().await, Some(openflow::Event::Message(hello.to_vec())));
        clock.advance(5000);
        assert_eq!(passive.next().await, Some(openflow::Event::Probe));
    });
}

#[test]
fn a_passive_session_takes_the_peer_that_dials_it() {
    block_on(async {
        let scratch = Scratch::new();
        let path = scratch.join("p").display().to_string();
        let clock = Clock::new();
        let mut passive = Session::dial(vec![format!("punix:{path}")], Options::default(), &clock);
        let mut active = Session::dial(vec![format!("unix:{path}")], Options::default(), &clock);
        let events = tokio::join!(passive.next(), active.next());
        assert_eq!(events, (Some(Event::Connected), Some(Event::Connected)));
    });
}

#[test]
fn the_c_server_is_called() {
    let Some(oracle) = testkit::oracle() else { return };
    let scratch = Scratch::new();
    let run = |program: &str, args: &[&str]| {
        let mut command = oracle.command(program);
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(variable, scratch.path());
        }
        assert!(command.env("OVS_SYSLOG_METHOD", "null").args(args).status().unwrap().success(), "{program}");
    };
    let remote = format!("--remote=punix:{}", scratch.join("db.sock").display());
    run("ovsdb-server", &["--detach", "--no-chdir", "--pidfile", "--no-dbs", "-vconsole:off", &remote]);
    block_on(async {
        let name = format!("unix:{}", scratch.join("db.sock").display());
        let mut client = Client::connect(&name, &Clock::new()).await.unwrap();
        let databases = client.call("list_dbs", vec![]).await.unwrap();
        assert_eq!(databases.to_string(), r#"["_Server"]"#);
        let schema = client.call("get_schema", vec![Json::string("_Server")]).await.unwrap();
        assert_eq!(schema.get("name").and_then(Json::as_str), Some("_Server"));
        let refused = client.call("nosuch", vec![]).await;
        assert_eq!(refused, Err(CallError::Refused(Json::string("unknown method"))));
        let values = Json::array(["é\n\"\\", "\u{1}"].map(Json::string));
        assert_eq!(client.call("echo", vec![values.clone()]).await.unwrap().as_array(), Some(&[values][..]));
    });
    run("ovs-appctl", &["-T", "20", "-t", "ovsdb-server", "exit"]);
}

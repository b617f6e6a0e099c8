//! Bad messages: oversized, deeply nested, truncated, interleaved, of the wrong shape. What is answered, whether the connection
//! lives on, and what the log says, are Open vSwitch's.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ovsdb::json::Parser;
use testkit::{Scratch, Suite, oracle, skip};

use crate::support::{Server, create, start, wait_for};

const SCHEMA: &str = r#"{"name":"D","version":"1.0.0","tables":{
 "T":{"columns":{"n":{"type":"integer"},"text":{"type":"string"}},"isRoot":true}}}"#;

/// Whole texts, each sent on a connection of its own.
const TEXTS: &[&str] = &[
    // no JSON
    "nonsense\n",
    "\u{feff}{}",
    "GET / HTTP/1.1\r\n\r\n",
    "{\"id\":1,\"method\":\"echo\",\"params\":[}",
    "{\"id\":1,\"method\":\"echo\",\"params\":[1,]}",
    "{\"id\":1,\"method\":\"echo\",\"params\":[01]}",
    "{\"id\":1,\"method\":\"echo\",\"params\":[+1]}",
    "{\"id\":1,\"method\":\"echo\",\"params\":[\"\n\"]}",
    "{\"id\":1,\"method\":\"echo\",\"params\":[\"\u{0}\"]}",
    "{\"id\":1,\"method\":\"echo\",\"params\":[\"\\u0000\"]}",
    "{\"id\":1,\"method\":\"echo\",\"params\":[\"\\ud800\"]}",
    // JSON at its edges
    "{\"id\":1,\"method\":\"echo\",\"params\":[99999999999999999999999,-0,1e308]}",
    "{\"id\":1,\"method\":\"echo\",\"params\":[1e999]}",
    "{\"id\":1,\"id\":2,\"method\":\"echo\",\"params\":[]}",
    // no message
    "[1]",
    "5 ",
    "\"abc\"",
    "true",
    "{\"id\":1}",
    "{\"id\":1,\"method\":\"echo\"}",
    "{\"id\":1,\"method\":\"echo\",\"params\":{}}",
    "{\"id\":1,\"method\":5,\"params\":[]}",
    "{\"id\":1,\"method\":\"echo\",\"params\":[],\"x\":1}",
    "{\"id\":\"x\",\"result\":1,\"error\":2}",
    // messages that nobody waits for
    "{\"id\":\"x\",\"result\":1,\"error\":null}",
    "{\"id\":\"x\",\"result\":null,\"error\":1}",
    "{\"id\":null,\"method\":\"what\",\"params\":[]}",
    "{\"method\":\"echo\",\"params\":[]}",
    "{\"id\":null,\"method\":\"cancel\",\"params\":[1]}",
    // several at once, of which one is bad
    "{\"id\":1,\"method\":\"echo\",\"params\":[1]}\n \t{\"id\":2,\"method\":\"echo\",\"params\":[2]}",
    "{\"id\":1,\"method\":\"echo\",\"params\":[1]}nonsense{\"id\":2,\"method\":\"echo\",\"params\":[2]}",
    "{\"id\":1,\"method\":\"list_dbs\",\"params\":[]}{\"id\":1}{\"id\":2,\"method\":\"echo\",\"params\":[2]}",
    // requests of the wrong shape
    "{\"id\":1,\"method\":\"foo\",\"params\":[]}",
    "{\"id\":1,\"method\":\"transact\",\"params\":[]}",
    "{\"id\":1,\"method\":\"transact\",\"params\":[5]}",
    "{\"id\":1,\"method\":\"transact\",\"params\":[\"Z\"]}",
    "{\"id\":1,\"method\":\"transact\",\"params\":[\"D\",5]}",
    "{\"id\":1,\"method\":\"monitor\",\"params\":[]}",
    "{\"id\":1,\"method\":\"monitor\",\"params\":[\"D\",1,5]}",
    "{\"id\":1,\"method\":\"monitor\",\"params\":[\"D\",1,{\"Z\":{}}]}",
    "{\"id\":1,\"method\":\"monitor\",\"params\":[\"D\",1,{\"T\":{}},5]}",
    "{\"id\":1,\"method\":\"monitor\",\"params\":[\"D\",1,{\"T\":{}},[\"x\"],null]}",
    "{\"id\":1,\"method\":\"monitor_cond\",\"params\":[\"D\",1,{\"T\":{}},5]}",
    "{\"id\":1,\"method\":\"monitor_cond_since\",\"params\":[\"D\",1,{\"T\":{}},5]}",
    "{\"id\":1,\"method\":\"monitor\",\"params\":[\"D\",1,{\"T\":5}]}",
    "{\"id\":1,\"method\":\"monitor\",\"params\":[\"D\",1,{\"T\":{\"columns\":[\"zz\"]}}]}",
    "{\"id\":1,\"method\":\"monitor\",\"params\":[\"D\",1,{\"T\":{\"columns\":[\"n\",\"n\"]}}]}",
    "{\"id\":1,\"method\":\"monitor\",\"params\":[\"D\",1,{\"T\":{\"select\":{\"x\":true}}}]}",
    "{\"id\":1,\"method\":\"monitor\",\"params\":[\"D\",1,{}]}{\"id\":2,\"method\":\"monitor\",\"params\":[\"D\",1,{}]}",
    "{\"id\":1,\"method\":\"monitor_cancel\",\"params\":[1]}",
    "{\"id\":1,\"method\":\"monitor_cond_change\",\"params\":[1,2,{}]}",
    "{\"id\":1,\"method\":\"lock\",\"params\":[]}",
    "{\"id\":1,\"method\":\"lock\",\"params\":[5]}",
    "{\"id\":1,\"method\":\"lock\",\"params\":[\"a b\"]}",
    "{\"id\":1,\"method\":\"unlock\",\"params\":[\"a\"]}",
    "{\"id\":1,\"method\":\"lock\",\"params\":[\"a\"]}{\"id\":2,\"method\":\"lock\",\"params\":[\"a\"]}",
    "{\"id\":1,\"method\":\"get_schema\",\"params\":[]}",
    "{\"id\":1,\"method\":\"get_schema\",\"params\":[5]}",
    "{\"id\":1,\"method\":\"list_dbs\",\"params\":[5]}",
    "{\"id\":1,\"method\":\"set_db_change_aware\",\"params\":[5]}",
    "{\"id\":1,\"method\":\"convert\",\"params\":[\"D\"]}",
    "{\"id\":1,\"method\":\"convert\",\"params\":[\"D\",5]}",
];

/// One that waits for a row.
const WAIT: &str = r#"{"id":1,"method":"transact","params":["D",{"op":"wait","timeout":100000,"table":"T","where":[],"columns":["n"],"until":"==","rows":[{"n":1}]}]}"#;

fn echo(params: &str) -> String {
    format!("{{\"id\":1,\"method\":\"echo\",\"params\":{params}}}")
}

/// Everything that is sent.
fn messages() -> Vec<Vec<u8>> {
    let nested = |depth: usize| echo(&("[".repeat(depth) + &"]".repeat(depth)));
    let mut texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    texts.extend([998, 999, 1000, 1001, 100_000].map(nested));
    texts.push("[".repeat(2000));
    texts.push(echo(&format!("[{}1{}]", "{\"a\":".repeat(1200), "}".repeat(1200))));
    texts.push(echo(&format!("[\"{}\"]", "x".repeat(5_000_000))));
    texts.push(echo(&format!("[{}1]", "1,".repeat(300_000))));
    texts.push(format!("{{\"{}\":1,\"id\":1,\"method\":\"echo\",\"params\":[]}}", "k".repeat(100_000)));
    let deep = "[".repeat(900) + &"]".repeat(900);
    let row = format!("{{\"op\":\"insert\",\"table\":\"T\",\"row\":{{\"n\":{deep}}}}}");
    texts.push(format!("{{\"id\":1,\"method\":\"transact\",\"params\":[\"D\",{row}]}}"));
    texts.push(WAIT.repeat(2));
    texts.into_iter().map(String::into_bytes).chain([vec![0xff], vec![0]]).collect()
}

/// What comes back: the messages, and whether the connection lived on.
#[derive(Debug, PartialEq)]
struct Heard {
    messages: Vec<String>,
    is_alive: bool,
}

/// Sends `bytes`, and, unless `half` of a message is all there is, an echo, whose answer tells that the connection lives.
fn exchange(server: &Server, bytes: &[u8], half: bool) -> Heard {
    let mut stream = wait_for("the socket", || UnixStream::connect(server.socket()).ok());
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The server may have hung up before the end.
    let end: &[u8] = if half { b"" } else { br#"{"id":"end","method":"echo","params":[]}"# };
    let _ = stream.write_all(bytes).and_then(|()| stream.write_all(end));
    if half {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let (mut parser, mut heard) = (Parser::new(), Heard { messages: Vec::new(), is_alive: false });
    let mut buffer = [0; 65536];
    while !heard.is_alive {
        let n = stream.read(&mut buffer).unwrap_or(0);
        if n == 0 {
            break;
        }
        let mut input = &buffer[..n];
        while !input.is_empty() {
            let (taken, message) = parser.feed(input).unwrap();
            input = &input[taken..];
            let Some(message) = message else { continue };
            heard.is_alive = message.get("id").and_then(|id| id.as_str()) == Some("end");
            heard.messages.push(message.to_string());
        }
    }
    heard
}

fn serve(suite: Option<&Suite>) -> Server {
    let folder = Scratch::new();
    create(&folder.join("db"), SCHEMA);
    let server = start(suite, folder, &["db"]);
    server.appctl("vlog/disable-rate-limit", &[]).unwrap();
    server
}

#[test]
fn bad_messages_are_answered_and_logged_as_by_open_vswitch() {
    let Some(oracle) = oracle() else { skip!("no C programs to compare with") };
    let (ours, theirs) = (serve(None), serve(Some(&oracle)));
    let mut cut = 0;
    for bytes in messages() {
        let [ours, theirs] = [&ours, &theirs].map(|server| exchange(server, &bytes, false));
        let text = String::from_utf8_lossy(&bytes).chars().take(200).collect::<String>();
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{text}");
        cut += u32::from(!ours.is_alive);
    }
    assert!(cut > 20, "{cut}");
    // Every truncation of a message, and one behind a whole message.
    let whole = r#"{"id":1,"method":"echo","params":["ä",1.5,null,{"a":true}]}"#.as_bytes();
    for length in 1..whole.len() {
        for half in [whole[..length].to_vec(), [whole, &whole[..length]].concat()] {
            let [ours, theirs] = [&ours, &theirs].map(|server| exchange(server, &half, true));
            assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{length}");
        }
    }
    // C writes its log in a thread of its own.
    let lines = |server: &Server| server.lines_of(&["jsonrpc", "reconnect", "ovsdb_jsonrpc_server"]);
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while lines(&theirs) != lines(&ours) && std::time::Instant::now() < end {
        std::thread::yield_now();
    }
    assert_eq!(lines(&ours), lines(&theirs));
}

/// JSON is UTF-8, which C does not look at, and a request that is canceled has an answer, which C forgets.
#[test]
fn the_protocol_is_kept_where_open_vswitch_does_not() {
    let server = serve(None);
    assert!(!exchange(&server, b"{\"id\":1,\"method\":\"echo\",\"params\":[\"\xff\xfe\"]}", false).is_alive);
    let canceled = exchange(
        &server,
        format!("{WAIT}{{\"id\":null,\"method\":\"cancel\",\"params\":[1]}}").as_bytes(),
        false,
    );
    assert!(canceled.is_alive && canceled.messages[0].contains("canceled"), "{canceled:?}");
}

/// Messages in pieces of any size are whole messages, and others' are not mixed in.
#[test]
fn interleaved_pieces_make_whole_messages() {
    let server = serve(None);
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    let text = |who: usize| format!(r#"{{"id":{who},"method":"echo","params":["ä",{who}]}}"#);
    let texts: Vec<Vec<u8>> = (0..clients.len()).map(|who| text(who).repeat(3).into_bytes()).collect();
    for at in 0..texts[0].len() {
        for (client, text) in clients.iter_mut().zip(&texts) {
            client.stream.write_all(&text[at..=at]).unwrap();
        }
    }
    for (who, client) in clients.iter_mut().enumerate() {
        for _ in 0..3 {
            assert_eq!(
                client.receive().unwrap().get("result").unwrap().to_string(),
                format!("[\"ä\",{who}]")
            );
        }
    }
}

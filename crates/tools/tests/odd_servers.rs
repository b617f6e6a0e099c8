//! Servers that answer with nonsense or not at all: our tools say about them what C's say.

mod transcript;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use testkit::{SwitchUnderTest, oracle, skip};
use transcript::{caller, comparable, run};

/// What a server answers to the first request; then it closes.
const ANSWERS: &[&str] = &[
    "",
    r#"{"id":0,"resul"#,
    "hello",
    r#"{"id":0,"result":null,"error":"no"}"#,
    r#"{"id":0,"result":null,"error":{"error":"no","details":"not today"}}"#,
    r#"{"id":0,"result":5,"error":null}"#,
];

const LINES: &[(&str, &str)] = &[
    ("ovsdb-client", "list-dbs unix:odd"),
    ("ovsdb-client", "transact unix:odd '[\"X\"]'"),
    ("ovsdb-client", "query unix:odd '[\"X\"]'"),
    ("ovsdb-client", "dump unix:odd X"),
    ("ovsdb-client", "get-schema unix:odd X"),
    ("ovs-appctl", "-t $PWD/odd version"),
    ("ovs-vsctl", "--no-wait --db=unix:odd list-br"),
];

/// Gives one client after the other the answer, as long as the process lives.
fn serve(listener: &UnixListener, answer: &str) {
    for client in listener.incoming() {
        let mut client: UnixStream = client.expect("a client");
        let mut request = [0; 4096];
        if client.read(&mut request).is_ok_and(|n| n > 0) {
            drop(client.write_all(answer.as_bytes()));
        }
    }
}

#[test]
fn tools_say_of_odd_servers_what_they_say_in_c() {
    let Some(theirs) = oracle() else { skip!("no C programs to compare with") };
    let mut differences = Vec::new();
    for answer in ANSWERS {
        let at = SwitchUnderTest::new(&theirs);
        let listener = UnixListener::bind(at.path("odd")).unwrap();
        std::thread::spawn(move || serve(&listener, answer));
        for (program, line) in LINES {
            // A number as the answer is of another kind of error since 3.6.
            if *program == "ovs-appctl" && answer.contains("5,") {
                continue;
            }
            let own = match *program {
                "ovsdb-client" => env!("CARGO_BIN_EXE_ovsdb-client"),
                "ovs-appctl" => env!("CARGO_BIN_EXE_ovs-appctl"),
                _ => env!("CARGO_BIN_EXE_ovs-vsctl"),
            };
            let told = [caller(Some((&theirs, program)), ""), own.to_owned()].map(|caller| {
                let ran = run(&at, &caller, line);
                let text = ran.stdout + &ran.stderr;
                // C's ovs-appctl ends an error's line only if the daemon does.
                (ran.status, comparable(&text.replace("noovs-appctl", "no\novs-appctl"), program, &at))
            });
            if told[0] != told[1] {
                differences
                    .push(format!("{answer} {program} {line}\n  C:    {:?}\n  ours: {:?}", told[0], told[1]));
            }
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

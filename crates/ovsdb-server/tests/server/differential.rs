//! Random transactions and monitors under random schemas: every reply and every update is that of Open vSwitch's server.

use ovsdb::json::Json;
use testkit::{Scratch, Suite};

use crate::generator::{self, Schema};
use crate::support::{Client, Dice, Server, create, is_long, masked, start};

/// Our server and C's, each with a client that changes and a client that watches.
struct Pair {
    servers: [Server; 2],
    writers: [Client; 2],
    watchers: [Client; 2],
    monitors: Vec<String>,
    /// What was asked so far.
    past: Vec<String>,
}

impl Pair {
    fn start(oracle: &Suite, schema: &str) -> Pair {
        let servers = [None, Some(oracle)].map(|suite| {
            let folder = Scratch::new();
            create(&folder.join("db"), schema);
            start(suite, folder, &["db"])
        });
        let connect = || [servers[0].connect(), servers[1].connect()];
        Pair { writers: connect(), watchers: connect(), servers, past: Vec::new(), monitors: Vec::new() }
    }

    /// The same request on both, by the clients that `who` says: both replies; nothing if it was the end of C's server.
    fn both(&mut self, who: Who, method: &str, params: &str) -> Option<[Json; 2]> {
        let clients = match who {
            Who::Writer => &mut self.writers,
            Who::Watcher => &mut self.watchers,
        };
        let [ours, theirs] = clients.each_mut().map(|client| client.try_call(method, params));
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => Some([ours, theirs]),
            (Some(_), None) if self.servers[1].child.wait().is_ok_and(|end| end.code().is_none()) => None,
            (ours, _) => {
                let silent = usize::from(ours.is_some());
                let past = self.past.join("\n");
                let (who, log) = (["ours", "C's"][silent], self.servers[silent].log());
                panic!("{past}\nno reply from {who} to {method} {params}\n{log}")
            }
        }
    }

    fn same(&mut self, who: Who, method: &str, params: &str, context: &str) -> Agreement {
        let Some(replies) = self.both(who, method, params) else { return Agreement::Lost };
        let [ours, theirs] = replies.map(|json| comparable(&json));
        if ours.contains("eak reference") && !theirs.contains("eak reference") {
            // C forgets weak references of rows that change in the same transaction as what they refer to.
            return Agreement::Lost;
        }
        let refused = |text: &str| text.contains(r#"Result of \"*=\" operation is out of range."#);
        if refused(&theirs) && !refused(&ours) {
            // C refuses products that are just in range: 9223372036854775807 * 1.
            return Agreement::Lost;
        }
        if ours != theirs {
            let past = self.past.join("\n");
            panic!("{context}\n{past}\n{method} {params}\nours   {ours}\ntheirs {theirs}");
        }
        if method.starts_with("monitor") {
            self.monitors.push(format!("{method} {params}"));
        }
        self.past.push(params.to_owned());
        Agreement::Kept
    }

    /// What the watchers heard since the last time.
    fn updates(&mut self, context: &str) -> Agreement {
        if self.both(Who::Watcher, "echo", "[]").is_none() {
            return Agreement::Lost;
        }
        let [ours, theirs] = self.watchers.each_mut().map(|watcher| {
            let heard = std::mem::take(&mut watcher.heard);
            let mut heard: Vec<String> =
                heard.iter().map(comparable).filter(|text| text.contains("params")).collect();
            // Monitors are told in no order.
            heard.sort();
            heard
        });
        let only_ours = ours.iter().filter(|update| !theirs.contains(update));
        let told = theirs.iter().all(|update| ours.contains(update));
        if ours.len() > theirs.len() && told && only_ours.clone().all(|update| tells_only_of_ends(update)) {
            // Now and then C does not tell a monitor whose condition was changed that a row that it has is gone.
            return Agreement::Lost;
        }
        let past = self.past.join("\n");
        assert_eq!(ours, theirs, "{:#?}\n{past}\nupdates after {context}", self.monitors);
        self.past.extend(ours);
        Agreement::Kept
    }
}

/// Whether both servers still hold the same rows.
#[derive(PartialEq)]
enum Agreement {
    Kept,
    Lost,
}

#[derive(Clone, Copy)]
enum Who {
    Writer,
    Watcher,
}

/// Whether an update says nothing but that rows are gone.
fn tells_only_of_ends(update: &str) -> bool {
    update.contains(r#"{"delete":null}"#)
        && !["insert", "modify", "initial"].iter().any(|w| update.contains(w))
}

fn comparable(json: &Json) -> String {
    let mut json = without_nothing(&masked(json, &generator::is_known)).unwrap_or(Json::Null);
    if let Json::Object(members) = &mut json {
        // C leaves the result out of a refusal; RFC 7047 wants it null.
        members.retain(|_, value| !value.is_null());
    }
    json.to_string()
}

/// C also reports rows that changed only in columns that somebody's condition is about; nothing is said of them.
fn without_nothing(json: &Json) -> Option<Json> {
    const NOTHING: [&str; 2] = ["{\"modify\":{}}", "{\"new\":{},\"old\":{}}"];
    match json {
        Json::Object(members) => {
            let kept: Vec<_> =
                members.iter().filter_map(|(k, v)| Some((k.clone(), without_nothing(v)?))).collect();
            let emptied = kept.is_empty() && !members.is_empty();
            (!emptied && !NOTHING.contains(&json.to_string().as_str())).then(|| Json::object(kept))
        }
        Json::Array(elements) if elements.len() > 1 => {
            // The parameters of an update are its monitor's name and, last, what changed.
            let updates = elements.last().is_some_and(|last| last.as_object().is_some());
            let kept: Vec<_> = elements.iter().filter_map(without_nothing).collect();
            (!updates || kept.len() == elements.len()).then_some(Json::Array(kept))
        }
        other => Some(other.clone()),
    }
}

fn monitors(pair: &mut Pair, dice: &mut Dice, schema: &Schema, context: &str) {
    for (number, method) in
        ["monitor", "monitor_cond", "monitor_cond", "monitor_cond_since"].iter().enumerate()
    {
        let requests = generator::monitor(dice, schema, number > 0);
        let last = if *method == "monitor_cond_since" {
            format!(",\"{}\"", generator::uuid(0, 99))
        } else {
            String::new()
        };
        pair.same(Who::Watcher, method, &format!("[\"D\",{number},{requests}{last}]"), context);
    }
}

/// One schema and its transactions; both servers hold the same rows at the end, unless C's was lost on the way.
fn case(oracle: &Suite, seed: u64, transactions: u64) -> Agreement {
    let mut dice = Dice::new(seed);
    let schema = generator::schema(&mut dice);
    let mut pair = Pair::start(oracle, &schema.json);
    let context = format!("seed {seed}\n{}", schema.json);
    pair.same(Who::Writer, "get_schema", "[\"D\"]", &context);
    pair.same(Who::Writer, "lock", "[\"mine\"]", &context);
    pair.same(Who::Watcher, "lock", "[\"other\"]", &context);
    for number in 0..transactions {
        if turn(&mut pair, &mut dice, &schema, &context, number, transactions) == Agreement::Lost {
            return Agreement::Lost;
        }
    }
    files(oracle, pair, &schema, &context);
    Agreement::Kept
}

/// One transaction, and before it now and then a change of who is told what.
fn turn(
    pair: &mut Pair,
    dice: &mut Dice,
    schema: &Schema,
    context: &str,
    number: u64,
    transactions: u64,
) -> Agreement {
    if number == 3 || number == transactions / 2 {
        monitors(pair, dice, schema, context);
    }
    if dice.one_in(6) {
        let (old, new) = (dice.pick(5), dice.pick(5));
        let requests = generator::conditions(dice, schema);
        let params = format!("[{old},{new},{requests}]");
        let changed = pair.same(Who::Watcher, "monitor_cond_change", &params, context);
        if changed == Agreement::Lost
            || pair.updates(&format!("{context}\nmonitor_cond_change {params}")) == Agreement::Lost
        {
            return Agreement::Lost;
        }
    }
    if dice.one_in(40) {
        pair.same(Who::Watcher, "monitor_cancel", &format!("[{}]", dice.pick(5)), context);
    }
    let operations: Vec<String> = (0..1 + dice.pick(4)).map(|_| generator::operation(dice, schema)).collect();
    let params = format!("[\"D\",{}]", operations.join(","));
    match pair.same(Who::Writer, "transact", &params, context) {
        Agreement::Lost => Agreement::Lost,
        Agreement::Kept => pair.updates(&format!("{context}\n{params}")),
    }
}

/// Each server reads what the other has written.
fn files(oracle: &Suite, pair: Pair, schema: &Schema, context: &str) {
    let [mut ours, mut theirs] = pair.servers;
    for server in [&mut ours, &mut theirs] {
        server.appctl("exit", &[]).unwrap();
        server.child.wait().unwrap();
    }
    let everything: Vec<String> = schema
        .tables
        .iter()
        .map(|t| {
            let columns: Vec<String> = t.columns.iter().map(|c| format!("\"{}\"", c.name)).collect();
            format!(
                r#"{{"op":"select","table":"{}","where":[],"columns":["_uuid",{}]}}"#,
                t.name,
                columns.join(",")
            )
        })
        .collect();
    let read = |suite: Option<&Suite>, file: &[u8]| {
        let folder = Scratch::new();
        std::fs::write(folder.join("db"), file).unwrap();
        let server = start(suite, folder, &["db"]);
        let log = server.log();
        // C does not read all that it wrote: differences larger than a column may be, references that broke.
        let broken = suite.is_some() && (log.contains("ERR") || log.contains("constraint violation"));
        assert!(broken || !log.contains("ERR"), "{context}\n{log}");
        let rows = comparable(&server.connect().transact("D", &everything.join(",")).unwrap());
        (!broken).then_some(rows)
    };
    let files = [&ours, &theirs].map(|server| std::fs::read(server.folder.join("db")).unwrap());
    let expected = read(None, &files[1]);
    assert_eq!(read(None, &files[0]), expected, "we read both\n{context}");
    if let Some(rows) = read(Some(oracle), &files[0]) {
        assert_eq!(Some(rows), expected, "C reads what we wrote\n{context}");
    }
}

#[test]
fn replies_and_updates_are_those_of_open_vswitch() {
    let Some(oracle) = testkit::oracle() else { return };
    let (first, cases, transactions) = match std::env::var("OVSDB_SEED").ok().and_then(|s| s.parse().ok()) {
        Some(seed) => (seed, 1, 200),
        None if is_long() => (0, 300, 400),
        None => (0, 25, 150),
    };
    let kept =
        (first..first + cases).filter(|seed| case(&oracle, *seed, transactions) == Agreement::Kept).count();
    assert!(kept as u64 >= cases / 2, "only {kept} of {cases} were compared to their end");
}

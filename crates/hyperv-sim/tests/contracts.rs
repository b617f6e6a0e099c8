//! What NDIS and the Hyper-V switch ask of a forwarding extension, rule by rule, and what holds the driver to it.
//!
//! The rules are numbered as in the interface's contracts: 1 to 12 states, 13 to 22 requests, 23 to 38 configuration, 39 to
//! 67 packets, 68 to 71 status and events, 72 to 75 migration, 76 to 80 installation, 81 to 84 what Driver Verifier looks at.

use std::path::Path;

use Held::*;

/// How a rule is held.
enum Held {
    /// The simulator ends a run that breaks it, and says this.
    Check(&'static [&'static str]),
    /// It is the switch's promise, or a freedom of its; the simulated one makes use of it in this file, at this text.
    Switch(&'static str, &'static str),
    /// A test or a scenario of its own shows it: file, and a text there.
    Shown(&'static str, &'static str),
    /// The driver has nothing that could break it.
    Nothing(&'static str),
}

const SIM: &str = "crates/hyperv-sim/src/";

#[rustfmt::skip]
const RULES: [(u8, &str, Held); 84] = [
    (1, "no other state change while pausing or restarting", Switch("filter.rs", "wait_until(|| with(|w| w.module.pause_completed))")),
    (2, "attach", Check(&["switch handlers outside FilterAttach (rule 2)", "a request in a state in which none may be made (rule 2)", "FilterAttach succeeded without NdisFSetAttributes", "a failed attachment leaves something behind"])),
    (3, "detach leaves nothing", Check(&["FilterDetach leaves something behind (rule 3)"])),
    (4, "a pause succeeds, once", Check(&["FilterPause failed with", "FilterPause succeeded and was completed as well", "NdisFPauseComplete without a pause, or twice (rule 4)"])),
    (5, "a pause waits for what is out", Check(&["a pause ended while packets of the driver were out", "(rule 5)"])),
    (6, "packets are counted before the state is looked at", Shown("crates/switch-ext/src/life.rs", "fn whoever_races_one_ends_the_pause")),
    (7, "what is passed through needs no waiting", Check(&["a pause ended while a packet was kept whose data others had shared (rule 7)"])),
    (8, "while paused packets end as such", Check(&["a packet that came during a pause ends with another status (rule 8)"])),
    (9, "restart attributes", Nothing("the driver reads and changes none")),
    (10, "module options", Nothing("the driver has no such callback")),
    (11, "order of loading and unloading", Check(&["deregistering while a module is attached", "a device is removed while files are open", "NdisDeregisterDeviceEx after NdisFDeregisterFilterDriver", "a pool is freed while packets of it are out"])),
    (12, "callbacks on every processor, and from inside calls", Switch("packets.rs", "from inside the call (rule 12)")),
    (13, "one request at a time", Switch("filter.rs", "wait_until(|| with(|w| w.module.request.is_none()))")),
    (14, "requests are cloned", Check(&["a request was passed on without being cloned (rule 14)"])),
    (15, "completed once", Check(&["a request is completed that is not there, or twice (rule 15)", "a request was completed and answered"])),
    (16, "results are copied back", Check(&["a clone is freed after its original (rule 16)", "a method's answer is not copied back (rule 16)"])),
    (17, "what must be passed on needs no memory", Check(&["a request was not passed on that must be (rule 25)"])),
    (18, "requests of the driver's own", Check(&["NdisFOidRequest: a wrong header", "a request in a state in which none may be made (rule 2)"])),
    (19, "cancelling is passed on", Check(&["cancelling a request is not passed on (rule 19)"])),
    (20, "supported revision", Nothing("the driver succeeds in no request by itself")),
    (21, "unknown and short requests", Check(&["a request that cannot be read is not passed on (rule 21)", "user space is told of what is not so (rules 21, 37)"])),
    (22, "a restart waits for requests", Nothing("the driver has no request pending when it returns")),
    (23, "order of ports' requests", Switch("administrator.rs", "NIC_CREATE and NIC_CONNECT; true if everybody agreed")),
    (24, "vetoes", Check(&["a request was agreed to without being passed on (rule 24)", "a policy that nobody enforces was accepted (rule 24)"])),
    (25, "what must be passed on", Check(&["a request was not passed on that must be (rule 25)", "NIC_CONNECT failed (rule 25)", "NIC_DISCONNECT failed (rule 25)", "NIC_DELETE failed (rule 25)"])),
    (26, "parameters are read only", Check(&["the parameters of a request were changed (rule 26)"])),
    (27, "state follows the answer", Switch("administrator.rs", "Somebody below may refuse.")),
    (28, "what is allowed in which state", Check(&["disconnected (rules 28, 30, 46)"])),
    (29, "references", Check(&["a reference to an adapter: nothing here needs one", "policies are asked for of a port that may go (rule 29)", "a reference to a port is given back that was not taken (rule 29)"])),
    (30, "no destination after a disconnection", Check(&["disconnected (rules 28, 30, 46)"])),
    (31, "an adapter is deleted when its packets are back", Switch("administrator.rs", "(rule 31)")),
    (32, "nothing is asked before the switch is active", Check(&["an array is asked for before the switch is active (rule 32)"])),
    (33, "arrays race with requests", Check(&["adapters that are there are not told, or others are (rule 33)", "an adapter that went while the driver asked does not come back"])),
    (34, "arrays are asked for until they fit", Switch("administrator.rs", "NDIS_STATUS_INVALID_LENGTH")),
    (35, "enumerations", Check(&["policies are asked for with a wrong header, length or version (rule 35)", "policies are asked for without parameters (rule 35)"])),
    (36, "several physical adapters", Switch("scenario.rs", "beside others")),
    (37, "validation ports", Check(&["a policy that nobody enforces was accepted (rule 24)", "user space is told of what is not so (rules 21, 37)"])),
    (38, "requests to adapters", Check(&["packets may pass by the extension (VF)", "a method's answer is not copied back (rule 16)"])),
    (39, "ingress and egress", Nothing("the driver has no callback on egress")),
    (40, "destinations, and native packets", Check(&["a native packet gets destinations (rule 40)", "(rules 40, 48)"])),
    (41, "sources", Check(&["the source of somebody else's packet is set (rule 41)", "the source of a packet is no connected adapter (rule 41)"])),
    (42, "one destination", Check(&["disconnected (rules 28, 30, 46)"])),
    (43, "several destinations", Check(&["destinations grow though there is room (rule 43)", "more destinations than there is room for (rule 43)"])),
    (44, "destinations stay", Check(&["a destination is excluded before it is one", "the driver changed the number of destinations itself"])),
    (45, "whose the array is", Check(&["an array that is not the packet's (rule 45)"])),
    (46, "index of an adapter", Check(&["disconnected (rules 28, 30, 46)"])),
    (47, "tags and policies", Check(&["a tag on the wrong side of the bridge", "a frame reaches an adapter of another VLAN (rule 47)", "a frame of a VLAN that its adapter is not in (rule 47)", "a frame from an address that its adapter may not have (rule 47)"])),
    (48, "no destination is a drop", Check(&["(rules 40, 48)"])),
    (49, "drops are reported", Check(&["a packet is dropped without being reported (rule 49)", "a report of another number of packets (rule 49)", "a report with another port (rule 49)", "a report of an ingress packet without IS_INCOMING (rule 49)", "a report under another name than was registered (rule 49)"])),
    (50, "flags of what packets have in common", Check(&["SINGLE_SOURCE on packets of several sources (rule 50)", "DESTINATION_GROUP on packets of several destinations (rule 50)", "SINGLE_SOURCE on completed packets of several sources (rule 50)"])),
    (51, "flags of IRQL", Check(&["DISPATCH_LEVEL is flagged below it (rule 51)", "NdisFSendNetBufferLists: a port number (rule 51)"])),
    (52, "packets of several frames", Check(&["bytes of a connection came back changed"])),
    (53, "work left to hardware", Check(&["a checksum is asked for where no TCP header is"])),
    (54, "memory that guests can write", Check(&["memory that guests can write to is said to be safe (rule 54)"])),
    (55, "packets of the driver's own", Check(&["a packet of the driver without its handle or a forwarding context (rule 55)", "a forwarding context for a chain (rule 55)"])),
    (56, "own packets and others are told apart", Check(&["the driver completes a packet of its own (rule 56)", "a packet is freed with its forwarding context (rule 56)"])),
    (57, "the same on egress", Nothing("the driver has no callback on egress")),
    (58, "clones", Check(&["a packet shares the data of none that is kept for it (rule 58)"])),
    (59, "received data is not written to", Check(&["a received packet was changed before it was sent on (rule 59)"])),
    (60, "parents and children", Check(&["a packet is given back while others share its data (rule 60)", "a packet goes on while others share its data (rule 60)"])),
    (61, "nothing new on egress", Nothing("the driver has no callback on egress")),
    (62, "receives without resources", Nothing("the driver has no callback on egress")),
    (63, "status of completion", Check(&["a packet is completed without a status (rule 63)"])),
    (64, "cancelling sends", Nothing("the driver queues no packet")),
    (65, "order", Shown("dev/scenarios/corpus/rewriting.txt", "packets that need no change keep their place")),
    (66, "data may be out of reach", Nothing("the driver reads packets by their MDLs, and drops what it cannot map")),
    (67, "what is given back is as it was", Check(&["a packet comes back changed (rule 67)"])),
    (68, "status", Nothing("the driver has no such callback: NDIS passes indications on")),
    (69, "status of adapters", Nothing("the driver indicates none")),
    (70, "taking a virtual function away", Check(&["packets may pass by the extension (VF)"])),
    (71, "events", Check(&["FilterNetPnPEvent does not return what NdisFNetPnPEvent did (rule 71)"])),
    (72, "saving an adapter", Check(&["an adapter is said to be saved, and others are not asked (rule 72)", "what somebody else saved is not handed up (rule 72)"])),
    (73, "end of saving", Check(&["NIC_SAVE_COMPLETE is not passed on (rule 73)"])),
    (74, "restoring an adapter", Check(&["what somebody else saved is not restored (rule 74)"])),
    (75, "restoring a port", Check(&["NIC_RESTORE_COMPLETE is not passed on (rule 75)"])),
    (76, "class of the installation", Shown("crates/ovsext/ovsext.inf", "Characteristics")),
    (77, "keys of the installation", Shown("crates/ovsext/ovsext.inf", "ms_switch_forward")),
    (78, "the service", Shown("crates/ovsext/ovsext.inf", "%12%")),
    (79, "one forwarding extension on a switch", Check(&["the extension attaches to what is no switch (rule 79)"])),
    (80, "what the installation is for", Shown("crates/ovsext/ovsext.inf", "16299")),
    (81, "in time", Check(&["a wait does not end (deadlock)"])),
    (82, "IRQL, and balance", Check(&["called at IRQL", "a callback returns at another IRQL", "a timer is freed while it may still fire"])),
    (83, "low memory, tags, leaks", Check(&["freed twice?", "another tag than the block's"])),
    (84, "what is worth simulating", Check(&["given away twice?", "destinations of a packet without a forwarding context"])),
];

fn read(path: &str) -> String {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_rule_is_held() {
    let sources: String = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
        .expect("the sources")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .map(|path| std::fs::read_to_string(path).expect("a source"))
        .collect();
    for ((number, what, held), expect) in RULES.iter().zip(1..) {
        assert_eq!(*number, expect);
        match held {
            Check(texts) => {
                assert!(!texts.is_empty());
                for text in *texts {
                    assert!(sources.contains(text), "rule {number} ({what}): no check says {text:?}");
                }
            }
            Switch(file, text) => assert!(read(&format!("{SIM}{file}")).contains(text), "rule {number}"),
            Shown(file, text) => assert!(read(file).contains(text), "rule {number} ({what}): {file}"),
            Nothing(why) => assert!(!why.is_empty()),
        }
    }
}

/// What `Nothing` claims of callbacks.
#[test]
fn the_driver_has_the_callbacks_that_it_is_said_to_have() {
    let registered = read("crates/ovsext/src/driver.rs");
    for absent in [
        "ReceiveNetBufferListsHandler",
        "ReturnNetBufferListsHandler",
        "StatusHandler",
        "SetFilterModuleOptionsHandler",
    ] {
        assert!(!registered.contains(absent), "{absent}");
    }
}

/// Rules 76 to 80: every section that the installation names is there, and it is the same on all systems but for where the driver's
/// file is, which is where the service looks for it.
#[test]
fn the_installation_is_whole() {
    let text = read("crates/ovsext/ovsext.inf");
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(';')).collect();
    let section = |name: &str| -> Vec<(&str, &str)> {
        let head = format!("[{name}]");
        let at = lines.iter().position(|l| *l == head).unwrap_or_else(|| panic!("no section {name}"));
        let body = lines[at + 1..].iter().take_while(|l| !l.starts_with('['));
        body.map(|l| l.split_once('=').map_or((*l, ""), |(key, value)| (key.trim(), value.trim()))).collect()
    };
    let value = |of: &str, key: &str| {
        let found = section(of).into_iter().find(|(k, _)| *k == key);
        found.unwrap_or_else(|| panic!("no {key} in {of}")).1.to_owned()
    };
    let manufacturer = value("Manufacturer", "%Provider%");
    let (models, systems) = manufacturer.split_once(',').expect("a system");
    let installed: Vec<_> = systems
        .split(',')
        .map(|system| {
            let install = value(&format!("{models}.{system}"), "%Name%");
            let install = install.split(',').next().expect("a section");
            let files = value(install, "CopyFiles");
            assert_eq!(section(&files)[0].0, "ovsext.sys,,,2");
            let add = value(&format!("{install}.Services"), "AddService");
            let service = section(add.split(',').nth(2).expect("a service"));
            assert!(value(&format!("{install}.Remove.Services"), "DelService").starts_with("OVSExt,"));
            let binary = service.iter().find(|(key, _)| *key == "ServiceBinary").expect("a file").1;
            assert_eq!(binary, format!("%{}%\\ovsext.sys", value("DestinationDirs", &files)), "{system}");
            let of_install: Vec<_> =
                section(install).into_iter().filter(|(k, _)| *k != "CopyFiles").collect();
            let of_service: Vec<_> = service.into_iter().filter(|(k, _)| *k != "ServiceBinary").collect();
            (of_install, of_service)
        })
        .collect();
    assert_eq!(installed.len(), 2);
    assert_eq!(installed[0], installed[1]);
}

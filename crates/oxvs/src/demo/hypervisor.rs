//! One hypervisor: a namespace with its own database server and switch, driven by their own command-line tools.
//!
//! Where it sits: started by `demo::inside`; asked for traces, counters and connections afterwards.

use std::{
    ffi::OsStr,
    io::Write,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    hyperv::HyperV,
    security_group,
    topology::{First, HYPERVISORS, Link, MACHINES, Machine, address_underlay, inside, remote, underlay_mac},
    verdict::{Counters, Decision},
};
use crate::programs::Programs;

/// How long a daemon may take to come up.
const START: Duration = Duration::from_secs(20);
/// How long statistics may take to reach the rules.
const SETTLE: Duration = Duration::from_secs(3);
/// A frame of a type for experiments, into the tunnel: nobody's rules let it through at the other end.
const GREETING: &str = "in_port=LOCAL packet=ffffffffffff02000000090188b5000000000000000000000000000000000000 \
    actions=output:10";

/// A running hypervisor; its daemons end when it is dropped.
#[derive(Debug)]
pub struct Hypervisor<'a> {
    /// Its namespace's name.
    pub name: &'static str,
    programs: &'a Programs,
    rundir: PathBuf,
    daemons: Vec<Child>,
    /// What it runs on, if that is not Linux.
    hyperv: Option<HyperV>,
}

impl<'a> Hypervisor<'a> {
    /// Starts the daemons and makes the bridge with its ports.
    pub fn start(programs: &'a Programs, name: &'static str, link: Link, first: &First) -> Result<Self> {
        let rundir = PathBuf::from("/run").join(name);
        std::fs::create_dir(&rundir).with_context(|| format!("cannot make {}", rundir.display()))?;
        let hyperv = match first {
            First::HyperV(image) if name == HYPERVISORS[0] => {
                Some(HyperV::start(programs, name, &rundir, image.as_deref())?)
            }
            _ => None,
        };
        let mut this = Self { name, programs, rundir, daemons: Vec::new(), hyperv };
        let database = this.rundir.join("conf.db");
        this.tool("ovsdb-tool", &[OsStr::new("create"), database.as_os_str(), programs.schema.as_os_str()])?;
        let remote = format!("--remote=punix:{}/db.sock", this.rundir.display());
        this.daemon("ovsdb-server", &[&remote])?;
        this.await_socket("db.sock")?;
        this.tool("ovs-vsctl", &["--no-wait", "init"])?;
        let pid = this.daemon("ovs-vswitchd", &[])?;
        this.await_socket(&format!("ovs-vswitchd.{pid}.ctl"))?;
        if link == Link::Vxlan {
            this.make_underlay()?;
        }
        match this.hyperv {
            Some(_) => this.make_bridge_on_hyperv()?,
            None => this.make_bridge(link)?,
        }
        this.check_ports(link)?;
        Ok(this)
    }

    /// The bridge that the tunnel's packets leave by.
    fn make_underlay(&self) -> Result<()> {
        if self.hyperv.is_some() {
            // the host's adapter of the bridge's name has its addresses already
            let words =
                "add-br br-phy -- set bridge br-phy datapath_type=system -- add-port br-phy Ethernet0";
            return self.vsctl(words);
        }
        self.vsctl(&format!(
            "add-br br-phy -- set bridge br-phy datapath_type=netdev other_config:hwaddr={} -- add-port br-phy trunk",
            underlay_mac(self.name)
        ))?;
        address_underlay(self.name)
    }

    /// Shows a command of ovs-vsctl and runs it.
    fn vsctl(&self, words: &str) -> Result<()> {
        println!("{}# ovs-vsctl {}", self.name, words.replace(" -- ", " \\\n        -- "));
        self.tool("ovs-vsctl", &words.split_whitespace().collect::<Vec<_>>()).map(drop)
    }

    /// Ports of machines on Hyper-V come by themselves; what they are for is said afterwards.
    fn make_bridge_on_hyperv(&self) -> Result<()> {
        self.vsctl(&format!(
            "add-br br-int -- set bridge br-int datapath_type=system fail_mode=secure other_config:auto-add-vifs=true \
             -- add-port br-int vx0 trunks=10,20 -- set interface vx0 ofport_request=10 type=vxlan options:key=5001 \
             options:remote_ip={}",
            remote(self.name)
        ))?;
        for machine in self.machines() {
            let name = machine.name;
            self.vsctl(&format!(
                "wait-until interface {name} ofport>0 -- set port {name} tag={} -- set interface {name} ofport_request={}",
                machine.vlan, machine.ofport
            ))?;
        }
        Ok(())
    }

    fn machines(&self) -> impl Iterator<Item = &'static Machine> {
        MACHINES.iter().filter(|machine| machine.hypervisor == self.name)
    }

    fn make_bridge(&self, link: Link) -> Result<()> {
        let uplink = match link {
            Link::Trunk => {
                "add-port br-int trunk trunks=10,20 -- set interface trunk ofport_request=10".to_owned()
            }
            Link::Vxlan => format!(
                "add-port br-int vx0 trunks=10,20 -- set interface vx0 ofport_request=10 type=vxlan options:key=5001 options:remote_ip={}",
                remote(self.name)
            ),
        };
        let mut words =
            format!("add-br br-int -- set bridge br-int datapath_type=netdev fail_mode=secure -- {uplink}");
        for machine in self.machines() {
            words += &format!(
                " -- add-port br-int {0} tag={1} -- set interface {0} ofport_request={2}",
                machine.name, machine.vlan, machine.ofport
            );
        }
        self.vsctl(&words)
    }

    /// A port that could not be opened says so in its row.
    fn check_ports(&self, link: Link) -> Result<()> {
        let uplink = if link == Link::Trunk { "trunk" } else { "vx0" };
        for name in self.machines().map(|machine| machine.name).chain([uplink]) {
            let number = self.tool("ovs-vsctl", &["get", "interface", name, "ofport"])?;
            let error = || self.tool("ovs-vsctl", &["get", "interface", name, "error"]).unwrap_or_default();
            ensure!(
                number.trim().parse::<i32>().is_ok_and(|number| number > 0),
                "port {name} on {}: {}",
                self.name,
                error().trim()
            );
        }
        Ok(())
    }

    /// Has the other hypervisor's address resolved before anything is counted: the first packet for an unknown neighbour is
    /// lost, as everywhere.
    pub fn greet(&self, others: &[Self]) -> Result<()> {
        let end = Instant::now() + START;
        if self.hyperv.is_some() {
            return others.iter().filter(|other| other.name != self.name).try_for_each(|other| {
                while !other.heard_from_the_tunnel()? {
                    ensure!(Instant::now() < end, "{} hears nothing of {}", other.name, self.name);
                    self.tool("ovs-ofctl", &["packet-out", "br-int", GREETING])?;
                }
                Ok(())
            });
        }
        while !inside(self.name, "ping").args(["-c1", "-W1", remote(self.name)]).output()?.status.success() {
            ensure!(Instant::now() < end, "{} does not answer", remote(self.name));
        }
        while !self.tool("ovs-appctl", &["tnl/neigh/show"])?.contains(remote(self.name)) {
            ensure!(Instant::now() < end, "{} is not known to the switch", remote(self.name));
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether a packet came out of the tunnel.
    fn heard_from_the_tunnel(&self) -> Result<bool> {
        let ports = self.tool("ovs-ofctl", &["dump-ports", "br-int", "vx0"])?;
        Ok(!ports.contains("rx pkts=0,"))
    }

    /// Loads the security group.
    pub fn protect(&self) -> Result<()> {
        let mut command = self.command("ovs-ofctl");
        command.args(["add-flows", "br-int", "-"]).stdin(Stdio::piped());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run ovs-ofctl")?;
        let mut input = child.stdin.take().context("no stdin")?;
        input.write_all(security_group::as_text().as_bytes())?;
        drop(input);
        let out = child.wait_with_output()?;
        ensure!(out.status.success(), "ovs-ofctl add-flows: {}", String::from_utf8_lossy(&out.stderr).trim());
        Ok(())
    }

    /// What the switch would do with a packet of this flow, and which rule decides.
    pub fn trace(&self, flow: &str, note: &'static str) -> Result<Decision> {
        let text = self.tool("ovs-appctl", &["ofproto/trace", "br-int", flow])?;
        Decision::from_trace(&without_underlay(&text), note)
            .with_context(|| format!("a trace without a rule:\n{text}"))
    }

    /// Packets counted by each rule so far.
    pub fn counters(&self) -> Result<Counters> {
        // counts of cached flows reach the rules when the revalidator has passed; not every version can be asked to hurry
        let _ = self.tool("ovs-appctl", &["revalidator/wait"]);
        Ok(Counters::from_dump(&self.tool("ovs-ofctl", &["dump-flows", "br-int"])?))
    }

    /// The counters, read until that of `cookie` has moved since `before`, or for as long as that may take.
    pub fn counters_after(&self, before: &Counters, cookie: u64) -> Result<Counters> {
        let end = Instant::now() + SETTLE;
        loop {
            let now = self.counters()?;
            if now.moved_since(before, cookie).is_some()
                || !now.any_moved_since(before)
                || Instant::now() > end
            {
                return Ok(now);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The live connection table.
    pub fn connections(&self) -> Result<String> {
        self.tool("ovs-appctl", &["dpctl/dump-conntrack", "-s"])
            .or_else(|_| self.tool("ovs-appctl", &["dpctl/dump-conntrack"]))
    }

    fn command(&self, program: &str) -> Command {
        let outer = inside(self.name, self.programs.path(program));
        let mut command = self.programs.command(outer.get_program(), Path::new(&self.rundir));
        command.args(outer.get_args()).current_dir(&self.rundir);
        command
    }

    fn tool(&self, program: &str, args: &[impl AsRef<OsStr>]) -> Result<String> {
        let out = self.command(program).args(args).stdin(Stdio::null()).output();
        let out = out.with_context(|| format!("cannot run {program}"))?;
        if !out.status.success() {
            let words: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
            bail!(
                "{}: {program} {}: {}",
                self.name,
                words.join(" "),
                String::from_utf8_lossy(&out.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    fn daemon(&mut self, program: &str, args: &[&str]) -> Result<u32> {
        let mut command = self.command(program);
        command.args(args).args(["--pidfile", "--log-file", "-vconsole:off"]);
        let console = std::fs::File::create(self.rundir.join(format!("{program}.console")))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(console);
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let pid = child.id();
        self.daemons.push(child);
        Ok(pid)
    }

    /// Waits until a daemon listens; one that ended instead tells why in its log.
    fn await_socket(&mut self, name: &str) -> Result<()> {
        let end = Instant::now() + START;
        let socket = self.rundir.join(name);
        while UnixStream::connect(&socket).is_err() {
            let ended = self.daemons.iter_mut().any(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > end {
                bail!("{}: {name} did not appear\n{}", self.name, self.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends everything in its order: the daemons, then what they run on. What the simulated Hyper-V says of its whole life; it
    /// is an error if the driver did wrong or left something behind.
    pub fn end(mut self) -> Result<Option<String>> {
        self.end_daemons();
        self.hyperv.take().map(HyperV::end).transpose()
    }

    fn end_daemons(&mut self) {
        for child in &mut self.daemons {
            drop(child.kill());
            drop(child.wait());
        }
    }

    fn last_words(&self) -> String {
        let logs = ["ovsdb-server.console", "ovs-vswitchd.console", "ovsdb-server.log", "ovs-vswitchd.log"]
            .map(|name| std::fs::read_to_string(self.rundir.join(name)));
        let lines: Vec<String> = logs
            .into_iter()
            .flatten()
            .flat_map(|log| log.lines().map(String::from).collect::<Vec<_>>())
            .collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// A trace without what happens below the tunnel: that has rules too, and decides nothing.
fn without_underlay(trace: &str) -> String {
    let mut below = false;
    let lines = trace.lines().filter(|line| {
        if line.starts_with("bridge(") || line.starts_with("Final flow") {
            below = line.contains("br-phy");
        }
        !below
    });
    lines.map(|line| format!("{line}\n")).collect()
}

impl Drop for Hypervisor<'_> {
    fn drop(&mut self) {
        self.end_daemons();
    }
}

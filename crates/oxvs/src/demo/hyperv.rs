//! A simulated Hyper-V under a hypervisor's daemons: `hyperv-sim host`, with the real driver in it.
//!
//! Where it sits: started by `hypervisor` before the daemons, which find the driver's device where they look for it. Its adapters
//! are plugged into the links that a hypervisor on Linux would have as ports.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::topology::{MACHINES, inside, underlay};
use crate::programs::Programs;

/// A running simulation; it ends when it is dropped.
#[derive(Debug)]
pub struct HyperV {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    /// Where it says what went wrong.
    console: PathBuf,
}

impl HyperV {
    /// Starts the hypervisor called `name`, with its device in `rundir`, and waits until that can be opened.
    pub fn start(programs: &Programs, name: &str, rundir: &Path, image: Option<&Path>) -> Result<Self> {
        let outer = inside(name, programs.path("hyperv-sim"));
        let mut command = programs.command(outer.get_program(), rundir);
        command.args(outer.get_args()).arg("host").arg("--device").arg(rundir.join("ovsext.dev"));
        let driver = match image {
            Some(image) => {
                command.arg("--image").arg(image);
                format!("{}, loaded", image.file_name().unwrap_or_default().to_string_lossy())
            }
            None => "linked in".to_owned(),
        };
        let machines: Vec<_> = MACHINES.iter().filter(|machine| machine.hypervisor == name).collect();
        for machine in &machines {
            command.arg("--vm").arg(format!("{0}={0}", machine.name));
        }
        command.args(["--wire", "Ethernet0=trunk", "--own", "br-int"]);
        command.arg("--own").arg(format!("br-phy={}/24", underlay(name)));
        let names: Vec<_> = machines.iter().map(|machine| machine.name).collect();
        println!(
            "{name} is a simulated Hyper-V. The driver: {driver}. Adapters of its switch: {} of machines, \
             Ethernet0,\nand br-int and br-phy ({}) of the host.",
            names.join(" and "),
            underlay(name)
        );
        let console = rundir.join("hyperv-sim.console");
        let errors = File::create(&console)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().context("cannot run hyperv-sim")?;
        let out = child.stdout.take().context("no stdout")?;
        let mut this = Self { child, out: BufReader::new(out), console };
        let mut line = String::new();
        this.out.read_line(&mut line)?;
        ensure!(line == "ready\n", "the simulated Hyper-V did not start: {}", this.last_words());
        Ok(this)
    }

    /// Ends it, and with it the life of the driver; what it says of that.
    pub fn end(mut self) -> Result<String> {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process has a number")?;
        // one that is gone says why below
        let _ = kill_process(pid, Signal::TERM);
        let mut said = String::new();
        self.out.read_line(&mut said)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the simulated Hyper-V ended with {status}: {}", self.last_words());
        Ok(said.trim().to_owned())
    }

    fn last_words(&self) -> String {
        fs::read_to_string(&self.console).unwrap_or_default().trim().to_owned()
    }
}

impl Drop for HyperV {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

//! How a daemon starts, serves and ends.
//!
//! Where it sits: `main` of every daemon. Brings the rest of this crate together; knows nothing of what the daemon does.
//!
//! ~~~text
//! parse options ─► Daemon::start: fork(s), pid file, runtime, control socket ─► run(main): the daemon's own start-up
//!                                                                 ─► ready(): parents exit, terminal left ─► serves ─► main returns
//! ~~~
//! I1  Until `ready` every error reaches the user: `main` returns it, the parents exit with its status.
//! I2  SIGTERM and SIGINT end the process at once, like a crash that removes its pid file and sockets; SIGHUP reopens the log.

use std::cell::RefCell;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;

use rustix::thread::CapabilitySet;
use stream::Clock;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use crate::detach::{self, Parents};
use crate::getopt::Opt;
use crate::memory::Memory;
use crate::pidfile::{self, Existing, Pidfile, PidfileError};
use crate::unixctl::{Commands, Server};
use crate::user::User;
use crate::{coverage, program, time_commands, version, vlog};

/// Real time that clients have to take their last replies.
const FAREWELL_MS: u64 = 1000;
/// Age at which memory use is logged once.
const MEMORY_LOG_MS: u64 = 10_000;

/// Options of every daemon, besides `vlog::OPTIONS`.
pub const OPTIONS: &[Opt] = &[
    Opt::flag("detach"),
    Opt::flag("no-chdir"),
    Opt::optional("pidfile"),
    Opt::flag("overwrite-pidfile"),
    Opt::flag("monitor"),
    Opt::flag("no-self-confinement"),
    Opt::required("user"),
    Opt::required("unixctl"),
];

/// How a daemon is to be started.
#[derive(Clone, Debug)]
pub struct Options {
    detach: bool,
    keep_folder: bool,
    pidfile: Option<PathBuf>,
    overwrite_pidfile: bool,
    monitor: bool,
    unixctl: Option<String>,
    user: Option<User>,
    /// What of root's rights the daemon keeps with `--user`.
    pub capabilities: CapabilitySet,
    /// Whether the commands that stop and warp time are offered (`--enable-dummy`).
    pub dummy: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            detach: false,
            keep_folder: false,
            pidfile: None,
            overwrite_pidfile: false,
            monitor: false,
            unixctl: None,
            user: None,
            capabilities: CapabilitySet::empty(),
            dummy: false,
        }
    }
}

impl Options {
    /// Whether the process goes into the background.
    pub fn detaches(&self) -> bool {
        self.detach
    }

    /// Takes an option of `OPTIONS` or `vlog::OPTIONS`; `false` if `name` is none of them. An error is the text that users see.
    pub fn accept(&mut self, name: &str, value: Option<&str>) -> Result<bool, String> {
        match (name, value) {
            ("detach", _) => self.detach = true,
            ("no-chdir", _) => self.keep_folder = true,
            ("pidfile", path) => self.pidfile = Some(pidfile::resolve(path)),
            ("overwrite-pidfile", _) => self.overwrite_pidfile = true,
            ("monitor", _) => self.monitor = true,
            ("no-self-confinement", _) => {}
            ("user", text) => self.user = Some(User::of(text.unwrap_or_default())?),
            ("unixctl", Some(path)) => self.unixctl = Some(path.to_owned()),
            _ => return vlog::accept_option(name, value),
        }
        Ok(true)
    }
}

/// Why a daemon does not start. The text is what users see after the program's name.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No pid file.
    #[error(transparent)]
    Pidfile(#[from] PidfileError),
    /// Root's rights could not be given up.
    #[error("--user: {0}")]
    User(std::io::Error),
    /// No control socket.
    #[error("{0}")]
    ControlSocket(String),
    /// No runtime.
    #[error("could not start the runtime ({0})")]
    Runtime(std::io::Error),
}

/// A daemon that has been set up and can run.
#[derive(Debug)]
pub struct Daemon {
    runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    handle: Handle,
}

/// What a running daemon's parts use; clones are the same.
#[derive(Clone, Debug)]
pub struct Handle(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    commands: Commands,
    memory: Memory,
    parents: RefCell<Parents>,
    pidfile: RefCell<Option<Pidfile>>,
    /// How the daemon was started.
    options: Options,
}

impl Daemon {
    /// Sets up the process as `options` say. Must be called while the process has one thread; may return in another process.
    pub fn start(options: &Options) -> Result<Daemon, StartError> {
        if let Some(user) = &options.user {
            user.become_it(options.capabilities).map_err(StartError::User)?;
        }
        let parents = detach::go(options.detach, options.monitor, !options.keep_folder);
        let pidfile = make_pidfile(options)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Runtime)?;
        let server = {
            let _in_runtime = runtime.enter();
            Server::bind(options.unixctl.as_deref()).map_err(StartError::ControlSocket)?
        };
        let shared = Shared {
            clock: stream::replay::clock(),
            commands: Commands::default(),
            memory: Memory::default(),
            parents: RefCell::new(parents),
            pidfile: RefCell::new(pidfile),
            options: options.clone(),
        };
        let handle = Handle(Rc::new(shared));
        handle.register_common(options.dummy);
        Ok(Daemon { runtime, server, handle })
    }

    /// Runs `main` until it returns, serving the control socket. `main` may use `tokio::task::spawn_local`.
    pub fn run<F>(self, main: impl FnOnce(Handle) -> F + 'static) -> F::Output
    where
        F: Future<Output: 'static> + 'static,
    {
        let Daemon { runtime, server, handle } = self;
        let local = LocalSet::new();
        let whole = {
            let handle = handle.clone();
            async move {
                let mut main = pin!(main(handle.clone()));
                if let Some(server) = server {
                    tokio::task::spawn_local(server.run(handle.commands().clone(), handle.clock().clone()));
                }
                tokio::task::spawn_local(housekeeping(handle.clone()));
                tokio::task::spawn_local(stream::replay::play());
                let output = tokio::select! {
                    output = &mut main => output,
                    signal = ending_signal() => program::end_by_signal(signal),
                };
                handle.farewell().await;
                output
            }
        };
        // A task like the others: what `block_on` is given itself is polled whenever any task is.
        let output = local.block_on(&runtime, async { tokio::task::spawn_local(whole).await });
        // Commands may hold the handle that holds them.
        handle.release_pidfile();
        drop(local);
        match output {
            Ok(output) => output,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

fn make_pidfile(options: &Options) -> Result<Option<Pidfile>, PidfileError> {
    let Some(path) = &options.pidfile else { return Ok(None) };
    let existing = if options.overwrite_pidfile { Existing::Overwrite } else { Existing::Refuse };
    match Pidfile::create(path, existing) {
        Ok(pidfile) => Ok(Some(pidfile)),
        Err(error) => {
            vlog::emergency("daemon_unix", &error.to_string());
            Err(error)
        }
    }
}

impl Handle {
    /// The clock of the process.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The commands of the control socket.
    pub fn commands(&self) -> &Commands {
        &self.0.commands
    }

    /// What `memory/show` shows.
    pub fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// The daemon serves: whoever started it may go on, and a daemon in the background leaves the terminal.
    pub fn ready(&self) {
        self.0.parents.borrow_mut().ready();
    }

    /// Removes the pid file, for another process that is to have it.
    pub fn release_pidfile(&self) {
        drop(self.0.pidfile.borrow_mut().take());
    }

    /// Makes the pid file again that [`Handle::release_pidfile`] removed, if nobody else has it.
    pub fn retake_pidfile(&self) {
        if let Ok(pidfile) = make_pidfile(&self.0.options) {
            *self.0.pidfile.borrow_mut() = pidfile;
        }
    }

    fn register_common(&self, dummy: bool) {
        let commands = self.commands();
        commands.register_list();
        commands.register("version", "", 0..=0, |call| call.reply(version::banner(program::name())));
        // Served per connection; here for listings.
        commands.register("set-options", "[--format text|json]", 1..=2, |call| call.reply(""));
        vlog::commands::register(commands);
        coverage::register(commands);
        coverage::UNIXCTL_RECEIVED.list();
        coverage::UNIXCTL_REPLIED.list();
        coverage::add_source("stream_open", stream::socket::streams_dialled);
        coverage::add_source("pstream_open", stream::socket::listeners_opened);
        self.memory().register(commands);
        if dummy {
            time_commands::register(commands, self.clock());
        }
    }

    /// Lets clients of the control socket take their last replies.
    async fn farewell(&self) {
        let real = Clock::new();
        let end = real.now_ms() + FAREWELL_MS;
        while crate::unixctl::busy() > 0 && real.now_ms() < end {
            real.sleep_until(real.now_ms() + 5).await;
        }
    }
}

/// What every daemon does beside its work.
async fn housekeeping(handle: Handle) {
    let clock = handle.clock();
    let mut memory_log = Some(clock.now_ms() + MEMORY_LOG_MS);
    let mut next = clock.now_ms() + coverage::SAMPLE_MS;
    loop {
        clock.sleep_until(next).await;
        coverage::sample();
        next += coverage::SAMPLE_MS;
        if memory_log.take_if(|at| clock.now_ms() >= *at).is_some() {
            handle.memory().log();
        }
    }
}

/// Waits for a signal that ends the process; reopens the log at SIGHUP meanwhile.
pub(crate) async fn ending_signal() -> i32 {
    let watch = |kind: SignalKind| {
        signal(kind).inspect_err(|error| {
            log::warn!(target: "signals", "cannot watch signal {}: {error}", kind.as_raw_value());
        })
    };
    let (mut term, mut int) = (watch(SignalKind::terminate()).ok(), watch(SignalKind::interrupt()).ok());
    let mut hup = watch(SignalKind::hangup()).ok();
    loop {
        tokio::select! {
            () = received(&mut term) => return libc::SIGTERM,
            () = received(&mut int) => return libc::SIGINT,
            () = received(&mut hup) => drop(vlog::reopen_log_file()),
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

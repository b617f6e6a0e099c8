//! Commands that stay connected: in the foreground, or with `--detach` behind, where they take orders on a control socket.
//!
//! Where it sits: `monitor` and the locks wait and print through a [`Stay`]; `mod.rs` makes it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::rc::Rc;

use daemon::unixctl::Call;
use daemon::{Daemon, Exit, Handle};
use stream::jsonrpc::{Event, Session};
use tokio::sync::Notify;

use super::Outcome;
use super::options::{self, Parsed};

/// A request for a lock that came by the control socket.
pub(super) struct Order {
    /// `lock`, `steal` or `unlock`.
    pub method: &'static str,
    /// Which lock.
    pub lock: String,
    /// Whom to answer.
    pub call: Call,
}

/// What happens next.
pub(super) enum Heard {
    /// Something of the session; nothing when it is over.
    Session(Option<Event>),
    /// An order.
    Order(Order),
    /// The end was asked for.
    Exit,
}

/// Where a command that stays prints, and who gives it orders.
#[derive(Default)]
pub(super) struct Stay {
    /// Standard output as it was; the daemon's own goes nowhere.
    output: Option<RefCell<File>>,
    handle: Option<Handle>,
    exit: Option<Exit>,
    orders: Rc<RefCell<VecDeque<Order>>>,
    wake: Rc<Notify>,
}

/// Runs the command in the background once it has got its first answer. Forks here.
pub(super) fn run_detached(parsed: Parsed) -> Outcome {
    let output = std::io::stdout().as_fd().try_clone_to_owned();
    let output = File::from(output.map_err(|e| stream::error_text(&e))?);
    let daemon = Daemon::start(&parsed.daemon).map_err(|e| e.to_string())?;
    daemon.run(async |handle| {
        let exit = Exit::register(handle.commands());
        let stay = Stay {
            output: Some(RefCell::new(output)),
            handle: Some(handle.clone()),
            exit: Some(exit),
            ..Stay::default()
        };
        options::dispatch(parsed, stay).await
    })
}

impl Stay {
    /// Prints, and lets nothing wait for more of it.
    pub fn say(&self, text: &str) -> Result<(), String> {
        let said = match &self.output {
            Some(file) => file.borrow_mut().write_all(text.as_bytes()),
            None => {
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
        };
        said.map_err(|error| format!("write to stdout failed ({error})"))
    }

    /// The first answer is printed: whoever started the command may go on.
    pub fn ready(&self) {
        if let Some(handle) = &self.handle {
            handle.ready();
        }
    }

    /// Takes orders about locks.
    pub fn take_orders(&self) {
        let Some(handle) = &self.handle else { return };
        for method in ["lock", "steal", "unlock"] {
            let (orders, wake) = (self.orders.clone(), self.wake.clone());
            handle.commands().register(method, "LOCK", 1..=1, move |call| {
                let lock = call.arg(0).unwrap_or_default().to_owned();
                orders.borrow_mut().push_back(Order { method, lock, call });
                wake.notify_one();
            });
        }
    }

    /// Waits for what happens next.
    pub async fn next(&self, session: &mut Session) -> Heard {
        let requested = async {
            match &self.exit {
                Some(exit) => exit.requested().await,
                None => std::future::pending().await,
            }
        };
        let woken = async {
            loop {
                let order = self.orders.borrow_mut().pop_front();
                match order {
                    Some(order) => return order,
                    None => self.wake.notified().await,
                }
            }
        };
        tokio::select! {
            event = session.next() => Heard::Session(event),
            order = woken => Heard::Order(order),
            () = requested => Heard::Exit,
        }
    }

    /// Ends as it was asked to.
    pub fn end(&self) -> Outcome {
        if let Some(exit) = &self.exit {
            exit.reply();
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// True for commands that may run behind.
pub(super) fn stays(command: &str) -> bool {
    matches!(command, "monitor" | "monitor-cond" | "monitor-cond-since" | "lock" | "steal" | "unlock")
}

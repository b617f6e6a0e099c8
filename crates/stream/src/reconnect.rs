//! When to connect, when to probe, when to give up: the reconnection machine, without sockets or a clock.
//!
//! Where it sits: `link` drives it with the time and with what happened to the connection, does what it says and logs its lines.
//!
//! ~~~text
//!           enable           run: Connect         connected            idle: Probe
//! Void ───────────► Backoff ─────────────► Connecting ────────► Active ───────────► Idle
//!                      ▲  (or Listening)        │                 │ ▲   activity     │
//!                      └────────────────────────┴─────────────────┘ └────────────────┤
//!                         failed, timed out, disconnected: wait backoff, doubled      │ no answer: Disconnect
//!                      ▲──────────────────────────────────────────────────────────────┘
//! ~~~
//! I1  Outputs are data: `run` returns what to do, `take_log` what to say.
//! I2  Every state but Void, Listening and an Active one without probes has a deadline.
//! I3  Backoff stays between `min_backoff` and `max_backoff`; it starts anew after a connection on which the peer was heard for at
//!     least as long as it. At the longest backoff attempts are no longer logged.
//!
//! The wording is Open vSwitch's: module `reconnect` for JSON-RPC, module `rconn` for OpenFlow, which differ a little.

use log::Level;

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not wanted.
    Void,
    /// Listening for the peer.
    Listening,
    /// Waiting before the next attempt.
    Backoff,
    /// An attempt is in progress.
    Connecting,
    /// Connected.
    Active,
    /// Connected, silent, and probed.
    Idle,
    /// To be cut and made anew.
    Reconnect,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Void => "VOID",
            State::Listening => "LISTENING",
            State::Backoff => "BACKOFF",
            State::Connecting => "CONNECTING",
            State::Active => "ACTIVE",
            State::Idle => "IDLE",
            State::Reconnect => "RECONNECT",
        }
    }

    fn is_connected(self) -> bool {
        matches!(self, State::Active | State::Idle | State::Reconnect)
    }
}

/// What the owner must do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin to connect (or to listen, when passive).
    Connect,
    /// Drop the connection or the attempt, then call `disconnected`.
    Disconnect,
    /// Send something that the peer answers.
    Probe,
}

/// Why a connection or an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The peer closed.
    Closed,
    /// An error, as text.
    Error(String),
    /// The owner did what `Action::Disconnect` said.
    Commanded,
}

/// Whose words the log lines take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// Module `reconnect`.
    Reconnect,
    /// Module `rconn`.
    Rconn,
    /// Nobody's: the lines are not logged.
    Silent,
}

impl Wording {
    /// The log module.
    pub fn module(self) -> &'static str {
        match self {
            Wording::Reconnect | Wording::Silent => "reconnect",
            Wording::Rconn => "rconn",
        }
    }
}

/// How a connection is kept. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct Config {
    /// First wait after a failure.
    pub min_backoff: u64,
    /// Longest wait after a failure.
    pub max_backoff: u64,
    /// Silence after which the peer is probed; 0 is never.
    pub probe_interval: u64,
    /// How many attempts remain; `None` is no limit.
    pub tries: Option<u32>,
    /// First attempts that follow each other without waiting, for lists of equivalent servers.
    pub backoff_free_tries: u32,
    /// Whether the peer connects to us.
    pub passive: bool,
    /// Level of the lines about ordinary events.
    pub info_level: Level,
    /// Wording of the log.
    pub wording: Wording,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            min_backoff: 1000,
            max_backoff: 8000,
            probe_interval: 5000,
            tries: None,
            backoff_free_tries: 0,
            passive: false,
            info_level: Level::Info,
            wording: Wording::Reconnect,
        }
    }
}

/// Counters and times that status displays show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Attempts made.
    pub attempts: u32,
    /// Attempts that succeeded.
    pub successes: u32,
    /// When the last connection was made.
    pub last_connected: Option<u64>,
    /// When the last connection ended.
    pub last_disconnected: Option<u64>,
    /// When the peer was last heard.
    pub last_activity: u64,
    /// Changes of `is_connected`.
    pub seqno: u32,
}

/// The machine of one connection.
#[derive(Debug)]
pub struct Reconnect {
    name: String,
    config: Config,
    state: State,
    entered: u64,
    backoff: u64,
    /// Whether the longest backoff was reached, so that attempts are no longer logged.
    quiet: bool,
    stats: Stats,
    log: Vec<(Level, String)>,
    last_error: Option<String>,
}

impl Reconnect {
    /// A machine in `Void` for the connection that logs call `name`.
    pub fn new(name: impl Into<String>, config: Config, now: u64) -> Reconnect {
        let stats = Stats { last_activity: now, ..Stats::default() };
        let (state, log) = (State::Void, Vec::new());
        let name = name.into();
        Reconnect {
            name,
            config,
            state,
            entered: now,
            backoff: 0,
            quiet: false,
            stats,
            log,
            last_error: None,
        }
    }

    /// What logs call the connection.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names the connection anew, for lists of servers.
    pub fn set_name(&mut self, name: impl Into<String>) {
        self.name = name.into();
    }

    /// The configuration in use.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Counters and times.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The wait that the last failure earned.
    pub fn backoff(&self) -> u64 {
        self.backoff
    }

    /// Changes the probe interval; 0 is never. A probe in flight keeps its own deadline's start.
    pub fn set_probe_interval(&mut self, ms: u64) {
        self.config.probe_interval = ms;
    }

    /// Changes the longest wait.
    pub fn set_max_backoff(&mut self, ms: u64) {
        self.config.max_backoff = ms.max(self.config.min_backoff);
        if self.state == State::Backoff {
            self.backoff = self.backoff.min(self.config.max_backoff);
        }
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.state.is_connected()
    }

    /// Lines to log since the last call.
    pub fn take_log(&mut self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.log)
    }

    /// Begins to want the connection.
    pub fn enable(&mut self, now: u64) {
        if self.state == State::Void && self.config.tries != Some(0) {
            self.backoff = 0;
            self.transition(now, State::Backoff);
        }
    }

    /// Ceases to want the connection.
    pub fn disable(&mut self, now: u64) {
        if self.state != State::Void {
            self.transition(now, State::Void);
        }
    }

    /// Cuts the connection and makes it anew at once.
    pub fn force_reconnect(&mut self, now: u64) {
        if self.state.is_connected() || self.state == State::Connecting {
            self.transition(now, State::Reconnect);
        }
    }

    /// The owner begins an attempt.
    pub fn connecting(&mut self, now: u64) {
        if self.state == State::Connecting {
            return;
        }
        self.stats.attempts += 1;
        if let Some(tries) = &mut self.config.tries {
            *tries = tries.saturating_sub(1);
        }
        if !self.quiet {
            let doing = if self.config.passive { "listening..." } else { "connecting..." };
            self.say(self.config.info_level, doing);
        }
        self.transition(now, State::Connecting);
    }

    /// The owner listens for the peer.
    pub fn listening(&mut self, now: u64) {
        if self.state != State::Listening {
            self.transition(now, State::Listening);
        }
    }

    /// The connection stands.
    pub fn connected(&mut self, now: u64) {
        if self.state.is_connected() {
            return;
        }
        self.stats.successes += 1;
        self.stats.last_connected = Some(now);
        self.stats.last_activity = now;
        self.say(self.config.info_level, "connected");
        self.transition(now, State::Active);
    }

    /// The peer was heard.
    pub fn activity(&mut self, now: u64) {
        if self.state == State::Idle {
            self.transition(now, State::Active);
        }
        self.stats.last_activity = now;
    }

    /// The connection or the attempt ended.
    pub fn disconnected(&mut self, now: u64, cause: &Cause) {
        if matches!(self.state, State::Void | State::Backoff) {
            return;
        }
        self.say_end(cause);
        if let Cause::Error(text) = cause {
            self.last_error = Some(text.clone());
        }
        if self.state.is_connected() {
            self.stats.last_disconnected = Some(now);
        }
        self.quiet = self.choose_backoff();
        let gone = self.config.tries == Some(0);
        self.transition(now, if gone { State::Void } else { State::Backoff });
    }

    /// The last error that ended a connection or an attempt.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// When `run` must be called next; `None` is never.
    pub fn deadline(&self) -> Option<u64> {
        match self.state {
            State::Void | State::Listening => None,
            State::Backoff => Some(self.entered + self.backoff),
            State::Connecting => Some(self.entered + self.backoff.max(1000)),
            State::Active if self.config.probe_interval == 0 => None,
            State::Active => Some(self.stats.last_activity.max(self.entered) + self.config.probe_interval),
            // A probe in flight when probing was switched off needs no answer.
            State::Idle if self.config.probe_interval == 0 => None,
            State::Idle => Some(self.entered + self.config.probe_interval),
            State::Reconnect => Some(self.entered),
        }
    }

    /// What is due at `now`.
    pub fn run(&mut self, now: u64) -> Option<Action> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        match self.state {
            State::Void | State::Listening => None,
            State::Backoff => Some(Action::Connect),
            State::Connecting | State::Reconnect => Some(Action::Disconnect),
            State::Active => {
                let idle = now - self.stats.last_activity.max(self.entered);
                let text = match self.config.wording {
                    Wording::Reconnect | Wording::Silent => {
                        format!("idle {idle} ms, sending inactivity probe")
                    }
                    Wording::Rconn => format!("idle {} seconds, sending inactivity probe", idle / 1000),
                };
                self.say(Level::Debug, &text);
                self.transition(now, State::Idle);
                Some(Action::Probe)
            }
            State::Idle => {
                let waited = significant3(now - self.entered);
                let text = format!("no response to inactivity probe after {waited} seconds, disconnecting");
                self.say(Level::Error, &text);
                Some(Action::Disconnect)
            }
        }
    }

    fn transition(&mut self, now: u64, state: State) {
        if self.state.is_connected() != state.is_connected() {
            self.stats.seqno += 1;
        }
        self.state = state;
        self.entered = now;
        self.say(Level::Debug, &format!("entering {}", state.name()));
    }

    fn say(&mut self, level: Level, text: &str) {
        self.log.push((level, format!("{}: {text}", self.name)));
    }

    fn say_end(&mut self, cause: &Cause) {
        let info = self.config.info_level;
        match (self.state, cause) {
            (State::Active | State::Idle, Cause::Error(error)) => {
                self.say(Level::Warn, &format!("connection dropped ({error})"));
            }
            (State::Active | State::Idle, Cause::Closed) => self.say(info, "connection closed by peer"),
            // The line about the missing answer has said it.
            (State::Idle | State::Reconnect, _) => {}
            (State::Active, Cause::Commanded) => self.say(info, "connection dropped"),
            (State::Listening, Cause::Error(error)) => {
                self.say(Level::Warn, &format!("error listening for connections ({error})"));
            }
            (State::Listening, _) => self.say(info, "error listening for connections"),
            (State::Connecting, cause) => self.say_failure(cause),
            (State::Void | State::Backoff, _) => {}
        }
    }

    fn say_failure(&mut self, cause: &Cause) {
        let (failed, level, also_when_quiet) = match self.config.wording {
            Wording::Reconnect if self.config.passive => ("listen attempt", self.config.info_level, false),
            Wording::Reconnect | Wording::Silent => ("connection attempt", self.config.info_level, false),
            Wording::Rconn => ("connection", Level::Warn, true),
        };
        match cause {
            Cause::Error(error) if also_when_quiet || !self.quiet => {
                self.say(level, &format!("{failed} failed ({error})"));
            }
            Cause::Closed | Cause::Commanded if !self.quiet => {
                self.say(self.config.info_level, &format!("{failed} timed out"));
            }
            _ => {}
        }
    }

    /// Chooses the wait after a failure; whether attempts are to be logged no more.
    fn choose_backoff(&mut self) -> bool {
        let Config { min_backoff, max_backoff, passive, wording, .. } = self.config;
        // A connection on which the peer said nothing has not lasted.
        let lasted = self.stats.last_connected.map_or(0, |at| self.stats.last_activity.saturating_sub(at));
        if self.state.is_connected() && (passive || lasted >= self.backoff) {
            self.backoff = if passive { 0 } else { min_backoff };
            return false;
        }
        if self.config.backoff_free_tries > 1 {
            self.config.backoff_free_tries -= 1;
            self.backoff = 0;
            return false;
        }
        let first = self.backoff < min_backoff;
        self.backoff = if first { min_backoff } else { (self.backoff * 2).min(max_backoff) };
        if self.quiet {
            return true;
        }
        if self.backoff >= max_backoff && !first {
            let again = match wording {
                Wording::Reconnect | Wording::Silent => "reconnect",
                Wording::Rconn => "retry connections",
            };
            let text = format!("continuing to {again} in the background but suppressing further logging");
            self.say(self.config.info_level, &text);
            return true;
        }
        if !first || wording == Wording::Rconn {
            let next = if passive { "trying to listen again" } else { "reconnect" };
            let text = format!("waiting {} seconds before {next}", significant3(self.backoff));
            self.say(self.config.info_level, &text);
        }
        false
    }
}

/// Seconds with three significant digits, like C's `%.3g`.
fn significant3(ms: u64) -> String {
    let seconds = ms as f64 / 1000.0;
    let decimals = match ms {
        0..1_000 => 3,
        1_000..10_000 => 2,
        10_000..100_000 => 1,
        _ => 0,
    };
    let text = format!("{seconds:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests;

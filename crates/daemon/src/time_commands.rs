//! `time/stop` and `time/warp`, for tests.
//!
//! Where it sits: registered only by daemons started with `--enable-dummy`.

use std::rc::Rc;

use stream::Clock;

use crate::unixctl::{Call, Commands};

/// Real time between two steps of a warp, for peers in other processes.
const PAUSE_MS: u64 = 5;

pub(crate) fn register(commands: &Commands, clock: &Clock) {
    let stopped = clock.clone();
    commands.register("time/stop", "", 0..=0, move |call| {
        stopped.stop();
        call.reply("");
    });
    let clock = Rc::new(clock.clone());
    commands.register("time/warp", "[large_msecs] msecs", 1..=2, move |call| {
        let clock = clock.clone();
        tokio::task::spawn_local(async move { warp(&clock, call).await });
    });
}

/// Moves the clock by the whole time in steps, letting everything run after each.
async fn warp(clock: &Clock, call: Call) {
    let parse = |index| call.arg(index).and_then(|arg| arg.parse::<u64>().ok()).filter(|ms| *ms > 0);
    let (total, step) = match call.args.len() {
        1 => (parse(0), parse(0)),
        _ => (parse(0), parse(1)),
    };
    let (Some(total), Some(step)) = (total, step) else { return call.error("invalid MSECS") };
    let real = Clock::new();
    let mut left = total;
    while left > 0 {
        let ms = step.min(left);
        clock.advance(ms);
        left -= ms;
        clock.settle().await;
        real.sleep_until(real.now_ms() + PAUSE_MS).await;
        clock.settle().await;
    }
    call.reply("warped");
}

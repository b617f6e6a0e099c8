//! A whole daemon of the smallest kind; the tests of this crate run it beside C's tools.

use std::process::ExitCode;

use daemon::getopt::{Getopt, Opt, Order};
use daemon::{Daemon, Exit, Options, program, vlog};

fn main() -> ExitCode {
    daemon::init();
    let own = [Opt::required("greeting"), Opt::flag("enable-dummy"), Opt::flag("fail")];
    let table = [&own, daemon::OPTIONS, vlog::OPTIONS].concat();
    let (mut options, mut greeting, mut fail) = (Options::default(), "hello".to_owned(), false);
    let mut getopt = Getopt::from_env(&table, Order::Permute);
    loop {
        match getopt.next() {
            Ok(Some(("greeting", Some(text)))) => greeting = text,
            Ok(Some(("enable-dummy", _))) => options.dummy = true,
            Ok(Some(("fail", _))) => fail = true,
            Ok(Some((name, value))) => {
                if let Err(error) = options.accept(name, value.as_deref()) {
                    program::exit_with(&error);
                }
            }
            Ok(None) => break,
            Err(error) => program::exit_with(&error.to_string()),
        }
    }
    let daemon = Daemon::start(&options).unwrap_or_else(|error| program::exit_with(&error.to_string()));
    daemon.run(async move |handle| {
        let exit = Exit::register_with_cleanup(handle.commands());
        handle.commands().register("greet", "[NAME]", 0..=1, move |call| {
            let text = format!("{greeting}, {}", call.arg(0).unwrap_or("world"));
            call.reply(text);
        });
        let clock = handle.clock().clone();
        handle.commands().register("alarm", "MSECS", 1..=1, move |call| {
            let (clock, ms) = (clock.clone(), call.args[0].parse::<u64>().unwrap_or(0));
            tokio::task::spawn_local(async move {
                clock.sleep_until(clock.now_ms() + ms).await;
                call.reply("rang");
            });
        });
        handle.memory().add(|usage| *usage.entry("greetings".to_owned()).or_default() += 1);
        if fail {
            eprintln!("{}: failed on request", program::name());
            return ExitCode::from(3);
        }
        handle.ready();
        log::info!(target: "greeter", "{}", daemon::version::banner(program::name()));
        exit.requested().await;
        exit.reply();
        ExitCode::SUCCESS
    })
}

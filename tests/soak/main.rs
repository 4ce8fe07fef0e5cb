//! The soak: thousands of faults on many sessions at once, every byte counted.
//! `cargo run --release --example soak -- --faults 10000 --seed 1`
#![expect(clippy::unwrap_used, reason = "shared test support")]

mod cell;
mod kinds;
mod plan;
mod report;
mod soak;
#[path = "../support/mod.rs"]
mod support;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Lets faults strike a real daemon and counts every byte. Exits with 1 when one is lost or doubled.
#[derive(Debug, Parser)]
struct Args {
    /// Faults in all.
    #[arg(long, default_value_t = 200, value_name = "N")]
    faults: usize,
    /// Of the plan: the same seed does the same to the same number of sessions.
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
    /// Divides the agent's 1 ms and 100 ms waits.
    #[arg(long, default_value_t = 10, value_name = "K")]
    speed: u32,
    /// Sessions at once.
    #[arg(long, default_value_t = 48, value_name = "M", value_parser = clap::value_parser!(u16).range(1..=500))]
    sessions: u16,
}

/// The runtime's own clock, which the soak measures with.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

fn main() -> ExitCode {
    // It starts itself a second time as the daemon, so that the daemon is a process of its own.
    if std::env::args().nth(1).as_deref() == Some("run") {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        if provider.install_default().is_err() {
            return ExitCode::FAILURE;
        }
        return autossm::cli::main(std::env::args_os());
    }
    let args = Args::parse();
    let options = soak::Options {
        faults: args.faults,
        seed: args.seed,
        speed: args.speed.max(1),
        sessions: usize::from(args.sessions),
    };
    let run = || -> anyhow::Result<bool> {
        let program = std::env::current_exe()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(soak::soak(&program, options, say))
    };
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("the soak failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// One line. A closed pipe is no error.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _closed = writeln!(out, "{line}").and_then(|()| out.flush());
}

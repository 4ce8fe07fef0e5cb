//! The stand-alone simulator: `cargo run -p autossm-sim`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use autossm_sim::{AgentConfig, AgentVersion, Config, ResumeOfEnded, Simulator};
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// AWS Session Manager on loopback: control plane, data channels and agents, with faults on request.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where the control plane listens.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the websockets are served.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    data_listen: SocketAddr,
    /// Where agents that are programs connect to.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    agents_listen: SocketAddr,
    /// A program to start as the agent of each session; `tests/interop/main.rs` says how.
    #[arg(long, value_name = "PROGRAM")]
    agent_program: Option<PathBuf>,
    /// Where `/_sim/` is also served, for when the control plane is made to refuse.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    admin_listen: SocketAddr,
    /// Divides the agent's 1 ms and 100 ms waits.
    #[arg(long, default_value_t = 1, value_name = "N")]
    speed: u32,
    /// Seconds after which the service closes a data channel with 1000 "Bye"; 0 means never.
    #[arg(long, default_value_t = 3600.0, value_name = "SECONDS")]
    close_after: f64,
    /// Seconds without input after which a session ends; 0 means never.
    #[arg(long, default_value_t = 1200.0, value_name = "SECONDS")]
    session_timeout: f64,
    /// Seconds after which a session ends in any case; 0 means never.
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    max_duration: f64,
    /// Seconds for which a token can be used; 0 means for ever.
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    token_lifetime: f64,
    /// A token may open more than one data channel.
    #[arg(long)]
    reusable_tokens: bool,
    /// Answer ResumeSession of an ended session with an empty token instead of DoesNotExistException.
    #[arg(long)]
    empty_token_at_end: bool,
    /// The version the agents report and behave by.
    #[arg(long, default_value_t = AgentVersion::DEFAULT, value_name = "VERSION")]
    agent_version: AgentVersion,
    /// Milliseconds until an agent's port handler is ready after the handshake.
    #[arg(long, default_value_t = 5, value_name = "MS")]
    ready_delay: u64,
    /// Targets that exist; without any, all `i-`, `mi-` and `ecs:` targets do.
    #[arg(long = "target", value_name = "ID")]
    targets: Vec<String>,
    /// Where the remote host NAME really is.
    #[arg(long = "host", value_name = "NAME=ADDRESS", value_parser = name_and_address)]
    hosts: Vec<(String, String)>,
    /// Encrypt every session with a data key of this KMS key; set AWS_ENDPOINT_URL_KMS to the control plane.
    #[arg(long, value_name = "KEY")]
    kms_key: Option<String>,
    /// Refuse requests that do not look signed.
    #[arg(long)]
    require_signatures: bool,
    /// Seed of tokens and ids.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Args {
    fn config(self) -> Config {
        Config {
            control: self.listen,
            data_channel: self.data_listen,
            agents: self.agents_listen,
            agent_program: self.agent_program,
            admin: self.admin_listen,
            targets: self.targets,
            hosts: self.hosts.into_iter().collect(),
            kms_key: self.kms_key,
            require_signatures: self.require_signatures,
            single_use_tokens: !self.reusable_tokens,
            token_lifetime: seconds(self.token_lifetime),
            close_after: seconds(self.close_after),
            idle_timeout: seconds(self.session_timeout),
            max_duration: seconds(self.max_duration),
            resume_of_ended: if self.empty_token_at_end {
                ResumeOfEnded::EmptyToken
            } else {
                ResumeOfEnded::DoesNotExist
            },
            seed: self.seed,
            agent: AgentConfig {
                version: self.agent_version,
                speed: self.speed,
                ready_delay: Duration::from_millis(self.ready_delay),
                ..AgentConfig::default()
            },
            ..Config::default()
        }
    }
}

/// None for 0 and for what is no duration.
fn seconds(number: f64) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(number).ok();
    duration.filter(|duration| !duration.is_zero())
}

fn name_and_address(text: &str) -> Result<(String, String), String> {
    let (name, address) = text.split_once('=').ok_or("not NAME=ADDRESS")?;
    Ok((name.to_owned(), address.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(args.config()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let simulator = Simulator::start(config)
        .await
        .context("cannot listen; is another simulator running on this port?")?;
    let endpoint = simulator.endpoint_url();
    let admin = simulator.admin_url();
    let text = format!(
        "\
endpoint {endpoint}
admin    {admin}

Point autossm at it:

    [session.demo]
    target       = \"i-0123456789abcdef0\"
    region       = \"us-east-1\"
    endpoint_url = \"{endpoint}\"
    forward      = {{ listen = \"127.0.0.1:8000\", port = 80 }}

with any credentials, for example AWS_ACCESS_KEY_ID=sim AWS_SECRET_ACCESS_KEY=sim. Then disturb it:

    curl {admin}/_sim/state
    curl {admin}/_sim/fault -d '{{\"link\": {{\"side\": \"client\", \"fault\": \"reset\"}}}}'

Ctrl-C ends it.
"
    );
    let mut stdout = std::io::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .context("cannot write to standard output")?;
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    simulator.shutdown().await;
    Ok(())
}

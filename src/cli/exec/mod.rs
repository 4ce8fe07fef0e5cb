//! `autossm exec`: one command on a target, its output and its exit code.

mod trailer;

use rand::RngExt;

use super::args::ExecArgs;
use super::attach::{Ended, Kind, exchange, tty};
use super::exit::Exit;
use super::on_demand::{Holder, hold_here, holder};
use super::{output, runtime};
use crate::config::OnDemand;
use crate::control::{AttachRequest, ClientError, Proxied};
use crate::daemon;
use crate::endpoint::ViewRequest;
use crate::status::ProxyEnd;
pub(super) use trailer::{Trailer, Verdict};

/// What nothing is known of, and every failure of ours.
const UNKNOWN: u8 = 255;

pub(super) fn exec(args: &ExecArgs) -> Exit {
    carried(args).unwrap_or_else(|error| {
        // A script must be able to tell this from what the command says.
        output::error(&error);
        Exit::Command(UNKNOWN)
    })
}

fn carried(args: &ExecArgs) -> anyhow::Result<Exit> {
    if args.interactive && !tty::is_terminal() {
        anyhow::bail!("--interactive needs a terminal as standard input and output");
    }
    let nonce = format!("{:016x}", rand::rng().random::<u64>());
    let (request, kind) = request(args, &nonce);
    let ended = match holder(&args.holder, &OnDemand::from(request.clone()))? {
        Holder::Daemon(client) => runtime::block_on(async {
            match client.attach(&request).await {
                Ok(Proxied { stream, first, .. }) => exchange(stream, &first, kind).await.map(Some),
                Err(ClientError::NoDaemon { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })??,
        Holder::Here => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => alone(args, &request, &nonce)?,
    };
    Ok(say(args, ended))
}

/// What is asked for, and how its output is read.
fn request(args: &ExecArgs, nonce: &str) -> (AttachRequest, Kind) {
    let command = trailer::command_line(&args.command);
    let size = tty::size().filter(|_| args.interactive);
    let (document, command, kind) = if args.interactive {
        (
            "AWS-StartInteractiveCommand",
            trailer::interactive(&command),
            Kind::Interactive,
        )
    } else if args.durable {
        let kind = Kind::Durable(Box::new(Trailer::new(nonce)));
        ("AWS-StartInteractiveCommand", trailer::durable(&command, nonce), kind)
    } else {
        (
            "AWS-StartNonInteractiveCommand",
            trailer::in_shell(&command),
            Kind::Command,
        )
    };
    let mut parameters = vec![("command".to_owned(), vec![command])];
    if matches!(kind, Kind::Command) {
        parameters.push(("separateOutputStream".to_owned(), vec!["true".to_owned()]));
    }
    let request = AttachRequest {
        adopt: None,
        target: args.target.clone(),
        whose: args.account.whose(),
        view: ViewRequest {
            size,
            read_only: false,
            raw: !args.interactive,
        },
        document: Some(document.to_owned()),
        parameters,
        command: true,
    };
    (request, kind)
}

/// Without a daemon the same is held in this process.
fn alone(args: &ExecArgs, request: &AttachRequest, nonce: &str) -> anyhow::Result<Ended> {
    let (_, kind) = self::request(args, nonce);
    let session = args.holder.session(&OnDemand::from(request.clone()))?;
    let view = request.view;
    let hold = move |stream| runtime::block_on(daemon::hold_shell_alone(session, stream, view));
    let (ended, held) = hold_here(hold, |stream| runtime::block_on(exchange(stream, &[], kind)))?;
    held??;
    ended?
}

/// Says what cannot be seen from the exit code, and gives that.
fn say(args: &ExecArgs, ended: Ended) -> Exit {
    let unknown = |why: &str| {
        output::complain(&format!("{}: outcome unknown: {why}", args.target));
        Exit::Command(UNKNOWN)
    };
    let (end, exit) = match ended {
        Ended::Over(end, exit) => (end, exit),
        Ended::Broken => return unknown("the daemon has ended, and the command's session with it"),
        Ended::Signal(name) => return unknown(&format!("{name} came before the command's end; its session was ended")),
        Ended::Detached => return unknown("you left before the command's end; its session was ended"),
        Ended::Unread => return unknown("nobody reads the output any more; the command's session was ended"),
    };
    let Some(exit) = exit else {
        return unknown(&why(&end, args.durable));
    };
    if let Some(doubt) = exit.doubt {
        return unknown(doubt);
    }
    match u8::try_from(exit.code) {
        Err(_) => unknown("the command was ended by a signal, or could not be started"),
        // AWS's agent says 1 of every command that it has sent a signal.
        Ok(1) if exit.interrupted => unknown("the command was sent a signal, and the agent does not tell how it ended"),
        Ok(0) if exit.dropped => unknown(
            "the command has ended with 0, but the connection was lost while it ran, and the agent may have lost output \
             then; `--durable` is for that",
        ),
        Ok(code) => Exit::Command(code),
    }
}

fn why(end: &ProxyEnd, durable: bool) -> String {
    if !end.is_clean() {
        return output::sanitise(&end.cause);
    }
    if durable {
        return "the session has ended before the command told how: what is around it could not start (the target needs sh, mktemp, \
                mkfifo and room in its temporary directory), or was ended with it"
            .to_owned();
    }
    "the session has ended without an exit code: the connection was lost while the command ran (`--durable` is for that), or its \
     document tells none"
        .to_owned()
}

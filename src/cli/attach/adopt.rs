//! `autossm adopt`: a shell that another client has left goes on here.

use super::{show, view};
use crate::cli::args::AdoptArgs;
use crate::cli::exit::Exit;
use crate::cli::runtime;
use crate::control::AttachRequest;

pub(in crate::cli) fn adopt(args: &AdoptArgs) -> anyhow::Result<Exit> {
    let client = args.socket.client()?;
    let status = runtime::block_on(client.status())??;
    // To take it from oneself would be a drop for whoever looks at it.
    let own = status
        .sessions
        .into_iter()
        .find(|session| session.session_id.as_deref() == Some(&args.session_id));
    let (target, adopt) = match own {
        Some(session) if session.shell => (session.name, None),
        Some(session) => anyhow::bail!(
            "the daemon holds it already, as session {}, which is no shell",
            session.name
        ),
        None => (String::new(), Some(args.session_id.clone())),
    };
    let request = AttachRequest {
        adopt,
        target,
        whose: args.account.whose(),
        view: view(args.read_only),
        ..AttachRequest::default()
    };
    show(&client, &request)
}

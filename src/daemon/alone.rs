//! One session on demand without a daemon: the same task, in the process of the command that needs it.

use std::os::unix::net::UnixStream as StdStream;

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::DaemonError;
use super::machine::Machine;
use super::proxy::{bring, bring_viewer};
use crate::aws::ControlPlanes;
use crate::clock::Clock;
use crate::config::SessionSettings;
use crate::endpoint::{Inherited, ViewRequest};
use crate::status::ProxyEnd;
use crate::supervisor::{Ending, Keeper, NetworkBoard, PhaseBoard, ProxyEnds, Resources, SessionHandle};
use crate::transport::{Dialer, Proxies, Roots, client_config};

/// Holds the session of `settings`, one on demand, for the client at the other end of `connection`; returns when both
/// have ended, and says how. SIGTERM and SIGHUP terminate the session.
///
/// # Errors
/// [`DaemonError`]: what no session can do without is missing.
///
/// # Panics
/// Outside a tokio runtime with I/O enabled.
pub async fn hold_alone(settings: SessionSettings, connection: StdStream) -> Result<Option<ProxyEnd>, DaemonError> {
    hold(settings, connection, None).await
}

/// The same of a shell or command, for a viewer at the other end.
///
/// # Errors
/// [`DaemonError`]: what no session can do without is missing.
///
/// # Panics
/// Outside a tokio runtime with I/O enabled.
pub async fn hold_shell_alone(
    settings: SessionSettings,
    connection: StdStream,
    view: ViewRequest,
) -> Result<(), DaemonError> {
    hold(settings, connection, Some(view)).await.map(drop)
}

async fn hold(
    settings: SessionSettings,
    connection: StdStream,
    view: Option<ViewRequest>,
) -> Result<Option<ProxyEnd>, DaemonError> {
    let listen = |kind| signal(kind).map_err(DaemonError::Signals);
    let signals = [listen(SignalKind::terminate())?, listen(SignalKind::hangup())?];
    connection.set_nonblocking(true).map_err(DaemonError::Connection)?;
    let stream = UnixStream::from_std(connection).map_err(DaemonError::Connection)?;
    let name = settings.name.clone();
    let board = PhaseBoard::new(Clock);
    let network = NetworkBoard::default();
    let ends = ProxyEnds::default();
    let (roots, proxies) = (Roots::of_process(), Proxies::from_process());
    let tls = client_config(&roots)?;
    let mut planes = ControlPlanes::new(Clock, roots, proxies.clone());
    let resources = Resources {
        clock: Clock,
        control: planes.control_plane(&settings),
        dialer: Dialer::new(tls, proxies, planes.signer(&settings)),
        network: network.clone(),
        phases: board.slot(&name),
        ends: ends.clone(),
        inherited: Inherited::default(),
        seeds: StdRng::try_from_rng(&mut SysRng)?,
    };
    let (keeper, handle) = Keeper::new(settings, resources);
    let (sender, arrives) = oneshot::channel();
    if sender.send(stream).is_err() {
        return Ok(None);
    }
    let mut tasks = JoinSet::new();
    match view {
        Some(view) => tasks.spawn(bring_viewer(handle.clone(), arrives, view)),
        None => tasks.spawn(bring(handle.clone(), arrives)),
    };
    tasks.spawn(end_by_signal(signals, handle));
    let keeper = keeper.run(mpsc::channel(1).0);
    tokio::pin!(keeper);
    let mut machine = Machine::watch(Clock);
    loop {
        tokio::select! {
            _name = &mut keeper => return Ok(ends.take(&name)),
            change = machine.next() => {
                planes.renew();
                network.tell(change);
            }
        }
    }
}

/// Holds on to its handle, so that the session does not think that nobody wants it.
async fn end_by_signal(signals: [Signal; 2], handle: SessionHandle) {
    let [mut terminate, mut hangup] = signals;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    if let Err(gone) = handle.end(Ending::Terminate).await {
        tracing::debug!(%gone, "nothing to end");
    }
}

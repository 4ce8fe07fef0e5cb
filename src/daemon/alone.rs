//! One session on demand without a daemon: the same task, in the process of the command that needs it.

use std::io;
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
/// have ended, and says how. SIGTERM and SIGHUP terminate the session; where it is `interactive`, what is typed to end a
/// program (SIGINT, SIGQUIT) does so too, and ends it at once the second time.
///
/// # Errors
/// [`DaemonError`]: what no session can do without is missing, or it was ended at once.
///
/// # Panics
/// Outside a tokio runtime with I/O enabled.
pub async fn hold_alone(
    settings: SessionSettings,
    connection: StdStream,
    interactive: bool,
) -> Result<Option<ProxyEnd>, DaemonError> {
    let signals = EndSignals::listen(interactive).map_err(DaemonError::Signals)?;
    hold(settings, connection, signals, None).await
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
    // What is typed is the command's.
    let signals = EndSignals::listen(false).map_err(DaemonError::Signals)?;
    hold(settings, connection, signals, Some(view)).await.map(drop)
}

async fn hold(
    settings: SessionSettings,
    connection: StdStream,
    mut signals: EndSignals,
    view: Option<ViewRequest>,
) -> Result<Option<ProxyEnd>, DaemonError> {
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
    let keeper = keeper.run(mpsc::channel(1).0);
    tokio::pin!(keeper);
    let mut machine = Machine::watch(Clock);
    let mut typed_before = false;
    loop {
        tokio::select! {
            is_typed = signals.next() => {
                // One that was sent comes in numbers: ssh and the terminal it loses may both tell us.
                if is_typed && std::mem::replace(&mut typed_before, true) {
                    return Err(DaemonError::Forced);
                }
                tasks.spawn(end(handle.clone()));
            }
            _name = &mut keeper => return Ok(ends.take(&name)),
            change = machine.next() => {
                planes.renew();
                network.tell(change);
            }
        }
    }
}

async fn end(handle: SessionHandle) {
    if let Err(gone) = handle.end(Ending::Terminate).await {
        tracing::debug!(%gone, "nothing to end");
    }
}

/// The signals that end the session.
#[derive(Debug)]
struct EndSignals {
    sent: [Signal; 2],
    /// Those that a terminal sends when somebody types.
    typed: Option<[Signal; 2]>,
}

impl EndSignals {
    fn listen(interactive: bool) -> io::Result<Self> {
        let typed = || Ok::<_, io::Error>([signal(SignalKind::interrupt())?, signal(SignalKind::quit())?]);
        Ok(Self {
            sent: [signal(SignalKind::terminate())?, signal(SignalKind::hangup())?],
            typed: interactive.then(typed).transpose()?,
        })
    }

    /// The next one; whether it was typed.
    async fn next(&mut self) -> bool {
        let [terminate, hangup] = &mut self.sent;
        let typed = async {
            match &mut self.typed {
                Some([interrupt, quit]) => tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = quit.recv() => {}
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => false,
            _ = hangup.recv() => false,
            () = typed => true,
        }
    }
}

//! The loop of one session.

use std::sync::Arc;

use autossm_proto::Timestamp;
use autossm_proto::session::{Inbound, NetworkChange, Phase, Reading, Session};
use tokio::sync::mpsc;

use super::actions::{ActionNews, Actions};
use super::ending::Farewell;
use super::handle::{Message, Obedience, Order};
use super::link::{Link, LinkNews};
use super::network::NetworkNews;
use super::phases::PhaseSlot;
use super::proxy::{Proxied, ProxyEnds};
use super::report::{self, Alarm};
use super::router::{Router, RouterNews};
use super::terminal::{ShellFace, next_viewer};
use super::timer::Timer;
use crate::aws::{ControlPlane, LoginNews, SeededBackoff};
use crate::clock::{Clock, SAME_WAKE_UP, SleepMeter};
use crate::config::SessionSettings;
use crate::endpoint::{Inherited, Listeners, LocalEvent, LocalMessage, LocalSocket, ViewerReport};
use crate::transport::Dialer;

/// All that one session's task owns.
#[derive(Debug)]
pub(super) struct Supervisor<'a> {
    pub(super) keep: Keep<'a>,
    pub(super) clock: Clock,
    pub(super) session: Session,
    pub(super) link: Link,
    pub(super) router: Router,
    pub(super) actions: Actions,
    timer: Timer,
    network: NetworkNews,
    login: LoginNews,
    sleep: SleepMeter,
    /// When this task noticed last that the machine had slept.
    woke: Option<Timestamp>,
    pub(super) listeners: Listeners,
    /// What one turn has read; kept for their memory.
    inbox: Vec<Inbound>,
    reports: Vec<LocalMessage>,
    /// Listeners are to be opened again.
    reopening: bool,
    /// The connection of a session on demand.
    pub(super) proxied: Proxied,
    /// The terminal of a shell.
    pub(super) shell: Option<ShellFace>,
    /// Local connections that have gone with the session since the last change of phase.
    pub(super) lost: usize,
    /// How loud a failed attempt is.
    pub(super) alarm: Alarm,
    /// The next change of phase is one that somebody has asked for.
    pub(super) end_asked: bool,
    /// The task is to end.
    pub(super) farewell: Option<Farewell>,
}

/// What the keeper lends to each [`Supervisor`].
#[derive(Debug)]
pub(super) struct Keep<'a> {
    pub(super) settings: &'a SessionSettings,
    pub(super) messages: &'a mut mpsc::Receiver<Message>,
    pub(super) phases: &'a PhaseSlot,
    /// Whether the session is to be kept alive; false once a user has stopped it.
    pub(super) wanted: &'a mut bool,
    /// Where the end of a connection on demand is told.
    pub(super) ends: &'a ProxyEnds,
    /// Sockets that were opened for us.
    pub(super) inherited: &'a Inherited,
}

/// What a [`Supervisor`] works with.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) clock: Clock,
    pub(super) control: Arc<dyn ControlPlane>,
    pub(super) dialer: Dialer,
    /// Tells of changes of the machine's network.
    pub(super) network: NetworkNews,
    /// Makes the session's ids.
    pub(super) id_seed: u64,
    /// Draws the waits between attempts.
    pub(super) wait_seed: u64,
}

/// What happened.
#[derive(Debug)]
enum Happening {
    Message(Option<Message>),
    Accepted(LocalSocket),
    Local(RouterNews),
    Link(LinkNews),
    Action(ActionNews),
    Viewer(Option<ViewerReport>),
    Network(NetworkChange),
    /// There may be credentials now.
    Login,
    /// A deadline has come.
    Due,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(keep: Keep<'a>, tools: Tools, listeners: Listeners) -> Self {
        let settings = keep.settings;
        let clock = tools.clock;
        let unix_at_zero = clock.unix_now().saturating_sub(clock.now().since(Timestamp::ZERO));
        let backoff = SeededBackoff::new(&settings.backoff, tools.wait_seed);
        Self {
            keep,
            clock,
            session: Session::new(
                settings.protocol.clone(),
                Box::new(backoff),
                tools.id_seed,
                unix_at_zero,
            ),
            link: Link::new(&settings.name),
            router: Router::new(),
            login: tools.control.login_news(),
            actions: Actions::new(tools.control, tools.dialer),
            timer: Timer::new(clock),
            network: tools.network,
            sleep: SleepMeter::new(clock),
            woke: None,
            listeners,
            inbox: Vec::new(),
            reports: Vec::new(),
            reopening: false,
            proxied: Proxied::default(),
            shell: settings.shell.as_ref().map(|shell| ShellFace::new(shell.scrollback)),
            lost: 0,
            alarm: Alarm::default(),
            end_asked: false,
            farewell: None,
        }
    }

    /// Keeps the session alive until the task is told to end.
    pub(super) async fn run(mut self) {
        let now = self.clock.now();
        if *self.keep.wanted {
            self.open_shell_at_start(now);
            self.session.start(now);
        }
        self.settle(now).await;
        while !self.may_leave() {
            let happening = self.next().await;
            // Before anything that looks overdue because of it.
            let slept = self.sleep.look();
            let now = self.clock.now();
            if let Some(slept) = slept {
                self.woke = Some(now);
                self.session.handle_slept(slept, now);
            }
            self.handle(happening, now);
            // The runtime may let a timer sleep past its time while other things happen: the clock decides.
            if self.session.poll_timeout().is_some_and(|due| due.at <= now) {
                self.session.handle_timeout(now);
            }
            self.look_at_start(now);
            self.look_at_shell(now);
            self.settle(now).await;
            self.look_at_proxy(now);
            if std::mem::take(&mut self.reopening)
                && let Some(forward) = &self.keep.settings.forward
            {
                let name = &self.keep.settings.name;
                self.listeners = Listeners::open(name, forward, self.keep.inherited).await;
            }
        }
        self.finish().await;
    }

    /// Only names what happened; a branch that is not chosen has taken nothing out of its queue.
    async fn next(&mut self) -> Happening {
        let now = self.clock.now();
        let reading = self.session.reading();
        let mut deadline = self.session.poll_timeout().map(|due| due.at);
        if let Reading::At(time) = reading
            && time > now
        {
            deadline = Some(deadline.map_or(time, |deadline| deadline.min(time)));
        }
        let farewell = self.farewell.as_ref().map(|farewell| farewell.until);
        let shell = self.shell.as_ref().and_then(ShellFace::deadline);
        let deadline = [deadline, farewell, self.proxied.deadline(), shell]
            .into_iter()
            .flatten()
            .min();
        let accepting = self.router.has_room() && self.farewell.is_none();
        // In random order, so that a busy source does not silence the others.
        tokio::select! {
            message = self.keep.messages.recv() => Happening::Message(message),
            news = self.link.news(reading, now, &mut self.inbox) => Happening::Link(news),
            news = self.router.next(&mut self.reports) => Happening::Local(news),
            news = self.actions.next() => Happening::Action(news),
            report = next_viewer(&mut self.shell) => Happening::Viewer(report),
            socket = self.listeners.accept(accepting) => Happening::Accepted(socket),
            change = self.network.next() => Happening::Network(change),
            () = self.login.next() => Happening::Login,
            () = self.timer.reached(deadline) => Happening::Due,
        }
    }

    fn handle(&mut self, happening: Happening, now: Timestamp) {
        match happening {
            Happening::Message(Some(message)) => self.handle_message(message, now),
            // Nobody is left who could stop it later.
            Happening::Message(None) => self.leave_at_once(now),
            Happening::Accepted(socket) => {
                let local = self.session.open_local(now);
                self.router.open(local, socket);
                self.router.grant(local, self.session.local_room(local));
            }
            Happening::Local(RouterNews::Reports) => self.handle_reports(now),
            Happening::Local(RouterNews::Lost(local)) => {
                self.session.handle_local_reset(local, now);
                self.proxy_client_gone(now);
            }
            Happening::Link(news) => self.handle_link(news, now),
            Happening::Action(news) => self.handle_action(news, now),
            Happening::Viewer(report) => self.handle_viewer(report, now),
            // Its own clocks have told how long the sleep was, mostly.
            Happening::Network(NetworkChange::Woke) if self.woke.is_some_and(|woke| now.since(woke) < SAME_WAKE_UP) => {
            }
            Happening::Due => {}
            Happening::Network(change) => self.handle_network(change, now),
            Happening::Login => self.session.handle_credentials_changed(now),
        }
    }

    fn handle_network(&mut self, change: NetworkChange, now: Timestamp) {
        if let Some(epoch) = self.link.epoch()
            && self.link.has_lost_its_address()
        {
            self.link.close(epoch);
            self.session.handle_address_gone(epoch, now);
        } else {
            self.session.handle_network(change, now);
        }
    }

    pub(super) fn handle_message(&mut self, message: Message, now: Timestamp) {
        match message {
            Message::Status(reply) => {
                let snapshot = self.session.snapshot();
                let mut status = report::status(self.keep.settings, &snapshot, &self.listeners, now);
                status.instance = self.actions.resolved_target();
                reply.answer(status);
            }
            Message::Order(order, reply) => {
                let obedience = self.obey(order, now);
                reply.answer(obedience);
            }
            Message::End(ending, reply) => self.leave(ending, reply, now),
            Message::Attach(socket) => self.attach_local(socket, now),
            Message::Ping(reply) => reply.answer(()),
            Message::View(stream, request) => self.attach_viewer(stream, request, now),
            Message::Unwanted if self.keep.settings.on_demand && !*self.keep.wanted => self.leave_at_once(now),
            Message::Unwanted => {}
        }
    }

    fn obey(&mut self, order: Order, now: Timestamp) -> Obedience {
        if self.farewell.is_some() {
            // Another session than the one that ends would be one that nobody holds.
            return Obedience::Ending;
        }
        let was_wanted = *self.keep.wanted;
        if order == Order::Start && was_wanted && self.session.phase() != Phase::Dormant {
            return Obedience::Running;
        }
        let obedience = match order {
            Order::Restart | Order::Start if self.keep.settings.on_demand => Obedience::Ended,
            Order::Reconnect | Order::Restart | Order::Start | Order::Stop => Obedience::Begun,
        };
        let order = match order {
            // Its one connection cannot be brought again.
            Order::Restart | Order::Start if self.keep.settings.on_demand => Order::Stop,
            Order::Reconnect | Order::Restart | Order::Start | Order::Stop => order,
        };
        match order {
            Order::Reconnect if !was_wanted => return Obedience::Stopped,
            Order::Reconnect => {
                self.actions.retry_login();
                self.session.reconnect(now);
            }
            Order::Start => {}
            Order::Restart | Order::Stop => {
                if was_wanted {
                    *self.keep.wanted = order == Order::Restart;
                    self.end_asked = true;
                    self.session.stop(now);
                }
            }
        }
        match order {
            Order::Reconnect => {}
            Order::Stop => {
                *self.keep.wanted = false;
                self.reopening = false;
                self.listeners.close();
            }
            Order::Start | Order::Restart => {
                *self.keep.wanted = true;
                self.reopening = !was_wanted;
                self.open_shell(now);
                self.session.start_now(now);
            }
        }
        obedience
    }

    fn handle_link(&mut self, news: LinkNews, now: Timestamp) {
        let Some(epoch) = self.link.epoch() else {
            return;
        };
        for frame in self.inbox.drain(..) {
            self.session.handle_inbound(epoch, frame, now);
        }
        if news.flushed {
            self.session.handle_flushed(epoch, now);
        }
        if let Some(cause) = news.dropped {
            self.link.close(epoch);
            self.session.handle_dropped(epoch, cause, now);
        }
    }

    fn handle_reports(&mut self, now: Timestamp) {
        let mut gone = false;
        for report in self.reports.drain(..) {
            if !self.router.admits(&report) {
                continue;
            }
            let LocalMessage { local, event } = report;
            match event {
                LocalEvent::Data(bytes) => {
                    self.session.handle_local_data(local, bytes, now);
                    if self.farewell.is_none() {
                        self.router.grant(local, self.session.local_room(local));
                    }
                }
                LocalEvent::Eof => self.session.handle_local_eof(local, now),
                LocalEvent::Reset => {
                    self.session.handle_local_reset(local, now);
                    gone = true;
                }
                LocalEvent::Written(bytes) => {
                    self.session.handle_local_written(local, bytes, now);
                }
                LocalEvent::Done => {}
            }
        }
        if gone {
            self.proxy_client_gone(now);
        }
    }

    pub(super) fn handle_action(&mut self, news: ActionNews, now: Timestamp) {
        match news {
            ActionNews::Turn(attempt) => self.session.handle_turn(attempt, now),
            ActionNews::Preferences(Ok(preferences)) => self.session.handle_preferences(preferences, now),
            ActionNews::Preferences(Err(failure)) => report::log_preferences(&self.keep.settings.name, &failure),
            ActionNews::Outcome(outcome) => {
                self.alarm.handle_outcome(&outcome);
                self.session.handle_outcome(outcome, now);
            }
            ActionNews::Dialed(outcome, transport) => {
                self.link.attach(*transport);
                self.session.handle_outcome(outcome, now);
            }
            ActionNews::Terminated { session_id, failure } => {
                report::log_terminated(&self.keep.settings.name, &session_id, failure.as_ref());
            }
        }
    }
}

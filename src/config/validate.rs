//! Decides what the written values mean together, and fills in every default.

use autossm_proto::session::{OnEnd, Purpose};

use super::aws_names::{check_endpoint_url, check_region, check_target};
use super::document::Entry;
use super::file::{Backoff, Common, File, Forward, Session, Shell};
use super::listen;
use super::paths::Environment;
use super::problem::{Problems, Span};
use super::settings::{
    Defaults, Document, ForwardSettings, Listen, LogFormat, LogLevel, LogSettings, NotifySettings, OnExit, SCROLLBACK,
    SessionSettings, Settings, ShellSettings,
};
use super::timings::{merge_backoff, merge_protocol};
use super::vocabulary::{LONGEST_HOST, LONGEST_NAME, LONGEST_REASON, LONGEST_TARGET, LONGEST_URL, LONGEST_WORD};

/// Whether `name` may name a session: letters, digits, `-`, `_` and `.`, not first a `-` or `.`; at most 64 of them.
pub fn is_session_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(allowed) && !name.starts_with(['-', '.'])
}

/// The settings `file` means; without what is wrong in it, which goes to `problems`.
pub(super) fn validate(file: &File, environment: &Environment, problems: &mut Problems) -> Settings {
    check_common(&file.defaults, problems);
    // What is wrong with the defaults is said even if no session takes them.
    let text = |entry: &Option<Entry<String>>| entry.as_ref().map(|entry| entry.value.clone());
    let defaults = Defaults {
        profile: text(&file.defaults.profile),
        region: text(&file.defaults.region),
        endpoint_url: text(&file.defaults.endpoint_url),
        protocol: merge_protocol(&Common::default(), &file.defaults, problems),
        backoff: merge_backoff(&Backoff::default(), &file.defaults.backoff, problems),
    };
    check_names(&file.sessions, problems);
    check_taken_over(&file.sessions, problems);
    if file.sessions.is_empty() && !file.has_defaults && problems.is_empty() {
        let hint = "add [session.NAME] with target and forward, or [defaults] for `autossm proxy` alone".to_owned();
        problems.add(&Span::default(), "session", "there is no session", hint);
    }
    let mut places = Vec::new();
    let mut sessions = Vec::with_capacity(file.sessions.len());
    for session in &file.sessions {
        sessions.extend(check_session(
            session,
            &file.defaults,
            environment,
            &mut places,
            problems,
        ));
    }
    check_clashes(&places, problems);
    sessions.sort_by(|a, b| a.name.cmp(&b.name));
    let log = LogSettings {
        level: file
            .log
            .level
            .as_ref()
            .map_or_else(LogLevel::default, |entry| entry.value),
        format: file
            .log
            .format
            .as_ref()
            .map_or_else(LogFormat::default, |entry| entry.value),
    };
    let usual = NotifySettings::default();
    let own = &file.notify;
    let notify = NotifySettings {
        desktop: own.desktop.as_ref().map_or(usual.desktop, |entry| entry.value),
        lost_after: own.lost_after.as_ref().map_or(usual.lost_after, |entry| entry.value),
    };
    Settings {
        sessions,
        defaults,
        log,
        notify,
    }
}

/// A place to listen, where it was written, and for which session.
struct Place {
    listen: Listen,
    at: Span,
    path: String,
    session: String,
}

fn check_session(
    session: &Session,
    defaults: &Common,
    environment: &Environment,
    places: &mut Vec<Place>,
    problems: &mut Problems,
) -> Option<SessionSettings> {
    let name = &session.name;
    if !is_session_name(&name.value) {
        let message = "this cannot name a session";
        let hint =
            format!("use up to {LONGEST_NAME} letters, digits, `-`, `_` and `.`, first a letter, a digit or `_`");
        problems.add(&name.at, &name.path, message, hint);
    }
    let target = session.target.as_ref();
    if let Some(target) = target
        && check_text(target, LONGEST_TARGET, problems)
    {
        check_target(target, problems);
    }
    if let Some(reason) = &session.reason {
        check_text(reason, LONGEST_REASON, problems);
    }
    if let Some(id) = &session.session_id
        && check_text(id, LONGEST_REASON, problems)
        && !id.value.bytes().all(|byte| byte.is_ascii_graphic())
    {
        let hint = "`autossm sessions` lists them".to_owned();
        problems.add(&id.at, &id.path, "this is no session's id", hint);
    }
    let common = &session.common;
    check_common(common, problems);
    let forward = session
        .forward
        .as_ref()
        .map(|forward| check_forward(forward, &name.value, environment, places, problems));
    let shell = session.shell.as_ref().map(|shell| check_shell(shell, problems));
    if let (Some(shell), Some(_)) = (&session.shell, &session.forward) {
        let hint = "leave one of them out, or make two sessions".to_owned();
        problems.add(
            &shell.at,
            &shell.path,
            "a session has a forward or a shell, not both",
            hint,
        );
    }
    let mut protocol = merge_protocol(common, defaults, problems);
    protocol.adopt = session.session_id.as_ref().map(|entry| entry.value.clone());
    protocol.once = protocol.adopt.is_some();
    if shell.is_some() {
        protocol.purpose = Purpose::Shell;
        if protocol.on_end == OnEnd::Auto {
            // Whoever attaches next gets the next one: a shell that idled out is not started again and again.
            protocol.on_end = OnEnd::Dormant;
        }
    }
    let backoff = merge_backoff(&common.backoff, &defaults.backoff, problems);
    let text = |own: &Option<Entry<String>>, default: &Option<Entry<String>>| {
        own.as_ref().or(default.as_ref()).map(|entry| entry.value.clone())
    };
    Some(SessionSettings {
        name: name.value.clone(),
        target: target?.value.clone(),
        // A forward that is wrong is none, and neither is its session.
        forward: match forward {
            Some(checked) => Some(checked?),
            None => {
                shell.as_ref()?;
                None
            }
        },
        shell,
        on_demand: false,
        profile: text(&common.profile, &defaults.profile),
        region: text(&common.region, &defaults.region),
        endpoint_url: text(&common.endpoint_url, &defaults.endpoint_url),
        reason: session.reason.as_ref().map(|entry| entry.value.clone()),
        on_exit: common
            .on_exit
            .as_ref()
            .or(defaults.on_exit.as_ref())
            .map_or_else(OnExit::default, |entry| entry.value),
        protocol,
        backoff,
    })
}

/// A name belongs to one session only, whichever files it is in.
fn check_names(sessions: &[Session], problems: &mut Problems) {
    for (index, Session { name, .. }) in sessions.iter().enumerate() {
        let mut earlier = sessions.iter().take(index).map(|session| &session.name);
        if let Some(earlier) = earlier.find(|earlier| earlier.value == name.value) {
            let message = "another file has a session of this name".to_owned();
            let hint = "rename one of them, or put all its keys into one file".to_owned();
            problems.clash(&name.at, &name.path, message, &earlier.at, hint);
        }
    }
}

/// Two that want one session take it from each other.
fn check_taken_over(sessions: &[Session], problems: &mut Problems) {
    for (index, session) in sessions.iter().enumerate() {
        let Some(id) = &session.session_id else {
            continue;
        };
        let mut earlier = sessions
            .iter()
            .take(index)
            .filter_map(|session| session.session_id.as_ref());
        if let Some(earlier) = earlier.find(|earlier| earlier.value == id.value) {
            let message = "another session here takes over the same one".to_owned();
            let hint = "leave one of them out".to_owned();
            problems.clash(&id.at, &id.path, message, &earlier.at, hint);
        }
    }
}

fn check_common(common: &Common, problems: &mut Problems) {
    if let Some(profile) = &common.profile {
        check_text(profile, LONGEST_WORD, problems);
    }
    if let Some(region) = &common.region
        && check_text(region, LONGEST_WORD, problems)
    {
        check_region(region, problems);
    }
    if let Some(url) = &common.endpoint_url
        && check_text(url, LONGEST_URL, problems)
    {
        check_endpoint_url(url, problems);
    }
}

/// Whether the text may be looked at more closely; what is wrong with it otherwise goes to `problems`.
fn check_text(entry: &Entry<String>, longest: usize, problems: &mut Problems) -> bool {
    let length = entry.value.chars().count();
    let (message, hint) = if entry.value.trim().is_empty() {
        ("this is empty".to_owned(), "write something, or leave the key out")
    } else if length > longest {
        (
            format!("this has {length} characters; {longest} are allowed"),
            "make it shorter",
        )
    } else if entry.value.chars().any(char::is_control) {
        (
            "there are control characters in it".to_owned(),
            "a backslash begins an escape in \"..\"; write it twice, or use '..'",
        )
    } else {
        return true;
    };
    problems.add(&entry.at, &entry.path, message, hint);
    false
}

fn check_forward(
    forward: &Forward,
    session: &str,
    environment: &Environment,
    places: &mut Vec<Place>,
    problems: &mut Problems,
) -> Option<ForwardSettings> {
    let allowed = forward.allow_remote_clients.as_ref().is_some_and(|entry| entry.value);
    let mut listen = Vec::with_capacity(forward.listen.len());
    for entry in &forward.listen {
        match listen::parse(&entry.value, environment) {
            Ok(place) => {
                if !allowed && !place.is_local() {
                    let message = format!("other machines could connect to {place}");
                    let hint = "listen on localhost, or add allow_remote_clients = true to forward";
                    problems.add(&entry.at, &entry.path, message, hint);
                }
                if is_control_socket(&place, environment) {
                    let message = "this is the daemon's own control socket";
                    let hint = format!("write another name, such as \"unix:$XDG_RUNTIME_DIR/{session}.sock\"");
                    problems.add(&entry.at, &entry.path, message, hint);
                }
                places.push(Place {
                    listen: place.clone(),
                    at: entry.at.clone(),
                    path: entry.path.clone(),
                    session: session.to_owned(),
                });
                listen.push(place);
            }
            Err(refused) => problems.add(&entry.at, &entry.path, refused.message, refused.hint),
        }
    }
    if let Some(host) = &forward.host {
        check_host(host, problems);
    }
    Some(ForwardSettings {
        listen,
        host: forward.host.as_ref().map(|host| host.value.clone()),
        port: u16::try_from(forward.port.as_ref()?.value).ok()?,
        allow_remote_clients: allowed,
        document: Document::PortForwarding,
    })
}

/// Whether it is the socket, or the lock beside it, of a daemon that is not given another place.
fn is_control_socket(place: &Listen, environment: &Environment) -> bool {
    let (Listen::Unix(path), Ok(socket)) = (place, environment.control_socket()) else {
        return false;
    };
    let lock = socket.with_extension("sock.lock");
    *path == socket || *path == lock
}

fn check_shell(shell: &Shell, problems: &mut Problems) -> ShellSettings {
    if let Some(document) = &shell.document {
        check_text(document, LONGEST_WORD, problems);
    }
    let parameters = shell.parameters.iter().map(|(name, values)| {
        let values = values.iter().map(|value| value.value.clone()).collect();
        (name.clone(), values)
    });
    let scrollback = shell.scrollback.as_ref().map(|entry| entry.value);
    ShellSettings {
        document: shell.document.as_ref().map(|document| document.value.clone()),
        parameters: parameters.collect(),
        scrollback: scrollback
            .and_then(|lines| usize::try_from(lines).ok())
            .unwrap_or(SCROLLBACK),
        attended: false,
    }
}

fn check_host(host: &Entry<String>, problems: &mut Problems) {
    if !check_text(host, LONGEST_HOST, problems) {
        return;
    }
    let text = host.value.as_str();
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') || !c.is_ascii();
    if text.parse::<std::net::Ipv6Addr>().is_ok() || text.chars().all(is_part) {
        return;
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let hint = match text.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => {
            format!("write host = \"{}\", port = {port}", name.escape_debug())
        }
        _ if bare != text => format!("write it without brackets: \"{}\"", bare.escape_debug()),
        _ => "write a name or an address only, such as \"orders.internal\"".to_owned(),
    };
    let message = format!("`{}` is no name or address of a host", text.escape_debug());
    problems.add(&host.at, &host.path, message, hint);
}

fn check_clashes(places: &[Place], problems: &mut Problems) {
    for (index, place) in places.iter().enumerate() {
        let earlier = places
            .iter()
            .take(index)
            .find(|earlier| earlier.listen.clashes_with(&place.listen));
        if let Some(earlier) = earlier {
            let (message, hint) = if earlier.session == place.session {
                let message = if earlier.listen == place.listen {
                    format!("{} is here twice", place.listen)
                } else {
                    format!("{} is part of {}, which is here too", place.listen, earlier.listen)
                };
                (message, "leave one of them out")
            } else {
                let message = format!(
                    "{} is taken: session `{}` listens on {}",
                    place.listen, earlier.session, earlier.listen
                );
                (
                    message,
                    "give each session its own port or path; port 0 takes a free one",
                )
            };
            problems.clash(&place.at, &place.path, message, &earlier.at, hint.to_owned());
        }
    }
}

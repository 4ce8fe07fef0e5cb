//! Decides what the written values mean together, and fills in every default.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use autossm_proto::session::SessionConfig;
use hyper::Uri;

use super::document::Entry;
use super::file::{Backoff, Common, File, Forward, Session};
use super::listen;
use super::paths::Environment;
use super::problem::Problems;
use super::settings::{
    BackoffSettings, ForwardSettings, Listen, LogFormat, LogLevel, LogSettings, OnExit, SessionSettings, Settings,
};

/// Longest name of a session, in bytes.
const LONGEST_NAME: usize = 64;
/// StartSession's limit for Target, in characters.
const LONGEST_TARGET: usize = 400;
/// StartSession's limit for Reason, in characters.
const LONGEST_REASON: usize = 256;
/// A steeper backoff is a typing error.
const STEEPEST_MULTIPLIER: f64 = 100.0;

/// Whether `name` may name a session: letters, digits, `-`, `_` and `.`, not first a `-` or `.`; at most 64 of them.
pub fn is_session_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(allowed) && !name.starts_with(['-', '.'])
}

/// The settings `file` means; without what is wrong in it, which goes to `problems`.
pub(super) fn validate(file: &File, environment: &Environment, problems: &mut Problems) -> Settings {
    check_common(&file.defaults, problems);
    if file.sessions.is_empty() && problems.is_empty() {
        let hint = "add [session.NAME] with target and forward".to_owned();
        problems.add(&(0..0), "session", "there is no session", Some(hint));
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
    Settings { sessions, log }
}

/// A place to listen, where it was written, and for which session.
struct Place {
    listen: Listen,
    at: Range<usize>,
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
        let message = "this is no name for a session";
        let hint =
            format!("use up to {LONGEST_NAME} letters, digits, `-`, `_` and `.`, first a letter, a digit or `_`");
        problems.add(&name.at, &name.path, message, Some(hint));
    }
    let target = session.target.as_ref();
    target.inspect(|target| check_target(target, problems));
    if let Some(reason) = &session.reason {
        check_text(reason, LONGEST_REASON, problems);
    }
    let common = &session.common;
    check_common(common, problems);
    let forward = session
        .forward
        .as_ref()
        .map(|forward| check_forward(forward, &name.value, environment, places, problems));
    let backoff = merge_backoff(&common.backoff, &defaults.backoff, problems);
    let text = |own: &Option<Entry<String>>, default: &Option<Entry<String>>| {
        own.as_ref().or(default.as_ref()).map(|entry| entry.value.clone())
    };
    Some(SessionSettings {
        name: name.value.clone(),
        target: target?.value.clone(),
        forward: forward??,
        profile: text(&common.profile, &defaults.profile),
        region: text(&common.region, &defaults.region),
        endpoint_url: text(&common.endpoint_url, &defaults.endpoint_url),
        reason: session.reason.as_ref().map(|entry| entry.value.clone()),
        on_exit: common
            .on_exit
            .as_ref()
            .or(defaults.on_exit.as_ref())
            .map_or_else(OnExit::default, |entry| entry.value),
        protocol: merge_protocol(common, defaults),
        backoff,
    })
}

fn check_common(common: &Common, problems: &mut Problems) {
    if let Some(profile) = &common.profile {
        check_text(profile, 256, problems);
    }
    if let Some(region) = &common.region {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if region.value.is_empty() || !region.value.chars().all(allowed) {
            let message = format!("`{}` is no region", region.value.escape_debug());
            let hint = "write it like \"eu-west-1\"".to_owned();
            problems.add(&region.at, &region.path, message, Some(hint));
        }
    }
    if let Some(url) = &common.endpoint_url {
        check_endpoint_url(url, problems);
    }
}

fn check_text(entry: &Entry<String>, longest: usize, problems: &mut Problems) {
    let length = entry.value.chars().count();
    let message = if entry.value.trim().is_empty() {
        "this is empty".to_owned()
    } else if length > longest {
        format!("this has {length} characters; {longest} are allowed")
    } else if entry.value.chars().any(char::is_control) {
        "this has control characters in it".to_owned()
    } else {
        return;
    };
    problems.add(&entry.at, &entry.path, message, None);
}

fn check_target(target: &Entry<String>, problems: &mut Problems) {
    check_text(target, LONGEST_TARGET, problems);
    let example = "write an instance id (i-..., mi-...) or ecs:CLUSTER_TASK_RUNTIME".to_owned();
    if target.value.starts_with("tag:") {
        let message = "a target cannot be looked up by its tags yet";
        problems.add(&target.at, &target.path, message, Some(example));
    } else if target.value.contains(char::is_whitespace) {
        let message = "a target has no blanks in it";
        problems.add(&target.at, &target.path, message, Some(example));
    }
}

fn check_endpoint_url(entry: &Entry<String>, problems: &mut Problems) {
    let (message, hint) = match entry.value.parse::<Uri>() {
        Err(error) => (
            format!("this is no URL: {error}"),
            "write it like \"https://vpce-0123-abcd.ssm.eu-west-1.vpce.amazonaws.com\"",
        ),
        Ok(uri) => match (uri.scheme_str(), uri.host()) {
            (_, None) | (None, _) => ("this URL has no scheme or no host".to_owned(), "start it with https://"),
            (Some("https"), Some(_)) => return,
            (Some("http"), Some(host)) if is_loopback(host) => return,
            (Some("http"), Some(_)) => (
                "over http:// a session's token could be read on the way".to_owned(),
                "use https://; http:// is for a host on loopback only",
            ),
            (Some(scheme), Some(_)) => (format!("`{scheme}` is not a scheme autossm can use"), "use https://"),
        },
    };
    problems.add(&entry.at, &entry.path, message, Some(hint.to_owned()));
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
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
                    problems.add(&entry.at, &entry.path, message, Some(hint.to_owned()));
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
    })
}

fn check_host(host: &Entry<String>, problems: &mut Problems) {
    check_text(host, 255, problems);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') || !c.is_ascii();
    let ipv6 = host.value.parse::<std::net::Ipv6Addr>().is_ok();
    if !ipv6 && !host.value.is_empty() && !host.value.chars().all(allowed) {
        let message = format!("`{}` is no name or address of a host", host.value.escape_debug());
        let hint = "write a host only; its port goes to `port`".to_owned();
        problems.add(&host.at, &host.path, message, Some(hint));
    }
}

fn merge_protocol(own: &Common, defaults: &Common) -> SessionConfig {
    let mut config = SessionConfig::default();
    for common in [defaults, own] {
        for (timing, entry) in &common.timings {
            *(timing.field)(&mut config) = entry.value;
        }
        if let Some(limit) = &common.payload_limit {
            config.payload_limit = usize::try_from(limit.value).unwrap_or(config.payload_limit);
        }
    }
    config
}

fn merge_backoff(own: &Backoff, defaults: &Backoff, problems: &mut Problems) -> BackoffSettings {
    let standard = BackoffSettings::default();
    let initial = own.initial.as_ref().or(defaults.initial.as_ref());
    let multiplier = own.multiplier.as_ref().or(defaults.multiplier.as_ref());
    let cap = own.cap.as_ref().or(defaults.cap.as_ref());
    let value = |entry: Option<&Entry<Duration>>, standard| entry.map_or(standard, |e| e.value);
    let merged = BackoffSettings {
        initial: value(initial, standard.initial),
        multiplier: multiplier.map_or(standard.multiplier, |entry| entry.value),
        cap: value(cap, standard.cap),
    };
    if let Some(entry) = multiplier
        && (entry.value <= 1.0 || entry.value > STEEPEST_MULTIPLIER)
    {
        let message = format!("the waits grow by a factor above 1, at most {STEEPEST_MULTIPLIER}");
        let hint = "2 doubles them".to_owned();
        problems.add(&entry.at, &entry.path, message, Some(hint));
    }
    if let Some(entry) = cap.or(initial)
        && merged.cap < merged.initial
    {
        let message = format!(
            "the first wait ({}) would be longer than the longest one ({})",
            humantime::format_duration(merged.initial),
            humantime::format_duration(merged.cap)
        );
        let hint = "make cap at least as long as initial".to_owned();
        problems.add(&entry.at, &entry.path, message, Some(hint));
    }
    merged
}

fn check_clashes(places: &[Place], problems: &mut Problems) {
    for (index, place) in places.iter().enumerate() {
        let earlier = places
            .iter()
            .take(index)
            .find(|earlier| earlier.listen.clashes_with(&place.listen));
        if let Some(earlier) = earlier {
            let message = if earlier.session == place.session {
                format!("{} is here twice", place.listen)
            } else {
                format!(
                    "{} is taken: session `{}` listens on {}",
                    place.listen, earlier.session, earlier.listen
                )
            };
            let hint = "give each its own port or path; port 0 takes a free one".to_owned();
            problems.add(&place.at, &place.path, message, Some(hint));
        }
    }
}

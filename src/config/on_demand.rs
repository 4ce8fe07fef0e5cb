//! Settings of a session that is made on demand, for one `autossm proxy`, `attach` or `exec`.

use autossm_proto::session::{OnEnd, Purpose, StartWhen};

use super::aws_names::{endpoint_problem, region_problem, target_problem};
use super::settings::{Document, ForwardSettings, OnExit, SessionSettings, Settings, ShellSettings};
use super::validate::is_session_name;
use super::vocabulary::{LONGEST_NAME, LONGEST_REASON, LONGEST_TARGET, LONGEST_URL, LONGEST_WORD};

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDemand {
    /// The name of a configured session, or what StartSession is given.
    pub target: String,
    /// What for.
    pub purpose: Wanted,
    /// The profile; none means the configured one.
    pub profile: Option<String>,
    /// The region; none means the configured one.
    pub region: Option<String>,
    /// Another endpoint for the `ssm` service; none means the configured one.
    pub endpoint_url: Option<String>,
    /// The same, for what neither is asked for nor configured.
    pub otherwise: Otherwise,
}

/// What a session is wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One connection to this port of the target.
    Port(u16),
    /// A shell, or a command.
    Shell(ShellSettings),
    /// A shell that another client has left: its session's id. There is no target then, it is wherever it is.
    Left(String),
}

impl Wanted {
    /// What such a session's name begins with.
    const fn prefix(&self) -> &'static str {
        match self {
            Self::Port(_) => "ssh",
            Self::Shell(shell) if shell.attended => "exec",
            Self::Shell(_) | Self::Left(_) => "shell",
        }
    }
}

impl OnDemand {
    /// What the session's name is made of.
    fn of_what(&self) -> &str {
        match &self.purpose {
            Wanted::Left(session_id) => session_id,
            Wanted::Port(_) | Wanted::Shell(_) => &self.target,
        }
    }
}

/// What the environment of who asks says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Otherwise {
    /// The profile.
    pub profile: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Another endpoint for the `ssm` service.
    pub endpoint_url: Option<String>,
}

/// Why there can be no such session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {hint}")]
pub struct Refused {
    message: String,
    hint: String,
}

/// The settings of a session for `wanted`: those of the configured session of that name, else the defaults. Its name is made
/// by `free`, which is given a prefix. It is started once, and terminated when its connection, shell or command ends.
///
/// # Errors
/// [`Refused`]: it is neither a configured session nor a target.
pub fn settings_on_demand(
    wanted: &OnDemand,
    settings: &Settings,
    free: impl FnOnce(&str) -> String,
) -> Result<SessionSettings, Refused> {
    let known = settings.sessions.iter().find(|session| session.name == wanted.target);
    check(wanted, known.is_some())?;
    let defaults = &settings.defaults;
    let otherwise = &wanted.otherwise;
    let own = |asked: &Option<String>,
               known: Option<&Option<String>>,
               default: &Option<String>,
               otherwise: &Option<String>| {
        let configured = || known.unwrap_or(default).clone();
        asked.clone().or_else(configured).or_else(|| otherwise.clone())
    };
    let mut protocol = known.map_or(&defaults.protocol, |session| &session.protocol).clone();
    (protocol.once, protocol.adopt) = (true, None);
    (protocol.start, protocol.on_end) = (StartWhen::AtOnce, OnEnd::Stop);
    let (forward, shell) = match &wanted.purpose {
        Wanted::Port(port) => {
            protocol.purpose = Purpose::Connections;
            (Some(one_connection(*port)), None)
        }
        Wanted::Shell(shell) => {
            protocol.purpose = Purpose::Shell;
            (None, Some(shell.clone()))
        }
        Wanted::Left(session_id) => {
            protocol.purpose = Purpose::Shell;
            protocol.adopt = Some(session_id.clone());
            (None, Some(ShellSettings::default()))
        }
    };
    Ok(SessionSettings {
        name: free(&prefix(wanted.purpose.prefix(), wanted.of_what())),
        target: known.map_or(&wanted.target, |session| &session.target).clone(),
        forward,
        shell,
        on_demand: true,
        profile: own(
            &wanted.profile,
            known.map(|session| &session.profile),
            &defaults.profile,
            &otherwise.profile,
        ),
        region: own(
            &wanted.region,
            known.map(|session| &session.region),
            &defaults.region,
            &otherwise.region,
        ),
        endpoint_url: own(
            &wanted.endpoint_url,
            known.map(|session| &session.endpoint_url),
            &defaults.endpoint_url,
            &otherwise.endpoint_url,
        ),
        reason: known.and_then(|session| session.reason.clone()),
        on_exit: OnExit::Terminate,
        protocol,
        backoff: known.map_or(defaults.backoff, |session| session.backoff),
    })
}

const fn one_connection(port: u16) -> ForwardSettings {
    ForwardSettings {
        listen: Vec::new(),
        host: None,
        port,
        allow_remote_clients: false,
        document: Document::Ssh,
    }
}

fn check(wanted: &OnDemand, known: bool) -> Result<(), Refused> {
    let refused = |message: &str, hint: &str| {
        Err(Refused {
            message: message.to_owned(),
            hint: hint.to_owned(),
        })
    };
    let bounded = [
        (Some(&wanted.target), LONGEST_TARGET),
        (wanted.profile.as_ref(), LONGEST_WORD),
        (wanted.region.as_ref(), LONGEST_WORD),
        (wanted.endpoint_url.as_ref(), LONGEST_URL),
        (wanted.otherwise.profile.as_ref(), LONGEST_WORD),
        (wanted.otherwise.region.as_ref(), LONGEST_WORD),
        (wanted.otherwise.endpoint_url.as_ref(), LONGEST_URL),
    ];
    for (text, longest) in bounded {
        let wrong = |text: &String| text.chars().count() > longest || text.chars().any(char::is_control);
        if text.is_some_and(wrong) {
            return refused(
                "a name is too long or has control characters in it",
                "check what was given",
            );
        }
    }
    if let Wanted::Left(session_id) = &wanted.purpose {
        let is_id =
            (1..=LONGEST_REASON).contains(&session_id.len()) && session_id.bytes().all(|b| b.is_ascii_graphic());
        if !is_id {
            return refused("this is no session's id", "`autossm sessions` lists them");
        }
    } else if wanted.target.trim().is_empty() {
        return refused("the target is empty", "name one");
    }
    let own_problem = |(message, hint)| Err(Refused { message, hint });
    for asked in [&wanted.region, &wanted.otherwise.region] {
        if let Some(problem) = asked.as_deref().and_then(region_problem) {
            return own_problem(problem);
        }
    }
    for asked in [&wanted.endpoint_url, &wanted.otherwise.endpoint_url] {
        if let Some(problem) = asked.as_deref().and_then(endpoint_problem) {
            return own_problem(problem);
        }
    }
    let no_target = matches!(wanted.purpose, Wanted::Left(_));
    match target_problem(&wanted.target).filter(|_| !no_target) {
        Some((message, hint)) if !known => Err(Refused {
            message,
            hint: format!("{hint}, or name a session of the configuration"),
        }),
        _ => Ok(()),
    }
}

/// What a session for this target is called, without the number at its end.
fn prefix(kind: &str, target: &str) -> String {
    let allowed = |c: char| {
        let same = c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if same { c } else { '-' }
    };
    let shown: String = target.chars().map(allowed).collect();
    let name: String = format!("{kind}-{shown}")
        .chars()
        .take(LONGEST_NAME.saturating_sub(8))
        .collect();
    debug_assert!(is_session_name(&name), "{name}");
    name
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, parse};

    fn configured() -> Settings {
        let text = "[defaults]\nprofile = \"work\"\nregion = \"eu-west-1\"\ntimings.ping_interval = \"20s\"\n\
                    [session.db]\ntarget = \"i-0db\"\nregion = \"us-east-1\"\nreason = \"why\"\n\
                    forward = { listen = \":1\", host = \"db\", port = 5432 }\n";
        parse(text, Path::new("autossm.toml"), &Environment::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn wanted(target: &str) -> OnDemand {
        OnDemand {
            target: target.to_owned(),
            purpose: Wanted::Port(22),
            profile: None,
            region: None,
            endpoint_url: None,
            otherwise: Otherwise::default(),
        }
    }

    fn made(wanted: &OnDemand) -> Result<SessionSettings, Refused> {
        settings_on_demand(wanted, &configured(), |prefix| format!("{prefix}-1"))
    }

    #[test]
    fn a_target_takes_the_defaults_and_a_configured_name_its_own() {
        let session = made(&wanted("i-0abc")).unwrap();
        assert_eq!(
            (session.name.as_str(), session.target.as_str()),
            ("ssh-i-0abc-1", "i-0abc")
        );
        assert_eq!(session.profile.as_deref(), Some("work"));
        assert_eq!(session.region.as_deref(), Some("eu-west-1"));
        assert_eq!(session.protocol.ping_interval.as_secs(), 20);
        assert!(session.protocol.once && session.on_exit == OnExit::Terminate);
        let session = made(&wanted("db")).unwrap();
        assert_eq!((session.name.as_str(), session.target.as_str()), ("ssh-db-1", "i-0db"));
        assert_eq!(session.region.as_deref(), Some("us-east-1"));
        assert_eq!(session.reason.as_deref(), Some("why"));
        // Its forward is another matter: ssh is for the target itself.
        let forward = session.forward.unwrap();
        assert_eq!((forward.host, forward.port), (None, 22));
    }

    #[test]
    fn what_is_asked_for_goes_before_what_is_configured() {
        let asked = OnDemand {
            profile: Some("other".to_owned()),
            region: Some("eu-north-1".to_owned()),
            ..wanted("db")
        };
        let session = made(&asked).unwrap();
        assert_eq!(session.profile.as_deref(), Some("other"));
        assert_eq!(session.region.as_deref(), Some("eu-north-1"));
    }

    #[test]
    fn the_environment_of_who_asks_only_fills_gaps() {
        let otherwise = Otherwise {
            profile: Some("env".to_owned()),
            region: Some("eu-north-1".to_owned()),
            endpoint_url: Some("https://ssm.example.com".to_owned()),
        };
        let asked = OnDemand {
            otherwise,
            ..wanted("i-0abc")
        };
        let session = made(&asked).unwrap();
        assert_eq!(session.profile.as_deref(), Some("work"));
        assert_eq!(session.region.as_deref(), Some("eu-west-1"));
        assert_eq!(session.endpoint_url.as_deref(), Some("https://ssm.example.com"));
    }

    #[test]
    fn what_is_no_target_is_refused_with_a_reason() {
        for target in ["", "dbb", "i-0xyz", "i-", &"i-0".repeat(1000), "i-0\u{7}"] {
            let refused = made(&wanted(target)).unwrap_err().to_string();
            assert!(!refused.contains('\u{7}') && refused.len() < 2000, "{refused}");
        }
        let refused = made(&wanted("dbb")).unwrap_err().to_string();
        assert!(
            refused.contains("`dbb`") && refused.contains("session of the configuration"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_no_region_and_no_endpoint_is_refused() {
        let region = OnDemand {
            region: Some("eu-west-1a".to_owned()),
            ..wanted("i-0")
        };
        assert!(made(&region).unwrap_err().to_string().contains("availability zone"));
        let endpoint = OnDemand {
            endpoint_url: Some("http://ssm.example.com".to_owned()),
            ..wanted("i-0")
        };
        assert!(made(&endpoint).unwrap_err().to_string().contains("token"));
    }

    #[test]
    fn any_target_makes_a_name() {
        for target in ["ecs:cluster_task_runtime", "tag:Name=a b", &"x".repeat(300), "ä"] {
            assert!(is_session_name(&format!("{}-9999999", prefix("shell", target))));
        }
    }
}

//! Which target to start a session on: the one that is named, or the one that has a tag now.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use autossm_proto::session::{Failure, FailureClass};
use aws_sdk_ssm::types::{ConnectionStatus, InstanceInformation, InstanceInformationStringFilter, PingStatus};

use super::calls::Calls;
use super::errors::{Action, incomplete};

/// The prefix of a target that is looked up.
const TAG: &str = "tag:";
/// Of a thousand instances with one tag, no more are looked at.
const MOST_PAGES: usize = 20;
const PAGE: i32 = 50;
/// So many of the others are named.
const MOST_NAMED: usize = 5;

/// One session's target.
#[derive(Debug)]
pub(super) struct Target {
    wanted: Wanted,
    /// What the last look-up found.
    found: Mutex<Option<Found>>,
    /// The last start was refused because the target was not connected: whether it is now is asked first, since each
    /// StartSession that is refused leaves a trace in the account.
    waiting: AtomicBool,
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// Of a session that is taken over: wherever it is.
    Anything,
    Id(String),
    Tag {
        key: String,
        value: String,
    },
}

/// An instance that has the tag and is online.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    id: String,
    /// The others, in order.
    others: Vec<String>,
}

impl Target {
    /// As the configuration has it.
    pub(super) fn new(text: &str) -> Self {
        let tag = text.strip_prefix(TAG).and_then(|tag| tag.split_once('='));
        let wanted = match tag {
            Some((key, value)) => Wanted::Tag {
                key: key.to_owned(),
                value: value.to_owned(),
            },
            None if text.is_empty() => Wanted::Anything,
            None => Wanted::Id(text.to_owned()),
        };
        Self {
            wanted,
            found: Mutex::new(None),
            waiting: AtomicBool::new(false),
        }
    }

    /// Whether it is a container of ECS.
    pub(super) fn is_container(&self) -> bool {
        matches!(&self.wanted, Wanted::Id(id) if id.starts_with("ecs:"))
    }

    /// The id for the next StartSession.
    ///
    /// # Errors
    /// [`FailureClass::TargetNotConnected`] while there is none.
    pub(super) async fn resolve(&self, calls: &Calls<'_>) -> Result<String, Failure> {
        match &self.wanted {
            Wanted::Anything => Err(Failure {
                class: FailureClass::Rejected,
                text: "there is no target to start a session on".to_owned(),
            }),
            Wanted::Id(id) => {
                if self.waiting.load(Ordering::Relaxed) {
                    self.look(id, calls).await?;
                }
                Ok(id.clone())
            }
            Wanted::Tag { key, value } => {
                let found = find(key, value, calls).await?;
                let id = found.id.clone();
                self.tell(found);
                Ok(id)
            }
        }
    }

    /// Whether a session on this instance or container may be this target's; one by its tag may have moved on.
    pub(super) fn may_be(&self, id: &str) -> bool {
        match &self.wanted {
            Wanted::Id(wanted) => wanted == id,
            Wanted::Tag { .. } | Wanted::Anything => true,
        }
    }

    /// The instance or container of the last StartSession.
    pub(super) fn started_on(&self) -> Option<String> {
        match &self.wanted {
            Wanted::Id(id) => Some(id.clone()),
            Wanted::Tag { .. } | Wanted::Anything => {
                let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                found.as_ref().map(|found| found.id.clone())
            }
        }
    }

    /// The session that was taken over is on this instance or container.
    pub(super) fn is_on(&self, id: String) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        *found = Some(Found { id, others: Vec::new() });
    }

    /// A start has failed, or not.
    pub(super) fn started<T>(&self, outcome: &Result<T, Failure>) {
        let waits = matches!(outcome, Err(failure) if failure.class == FailureClass::TargetNotConnected);
        self.waiting.store(waits, Ordering::Relaxed);
    }

    /// What a look-up found last, for people; none where nothing is looked up.
    pub(super) fn resolved(&self) -> Option<String> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.as_ref().map(|found| match found.others.len() {
            0 => found.id.clone(),
            others => format!("{}, the first of {}", found.id, others + 1),
        })
    }

    /// Fails while the target is known not to be connected.
    pub(super) async fn look(&self, id: &str, calls: &Calls<'_>) -> Result<(), Failure> {
        let sent = calls.client().get_connection_status().target(id).send().await;
        match calls.answered(Action::ConnectionStatus, sent) {
            Ok(answer) if answer.status == Some(ConnectionStatus::NotConnected) => Err(not_connected(format!(
                "{id} is not connected to Session Manager; it is off, or its agent does not reach it: trying until it does"
            ))),
            Ok(_) => Ok(()),
            // Who may not ask can still start.
            Err(failure) if failure.class == FailureClass::AccessDenied => {
                tracing::debug!(cause = failure.text, "cannot ask whether the target is connected");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    fn tell(&self, found: Found) {
        let mut last = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() == Some(&found) {
            return;
        }
        let Wanted::Tag { key, value } = &self.wanted else {
            return;
        };
        let id = &found.id;
        if found.others.is_empty() {
            tracing::info!("tag:{key}={value} is {id}");
        } else {
            let named: Vec<&str> = found.others.iter().take(MOST_NAMED).map(String::as_str).collect();
            let more = if found.others.len() > MOST_NAMED {
                " and more"
            } else {
                ""
            };
            tracing::info!(
                "tag:{key}={value} is {} instances that are online; {id} is taken, the first by its id, not {}{more}",
                found.others.len() + 1,
                named.join(", "),
            );
        }
        *last = Some(found);
    }
}

/// The instances with this tag that are online.
async fn find(key: &str, value: &str, calls: &Calls<'_>) -> Result<Found, Failure> {
    let filter = InstanceInformationStringFilter::builder()
        .key(format!("{TAG}{key}"))
        .values(value)
        .build()
        .map_err(|error| Failure {
            class: FailureClass::Rejected,
            text: format!("the target tag:{key}={value} cannot be looked up: {error}"),
        })?;
    let mut instances = Vec::new();
    let mut token = None;
    for _page in 0..MOST_PAGES {
        let request = calls.client().describe_instance_information().filters(filter.clone());
        let sent = request.max_results(PAGE).set_next_token(token.take()).send().await;
        let answer = calls.answered(Action::Instances, sent)?;
        instances.extend(answer.instance_information_list.unwrap_or_default());
        token = answer.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    first_online(&instances).ok_or_else(|| {
        let region = calls.region();
        not_connected(match instances.len() {
            0 => format!(
                "no instance in {region} that Session Manager knows has the tag {key}={value}; check tag and region, or \
                 wait until it is there"
            ),
            1 => format!("the instance with the tag {key}={value} is not online: trying until it is"),
            count => format!("none of the {count} instances with the tag {key}={value} is online: trying until one is"),
        })
    })?
}

/// The first by its id, so that the same instances always give the same one. An id that is none is a wrong answer.
fn first_online(instances: &[InstanceInformation]) -> Option<Result<Found, Failure>> {
    let online = instances
        .iter()
        .filter(|instance| instance.ping_status == Some(PingStatus::Online))
        .filter_map(|instance| instance.instance_id.clone());
    let mut ids: Vec<String> = online.collect();
    ids.sort();
    ids.dedup();
    if ids.is_empty() {
        return None;
    }
    let id = ids.remove(0);
    if !is_instance_id(&id) {
        return Some(Err(incomplete(Action::Instances, "usable InstanceId")));
    }
    Some(Ok(Found { id, others: ids }))
}

/// It goes into the log and into a request.
fn is_instance_id(id: &str) -> bool {
    let rest = id.strip_prefix("i-").or_else(|| id.strip_prefix("mi-"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && rest.len() <= 64 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

fn not_connected(text: String) -> Failure {
    Failure {
        class: FailureClass::TargetNotConnected,
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: &str, status: PingStatus) -> InstanceInformation {
        InstanceInformation::builder()
            .instance_id(id)
            .ping_status(status)
            .build()
    }

    #[test]
    fn a_target_is_an_id_or_a_tag() {
        let tag = |key: &str, value: &str| Wanted::Tag {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let id = |id: &str| Wanted::Id(id.to_owned());
        for (text, expected) in [
            ("i-0123", id("i-0123")),
            ("mi-0123", id("mi-0123")),
            ("ecs:a_b_c", id("ecs:a_b_c")),
            ("tag:Name=bastion", tag("Name", "bastion")),
            (
                "tag:aws:autoscaling:groupName=x=y",
                tag("aws:autoscaling:groupName", "x=y"),
            ),
        ] {
            assert_eq!(Target::new(text).wanted, expected, "{text}");
        }
    }

    #[test]
    fn the_first_by_id_is_taken_of_those_online() {
        let instances = [
            instance("i-0c", PingStatus::Online),
            instance("i-0a", PingStatus::ConnectionLost),
            instance("i-0b", PingStatus::Online),
        ];
        let expected = Found {
            id: "i-0b".to_owned(),
            others: vec!["i-0c".to_owned()],
        };
        assert_eq!(first_online(&instances), Some(Ok(expected)));
        assert_eq!(first_online(&instances[1..2]), None);
        assert_eq!(first_online(&[]), None);
        let forged = [instance("i-0\u{1b}[2J", PingStatus::Online)];
        assert!(first_online(&forged).unwrap().is_err());
    }

    #[test]
    fn what_was_found_is_shown() {
        let target = Target::new("tag:Name=x");
        assert_eq!(target.resolved(), None);
        target.tell(Found {
            id: "i-1".to_owned(),
            others: Vec::new(),
        });
        assert_eq!(target.resolved().as_deref(), Some("i-1"));
        target.tell(Found {
            id: "i-1".to_owned(),
            others: vec!["i-2".to_owned(), "i-3".to_owned()],
        });
        assert_eq!(target.resolved().as_deref(), Some("i-1, the first of 3"));
    }
}

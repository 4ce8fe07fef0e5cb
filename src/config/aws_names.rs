//! Names that AWS gives: targets, regions, endpoints. What cannot be one is found here instead of by a call that is
//! repeated for ever.

use std::net::IpAddr;

use hyper::Uri;

use super::document::Entry;
use super::problem::Problems;

/// EC2's limits for a tag, in characters.
const LONGEST_TAG_KEY: usize = 128;
const LONGEST_TAG_VALUE: usize = 256;

pub(super) fn check_target(target: &Entry<String>, problems: &mut Problems) {
    if let Some((message, hint)) = target_problem(&target.value) {
        problems.add(&target.at, &target.path, message, hint);
    }
}

/// Why StartSession cannot be given this target, and what to write instead; none for one that is empty, which is
/// a problem of another kind.
pub(super) fn target_problem(text: &str) -> Option<(String, String)> {
    let mut hint = "write an instance id (i-..., mi-...), tag:KEY=VALUE or ecs:CLUSTER_TASK_RUNTIME".to_owned();
    const FIND: &str = "; `aws ssm describe-instance-information` lists what there is";
    let message = if text.trim().is_empty() {
        return None;
    } else if let Some(tag) = text.strip_prefix("tag:") {
        match tag.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() && !value.trim().is_empty() => {
                if key.chars().count() <= LONGEST_TAG_KEY && value.chars().count() <= LONGEST_TAG_VALUE {
                    return None;
                }
                hint = "a tag's key has at most 128 characters, its value 256".to_owned();
                "no tag is that long".to_owned()
            }
            Some(_) => {
                hint = "write it like tag:Name=bastion".to_owned();
                "the tag has no key or no value".to_owned()
            }
            None => {
                hint = "write it like tag:Name=bastion".to_owned();
                "the tag has no value".to_owned()
            }
        }
    } else if text.contains(char::is_whitespace) {
        "a target has no blanks in it".to_owned()
    } else if let Some(rest) = text.strip_prefix("ecs:") {
        if rest.split('_').count() >= 3 && rest.split('_').all(|part| !part.is_empty()) {
            return None;
        }
        "this is not the whole name of a container".to_owned()
    } else if let Some(id) = text.strip_prefix("i-").or_else(|| text.strip_prefix("mi-")) {
        match id.chars().find(|c| !matches!(c, '0'..='9' | 'a'..='f')) {
            None if id.is_empty() => "this is only the beginning of an instance id".to_owned(),
            None => return None,
            Some(wrong) => format!(
                "an instance id has only digits and the letters a to f after its `-`, no `{}`",
                wrong.escape_debug()
            ),
        }
    } else {
        hint += FIND;
        format!("`{}` is no id of an instance or a container", text.escape_debug())
    };
    Some((message, hint))
}

pub(super) fn check_region(region: &Entry<String>, problems: &mut Problems) {
    if let Some((message, hint)) = region_problem(&region.value) {
        problems.add(&region.at, &region.path, message, hint);
    }
}

/// Why this is no region, and what may be meant.
pub(super) fn region_problem(text: &str) -> Option<(String, String)> {
    if is_region(text) {
        return None;
    }
    let lower = text.to_ascii_lowercase().replace([' ', '_'], "-");
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_digit());
    let dashed = format!("{}-{}", digits, lower.get(digits.len()..).unwrap_or_default());
    let without_zone = lower.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let hint = if without_zone != lower && is_region(without_zone) {
        format!("this is an availability zone; its region is \"{without_zone}\"")
    } else if let Some(meant) = [lower, dashed].into_iter().find(|meant| is_region(meant)) {
        format!("did you mean \"{meant}\"?")
    } else {
        "write it like \"eu-west-1\"".to_owned()
    };
    Some((format!("`{}` is no region", text.escape_debug()), hint))
}

/// Words and at last a number, such as `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else {
        return false;
    };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number && words.split('-').count() >= 2 && words.split('-').all(is_word)
}

pub(super) fn check_endpoint_url(entry: &Entry<String>, problems: &mut Problems) {
    if let Some((message, hint)) = endpoint_problem(&entry.value) {
        problems.add(&entry.at, &entry.path, message, hint);
        // Whatever is wrong with it: what is behind one of these may be a secret.
        if entry.value.contains(['@', '?', '#']) {
            problems.hide(&entry.at);
        }
    }
}

/// What an endpoint has in it that is not for everybody's eyes, and what to do: endpoints are shown in lists and logs.
pub fn secret_in_endpoint(text: &str) -> Option<(&'static str, &'static str)> {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        Some((
            "this URL has a user or a password in it, and endpoints are shown in lists and logs",
            "leave it out; calls are signed with the credentials of the profile",
        ))
    } else if text.contains(['?', '#']) {
        Some((
            "an endpoint has no query and no fragment",
            "leave out what begins with `?` or `#`",
        ))
    } else {
        None
    }
}

/// Why this cannot be the endpoint of the `ssm` service, and what to write instead.
pub(super) fn endpoint_problem(text: &str) -> Option<(String, String)> {
    if let Some((message, hint)) = secret_in_endpoint(text) {
        return Some((message.to_owned(), hint.to_owned()));
    }
    let example = "write it like \"https://vpce-0123-abcd.ssm.eu-west-1.vpce.amazonaws.com\"";
    let (message, hint) = match text.parse::<Uri>() {
        Err(error) => (format!("this is no URL: {error}"), example),
        Ok(uri) => match (uri.scheme_str(), uri.host()) {
            (_, None) | (None, _) => ("this URL has no scheme or no host".to_owned(), example),
            (Some("https"), Some(_)) => return None,
            (Some("http"), Some(host)) if is_loopback(host) => return None,
            (Some("http"), Some(_)) => (
                "over http:// a session's token could be read on the way".to_owned(),
                "use https://; http:// is for a host on loopback only",
            ),
            (Some("wss" | "ws"), Some(_)) => (
                "this is the URL of a data channel, which AWS gives out with each session".to_owned(),
                "name the endpoint of the `ssm` service here, with https://",
            ),
            (Some(scheme), Some(_)) => (format!("`{scheme}` is not a scheme autossm can use"), "use https://"),
        },
    };
    Some((message, hint.to_owned()))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, parse};

    #[test]
    fn a_region_in_other_letters_is_no_availability_zone() {
        for (text, hint) in [
            ("EU-WEST-1", "did you mean \"eu-west-1\"?"),
            ("eu_west_1", "did you mean \"eu-west-1\"?"),
            ("eu west 1", "did you mean \"eu-west-1\"?"),
            (
                "eu-west-1b",
                "this is an availability zone; its region is \"eu-west-1\"",
            ),
            (
                "EU-WEST-1B",
                "this is an availability zone; its region is \"eu-west-1\"",
            ),
            ("eu-west1", "did you mean \"eu-west-1\"?"),
        ] {
            assert_eq!(region_problem(text).unwrap().1, hint, "{text}");
        }
    }

    #[test]
    fn an_endpoint_with_a_secret_is_refused_and_not_shown() {
        for url in [
            "http://bob:canary@127.0.0.1:19100",
            "https://canary@ssm.example.com/",
            "https://ssm.example.com/x?sig=canary",
            "https://ssm.example.com/#canary",
            "https://bob:can ary canary@ssm.example.com/",
        ] {
            for text in [
                format!("[defaults]\nendpoint_url = \"{url}\"\n"),
                format!("[session]\ndb = {{ endpoint_url = \"{url}\", regon = \"eu-west-1\" }}\n"),
            ] {
                let wrong = parse(&text, Path::new("autossm.toml"), &Environment::default()).unwrap_err();
                assert!(!wrong.to_string().contains("canary"), "{wrong}");
                assert!(wrong.to_string().contains("endpoint"), "{wrong}");
            }
        }
    }
}

//! What helps when there are no usable credentials: the command to run, or the file to change.

use super::profile::{Base, Plan, Unusable};

/// Whose credentials are meant, and what helps when they fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whose {
    /// The profile, as the configuration names it.
    profile: Option<String>,
    /// What they come from, for people.
    source: String,
    /// What to do, without a full stop.
    remedy: String,
}

impl Whose {
    /// Before anything has been read.
    pub(super) fn unknown(profile: Option<&str>) -> Self {
        Self {
            profile: profile.map(ToOwned::to_owned),
            source: "the AWS configuration".to_owned(),
            remedy: check(profile),
        }
    }

    /// Those of a profile that was followed to its end.
    pub(super) fn of_plan(profile: Option<&str>, plan: &Plan) -> Self {
        let source = &plan.source;
        let option = option(profile, source);
        let (from, remedy) = match &plan.base {
            Base::Sso => (
                format!("IAM Identity Center (profile `{source}`)"),
                format!("run `aws sso login{option}`"),
            ),
            Base::Process(_) => (
                format!("credential_process of profile `{source}`"),
                format!("repair the helper: `aws configure export-credentials{option}` shows what it says"),
            ),
            Base::Keys => (
                format!("the keys of profile `{source}`"),
                format!("renew them: `aws configure{option}`, or whatever writes ~/.aws/credentials"),
            ),
            Base::WebIdentity(file) => (
                format!("the web identity token {}", file.display()),
                "see that whatever writes this file keeps it fresh".to_owned(),
            ),
            Base::Source(name) => (
                format!("credential_source = {name} of profile `{source}`"),
                "autossm must run where that exists".to_owned(),
            ),
            Base::ConsoleLogin | Base::Nothing => (
                format!("profile `{source}`, which has no keys about credentials"),
                format!("run `aws configure sso{option}`, or name another profile in autossm's configuration"),
            ),
        };
        let from = match plan.roles.as_slice() {
            [] => from,
            [_] => format!("{from}, with a role assumed"),
            roles => format!("{from}, with {} roles assumed", roles.len()),
        };
        Self {
            profile: profile.map(ToOwned::to_owned),
            source: from,
            remedy: format!("{remedy}; {}", check(profile)),
        }
    }

    /// Those of the environment.
    pub(super) fn of_environment() -> Self {
        Self {
            profile: None,
            source: "AWS_ACCESS_KEY_ID of the environment".to_owned(),
            remedy:
                "a running daemon cannot be given new keys by its environment: restart it with fresh ones, or better \
                     set profile in its configuration"
                    .to_owned(),
        }
    }

    /// Without a profile or keys: what else the SDK looks for.
    pub(super) fn of_machine(web_identity: Option<&std::path::Path>) -> Self {
        match web_identity {
            Some(file) => Self {
                profile: None,
                source: format!("the web identity token {}", file.display()),
                remedy: "see that whatever writes this file keeps it fresh".to_owned(),
            },
            None => Self {
                profile: None,
                source: "neither the environment nor a default profile, perhaps the machine's own role".to_owned(),
                remedy: "set profile in autossm's configuration; `aws configure sso` makes one".to_owned(),
            },
        }
    }

    pub(super) fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn remedy(&self) -> &str {
        &self.remedy
    }

    /// ` for profile ..`, or nothing.
    pub(super) fn for_profile(&self) -> String {
        self.profile
            .as_ref()
            .map_or_else(String::new, |profile| format!(" for profile `{profile}`"))
    }
}

/// What to do about a profile that no login helps.
pub(super) fn remedy_for(profile: Option<&str>, unusable: &Unusable) -> String {
    let through_cli = |source: &str| {
        format!(
            "give autossm another profile that has credential_process = aws configure export-credentials --profile \
             {source}, and log in with the AWS CLI"
        )
    };
    match unusable {
        Unusable::Unreadable(_) => "correct ~/.aws/config; autossm reads it again when it changes".to_owned(),
        Unusable::Missing(name) => format!("make it with `aws configure sso --profile {name}`, or name another one"),
        Unusable::MissingSource { by, .. } | Unusable::NoSource(by) | Unusable::Loop(by) => {
            format!("correct profile `{by}` in ~/.aws/config; autossm reads it again when it changes")
        }
        Unusable::Mfa(source) | Unusable::ConsoleLogin(source) => through_cli(profile.unwrap_or(source)),
    }
}

fn check(profile: Option<&str>) -> String {
    match profile {
        Some(profile) => format!("`aws sts get-caller-identity --profile {profile}` shows whether the keys work"),
        None => "`aws sts get-caller-identity` shows whether the keys work".to_owned(),
    }
}

/// The option that names the profile to log in with; none for the default one that nobody named.
fn option(profile: Option<&str>, source: &str) -> String {
    if profile.is_none() && source == "default" {
        String::new()
    } else {
        format!(" --profile {source}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(source: &str, base: Base) -> Plan {
        Plan {
            source: source.to_owned(),
            base,
            roles: Vec::new(),
            ca_bundle: None,
        }
    }

    #[test]
    fn the_command_that_helps_names_the_profile_to_log_in_with() {
        let rows = [
            (Some("work"), "work", Base::Sso, "run `aws sso login --profile work`;"),
            (Some("admin"), "work", Base::Sso, "run `aws sso login --profile work`;"),
            (None, "default", Base::Sso, "run `aws sso login`;"),
            (
                Some("x"),
                "x",
                Base::Process("secret".to_owned()),
                "`aws configure export-credentials --profile x`",
            ),
            (Some("x"), "x", Base::Keys, "`aws configure --profile x`"),
            (
                Some("x"),
                "x",
                Base::WebIdentity("/t".into()),
                "whatever writes this file",
            ),
            (Some("x"), "x", Base::Source("Environment".to_owned()), "must run where"),
            (Some("x"), "x", Base::Nothing, "`aws configure sso --profile x`"),
        ];
        for (profile, source, base, expected) in rows {
            let whose = Whose::of_plan(profile, &plan(source, base));
            assert!(whose.remedy().contains(expected), "{}", whose.remedy());
            assert!(!format!("{whose:?}").contains("secret"));
        }
    }

    #[test]
    fn who_needs_a_code_is_told_a_way_round_it() {
        let text = remedy_for(Some("admin"), &Unusable::Mfa("admin".to_owned()));
        assert!(
            text.contains("credential_process = aws configure export-credentials --profile admin"),
            "{text}"
        );
    }
}

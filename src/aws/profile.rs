//! What a profile of AWS's shared configuration comes to: where its credentials begin, and which roles are assumed.
//!
//! The SDK's parser reads the files. Its chain is not asked, since it does not say where credentials come from, and who
//! waits for a login wants to know which command helps.

use std::path::PathBuf;

use aws_config::profile::{Profile, ProfileSet};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};

/// More roles than this assumed one after the other are a loop that the names hide.
const LONGEST_CHAIN: usize = 16;

/// Where credentials begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Keys in the files.
    Keys,
    /// IAM Identity Center; a login in a browser, by the AWS CLI.
    Sso,
    /// A program that prints them.
    Process(String),
    /// A file with a token that somebody else keeps fresh.
    WebIdentity(PathBuf),
    /// `credential_source`: the environment, or what the machine it runs on has.
    Source(String),
    /// `login_session`: a login to the console, which only the AWS CLI can use.
    ConsoleLogin,
    /// No key of the profile is about credentials.
    Nothing,
}

/// A role to assume with what comes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) external_id: Option<String>,
    pub(super) session_name: Option<String>,
}

/// A profile, followed to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The profile that has `base`; not the one that was asked for where roles are assumed.
    pub(super) source: String,
    pub(super) base: Base,
    /// In the order in which they are assumed.
    pub(super) roles: Vec<Role>,
    /// What the profile trusts.
    pub(super) ca_bundle: Option<PathBuf>,
}

/// Why a profile cannot be used whatever happens elsewhere; somebody has to change a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the AWS configuration cannot be read: {0}")]
    Unreadable(String),
    #[error("there is no profile `{0}` in the AWS configuration")]
    Missing(String),
    #[error("profile `{by}` has source_profile = {missing}, and there is no such profile")]
    MissingSource { by: String, missing: String },
    #[error("profile `{0}` leads back to itself by source_profile")]
    Loop(String),
    #[error("profile `{0}` has role_arn, but neither source_profile nor credential_source nor a token's file")]
    NoSource(String),
    #[error("profile `{0}` assumes a role with a code from an MFA device (mfa_serial), which nobody can enter here")]
    Mfa(String),
    #[error("profile `{0}` uses a login to the AWS console (login_session), which only the AWS CLI can read")]
    ConsoleLogin(String),
}

/// The profiles as they are in the files now. `name` is the one to be selected; none for `AWS_PROFILE` or `default`.
pub(super) async fn load(name: Option<&str>) -> Result<ProfileSet, Unusable> {
    let selected = name.map(|name| name.to_owned().into());
    let files = EnvConfigFiles::default();
    let loaded = aws_config::profile::load(&Fs::real(), &Env::real(), &files, selected).await;
    loaded.map_err(|error| {
        let cause = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source()).last();
        Unusable::Unreadable(cause.unwrap_or(&error).to_string())
    })
}

/// Follows the selected profile. None: it is `default`, and there is none.
pub(super) fn plan(profiles: &ProfileSet) -> Result<Option<Plan>, Unusable> {
    let asked = profiles.selected_profile();
    let Some(first) = profiles.get_profile(asked) else {
        if asked == "default" {
            return Ok(None);
        }
        return Err(Unusable::Missing(asked.to_owned()));
    };
    let mut roles = Vec::new();
    let mut name = asked;
    let mut profile = first;
    let mut visited: Vec<&str> = Vec::new();
    let base = loop {
        if visited.contains(&name) || visited.len() > LONGEST_CHAIN {
            return Err(Unusable::Loop(asked.to_owned()));
        }
        // A profile that is another's source and has keys gives those; its own role is only for itself.
        if !visited.is_empty() && has_keys(profile) {
            break Base::Keys;
        }
        visited.push(name);
        let Some(arn) = text(profile, "role_arn") else {
            break base(profile);
        };
        if let Some(file) = text(profile, "web_identity_token_file") {
            break Base::WebIdentity(file.into());
        }
        if text(profile, "mfa_serial").is_some() {
            return Err(Unusable::Mfa(name.to_owned()));
        }
        roles.push(Role {
            arn: arn.to_owned(),
            external_id: text(profile, "external_id").map(ToOwned::to_owned),
            session_name: text(profile, "role_session_name").map(ToOwned::to_owned),
        });
        if let Some(source) = text(profile, "credential_source") {
            break Base::Source(source.to_owned());
        }
        let next = text(profile, "source_profile").ok_or_else(|| Unusable::NoSource(name.to_owned()))?;
        if next == name {
            // Its own keys assume its role.
            break if has_keys(profile) { Base::Keys } else { base(profile) };
        }
        profile = profiles.get_profile(next).ok_or_else(|| Unusable::MissingSource {
            by: name.to_owned(),
            missing: next.to_owned(),
        })?;
        name = next;
    };
    if base == Base::ConsoleLogin {
        return Err(Unusable::ConsoleLogin(name.to_owned()));
    }
    roles.reverse();
    Ok(Some(Plan {
        source: name.to_owned(),
        base,
        roles,
        ca_bundle: text(first, "ca_bundle").map(PathBuf::from),
    }))
}

/// The file of a token that the environment names, with the role it is for.
pub(super) fn web_identity_of_environment() -> Option<PathBuf> {
    std::env::var_os("AWS_ROLE_ARN").filter(|arn| !arn.is_empty())?;
    let file = std::env::var_os("AWS_WEB_IDENTITY_TOKEN_FILE").filter(|file| !file.is_empty())?;
    Some(file.into())
}

/// Whether the environment has keys.
pub(super) fn has_keys_in_environment() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_set("AWS_ACCESS_KEY_ID") && is_set("AWS_SECRET_ACCESS_KEY")
}

/// In the SDK's order.
fn base(profile: &Profile) -> Base {
    if text(profile, "sso_session").is_some() || text(profile, "sso_start_url").is_some() {
        Base::Sso
    } else if text(profile, "login_session").is_some() {
        Base::ConsoleLogin
    } else if let Some(command) = text(profile, "credential_process") {
        Base::Process(command.to_owned())
    } else if has_keys(profile) {
        Base::Keys
    } else {
        Base::Nothing
    }
}

fn has_keys(profile: &Profile) -> bool {
    text(profile, "aws_access_key_id").is_some() || text(profile, "aws_secret_access_key").is_some()
}

fn text<'p>(profile: &'p Profile, key: &str) -> Option<&'p str> {
    profile.get(key).map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;

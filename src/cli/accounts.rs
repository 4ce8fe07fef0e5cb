//! The accounts that a configuration speaks of, for a person who wants to know how they are.

use std::collections::BTreeMap;

use super::args::{region_of_environment, variable};
use crate::aws::{ControlPlanes, Inspection};
use crate::config::{Defaults, SessionSettings, Settings};

/// Each account once, with the sessions that use it. Where no session is configured, it is the one that sessions on
/// demand have.
pub(super) fn of<'s>(settings: &'s Settings, planes: &ControlPlanes) -> Vec<(Inspection, Vec<&'s SessionSettings>)> {
    if settings.sessions.is_empty() {
        return vec![(planes.inspect_defaults(&filled(&settings.defaults)), Vec::new())];
    }
    let mut accounts: BTreeMap<String, (Inspection, Vec<&SessionSettings>)> = BTreeMap::new();
    for session in &settings.sessions {
        let inspection = planes.inspect(session);
        let account = accounts.entry(inspection.name());
        account.or_insert_with(|| (inspection, Vec::new())).1.push(session);
    }
    accounts.into_values().collect()
}

/// With what the environment says where the configuration says nothing, as for `autossm proxy`.
fn filled(defaults: &Defaults) -> Defaults {
    Defaults {
        profile: defaults.profile.clone().or_else(|| variable("AWS_PROFILE")),
        region: defaults.region.clone().or_else(region_of_environment),
        ..defaults.clone()
    }
}

//! AWS: the control plane's calls, credentials, signing, and the one envelope of waits.

mod account;
mod accounts;
mod adoption;
mod backoff;
mod calls;
mod control_plane;
mod endpoints;
mod errors;
mod gate;
mod http;
mod inspect;
mod keeper;
mod kms;
mod load;
mod preferences;
mod process;
mod profile;
mod remedy;
mod signing;
mod ssm;
mod stamp;
mod targets;
mod time;
mod turns;

pub use account::LoginNews;
pub use backoff::SeededBackoff;
pub use control_plane::{Call, ControlPlane, Wait};
pub use inspect::{Credential, Inspection, ListedSession, Prepared};
pub use ssm::ControlPlanes;

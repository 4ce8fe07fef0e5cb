//! AWS: the control plane's calls, credentials, signing, and the one envelope of waits.

mod account;
mod backoff;
mod control_plane;
mod credentials;
mod errors;
mod limit;
mod preferences;
mod signing;
mod ssm;
mod turns;

pub use backoff::SeededBackoff;
pub use control_plane::{Call, ControlPlane, Wait};
pub use ssm::ControlPlanes;

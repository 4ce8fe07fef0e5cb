//! The calls a session makes to the control plane.

use std::future::Future;
use std::pin::Pin;

use autossm_proto::Timestamp;
use autossm_proto::handshake::WantedKey;
use autossm_proto::session::{Failure, Grant, KeyGrant, Preferences, ResumeGrant};

use super::LoginNews;

/// A boxed call.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// A boxed wait.
pub type Wait<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The calls of Session Manager's control plane; errors are already classified, and there are no retries inside.
pub trait ControlPlane: Send + Sync + std::fmt::Debug {
    /// Waits for this session's turn, among all of its account, to call start or resume; best before `due`.
    fn turn(&self, due: Timestamp) -> Wait<'_>;
    /// StartSession for the configured target and document.
    fn start(&self) -> Call<'_, Grant>;
    /// ResumeSession.
    fn resume<'a>(&'a self, session_id: &'a str) -> Call<'a, ResumeGrant>;
    /// GenerateDataKey, or Decrypt for a key that is agreed on already.
    fn data_key<'a>(&'a self, session_id: &'a str, wanted: &'a WantedKey) -> Call<'a, KeyGrant>;
    /// What the account's session preferences say about this session's life, as far as it may be known.
    fn preferences(&self) -> Call<'_, Preferences>;
    /// TerminateSession.
    fn terminate<'a>(&'a self, session_id: &'a str) -> Call<'a, ()>;

    /// When there is a reason to try again for a session that waits for a login.
    fn login_news(&self) -> LoginNews {
        LoginNews::default()
    }

    /// A user wants another try now: what is known about missing credentials may be out of date.
    fn retry_login(&self) {}

    /// Which instance or container the target was at the last start, where the configuration does not say it.
    fn resolved_target(&self) -> Option<String> {
        None
    }
}

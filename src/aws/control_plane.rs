//! The calls a session makes to the control plane.

use std::future::Future;
use std::pin::Pin;

use autossm_proto::session::{Failure, Grant, ResumeGrant};

use super::LoginNews;

/// A boxed call.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// The calls of Session Manager's control plane; errors are already classified, and there are no retries inside.
pub trait ControlPlane: Send + Sync + std::fmt::Debug {
    /// StartSession for the configured target and document.
    fn start(&self) -> Call<'_, Grant>;
    /// ResumeSession.
    fn resume<'a>(&'a self, session_id: &'a str) -> Call<'a, ResumeGrant>;
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

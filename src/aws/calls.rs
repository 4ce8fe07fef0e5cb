//! One call of the control plane: signed, classified, and the account told what it shows about the credentials.

use std::sync::Arc;

use autossm_proto::session::{Failure, FailureClass};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};

use super::account::{Account, Ready};
use super::errors::{self, Action};

/// What one attempt calls with.
#[derive(Debug)]
pub(super) struct Calls<'a> {
    account: &'a Account,
    ready: Arc<Ready>,
}

impl<'a> Calls<'a> {
    /// With valid credentials.
    pub(super) async fn with(account: &'a Account) -> Result<Self, Failure> {
        let ready = account.ready().await?;
        Ok(Self { account, ready })
    }

    pub(super) fn client(&self) -> &Client {
        &self.ready.loaded.client
    }

    pub(super) fn kms(&self) -> aws_sdk_kms::Client {
        self.ready.loaded.kms()
    }

    pub(super) fn region(&self) -> &str {
        &self.ready.loaded.region
    }

    /// What came of a call.
    pub(super) fn answered<T, E>(&self, action: Action, sent: Result<T, SdkError<E>>) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let error = match sent {
            Ok(answer) => {
                tracing::debug!(call = action.name(), "answered");
                self.account.accept();
                return Ok(answer);
            }
            Err(error) => error,
        };
        let failure = self.describe(action, &error);
        tracing::debug!(call = action.name(), cause = failure.text, "failed");
        if let FailureClass::Throttled { retry_after } = failure.class {
            self.account.turns.throttled(retry_after);
        }
        if failure.class == FailureClass::Credentials {
            self.account.refuse(&failure, self.ready.credentials.access_key_id());
        } else if error.raw_response().is_some() {
            // AWS knows who asks, whatever else it says.
            self.account.accept();
        }
        Err(failure)
    }

    /// What a failed call means; nobody else is told.
    pub(super) fn describe<E>(&self, action: Action, error: &SdkError<E>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let now = self.account.setup.time.clock().unix_now();
        errors::of_call(action, &self.ready.loaded.whose, error, now)
    }
}

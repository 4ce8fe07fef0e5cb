//! Bounds what an answer of the control plane may cost: the SDK would read a gigabyte.

use aws_sdk_ssm::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_ssm::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ssm::error::BoxError;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

/// No answer to a call of ours is longer; they have a few kilobytes.
const LONGEST_ANSWER: usize = 256 << 10;

/// Fails the reading of an answer that is longer, at that length.
#[derive(Debug)]
pub(super) struct AnswerLimit;

impl Intercept for AnswerLimit {
    fn name(&self) -> &'static str {
        "AnswerLimit"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        let body = response.take_body();
        *response.body_mut() = SdkBody::from_body_1_x(Limited::new(body, LONGEST_ANSWER));
        Ok(())
    }
}

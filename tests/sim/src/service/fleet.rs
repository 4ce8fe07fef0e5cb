//! The instances that Session Manager knows, where a test says which there are.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};

use super::grant::ApiError;
use crate::fault::Instance;

/// None until it is set: then every target that looks like one exists.
#[derive(Debug, Default)]
pub(crate) struct Fleet(Mutex<Option<Vec<Instance>>>);

/// DescribeInstanceInformation's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeInput {
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    key: String,
    values: Vec<String>,
}

impl Fleet {
    pub(crate) fn set(&self, instances: Vec<Instance>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(instances);
    }

    /// Whether this instance is there and online; none when nobody has said which there are.
    pub(crate) fn is_online(&self, target: &str) -> Option<bool> {
        let instances = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let instances = instances.as_ref()?;
        Some(
            instances
                .iter()
                .any(|instance| instance.id == target && instance.online),
        )
    }

    /// DescribeInstanceInformation, page by page.
    ///
    /// # Errors
    /// InvalidFilterKey, InvalidNextToken.
    pub(crate) fn describe(&self, input: &DescribeInput) -> Result<Value, ApiError> {
        if let Some(filter) = input.filters.iter().find(|filter| !filter.is_known()) {
            return Err(ApiError::new("InvalidFilterKey", filter.key.clone()));
        }
        let start = match &input.next_token {
            Some(token) => token
                .parse()
                .map_err(|_no_number| ApiError::new("InvalidNextToken", "The token is not valid"))?,
            None => 0,
        };
        let instances = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let matching: Vec<&Instance> = instances
            .iter()
            .flatten()
            .filter(|instance| input.filters.iter().all(|filter| filter.takes(instance)))
            .collect();
        let size = input.max_results.unwrap_or(10);
        let page = matching
            .iter()
            .skip(start)
            .take(size)
            .map(|instance| json!({ "InstanceId": instance.id, "PingStatus": ping_status(instance) }));
        let mut answer = json!({ "InstanceInformationList": page.collect::<Vec<_>>() });
        let next = start.saturating_add(size);
        if next < matching.len()
            && let Some(map) = answer.as_object_mut()
        {
            map.insert("NextToken".to_owned(), next.to_string().into());
        }
        Ok(answer)
    }
}

impl Filter {
    fn is_known(&self) -> bool {
        self.key.starts_with("tag:") || self.key == "PingStatus"
    }

    fn takes(&self, instance: &Instance) -> bool {
        let value = match self.key.strip_prefix("tag:") {
            Some(tag) => instance.tags.get(tag).map(String::as_str),
            None => Some(ping_status(instance)),
        };
        value.is_some_and(|value| self.values.iter().any(|wanted| wanted == value))
    }
}

const fn ping_status(instance: &Instance) -> &'static str {
    if instance.online { "Online" } else { "ConnectionLost" }
}

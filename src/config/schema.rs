//! The JSON schema of the configuration, for editors that complete keys and mark mistakes.

use std::collections::BTreeMap;

use autossm_proto::session::SessionConfig;
use humantime::format_duration;
use serde_json::{Map, Value as Json, json};

use super::keys::{Key, Keys, Limits, Value};
use super::settings::BackoffSettings;
use super::vocabulary::{LONGEST_NAME, ROOT, STEEPEST_MULTIPLIER};

/// A number and its unit, perhaps several, as `humantime` reads them.
const TIME_SPAN: &str = "^ *([0-9]+(\\.[0-9]+)? *[a-zA-Z]+ *)+$";

/// The JSON schema (draft 7, which editors of TOML know) of one file of a configuration.
pub fn schema() -> Json {
    let mut definitions = BTreeMap::new();
    let Json::Object(mut root) = table(&ROOT, &mut definitions) else {
        return Json::Null;
    };
    root.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    root.insert("title".to_owned(), json!("autossm"));
    root.insert("definitions".to_owned(), json!(definitions));
    Json::Object(root)
}

fn table(keys: &Keys, definitions: &mut BTreeMap<&'static str, Json>) -> Json {
    let properties: Map<String, Json> = keys
        .all()
        .map(|key| (key.name.to_owned(), property(key, definitions)))
        .collect();
    let mut table = json!({
        "type": "object",
        "description": keys.about,
        "properties": properties,
        "additionalProperties": false,
    });
    if !keys.required.is_empty() {
        set(&mut table, "required", json!(keys.required));
    }
    table
}

/// A reference to a table's definition, which is added where it is not there yet.
fn reference(keys: &'static Keys, definitions: &mut BTreeMap<&'static str, Json>) -> Json {
    if !definitions.contains_key(keys.name) {
        let definition = table(keys, definitions);
        definitions.insert(keys.name, definition);
    }
    json!({ "$ref": format!("#/definitions/{}", keys.name) })
}

fn property(key: &Key, definitions: &mut BTreeMap<&'static str, Json>) -> Json {
    let mut schema = match &key.value {
        Value::Text { longest, example } => {
            json!({ "type": "string", "minLength": 1, "maxLength": longest, "examples": [example] })
        }
        Value::Texts { example } => json!({
            "oneOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            ],
            "examples": [example],
        }),
        Value::Named { example } => json!({
            "type": "object",
            "additionalProperties": {
                "oneOf": [
                    { "type": "string" },
                    { "type": "array", "items": { "type": "string" }, "minItems": 1 },
                ],
            },
            "examples": [{ "command": example }],
        }),
        Value::Word { words, default } => json!({ "type": "string", "enum": words(), "default": default() }),
        Value::Flag { default } => json!({ "type": "boolean", "default": default }),
        Value::Integer { low, high, default } => {
            let mut integer = json!({ "type": "integer", "minimum": low, "maximum": high });
            if let Some(default) = default {
                set(&mut integer, "default", json!(default()));
            }
            integer
        }
        Value::Multiplier => json!({
            "type": "number",
            "exclusiveMinimum": 1,
            "maximum": STEEPEST_MULTIPLIER,
            "default": BackoffSettings::default().multiplier,
        }),
        Value::Timing(limits, field) => time_span(limits, Some(*field(&mut SessionConfig::default()))),
        Value::Maybe(limits, _, example) => {
            let mut schema = time_span(limits, None);
            set(&mut schema, "examples", json!([example]));
            schema
        }
        Value::Span(limits, default) => time_span(limits, Some(default())),
        Value::Wait(limits, field) => time_span(limits, Some(field(&BackoffSettings::default()))),
        // A draft-7 reference stands alone; the table's own definition describes it.
        Value::Table(keys) => return reference(keys, definitions),
        Value::Tables(keys) => json!({
            "type": "object",
            "propertyNames": { "pattern": format!("^[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{}}}$", LONGEST_NAME - 1) },
            "additionalProperties": reference(keys, definitions),
        }),
    };
    set(&mut schema, "description", json!(key.about));
    schema
}

fn time_span(limits: &Limits, default: Option<std::time::Duration>) -> Json {
    let zero = if limits.zero { ", or \"0s\"" } else { "" };
    let mut schema = json!({
        "type": "string",
        "pattern": TIME_SPAN,
        "$comment": format!(
            "{} to {}{zero}",
            format_duration(limits.shortest),
            format_duration(limits.longest)
        ),
    });
    if let Some(default) = default {
        set(&mut schema, "default", json!(format_duration(default).to_string()));
    }
    schema
}

fn set(schema: &mut Json, name: &str, value: Json) {
    if let Json::Object(schema) = schema {
        schema.insert(name.to_owned(), value);
    }
}

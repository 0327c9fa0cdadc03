//! Holds JSON against the schemas of the API's description. It knows the words that those are made of, and panics at any other: what is
//! not looked at must not pass for right. Patterns are left to schemathesis, which holds the same schemas against a real gateway.

use serde_json::{Map, Value};

/// Words that say nothing of what may be there, or are not looked at.
const SILENT: &[&str] =
    &["description", "title", "format", "default", "pattern", "examples", "propertyNames"];

/// Where a value is not what the schema says; `None`: nowhere.
pub(super) fn wrong(value: &Value, schema: &Value, document: &Value) -> Option<String> {
    let schema = match schema {
        Value::Bool(allowed) => return (!allowed).then(|| format!("{value} must not be")),
        Value::Object(words) => words,
        other => panic!("{other} is no schema"),
    };
    schema.iter().find_map(|(word, said)| judged(value, (word, said), schema, document))
}

fn judged(
    value: &Value,
    (word, said): (&str, &Value),
    schema: &Map<String, Value>,
    document: &Value,
) -> Option<String> {
    let ill = |ill: bool| ill.then(|| format!("{value} against {word} {said}"));
    let length = || match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    let bound = || said.as_f64().unwrap();
    let number = value.as_f64();
    match word {
        "$ref" => wrong(value, document.pointer(&said.as_str().unwrap()[1..]).unwrap(), document),
        "type" => ill(!kinds(said).iter().any(|kind| is(value, kind))),
        "enum" => ill(!said.as_array().unwrap().contains(value)),
        "const" => ill(said != value),
        "required" => {
            let missing =
                said.as_array().unwrap().iter().find(|name| value.get(name.as_str().unwrap()).is_none());
            missing.filter(|_| value.is_object()).map(|name| format!("{name} is missing in {value}"))
        }
        "properties" => {
            let mut there =
                said.as_object().unwrap().iter().filter_map(|(name, of)| Some((name, value.get(name)?, of)));
            there.find_map(|(name, value, of)| {
                wrong(value, of, document).map(|wrong| format!("{name}: {wrong}"))
            })
        }
        "additionalProperties" => {
            let known = schema.get("properties").and_then(Value::as_object);
            let mut others = value.as_object().into_iter().flatten();
            others.find_map(|(name, value)| {
                let is_known = known.is_some_and(|known| known.contains_key(name));
                wrong(value, said, document).filter(|_| !is_known).map(|wrong| format!("{name}: {wrong}"))
            })
        }
        "items" => value.as_array().into_iter().flatten().find_map(|item| wrong(item, said, document)),
        "allOf" => said.as_array().unwrap().iter().find_map(|one| wrong(value, one, document)),
        "anyOf" => ill(fitting(value, said, document) == 0),
        "oneOf" => ill(fitting(value, said, document) != 1),
        "minimum" => ill(number.is_some_and(|number| number < bound())),
        "maximum" => ill(number.is_some_and(|number| number > bound())),
        "minLength" | "minItems" => ill((length() as f64) < bound()),
        "maxLength" | "maxItems" => ill((length() as f64) > bound()),
        _ if SILENT.contains(&word) || word.starts_with("x-") => None,
        _ => panic!("{word} is not looked at: teach {} to", file!()),
    }
}

fn fitting(value: &Value, schemas: &Value, document: &Value) -> usize {
    schemas.as_array().unwrap().iter().filter(|one| wrong(value, one, document).is_none()).count()
}

fn kinds(said: &Value) -> Vec<&str> {
    match said {
        Value::Array(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        kind => vec![kind.as_str().unwrap()],
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{kind} is no type"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_found() {
        let document = json!({ "names": { "type": "array", "items": { "type": "string" }, "maxItems": 2 } });
        let schema = json!({
            "type": "object",
            "properties": {
                "size": { "type": "integer", "minimum": 1 },
                "names": { "$ref": "#/names" },
                "kind": { "oneOf": [{ "const": "a" }, { "enum": ["b"] }] },
                "email": { "type": ["string", "null"] },
            },
            "required": ["size"],
            "additionalProperties": false,
        });
        let of = |value: Value| wrong(&value, &schema, &document);
        assert_eq!(of(json!({ "size": 1, "names": ["x"], "kind": "b", "email": null })), None);
        for ill in [
            json!([]),
            json!({}),
            json!({ "size": "1" }),
            json!({ "size": 0 }),
            json!({ "size": 1, "names": [7] }),
            json!({ "size": 1, "names": ["1", "2", "3"] }),
            json!({ "size": 1, "kind": "c" }),
            json!({ "size": 1, "email": 1 }),
            json!({ "size": 1, "more": 1 }),
        ] {
            assert!(of(ill.clone()).is_some(), "{ill}");
        }
    }
}

//! The definitions are structural, bounded and pleasant to read: what an API server or a GitOps tool trips over.

// Clippy exempts tests, but not the functions beside them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::Value;

fn definitions() -> Vec<Value> {
    datamesh_crds::definitions().iter().map(|d| serde_json::to_value(d).unwrap()).collect()
}

/// Calls `see` with every schema below `schema` and its path.
fn walk(path: &str, schema: &Value, see: &mut impl FnMut(&str, &Value)) {
    see(path, schema);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), child, see);
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            walk(&format!("{path}[]"), &schema[key], see);
        }
    }
}

fn walk_all(mut see: impl FnMut(&str, &Value)) {
    for definition in definitions() {
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        walk(kind, &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut see);
    }
}

#[test]
fn every_field_has_a_type_and_no_reference() {
    let mut seen = 0;
    walk_all(|path, schema| {
        seen += 1;
        let typed = schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == true;
        assert!(typed, "{path} has no type");
        for forbidden in ["$ref", "anyOf", "oneOf", "allOf"] {
            assert!(schema[forbidden].is_null(), "{path} uses {forbidden}");
        }
    });
    assert!(seen > 60, "only {seen} schemas seen");
}

#[test]
fn every_text_and_list_of_a_spec_is_bounded() {
    let mut seen = 0;
    walk_all(|path, schema| {
        if !path.contains(".spec") || schema["enum"].is_array() {
            return;
        }
        if schema["type"] == "string" {
            seen += 1;
            assert!(schema["maxLength"].is_number(), "{path} has no maxLength");
        }
        if schema["type"] == "array" {
            assert!(schema["maxItems"].is_number(), "{path} has no maxItems");
        }
        if schema["additionalProperties"].is_object() {
            assert!(schema["maxProperties"].is_number(), "{path} has no maxProperties");
        }
    });
    assert!(seen > 8, "only {seen} texts seen");
}

#[test]
fn every_field_of_a_spec_is_described_briefly() {
    walk_all(|path, schema| {
        let description = schema["description"].as_str().unwrap_or_default();
        assert!(description.len() < 400 || path.contains("conditions"), "{path} has a novel");
        let named = path.contains(".spec.") && !path.ends_with("[]");
        assert!(!named || !description.is_empty(), "{path} is not described");
    });
}

#[test]
fn conditions_merge_by_type() {
    for definition in definitions() {
        let status = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        let conditions = &status["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-list-type"], "map");
        assert_eq!(conditions["x-kubernetes-list-map-keys"], serde_json::json!(["type"]));
    }
}

#[test]
fn names_are_short_and_pools_scale() {
    let [cluster, pool] = <[Value; 2]>::try_from(definitions()).unwrap();
    assert_eq!(cluster["spec"]["names"]["shortNames"], serde_json::json!(["dmc"]));
    assert_eq!(pool["spec"]["names"]["shortNames"], serde_json::json!(["dmpool"]));
    assert_eq!(pool["spec"]["names"]["categories"], serde_json::json!(["datamesh"]));
    let scale = &pool["spec"]["versions"][0]["subresources"]["scale"];
    assert_eq!(scale["specReplicasPath"], ".spec.replicas");
    assert_eq!(scale["labelSelectorPath"], ".status.selector");
}

#[test]
fn every_rule_has_a_message() {
    let mut rules = 0;
    walk_all(|path, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            rules += 1;
            assert!(rule["message"].as_str().is_some_and(|m| m.len() > 15), "{path}: {rule}");
        }
    });
    assert_eq!(rules, 64, "a rule was added or lost: write its test in rules.rs, then count it here");
}

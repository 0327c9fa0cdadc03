//! Parameters of paths, and headers: what they mean and what they may be.

use datamesh_catalog::UserName;
use datamesh_catalog::limits::PART_PAGES_MAX;
use datamesh_shard::limits::{OBJECT_BYTES_MAX, OBJECT_KEY_BYTES_MAX};
use datamesh_shard::{BucketName, NodeName, PoolName};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use crate::api::tus;
use crate::limits;

/// The parameters that stand in a path in braces.
pub(super) fn of_path(path: &str, shapes: &mut SchemaGenerator) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| {
            let name = name.trim_start_matches('*');
            let (description, schema) = path_parameter(name, path, shapes);
            json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
        })
        .collect()
}

fn path_parameter(name: &str, path: &str, shapes: &mut SchemaGenerator) -> (&'static str, Value) {
    let hex = |chars: usize| json!({ "type": "string", "pattern": format!("^[0-9a-f]{{{chars}}}$") });
    match name {
        "key" => (
            "The object's key. Whatever follows is part of it, slashes too, encoded or not.",
            json!({ "type": "string", "minLength": 1, "maxLength": OBJECT_KEY_BYTES_MAX }),
        ),
        "bucket" => ("The bucket.", shapes.subschema_for::<BucketName>().to_value()),
        "token" => (
            "The secret of the link; a password it asks for is sent by Basic authentication, with any name.",
            json!({ "type": "string", "pattern": "^dml_[A-Za-z0-9_-]{80}$" }),
        ),
        "file" => (
            "The file's name; of a path its last part, and without what has no place in a name.",
            json!({ "type": "string", "minLength": 1 }),
        ),
        "pool" => ("The pool.", shapes.subschema_for::<PoolName>().to_value()),
        "node" => ("The storage node.", shapes.subschema_for::<NodeName>().to_value()),
        "name" | "user" => {
            ("The user, or the group, in whatever case.", shapes.subschema_for::<UserName>().to_value())
        }
        "segment" => ("The segment's id.", hex(64)),
        "page" => (
            "The page's number, from 0.",
            json!({ "type": "integer", "minimum": 0, "maximum": PART_PAGES_MAX - 1 }),
        ),
        "part" => {
            ("The part's number.", json!({ "type": "integer", "minimum": 1, "maximum": limits::PARTS_MAX }))
        }
        _ if path.contains("/keys/") => ("The key's id.", json!({ "type": "string", "minLength": 1 })),
        _ if path.contains("/uploads/") || path.contains("/tus/") || path.contains("/shreds/") => {
            ("Its id.", hex(32))
        }
        _ => ("Its id.", hex(16)),
    }
}

/// The fields of a type as parameters of the query.
pub(super) fn of_query(schema: &Value) -> Vec<Value> {
    let none = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&none);
    let needed =
        |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    fields
        .iter()
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            never_null(&mut schema);
            let mut parameter =
                json!({ "name": name, "in": "query", "required": needed(name), "schema": schema });
            if let (Some(parameter), Some(description)) = (parameter.as_object_mut(), description) {
                parameter.insert("description".to_owned(), description);
            }
            parameter
        })
        .collect()
}

/// A parameter is there or not; a query cannot say null.
fn never_null(schema: &mut Value) {
    if let Some(kinds) = schema["type"].as_array() {
        let kind = kinds.iter().find(|kind| *kind != "null").cloned();
        schema["type"] = kind.unwrap_or_default();
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let one = any.iter().find(|one| one["type"] != "null").cloned();
        *schema = one.unwrap_or_default();
    }
}

/// Headers of requests without which none is taken.
const NEEDED: [&str; 4] = ["Tus-Resumable", "Upload-Length", "Upload-Offset", "X-HTTP-Method-Override"];

/// Headers of requests that count.
pub(super) fn of_headers(method: &str, names: &[&str]) -> Vec<Value> {
    let reads = ["GET", "HEAD"].contains(&method);
    let parameter = |name: &&str| {
        let (description, schema) = if reads { reading_header(name) } else { request_header(name) };
        let required = NEEDED.contains(name);
        json!({ "name": name, "in": "header", "required": required, "description": description, "schema": schema })
    };
    names.iter().map(parameter).collect()
}

/// The same conditions say something else of what is read. Whatever they are, it is an answer and no mistake: a tag that is
/// none is nobody's.
fn reading_header(name: &str) -> (&'static str, Value) {
    let description = match name {
        "If-Match" => {
            "Go on only if what is at this path has one of these entity tags, or `*`: any; otherwise 412."
        }
        "If-None-Match" => {
            "Entity tags of what the client has. If it is one of them, or for `*`, it is not sent again: 304."
        }
        "If-Range" => {
            "The entity tag of what the client has a part of. If it is not that, `Range` does not count, and all of it comes."
        }
        _ => return request_header(name),
    };
    (description, json!({ "type": "string" }))
}

fn request_header(name: &str) -> (&'static str, Value) {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let bytes = || json!({ "type": "integer", "minimum": 0, "maximum": OBJECT_BYTES_MAX });
    match name {
        "If-Match" => (
            "Go on only if what is at this path has this entity tag; otherwise 412.",
            text("^\"[0-9a-f]{1,64}\"$"),
        ),
        "If-None-Match" => {
            ("`*`: go on only if there is nothing yet; otherwise 412.", json!({ "const": "*" }))
        }
        "Idempotency-Key" => (
            "A new random text for each thing that is to be made, in quotes or not. Who sends the same request with it again within \
             24 hours gets the first answer, with `Idempotent-Replayed: true`; with another request it is 422; while the first is \
             under way, 409 with `Retry-After`.",
            text("^\"?[!#-\\[\\]-~]{16,128}\"?$"),
        ),
        "Tus-Resumable" => ("The version of the protocol.", json!({ "const": tus::VERSION })),
        "Upload-Length" => ("Bytes of the whole.", bytes()),
        "Upload-Offset" => ("Where the upload is, as `HEAD` tells it; otherwise 409.", bytes()),
        "Upload-Metadata" => (
            "Pairs of a name and a value in base64, with commas between them. `filename`, or `key`, is the object's key, `bucket` its bucket, \
             `filetype` its type; all else becomes its metadata.",
            text("^(key|filename) [A-Za-z0-9+/]{4,64}(,filetype dGV4dC9wbGFpbg==)?$"),
        ),
        "Upload-Checksum" => (
            "`sha1` or `sha256`, a blank, and the checksum of this request's bytes in base64. If it is not theirs, none of them is kept: 460.",
            text("^sha1 [A-Za-z0-9+/]{27}=$"),
        ),
        "X-HTTP-Method-Override" => (
            "What to do instead, for clients that can send nothing but `POST`.",
            json!({ "enum": ["PATCH", "DELETE", "HEAD"] }),
        ),
        "Range" => ("One range of bytes; what is none is as good as absent.", json!({ "type": "string" })),
        _ => ("", json!({ "type": "string" })),
    }
}

/// Headers of answers, by the names under which operations refer to them.
pub(super) fn answered() -> Value {
    let header = |description: &str| json!({ "description": description, "required": true, "schema": { "type": "string" } });
    json!({
        "X-Request-Id": header("The request's id: 16 hexadecimal digits, which the gateway's log and the audit name."),
        "ETag": header("The entity tag of what is at this path: a strong one, but of what may come compressed."),
        "Tus-Resumable": header("The version of the protocol: `1.0.0`."),
        "Upload-Offset": header("How far the upload is, in bytes. They are durable."),
        "Upload-Length": header("Bytes of the whole."),
        "Location": header("Where it is asked for."),
        "Cache-Control": header("`no-store`: the answer shows a secret, is what a link gives, or is old in a moment."),
    })
}

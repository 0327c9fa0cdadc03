//! The OpenAPI document.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::operation::{Content, Given, Links, Operation};
use super::parameters;
use crate::api::routes::{ROUTES, Route};
use crate::api::tus;
use crate::auth::Need;
use crate::problem::Document;

/// Where a document keeps what several operations refer to.
const SCHEMAS: &str = "/components/schemas";
const PROBLEM_TYPE: &str = "application/problem+json";

/// Makes schemas of types.
struct Shapes {
    /// Of what is sent: small, so each stands where it is used.
    sent: SchemaGenerator,
    /// Of what is answered: each has a name.
    answered: SchemaGenerator,
}

impl Shapes {
    fn new() -> Self {
        let settings = || SchemaSettings::draft2020_12().with(|all| all.meta_schema = None);
        let sent = settings().for_deserialize().with(|all| all.inline_subschemas = true);
        let answered = settings().for_serialize().with(|all| all.definitions_path = SCHEMAS.into());
        Self { sent: sent.into_generator(), answered: answered.into_generator() }
    }
}

/// The API as an OpenAPI 3.1 document: made of the table of routes, and of nothing that changes from cluster to cluster.
#[must_use]
pub fn document() -> Value {
    let mut shapes = Shapes::new();
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path.replace("{*", "{")).or_insert_with(|| json!({}));
        path[route.method.to_ascii_lowercase()] = operation(route, &mut shapes);
    }
    let problem = shapes.answered.subschema_for::<Document<'_>>();
    let schemas = shapes.answered.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "DataMesh",
            "version": "v1",
            "summary": "Encrypted object storage over the disks of many machines",
            "description": "Errors are problem documents (RFC 9457): programs go by `type`. Lists are read page by page: `nextCursor` \
                goes into `cursor`, unchanged.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }, { "cookie": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": parameters::answered(),
            "responses": { "Problem": {
                "description": "What went wrong, and what to do about it.",
                "headers": { "X-Request-Id": reference("headers", "X-Request-Id") },
                "content": { PROBLEM_TYPE: { "schema": problem } },
            } },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer",
                    "description": "A session (`dms_`), a token (`dmt_`), or the token of a file of the cluster's Secret." },
                "cookie": { "type": "apiKey", "in": "cookie", "name": crate::auth::COOKIE,
                    "description": "A session, as a sign-in sets it. Changes need the header `DataMesh-Request: 1` besides." },
            },
        },
    })
}

fn reference(what: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{what}/{name}") })
}

fn operation(route: &Route, shapes: &mut Shapes) -> Value {
    let said = (route.says)();
    let mut parameters = parameters::of_path(route.path, &mut shapes.sent);
    if let Some(query) = said.query {
        parameters.extend(parameters::of_query(&query(&mut shapes.sent).to_value()));
    }
    parameters.extend(parameters::of_headers(route.method, &said.headers));
    let mut out = json!({
        "operationId": operation_id(route),
        "tags": [tag(route.path)],
        "summary": said.summary,
        "description": needed(route.need),
        "responses": answers(route, &said, shapes),
    });
    if !parameters.is_empty() {
        out["parameters"] = parameters.into();
    }
    if let Some(content) = content(said.body, &mut shapes.sent) {
        out["requestBody"] = json!({ "required": said.body_is_needed, "content": content });
    }
    if route.need == Need::Anyone {
        out["security"] = json!([]);
    }
    out
}

/// `getBucketsBucketFiles` of `GET /api/v1/buckets/{bucket}/files`.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut id = route.method.to_ascii_lowercase();
    for word in words.skip(2) {
        let (first, rest) = word.split_at(1);
        id.push_str(&first.to_ascii_uppercase());
        id.push_str(rest);
    }
    id
}

/// What operations are sorted by: the first word after `/api/v1`.
fn tag(path: &str) -> &str {
    path.split('/').nth(3).unwrap_or_default()
}

fn needed(need: Need) -> String {
    match need {
        Need::Anyone => "For anyone.".to_owned(),
        Need::Themselves => "For whoever is signed in; no token does.".to_owned(),
        Need::Read => "For every role; a token with scope `read`.".to_owned(),
        Need::Write => "For every role; a token with scope `write`.".to_owned(),
        Need::Role(role) => {
            format!("For the role `{}` and those above; a token with scope `administer`.", role.as_str())
        }
        Need::InPerson(role) => format!("For the role `{}`, signed in; no token does.", role.as_str()),
    }
}

fn answers(route: &Route, said: &Operation, shapes: &mut Shapes) -> Value {
    let mut all = Map::new();
    for given in &said.given {
        let answer = match given.content {
            Content::Problem => reference("responses", "Problem"),
            _ => answer(route, given, shapes),
        };
        all.insert(given.status.to_string(), answer);
    }
    let problem = || match route.method {
        // What `HEAD` answers has no body, a problem neither.
        "HEAD" => json!({ "description": "What went wrong; `GET` says more." }),
        _ => reference("responses", "Problem"),
    };
    all.insert("4XX".to_owned(), problem());
    all.insert("5XX".to_owned(), problem());
    all.into()
}

fn answer(route: &Route, given: &Given, shapes: &mut Shapes) -> Value {
    let names = given.headers.iter().chain(&["X-Request-Id"]);
    let headers: Map<_, _> = names.map(|name| ((*name).to_owned(), reference("headers", name))).collect();
    let mut out = json!({ "description": description(given.status), "headers": headers });
    let content = match given.content {
        _ if route.method == "HEAD" => None,
        // An object's type is its own, and its bytes, or a part of them, need not even be what that type says.
        Content::Bytes => Some(json!({ "*/*": {} })),
        content_of => content(content_of, &mut shapes.answered),
    };
    if let Some(content) = content {
        out["content"] = content;
    }
    if let Some(links) = &given.links {
        out["links"] = self::links(links);
    }
    out
}

fn links(links: &Links) -> Value {
    let parameters = json!({ links.parameter: format!("$response.body#{}", links.told) });
    let named = |named: &&str| ROUTES.iter().find(|route| is_named(route, named));
    let to = links.routes.iter().filter_map(named).map(operation_id);
    let link = |id: String| (id.clone(), json!({ "operationId": id, "parameters": parameters }));
    to.map(link).collect::<Map<_, _>>().into()
}

/// Whether it is the route that is written like `GET /api/v1/status`.
fn is_named(route: &Route, named: &str) -> bool {
    named.split_once(' ') == Some((route.method, route.path))
}

const fn description(status: u16) -> &'static str {
    match status {
        201 => "It was made.",
        202 => "It has begun.",
        204 => "It is done.",
        206 => "The part that was asked for.",
        304 => "What the client has is still right.",
        _ => "All is well.",
    }
}

fn content(content: Content, shapes: &mut SchemaGenerator) -> Option<Value> {
    Some(match content {
        Content::Nothing | Content::Problem => return None,
        Content::Json(shape) => json!({ "application/json": { "schema": shape(shapes) } }),
        // Of one line; a schema of the whole could say no more than that it is text.
        Content::Lines(shape) => {
            json!({ "application/x-ndjson": { "schema": { "type": "string" }, "x-line": shape(shapes) } })
        }
        Content::Bytes => json!({ "*/*": { "schema": { "type": "string", "format": "binary" } } }),
        // Whatever bytes there are: a schema could say no more.
        Content::Appended => json!({ tus::MEDIA_TYPE: {} }),
        Content::Html => json!({ "text/html": { "schema": { "type": "string" } } }),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_says_what_it_gives_and_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for route in ROUTES {
            let said = (route.says)();
            assert!(!said.summary.is_empty() && !said.given.is_empty(), "{} {}", route.method, route.path);
            assert!(names.insert(operation_id(route)), "{}", operation_id(route));
            let takes_a_body = ["PUT", "POST", "PATCH"].contains(&route.method);
            assert!(takes_a_body || matches!(said.body, Content::Nothing), "{} {}", route.method, route.path);
        }
    }

    /// A link that leads nowhere, or by what the answer does not have, would not be followed, and nobody would notice.
    #[test]
    fn every_link_leads_to_a_route_by_what_the_answer_has() {
        let document = document();
        let mut count = 0;
        for route in ROUTES {
            for given in (route.says)().given {
                let Some(Links { parameter, told, routes }) = given.links else { continue };
                for named in routes {
                    assert!(ROUTES.iter().any(|route| is_named(route, named)), "{named} is no route");
                    assert!(named.contains(&format!("{{{parameter}}}")), "{named} has no {parameter}");
                    count += 1;
                }
                let method = route.method.to_ascii_lowercase();
                let path = &document["paths"][route.path.replace("{*", "{")];
                let answer = &path[method]["responses"][given.status.to_string()];
                assert_eq!(answer["links"].as_object().map(Map::len), Some(routes.len()), "{}", route.path);
                let mut schema = &answer["content"]["application/json"]["schema"];
                for field in told.split('/').skip(1) {
                    let any = schema["anyOf"].as_array().and_then(|any| any.first());
                    let named = any.unwrap_or(schema)["$ref"].as_str().map(|place| &place[1..]);
                    schema = &document.pointer(named.unwrap()).unwrap()["properties"][field];
                    assert!(schema.is_object(), "{}: {told}", route.path);
                }
            }
        }
        assert!(count > 10, "{count}");
    }

    /// Who is told that what they have is still right, or is given a part, must learn how to ask for that.
    #[test]
    fn reads_tell_of_the_conditions_that_they_heed() {
        let document = document();
        let (mut revalidated, mut partial) = (0, 0);
        for (path, method, of) in document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, of)| (path, method, of))
        }) {
            let header = |name: &str| {
                let all = of["parameters"].as_array();
                all.is_some_and(|all| all.iter().any(|one| one["name"] == name && one["in"] == "header"))
            };
            if of["responses"].get("304").is_some() {
                revalidated += 1;
                assert!(header("If-None-Match") && header("If-Match"), "{method} {path}");
            }
            if of["responses"].get("206").is_some() {
                partial += 1;
                assert!(header("Range") && header("If-Range"), "{method} {path}");
            }
        }
        assert!(revalidated > partial && partial > 8, "{revalidated} {partial}");
    }

    /// Two types of one name would get a number behind it, by the order in which they come.
    #[test]
    fn every_schema_has_a_name_of_its_own() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert!(schemas.len() > 40, "{}", schemas.len());
        for name in schemas.keys() {
            assert!(!name.ends_with(|c: char| c.is_ascii_digit()), "{name}");
        }
    }

    /// What stands in the document under this name of a place.
    fn each<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get(key));
                fields.values().for_each(|value| each(value, key, found));
            }
            Value::Array(items) => items.iter().for_each(|value| each(value, key, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut references = Vec::new();
        each(&document, "$ref", &mut references);
        assert!(references.len() > 200, "{}", references.len());
        for reference in references {
            let place = reference.as_str().unwrap().strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some(), "{place}");
        }
    }
}

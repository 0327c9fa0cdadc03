//! The document as a page: one file, without scripts.

use std::fmt::Write as _;

use serde_json::{Map, Value};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1a1a2e;background:#fff}\
h2{margin-top:2.5rem;border-bottom:1px solid #ddd}summary{cursor:pointer;padding:.3rem 0}code,pre{font:14px/1.4 ui-monospace,monospace}\
pre{background:#f5f5f8;padding:1rem;overflow:auto}.m{display:inline-block;min-width:4.5rem;font-weight:bold}table{border-collapse:collapse}\
td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}@media(prefers-color-scheme:dark){body{color:#e6e6ee;background:#16161e}\
pre{background:#22222c}a{color:#9ab8ff}h2{border-color:#444}}";

/// The page of a document of ours.
pub(super) fn of(document: &Value) -> String {
    let mut page = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.push_str(
        "<meta name=\"viewport\" content=\"width=device-width\"><title>DataMesh API</title><style>",
    );
    page.push_str(STYLE);
    page.push_str("</style></head><body><h1>DataMesh API</h1><p>");
    page.push_str(&text(&document["info"]["description"]));
    page.push_str("</p><p>For programs: <a href=\"/api/v1/openapi.json\">openapi.json</a>.</p>");
    let mut last = "";
    for (path, method, operation) in operations(document) {
        let tag = operation["tags"][0].as_str().unwrap_or_default();
        if tag != last {
            let _ = write!(page, "<h2>{}</h2>", escaped(tag));
            last = tag;
        }
        page.push_str(&section(path, method, operation));
    }
    page.push_str("<h2>Schemas</h2>");
    for (name, schema) in fields(&document["components"]["schemas"]) {
        let _ = write!(
            page,
            "<details id=\"{0}\"><summary><code>{0}</code></summary>{1}</details>",
            escaped(name),
            schema_block(schema)
        );
    }
    page.push_str("</body></html>");
    page
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// All of them, those of one tag together.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = fields(&document["paths"]);
    let mut all: Vec<_> = paths
        .flat_map(|(path, item)| fields(item).map(move |(method, of)| (path.as_str(), method.as_str(), of)))
        .collect();
    all.sort_by_key(|(path, _, of)| (of["tags"][0].as_str().unwrap_or_default(), *path));
    all
}

fn section(path: &str, method: &str, of: &Value) -> String {
    let mut out = format!(
        "<details><summary><span class=\"m\">{}</span><code>{}</code> {}</summary><p>{}</p>",
        escaped(&method.to_ascii_uppercase()),
        escaped(path),
        text(&of["summary"]),
        text(&of["description"]),
    );
    if let Some(parameters) = of["parameters"].as_array() {
        out.push_str("<table><tr><th>parameter</th><th>in</th><th></th></tr>");
        for one in parameters {
            let (name, place, about) = (text(&one["name"]), text(&one["in"]), text(&one["description"]));
            let _ = write!(out, "<tr><td><code>{name}</code></td><td>{place}</td><td>{about}</td></tr>");
        }
        out.push_str("</table>");
    }
    for (kind, media) in fields(&of["requestBody"]["content"]) {
        let _ = write!(out, "<p>Body, <code>{}</code>:</p>{}", escaped(kind), schema_block(&media["schema"]));
    }
    for (status, answer) in fields(&of["responses"]).filter(|(status, _)| !status.ends_with("XX")) {
        let _ = write!(out, "<p><b>{}</b> {}</p>", escaped(status), text(&answer["description"]));
        for (_, media) in fields(&answer["content"]) {
            out.push_str(&schema_block(media.get("x-line").unwrap_or(&media["schema"])));
        }
    }
    out.push_str("</details>");
    out
}

/// A schema: a link where it has a name.
fn schema_block(schema: &Value) -> String {
    let name = schema["$ref"].as_str().and_then(|place| place.rsplit('/').next());
    if let Some(name) = name {
        return format!("<p><a href=\"#{0}\"><code>{0}</code></a></p>", escaped(name));
    }
    let shown = serde_json::to_string_pretty(schema).unwrap_or_default();
    format!("<pre>{}</pre>", escaped(&shown))
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::routes::ROUTES;

    #[test]
    fn the_page_has_every_route_and_nothing_of_others() {
        let page = of(&super::super::document());
        for route in ROUTES {
            let path = escaped(&route.path.replace("{*", "{"));
            assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
        }
        for foreign in ["<script", "http://", "src="] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn what_a_text_holds_is_no_markup() {
        assert_eq!(escaped("<a b=\"&\">"), "&lt;a b=&quot;&amp;&quot;&gt;");
    }
}

//! Users who are signed in: each request of theirs has the gateway read the rows of session, user and group.

use std::time::Instant;

use anyhow::Context as _;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::done;
use crate::report;
use crate::server::Server;

/// As many as clients of the rows of theirs.
pub(crate) const MANY: usize = 200;
/// A gateway hashes one password at a time and lets an address have 30 attempts under way.
const AT_ONCE: usize = 4;
const GROUP: &str = "bench";

/// Makes so many users, members of one group, and signs each in. Gives their sessions.
pub(crate) async fn signed_in(server: &Server, many: usize) -> anyhow::Result<Vec<String>> {
    let (begun, before) = (Instant::now(), server.measure().await?.cpu_seconds());
    let admin = server.secret("admin-token")?;
    ask(server, Method::POST, "admin/groups", (Some(&admin), json!({ "name": GROUP }))).await?;
    let users = (0..many).map(|n| user(server, &admin, format!("user-{n}")));
    let sessions = stream::iter(users).buffer_unordered(AT_ONCE).try_collect().await?;
    let used = server.measure().await?.cpu_seconds() - before;
    report::note(&format!(
        "  {many} users made and signed in within {:.0} s, {:.0} CPU-ms each for two hashes of a password",
        begun.elapsed().as_secs_f64(),
        used * 1e3 / many as f64
    ));
    Ok(sessions)
}

/// Makes one: an administrator gives a code, by which the user chooses a password, by which they sign in.
async fn user(server: &Server, admin: &str, name: String) -> anyhow::Result<String> {
    let asked = json!({ "name": name, "role": "member" });
    let made = ask(server, Method::POST, "admin/users", (Some(admin), asked)).await?;
    let password = format!("the password of {name}");
    let chosen = json!({ "code": made["code"], "password": password });
    ask(server, Method::POST, "auth/reset", (None, chosen)).await?;
    let member = format!("admin/groups/{GROUP}/members/{name}");
    ask(server, Method::PUT, &member, (Some(admin), Value::Null)).await?;
    let shown = json!({ "name": name, "password": password });
    let session = ask(server, Method::POST, "auth/login", (None, shown)).await?;
    Ok(session["token"].as_str().context("a session")?.to_owned())
}

/// Asks the gateway; what it answers is null where it answers nothing.
async fn ask(
    server: &Server,
    method: Method,
    path: &str,
    (token, body): (Option<&str>, Value),
) -> anyhow::Result<Value> {
    let mut request = server.api.request(method, format!("{}/{path}", server.url()));
    if let Some(token) = token {
        request = request.bearer_auth(token.trim());
    }
    if !body.is_null() {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let text = done(request).await?.text().await?;
    if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
}

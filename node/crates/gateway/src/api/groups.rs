//! `/api/v1/admin/groups`: users together, who have a role and are named by policies together.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use datamesh_catalog::{Group, GroupName, Role, User, UserName};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listing::rfc3339;
use super::{App, incoming};
use crate::audit::Note;
use crate::problem::Problem;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewGroup")]
pub(super) struct Create {
    name: GroupName,
    /// What its members may do at least; absent: nothing besides what policies of buckets let it.
    role: Option<Role>,
}

/// What a group shall be.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "GroupChange")]
pub(super) struct Changed {
    /// Absent: it gives none.
    role: Option<Role>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Group")]
pub(super) struct Shown {
    name: GroupName,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// How many members it has.
    members: u32,
    created_at: String,
    /// Who they are, by name, where one group is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Vec<UserName>>,
}

impl Shown {
    fn new(group: Group, users: Option<Vec<User>>) -> Self {
        let Group { name, role, members, created_unix_ms } = group;
        let users = users.map(|users| users.into_iter().map(|user| user.name).collect());
        Self { name, role, members, created_at: rfc3339(created_unix_ms), users }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GroupList")]
pub(super) struct Listed {
    items: Vec<Shown>,
}

/// What is said of it in the audit.
fn described(role: Option<Role>) -> String {
    format!("role={}", role.map_or("none", Role::as_str))
}

/// `GET`: all, by name. They are few.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Listed>, Problem> {
    let items = app.accounts.groups().await?.into_iter().map(|group| Shown::new(group, None)).collect();
    Ok(Json(Listed { items }))
}

/// `POST`: makes one without members.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Create { name, role } = incoming::json(&headers, body).await?;
    note.target(format!("/api/v1/admin/groups/{name}"));
    note.detail(described(role));
    let group = app.accounts.create_group(name, role).await?;
    Ok((StatusCode::CREATED, Json(Shown::new(group, None))).into_response())
}

/// `GET` of one, with its members.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Shown>, Problem> {
    let (group, users) = app.accounts.group(&name).await?;
    Ok(Json(Shown::new(group, Some(users))))
}

/// `PUT` of one: its role, which its members have from their next request on.
pub(super) async fn change(
    State(app): State<Arc<App>>,
    Extension(note): Extension<Note>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Shown>, Problem> {
    let Changed { role } = incoming::json(&headers, body).await?;
    note.detail(described(role));
    Ok(Json(Shown::new(app.accounts.set_group_role(&name, role).await?, None)))
}

/// `DELETE` of one: its members stay users, and have its role no more.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    app.accounts.delete_group(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT` of a member: a user is one from then on.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    Path((name, user)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    app.accounts.add_to_group(&name, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE` of a member: their next request has the group's role no more.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Path((name, user)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    app.accounts.take_from_group(&name, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

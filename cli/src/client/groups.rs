use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Client, QUERY, json};
use crate::failure::Failure;

/// A group of users as the gateway shows one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Absent: it gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    pub(crate) members: u32,
    pub(crate) created_at: String,
    /// Who they are, where one group was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) users: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Groups {
    items: Vec<Group>,
}

fn path_of(name: &str) -> String {
    format!("/groups/{}", utf8_percent_encode(name, QUERY))
}

fn member_path(name: &str, user: &str) -> String {
    format!("{}/members/{}", path_of(name), utf8_percent_encode(user, QUERY))
}

impl Client {
    /// All groups.
    pub(crate) async fn groups(&self) -> Result<Vec<Group>, Failure> {
        Ok(json::<Groups>(self.as_administrator(Method::GET, "/groups", None).await?).await?.items)
    }

    /// A group with its members.
    pub(crate) async fn group(&self, name: &str) -> Result<Group, Failure> {
        json(self.as_administrator(Method::GET, &path_of(name), None).await?).await
    }

    /// Makes a group.
    pub(crate) async fn create_group(&self, name: &str, role: Option<&str>) -> Result<Group, Failure> {
        self.administrator_makes("/groups", Some(&json!({ "name": name, "role": role }))).await
    }

    /// Gives a group another role, or none.
    pub(crate) async fn set_group_role(&self, name: &str, role: Option<&str>) -> Result<Group, Failure> {
        let body = json!({ "role": role });
        json(self.as_administrator(Method::PUT, &path_of(name), Some(body)).await?).await
    }

    /// Deletes a group.
    pub(crate) async fn delete_group(&self, name: &str) -> Result<(), Failure> {
        self.as_administrator(Method::DELETE, &path_of(name), None).await.map(drop)
    }

    /// Makes a user a member.
    pub(crate) async fn add_to_group(&self, name: &str, user: &str) -> Result<(), Failure> {
        self.as_administrator(Method::PUT, &member_path(name, user), None).await.map(drop)
    }

    /// Takes a member out.
    pub(crate) async fn take_from_group(&self, name: &str, user: &str) -> Result<(), Failure> {
        self.as_administrator(Method::DELETE, &member_path(name, user), None).await.map(drop)
    }
}

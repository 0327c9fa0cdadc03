//! Users, as administrators see them: who there is, who may come.

use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::accounts::{Code, User};
use super::{Client, QUERY, json};
use crate::failure::Failure;

/// An invitation that was just made.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Invited {
    pub(crate) id: String,
    pub(crate) code: String,
    pub(crate) expires_at: String,
}

/// An invitation that counts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Invite {
    pub(crate) id: String,
    pub(crate) role: String,
    /// None: the administrator's token file.
    pub(crate) by: Option<String>,
    pub(crate) created_at: String,
    pub(crate) expires_at: String,
}

#[derive(Deserialize)]
struct Registration {
    registration: String,
}

#[derive(Deserialize)]
struct Invites {
    items: Vec<Invite>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Users {
    items: Vec<User>,
    next_cursor: Option<String>,
}

impl Client {
    /// All users.
    pub(crate) async fn users(&self) -> Result<Vec<User>, Failure> {
        let (mut all, mut query) = (Vec::new(), String::new());
        loop {
            let page: Users = self.administer(Method::GET, &format!("/users{query}")).await?;
            all.extend(page.items);
            let Some(next) = page.next_cursor else { return Ok(all) };
            query = format!("?cursor={}", utf8_percent_encode(&next, QUERY));
        }
    }

    /// Makes a user; gives the code by which they choose their password.
    pub(crate) async fn create_user(
        &self,
        name: &str,
        role: &str,
        email: Option<&str>,
    ) -> Result<Code, Failure> {
        let body = json!({ "name": name, "role": role, "email": email });
        self.administrator_makes("/users", Some(&body)).await
    }

    /// Changes a user's role, where mail reaches them, or whether they are refused.
    pub(crate) async fn change_user(&self, name: &str, change: Value) -> Result<User, Failure> {
        json(self.of_user(Method::PUT, &user_path(name), Some(change)).await?).await
    }

    /// Takes a user's password; gives the code by which they choose another.
    pub(crate) async fn reset_user(&self, name: &str) -> Result<Code, Failure> {
        self.administrator_makes(&format!("/users{}/reset", user_path(name)), None).await
    }

    /// Deletes a user.
    pub(crate) async fn delete_user(&self, name: &str) -> Result<(), Failure> {
        self.of_user(Method::DELETE, &user_path(name), None).await.map(drop)
    }

    /// Ends a user's sessions.
    pub(crate) async fn end_sessions(&self, name: &str) -> Result<(), Failure> {
        self.of_user(Method::DELETE, &format!("{}/sessions", user_path(name)), None).await.map(drop)
    }

    /// Takes a user's second factor away.
    pub(crate) async fn clear_second_factor(&self, name: &str) -> Result<(), Failure> {
        self.of_user(Method::DELETE, &format!("{}/second-factor", user_path(name)), None).await.map(drop)
    }

    /// Makes an invitation.
    pub(crate) async fn invite(&self, role: &str) -> Result<Invited, Failure> {
        let body = json!({ "role": role });
        self.administrator_makes("/invites", Some(&body)).await
    }

    /// Those that count.
    pub(crate) async fn invites(&self) -> Result<Vec<Invite>, Failure> {
        Ok(json::<Invites>(self.as_administrator(Method::GET, "/invites", None).await?).await?.items)
    }

    /// Takes one back.
    pub(crate) async fn revoke_invite(&self, id: &str) -> Result<(), Failure> {
        let path = format!("/invites/{}", utf8_percent_encode(id, QUERY));
        self.as_administrator(Method::DELETE, &path, None).await.map(drop)
    }

    /// Who may become a user by themselves; says so first where it is given.
    pub(crate) async fn registration(&self, who: Option<&str>) -> Result<String, Failure> {
        let answer = match who {
            None => self.as_administrator(Method::GET, "/registration", None).await?,
            Some(who) => {
                let body = json!({ "registration": who });
                self.as_administrator(Method::PUT, "/registration", Some(body)).await?
            }
        };
        Ok(json::<Registration>(answer).await?.registration)
    }
}

pub(super) fn user_path(name: &str) -> String {
    format!("/{}", utf8_percent_encode(name, QUERY))
}

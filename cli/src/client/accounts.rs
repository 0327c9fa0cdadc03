//! Accounts: signing in, one's own sessions and tokens, and users for administrators.

use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Client, QUERY, accepted, json};
use crate::failure::Failure;

/// A user as the gateway shows one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) role: String,
    pub(crate) disabled: bool,
    pub(crate) created_at: String,
    pub(crate) has_password: bool,
    pub(crate) failed_sign_ins: u32,
}

/// What somebody who signed in gets.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login {
    pub(crate) token: String,
    pub(crate) expires_at: String,
    pub(crate) user: User,
}

/// A code that counts once.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Code {
    pub(crate) code: String,
    pub(crate) expires_at: String,
}

/// A session or a token.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Credential {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) address: String,
    pub(crate) last_used_at: String,
    pub(crate) expires_at: String,
    pub(crate) current: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Users {
    items: Vec<User>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Credentials {
    items: Vec<Credential>,
}

impl Client {
    /// Signs in.
    pub(crate) async fn login(&self, name: &str, password: &str) -> Result<Login, Failure> {
        let body = json!({ "name": name, "password": password });
        let request = self.http.post(format!("{}/api/v1/auth/login", self.base)).json(&body);
        json(accepted(request.send().await?).await?).await
    }

    /// Chooses a password by a code.
    pub(crate) async fn choose_password(&self, code: &str, password: &str) -> Result<(), Failure> {
        let body = json!({ "code": code, "password": password });
        let request = self.http.post(format!("{}/api/v1/auth/reset", self.base)).json(&body);
        accepted(request.send().await?).await.map(drop)
    }

    /// Asks for something of one's own.
    async fn own(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<reqwest::Response, Failure> {
        let url = format!("{}/api/v1/auth{path}", self.base);
        let mut request = self.http.request(method, url).bearer_auth(self.config.own_token()?);
        if let Some(body) = body {
            request = request.json(&body);
        }
        accepted(request.send().await?).await
    }

    /// Ends the session that asks.
    pub(crate) async fn logout(&self) -> Result<(), Failure> {
        self.own(Method::POST, "/logout", None).await.map(drop)
    }

    /// Chooses another password.
    pub(crate) async fn change_password(&self, old: &str, new: &str) -> Result<(), Failure> {
        self.own(Method::POST, "/password", Some(json!({ "old": old, "new": new }))).await.map(drop)
    }

    /// One's own `sessions` or `tokens`.
    pub(crate) async fn credentials(&self, which: &str) -> Result<Vec<Credential>, Failure> {
        Ok(json::<Credentials>(self.own(Method::GET, &format!("/{which}"), None).await?).await?.items)
    }

    /// Ends one of them.
    pub(crate) async fn end_credential(&self, which: &str, id: &str) -> Result<(), Failure> {
        let path = format!("/{which}/{}", utf8_percent_encode(id, QUERY));
        self.own(Method::DELETE, &path, None).await.map(drop)
    }

    /// Makes a token. Asked once only: a second try would make a second one.
    pub(crate) async fn make_token(
        &self,
        name: &str,
        scopes: &[&str],
        days: u64,
    ) -> Result<Credential, Failure> {
        let body = json!({ "name": name, "scopes": scopes, "days": days });
        json(self.own(Method::POST, "/tokens", Some(body)).await?).await
    }

    /// Asks for something of a user's, as an administrator.
    async fn of_user(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<reqwest::Response, Failure> {
        let url = format!("{}/api/v1/admin/users{path}", self.base);
        let mut request = self.http.request(method, url).bearer_auth(self.config.admin_token()?);
        if let Some(body) = body {
            request = request.json(&body);
        }
        accepted(request.send().await?).await
    }

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
        json(self.of_user(Method::POST, "", Some(body)).await?).await
    }

    /// Changes a user's role, or whether they are refused.
    pub(crate) async fn change_user(&self, name: &str, change: Value) -> Result<User, Failure> {
        json(self.of_user(Method::PUT, &user_path(name), Some(change)).await?).await
    }

    /// Takes a user's password; gives the code by which they choose another.
    pub(crate) async fn reset_user(&self, name: &str) -> Result<Code, Failure> {
        json(self.of_user(Method::POST, &format!("{}/reset", user_path(name)), None).await?).await
    }

    /// Deletes a user.
    pub(crate) async fn delete_user(&self, name: &str) -> Result<(), Failure> {
        self.of_user(Method::DELETE, &user_path(name), None).await.map(drop)
    }

    /// Ends a user's sessions.
    pub(crate) async fn end_sessions(&self, name: &str) -> Result<(), Failure> {
        self.of_user(Method::DELETE, &format!("{}/sessions", user_path(name)), None).await.map(drop)
    }
}

fn user_path(name: &str) -> String {
    format!("/{}", utf8_percent_encode(name, QUERY))
}

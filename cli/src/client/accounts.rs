//! Accounts: signing in, one's own sessions and tokens, and users for administrators.

use percent_encoding::utf8_percent_encode;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
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

/// Who a token is for.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    /// `file`, `session` or `token`.
    pub(crate) via: String,
    pub(crate) role: String,
    /// Those that the user is in.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    /// What it may be used for; absent: for all that the role may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scopes: Option<Vec<String>>,
    /// Absent: nobody, for it is one of the cluster's own.
    pub(crate) user: Option<User>,
}

/// How a sign-in at a provider begins.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceBegun {
    pub(crate) handle: String,
    pub(crate) user_code: String,
    pub(crate) page: String,
    pub(crate) page_with_code: Option<String>,
    pub(crate) expires_in_seconds: u64,
    pub(crate) interval_seconds: u64,
}

/// What who waits for it is told.
pub(crate) enum Asked {
    /// To ask again; whether less often.
    Later { slower: bool },
    /// That they are signed in.
    In(Box<Login>),
}

#[derive(Deserialize)]
struct Later {
    slower: bool,
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

/// How a second factor is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecondFactor {
    pub(crate) enabled: bool,
    pub(crate) since: Option<String>,
    pub(crate) recovery_codes_left: usize,
}

/// A second factor that is offered.
#[derive(Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) secret: String,
    pub(crate) uri: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recovery {
    recovery_codes: Vec<String>,
}

#[derive(Deserialize)]
struct Credentials {
    items: Vec<Credential>,
}

impl Client {
    /// Signs in; `code`: of the second factor.
    pub(crate) async fn login(
        &self,
        name: &str,
        password: &str,
        code: Option<&str>,
    ) -> Result<Login, Failure> {
        let mut body = json!({ "name": name, "password": password });
        put_code(&mut body, code);
        let request = self.http.post(format!("{}/api/v1/auth/login", self.base)).json(&body);
        json(accepted(request.send().await?).await?).await
    }

    /// Asks whom a token is for.
    pub(crate) async fn profile_of(&self, token: &str) -> Result<Profile, Failure> {
        let request = self.http.get(format!("{}/api/v1/auth/profile", self.base)).bearer_auth(token);
        json(accepted(request.send().await?).await?).await
    }

    /// Becomes a user.
    pub(crate) async fn register(
        &self,
        (name, email): (&str, Option<&str>),
        password: &str,
        invite: Option<&str>,
    ) -> Result<(), Failure> {
        let body = json!({ "name": name, "email": email, "password": password, "invite": invite });
        let request = self.http.post(format!("{}/api/v1/auth/register", self.base)).json(&body);
        accepted(request.send().await?).await.map(drop)
    }

    /// Chooses a password by a code.
    pub(crate) async fn choose_password(&self, code: &str, password: &str) -> Result<(), Failure> {
        let body = json!({ "code": code, "password": password });
        let request = self.http.post(format!("{}/api/v1/auth/reset", self.base)).json(&body);
        accepted(request.send().await?).await.map(drop)
    }

    /// Begins a sign-in at a provider.
    pub(crate) async fn begin_device(&self, provider: &str) -> Result<DeviceBegun, Failure> {
        let request = self.http.post(self.device_url(provider));
        json(accepted(request.send().await?).await?).await
    }

    /// Asks whether somebody has signed in there.
    pub(crate) async fn ask_for_device(&self, provider: &str, handle: &str) -> Result<Asked, Failure> {
        let request = self.http.post(format!("{}/token", self.device_url(provider)));
        let answer = accepted(request.json(&json!({ "handle": handle })).send().await?).await?;
        if answer.status() == reqwest::StatusCode::ACCEPTED {
            return Ok(Asked::Later { slower: json::<Later>(answer).await?.slower });
        }
        Ok(Asked::In(Box::new(json(answer).await?)))
    }

    fn device_url(&self, provider: &str) -> String {
        format!("{}/api/v1/auth/oidc/{}/device", self.base, utf8_percent_encode(provider, QUERY))
    }

    /// Has a code to choose a password mailed, if there is such a user.
    pub(crate) async fn mail_code(&self, name: &str) -> Result<(), Failure> {
        let url = format!("{}/api/v1/auth/reset/mail", self.base);
        accepted(self.http.post(url).json(&json!({ "name": name })).send().await?).await.map(drop)
    }

    /// Asks for something of one's own.
    pub(super) async fn own(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<reqwest::Response, Failure> {
        accepted(self.own_request(method, path, body.as_ref())?.send().await?).await
    }

    pub(super) fn own_request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<RequestBuilder, Failure> {
        let url = format!("{}/api/v1/auth{path}", self.base);
        let request = self.http.request(method, url).bearer_auth(self.config.own_token()?);
        Ok(match body {
            Some(body) => request.json(body),
            None => request,
        })
    }

    /// Ends the session that asks. A token that is kept instead goes on until it is deleted.
    pub(crate) async fn logout(&self) -> Result<(), Failure> {
        if self.config.keeps_a_token() {
            return Ok(());
        }
        self.own(Method::POST, "/logout", None).await.map(drop)
    }

    /// Chooses another password.
    pub(crate) async fn change_password(&self, old: &str, new: &str) -> Result<(), Failure> {
        self.own(Method::POST, "/password", Some(json!({ "old": old, "new": new }))).await.map(drop)
    }

    /// Says where mail reaches one; empty: nowhere. Gives whether a code is mailed there first.
    pub(crate) async fn change_email(&self, email: &str, password: &str) -> Result<bool, Failure> {
        let body = json!({ "email": email, "password": password });
        let answer = self.own(Method::PUT, "/profile", Some(body)).await?;
        Ok(answer.status() == reqwest::StatusCode::ACCEPTED)
    }

    /// Confirms an address by a code.
    pub(crate) async fn confirm_email(&self, code: &str) -> Result<(), Failure> {
        let url = format!("{}/api/v1/auth/profile/email", self.base);
        accepted(self.http.post(url).json(&json!({ "code": code })).send().await?).await.map(drop)
    }

    /// How one's own second factor is.
    pub(crate) async fn second_factor(&self) -> Result<SecondFactor, Failure> {
        json(self.own(Method::GET, "/second-factor", None).await?).await
    }

    /// Asks for a second factor.
    pub(crate) async fn offer_second_factor(&self, password: &str) -> Result<Offer, Failure> {
        json(self.own(Method::POST, "/second-factor", Some(json!({ "password": password }))).await?).await
    }

    /// Makes it count, by a code of it; gives the recovery codes.
    pub(crate) async fn confirm_second_factor(&self, code: &str) -> Result<Vec<String>, Failure> {
        let body = json!({ "code": code });
        let confirm = || self.own_request(Method::POST, "/second-factor/confirm", Some(&body));
        Ok(self.makes::<Recovery>(confirm).await?.recovery_codes)
    }

    /// Removes it.
    pub(crate) async fn remove_second_factor(&self, password: &str, code: &str) -> Result<(), Failure> {
        let body = json!({ "password": password, "code": code });
        self.own(Method::POST, "/second-factor/remove", Some(body)).await.map(drop)
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

    /// Makes a token, by the password and, where there is a second factor, a code of it.
    pub(crate) async fn make_token(
        &self,
        name: &str,
        scopes: &[&str],
        days: u64,
        (password, code): (&str, Option<&str>),
    ) -> Result<Credential, Failure> {
        let mut body = json!({ "name": name, "scopes": scopes, "days": days, "password": password });
        put_code(&mut body, code);
        self.makes(|| self.own_request(Method::POST, "/tokens", Some(&body))).await
    }

    /// Asks for something of a user's, as an administrator.
    pub(super) async fn of_user(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<reqwest::Response, Failure> {
        self.as_administrator(method, &format!("/users{path}"), body).await
    }

    pub(super) async fn as_administrator(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<reqwest::Response, Failure> {
        accepted(self.administrators_request(method, path, body.as_ref())?.send().await?).await
    }

    fn administrators_request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<RequestBuilder, Failure> {
        let url = format!("{}/api/v1/admin{path}", self.base);
        let request = self.http.request(method, url).bearer_auth(self.config.admin_token()?);
        Ok(match body {
            Some(body) => request.json(body),
            None => request,
        })
    }

    /// Has something made, as an administrator.
    pub(super) async fn administrator_makes<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        self.makes(|| self.administrators_request(Method::POST, path, body)).await
    }
}

/// Puts a code of a second factor into a body, if there is one: gateways that know of none refuse the field.
pub(super) fn put_code(body: &mut Value, code: Option<&str>) {
    if let Some(code) = code {
        body["code"] = json!(code);
    }
}

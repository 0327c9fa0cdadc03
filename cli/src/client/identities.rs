//! Who one is, here and at providers.

use percent_encoding::utf8_percent_encode;
use reqwest::{Method, Response};
use serde::{Deserialize, Serialize};

use super::accounts::Profile;
use super::users::user_path;
use super::{Client, QUERY, json};
use crate::failure::Failure;

/// Who somebody is at a provider.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Absent: the gateway knows the provider no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<String>,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// They sign in by it no more, until they bind themselves anew.
    pub(crate) ended: bool,
}

#[derive(Deserialize)]
struct Own {
    items: Vec<Identity>,
}

#[derive(Deserialize)]
struct OfUser {
    identities: Vec<Identity>,
}

impl Client {
    /// Who the commands for files are to the gateway.
    pub(crate) async fn profile(&self) -> Result<Profile, Failure> {
        self.profile_of(self.config.token()?).await
    }

    /// One's own, or those of a user as an administrator.
    pub(crate) async fn identities(&self, of: Option<&str>) -> Result<Vec<Identity>, Failure> {
        let Some(name) = of else {
            return Ok(json::<Own>(self.own(Method::GET, "/identities", None).await?).await?.items);
        };
        let path = format!("/users{}", user_path(name));
        Ok(self.administer::<OfUser>(Method::GET, &path).await?.identities)
    }

    /// Unbinds who signed in from a provider, or a user as an administrator.
    pub(crate) async fn unbind(&self, provider: &str, of: Option<&str>) -> Result<(), Failure> {
        let path = format!("/identities/{}", utf8_percent_encode(provider, QUERY));
        let answer: Result<Response, _> = match of {
            None => self.own(Method::DELETE, &path, None).await,
            Some(name) => {
                let path = format!("/users{}{path}", user_path(name));
                self.as_administrator(Method::DELETE, &path, None).await
            }
        };
        answer.map(drop)
    }
}

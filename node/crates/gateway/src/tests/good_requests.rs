//! A right request to each route of the API, which must do what it asks for and answer as the description says. schemathesis makes requests of
//! the description alone, and knows of none whether it is right; here each route is known.

mod accounts;
mod administration;
mod elsewhere;
mod links;
mod objects;
mod sealed;

use std::collections::BTreeSet;

use axum::body::Body;
use http::Method;
use serde_json::Value;

use super::described;
use super::house::{ADMIN, Got, House};
use super::mail::MailServer;
use super::oidc::identities::Identities;
use crate::api::routes::ROUTES;
use crate::mail::Mailer;
use crate::oidc::Providers;
use datamesh_settings::mail::MailTls;

/// A house that has all there is, and which of its routes were asked.
struct Tour {
    house: House,
    mails: MailServer,
    identities: Identities,
    asked: BTreeSet<String>,
}

/// What is sent besides a path.
#[derive(Default)]
struct Sent<'a> {
    query: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: Body,
}

impl From<Value> for Sent<'_> {
    fn from(json: Value) -> Self {
        Self { body: json.to_string().into(), ..Self::default() }
    }
}

impl From<&'static str> for Sent<'_> {
    fn from(text: &'static str) -> Self {
        Self { body: text.into(), ..Self::default() }
    }
}

/// Nothing but a path.
const NOTHING: &str = "";

impl Tour {
    async fn begin() -> Self {
        let (mails, identities) = (MailServer::start("implicit", ("", "")), Identities::start());
        let mailer = Mailer::open(mails.settings(MailTls::Implicit)).unwrap();
        let provider = identities.settings("work", "datamesh");
        let providers = Providers::open(Some(super::oidc::PUBLIC_URL), &[provider]).unwrap();
        let house = House::whole(mailer, providers).await;
        Self { house, mails, identities, asked: BTreeSet::new() }
    }

    /// Asks a route, `GET /api/v1/…`, with these in the places of its parameters. It must do it.
    async fn ask<'a>(
        &mut self,
        whose: Option<&str>,
        route: &str,
        fill: &[&str],
        sent: impl Into<Sent<'a>>,
    ) -> Got {
        let Sent { query, headers, body } = sent.into();
        let (method, pattern) = route.split_once(' ').unwrap();
        assert!(ROUTES.iter().any(|one| one.method == method && one.path == pattern), "{route} is none");
        let mut fill = fill.iter();
        let parts =
            pattern.split('/').map(|part| if part.starts_with('{') { *fill.next().unwrap() } else { part });
        let path = parts.collect::<Vec<_>>().join("/") + query;
        assert_eq!(fill.next(), None, "{route}");
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let got = self.house.ask_as(whose, method.clone(), &path, (headers, body)).await;
        let status = got.status.as_u16();
        assert!(described::is_promised(&method, pattern, status), "{route}: {status}: {:?}", got.body);
        self.asked.insert(route.to_owned());
        got
    }

    /// As the administrator's file.
    async fn admin<'a>(&mut self, route: &str, fill: &[&str], sent: impl Into<Sent<'a>>) -> Got {
        self.ask(Some(ADMIN), route, fill, sent).await
    }
}

fn text(json: &Value, field: &str) -> String {
    json[field].as_str().unwrap_or_else(|| panic!("no {field} in {json}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_does_what_a_right_request_asks_for() {
    let mut tour = Tour::begin().await;
    objects::of_the_default_bucket(&mut tour).await;
    objects::of_a_bucket(&mut tour).await;
    objects::uploads(&mut tour).await;
    sealed::of_a_private_bucket(&mut tour).await;
    accounts::one_s_own(&mut tour).await;
    accounts::second_factor(&mut tour).await;
    links::all(&mut tour).await;
    elsewhere::sign_in(&mut tour).await;
    administration::of_people(&mut tour).await;
    administration::of_groups(&mut tour).await;
    administration::of_the_cluster(&mut tour).await;
    let all: BTreeSet<_> = ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let missing: Vec<_> = all.difference(&tour.asked).collect();
    assert!(missing.is_empty(), "no right request is made to {missing:?}");
}

//! Users by a mail server and a provider of OpenID Connect beside the cluster, as others run them. Who registers proves an address
//! and chooses another password by codes that were mailed; a device signs in at the provider.

#[path = "../../../node/crates/gateway/src/tests/oidc/identities.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "devices need a part of it; it is for tests"
)]
mod identities;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use datamesh_e2e::cluster::Cluster;
use datamesh_e2e::gateway::Gateway;
use datamesh_e2e::mail::MailServer;
use datamesh_e2e::second::SECOND;
use datamesh_e2e::wait;
use identities::Identities;
use k8s_openapi::api::core::v1::Secret;
use reqwest::Method;
use serde_json::{Value, json};

const SPACE: &str = "datamesh-e2e-users";
/// Where browsers would come back to; devices do not.
const PUBLIC_URL: &str = "https://datamesh.test";
const EMAIL: &str = "ann@example.org";
/// A device may ask every five seconds.
const DEVICE_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn check(cluster: &Cluster) -> anyhow::Result<()> {
    let outcome = sign_in(cluster).await;
    cluster.leave_second(SPACE, "users_sign_in", outcome).await
}

async fn sign_in(cluster: &Cluster) -> anyhow::Result<()> {
    let mut mail = MailServer::start(cluster).await?;
    let address = cluster.address_for_pods().await?.to_string();
    let identities = Identities::start_at(Some(&address));
    let oidc = json!([{
        "name": "work", "issuer": identities.issuer(), "clientId": "datamesh", "secretRef": {"name": "work"},
        "scopes": ["profile"], "devices": true, "register": true,
    }]);
    let gateway = json!({"publicUrl": PUBLIC_URL, "mail": mail.spec("mail"), "oidc": oidc});
    cluster.make_second_with(SPACE, json!({"gateway": gateway}), json!({})).await?;
    mail.make_secret(cluster, SPACE, "mail").await?;
    make_secret_of(&identities, cluster).await?;
    cluster.until_gateways_whole(SPACE, 1).await?;

    let door = cluster.gateway_of(SPACE, SECOND).await?;
    by_mail(&door.gateway, &mut mail).await?;
    by_a_device(&door.gateway, &identities).await
}

async fn make_secret_of(identities: &Identities, cluster: &Cluster) -> anyhow::Result<()> {
    let file = |name: &str| std::fs::read_to_string(identities.file(name));
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "work"}, "stringData": {"client-secret": file("secret")?, "ca.crt": file("crt")?},
    }))?;
    cluster.api::<Secret>(SPACE).create(&Default::default(), &secret).await?;
    Ok(())
}

/// Registers, proves an address, forgets the password, and signs in with another.
async fn by_mail(gateway: &Gateway, mail: &mut MailServer) -> anyhow::Result<()> {
    let admin = gateway.access().admin_token.clone();
    let open = json!({"registration": "open"});
    gateway.tell(Method::PUT, "admin/registration", Some(&admin), &open).await?;
    let ann = json!({"name": "ann", "password": "a password to forget", "email": EMAIL});
    let tell = async |path: &str, body: Value| gateway.tell(Method::POST, path, None, &body).await;
    tell("auth/register", ann).await?;
    let code = mail.word(EMAIL, "dma_").await?;
    tell("auth/profile/email", json!({ "code": code })).await?;
    tell("auth/reset/mail", json!({"name": "ann"})).await?;
    let code = mail.word(EMAIL, "dmr_").await?;
    tell("auth/reset", json!({"code": code, "password": "another password"})).await?;
    let forgotten = json!({"name": "ann", "password": "a password to forget"});
    ensure!(tell("auth/login", forgotten).await.is_err(), "the old password still counts");
    let signed_in = tell("auth/login", json!({"name": "ann", "password": "another password"})).await?;
    let token = signed_in["token"].as_str().context("no session")?;
    let profile = gateway.tell(Method::GET, "auth/profile", Some(token), &Value::Null).await?;
    ensure!(profile["user"]["email"] == EMAIL, "the address is not proven: {profile}");
    Ok(())
}

async fn by_a_device(gateway: &Gateway, identities: &Identities) -> anyhow::Result<()> {
    let tell = async |path: &str, body: Value| gateway.tell(Method::POST, path, None, &body).await;
    let begun = tell("auth/oidc/work/device", Value::Null).await?;
    let page = begun["pageWithCode"].as_str().context("no page")?;
    identities.person("alice").allows(page).await;
    wait::until("the device is signed in", DEVICE_TIMEOUT, async || {
        let got = tell("auth/oidc/work/device/token", json!({"handle": begun["handle"]})).await?;
        ensure!(got["user"]["name"] == "alice" && got["token"].is_string(), "not yet");
        Ok(())
    })
    .await
}

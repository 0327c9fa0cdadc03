//! Secrets of a cluster: key, tokens, CA, certificate.

use std::collections::BTreeMap;

use datamesh_crds::label;
use datamesh_seal::ClusterSecret;
use jiff::civil::Date;
use k8s_openapi::api::core::v1::Secret;

use super::BuildError;
use crate::certificates::{self, Issued};
use crate::cluster::dereference::Found;
use crate::cluster::validate::ValidCluster;
use crate::secrets::{self, annotation, text_of};
use crate::{names, pod};

/// The key, without an owner: it stays as long as the volumes it opens.
pub(crate) fn cluster_key(cluster: &ValidCluster, key: &ClusterSecret) -> Secret {
    let family = &cluster.family;
    let mut secret = Secret {
        metadata: family.kept(names::cluster_key(&family.cluster), family.labels()),
        data: secrets::data(&[(names::KEY_FIELD, &key.to_hex())]),
        type_: Some("Opaque".into()),
        ..Secret::default()
    };
    annotate(&mut secret, &[(label::FINGERPRINT, &key.fingerprint())]);
    secret
}

/// The bearer tokens, unless they exist.
pub(super) fn tokens(cluster: &ValidCluster, found: &Found) -> Result<Option<Secret>, BuildError> {
    if found.tokens.is_some() {
        return Ok(None);
    }
    let (token, admin_token) = (secrets::random_token()?, secrets::random_token()?);
    let fields = [(names::TOKEN_FIELD, token.as_str()), (names::ADMIN_TOKEN_FIELD, admin_token.as_str())];
    Ok(Some(owned(cluster, names::tokens(&cluster.family.cluster), "Opaque", &fields)))
}

/// Own CA and the gateway's certificate, as far as they are missing, due for renewal or for other names.
pub(super) fn certificates(
    cluster: &ValidCluster,
    found: &Found,
    today: Date,
) -> Result<Vec<Secret>, BuildError> {
    if cluster.given_tls.is_some() {
        return Ok(Vec::new());
    }
    let mut made = Vec::new();
    let ca = match found.ca.as_ref().and_then(|secret| kept_ca(secret, today)) {
        Some(ca) => ca,
        None => {
            let key = found.ca.as_ref().and_then(|secret| text_of(secret, "ca.key"));
            let issued =
                certificates::make_ca(&ca_name(cluster), key.as_ref().map(|key| key.as_str()), today)?;
            made.push(ca_secret(cluster, &issued));
            issued
        }
    };
    let host_names = host_names(cluster, &found.addresses);
    let issued_for =
        pod::short_hash(format!("{}\n{}", host_names.join("\n"), ca.certificate.trim_end()).as_bytes());
    let kept = found.tls.as_ref().is_some_and(|secret| {
        annotation(secret, label::ISSUED_FOR) == Some(&issued_for)
            && text_of(secret, "tls.key").is_some()
            && !certificates::leaf_due(not_after(secret), today)
    });
    if !kept {
        let leaf = certificates::issue(&ca_name(cluster), &ca.key, &host_names, today)?;
        made.push(tls_secret(cluster, &leaf, &ca.certificate, &issued_for));
    }
    Ok(made)
}

fn kept_ca(secret: &Secret, today: Date) -> Option<Issued> {
    let not_after = not_after(secret)?;
    if certificates::ca_due(Some(not_after), today) {
        return None;
    }
    let certificate = format!("{}\n", text_of(secret, "ca.crt")?.as_str());
    Some(Issued { certificate, key: text_of(secret, "ca.key")?, not_after })
}

fn not_after(secret: &Secret) -> Option<Date> {
    annotation(secret, label::NOT_AFTER)?.parse().ok()
}

fn ca_name(cluster: &ValidCluster) -> String {
    format!("DataMesh CA {}", cluster.settings_name)
}

/// All names a client may call the gateway by.
fn host_names(cluster: &ValidCluster, addresses: &[String]) -> Vec<String> {
    let (service, namespace) = (names::gateway(&cluster.family.cluster), &cluster.family.namespace);
    let host = names::service_host(&service, namespace);
    let inside = [host.clone(), format!("{host}.cluster.local"), format!("{service}.{namespace}"), service];
    let local = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    // A bucket is a name of its own below the domain.
    let domain = cluster.s3.iter().flat_map(|s3| &s3.domain);
    let buckets = domain.flat_map(|domain| [domain.clone(), format!("*.{domain}")]);
    inside.into_iter().chain(local).chain(addresses.iter().cloned()).chain(buckets).collect()
}

fn ca_secret(cluster: &ValidCluster, ca: &Issued) -> Secret {
    let fields = [("ca.crt", ca.certificate.as_str()), ("ca.key", ca.key.as_str())];
    let mut secret = owned(cluster, names::ca(&cluster.family.cluster), "Opaque", &fields);
    annotate(&mut secret, &[(label::NOT_AFTER, &ca.not_after.to_string())]);
    secret
}

fn tls_secret(cluster: &ValidCluster, leaf: &Issued, ca: &str, issued_for: &str) -> Secret {
    let fields = [("tls.crt", leaf.certificate.as_str()), ("tls.key", leaf.key.as_str()), ("ca.crt", ca)];
    let mut secret =
        owned(cluster, names::gateway_tls(&cluster.family.cluster), "kubernetes.io/tls", &fields);
    annotate(
        &mut secret,
        &[(label::NOT_AFTER, &leaf.not_after.to_string()), (label::ISSUED_FOR, issued_for)],
    );
    secret
}

fn owned(cluster: &ValidCluster, name: String, type_: &str, fields: &[(&str, &str)]) -> Secret {
    Secret {
        metadata: cluster.family.owned(name, cluster.family.labels()),
        data: secrets::data(fields),
        type_: Some(type_.into()),
        ..Secret::default()
    }
}

fn annotate(secret: &mut Secret, annotations: &[(&str, &str)]) {
    let pairs = annotations.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
    secret.metadata.annotations.get_or_insert_with(BTreeMap::new).extend(pairs);
}

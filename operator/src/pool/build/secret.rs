//! A node's join token.

use k8s_openapi::api::core::v1::Secret;

use super::stateful_set::labels;
use crate::names;
use crate::pool::validate::{Identity, ValidPool};
use crate::secrets::{self, NoEntropy};

/// A fresh token; it is stored only where none is yet.
pub(super) fn join(pool: &ValidPool, identity: &Identity) -> Result<Secret, NoEntropy> {
    let token = pool.key.mint_join_token(&identity.node, &pool.name, secrets::random_bytes()?);
    Ok(Secret {
        metadata: pool.family.owned(names::join(identity.node.as_str()), labels(pool, identity)),
        data: secrets::data(&[(names::JOIN_FIELD, token.as_str())]),
        type_: Some("Opaque".into()),
        ..Secret::default()
    })
}

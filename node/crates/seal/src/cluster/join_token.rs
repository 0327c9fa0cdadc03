use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datamesh_shard::{NodeName, PoolName};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::ClusterSecret;
use crate::context::{JOIN_TOKEN, keyed};

/// Names the format and its version, so that a token in the wrong place is recognised.
const PREFIX: &str = "dmj1_";
const NONCE_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
/// Base64 characters of nonce and code: 48 bytes without padding.
const BODY_CHARS: usize = 64;

/// A text that lets one node join one pool. Zeroed when dropped; its `Debug` does not show it.
#[derive(Clone)]
pub struct JoinToken(Zeroizing<String>);

impl JoinToken {
    /// The token itself, to be handed to its node and shown nowhere.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinToken(…)")
    }
}

/// Why a text lets nobody in. The text is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinTokenError {
    /// Not of a token's form.
    #[error("this is no join token: one is {PREFIX:?} and {BODY_CHARS} characters")]
    Malformed,
    /// Made for another node or pool, by another cluster, or by nobody.
    #[error("the join token is not this cluster's for this node and pool")]
    Rejected,
}

fn mac(secret: &ClusterSecret, node: &NodeName, pool: &PoolName, nonce: &[u8]) -> Zeroizing<[u8; MAC_BYTES]> {
    let bytes = |name: &str| (name.len() as u64).to_le_bytes();
    let (node, pool) = (node.as_str(), pool.as_str());
    let parts = [nonce, &bytes(node), node.as_bytes(), &bytes(pool), pool.as_bytes()];
    keyed(&secret.derive(JOIN_TOKEN), &parts)
}

pub(super) fn mint(
    secret: &ClusterSecret,
    node: &NodeName,
    pool: &PoolName,
    nonce: [u8; NONCE_BYTES],
) -> JoinToken {
    let mut body = Zeroizing::new([0; NONCE_BYTES + MAC_BYTES]);
    body[..NONCE_BYTES].copy_from_slice(&nonce);
    body[NONCE_BYTES..].copy_from_slice(&mac(secret, node, pool, &nonce)[..]);
    let mut token = Zeroizing::new(String::with_capacity(PREFIX.len() + BODY_CHARS));
    token.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(&body[..], &mut token);
    JoinToken(token)
}

pub(super) fn check(
    secret: &ClusterSecret,
    token: &str,
    node: &NodeName,
    pool: &PoolName,
) -> Result<[u8; NONCE_BYTES], JoinTokenError> {
    let body = token
        .strip_prefix(PREFIX)
        .filter(|body| body.len() == BODY_CHARS)
        .ok_or(JoinTokenError::Malformed)?;
    let mut bytes = Zeroizing::new([0; NONCE_BYTES + MAC_BYTES]);
    let decoded =
        URL_SAFE_NO_PAD.decode_slice(body, &mut bytes[..]).map_err(|_| JoinTokenError::Malformed)?;
    if decoded != bytes.len() {
        return Err(JoinTokenError::Malformed);
    }
    let mut nonce = [0; NONCE_BYTES];
    nonce.copy_from_slice(&bytes[..NONCE_BYTES]);
    if !bool::from(mac(secret, node, pool, &nonce)[..].ct_eq(&bytes[NONCE_BYTES..])) {
        return Err(JoinTokenError::Rejected);
    }
    Ok(nonce)
}

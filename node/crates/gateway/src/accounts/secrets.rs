//! How sessions, tokens, codes and the secrets of links are written: four characters that say what it is, then 80 of Base64: the user's id and the
//! credential's, by which its row is found, 32 random bytes, and a checksum, by which scanners of sources and logs tell it from
//! chance.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crc_fast::{CrcAlgorithm, checksum};
use datamesh_catalog::{CredentialId, CredentialKind, UserId};
use datamesh_seal::{ClusterSecret, Random};
use zeroize::{Zeroize as _, Zeroizing};

const PREFIX_CHARS: usize = 4;
const BODY_CHARS: usize = 80;
const BODY_BYTES: usize = 60;
const SIGNED_BYTES: usize = 56;

/// What the text of a code that proves an address of mail begins with.
pub(super) const ADDRESS_PREFIX: &str = "dma_";

/// What the text of a credential of this kind begins with.
pub(super) fn prefix_of(kind: &CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Session { .. } => "dms_",
        CredentialKind::Token { .. } => "dmt_",
        CredentialKind::Reset => "dmr_",
        CredentialKind::Invite { .. } => "dmi_",
    }
}

/// What the secret of a link begins with.
pub(crate) const SHARE_PREFIX: &str = "dml_";

/// A credential's text as it was read: where its row is, and what is held against it.
pub(super) struct Presented<'a> {
    pub(super) prefix: &'a str,
    pub(super) user: UserId,
    pub(super) id: CredentialId,
    secret: Zeroizing<[u8; 32]>,
}

impl<'a> Presented<'a> {
    /// A fresh one.
    pub(super) fn fresh(prefix: &'a str, user: UserId, random: &dyn Random) -> Self {
        let (mut id, mut secret) = ([0; 8], Zeroizing::new([0; 32]));
        random.fill(&mut id);
        random.fill(&mut secret[..]);
        Self { prefix, user, id: CredentialId(id), secret }
    }

    /// Reads one; `None` when it is none.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let (prefix, body) = text.split_at_checked(PREFIX_CHARS)?;
        let mut bytes = Zeroizing::new([0; BODY_BYTES]);
        if body.len() != BODY_CHARS || URL_SAFE_NO_PAD.decode_slice(body, &mut bytes[..]) != Ok(BODY_BYTES) {
            return None;
        }
        let (signed, sum) = bytes.split_at(SIGNED_BYTES);
        if sum != checksum_of(prefix, signed) {
            return None;
        }
        let (user, id) = (signed[..16].try_into().ok()?, signed[16..24].try_into().ok()?);
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(&signed[24..]);
        Some(Self { prefix, user: UserId(user), id: CredentialId(id), secret })
    }

    /// Its text.
    pub(super) fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; BODY_BYTES]);
        bytes[..16].copy_from_slice(&self.user.0);
        bytes[16..24].copy_from_slice(&self.id.0);
        bytes[24..SIGNED_BYTES].copy_from_slice(&self.secret[..]);
        let sum = checksum_of(self.prefix, &bytes[..SIGNED_BYTES]);
        bytes[SIGNED_BYTES..].copy_from_slice(&sum);
        let mut text = Zeroizing::new(String::with_capacity(PREFIX_CHARS + BODY_CHARS));
        text.push_str(self.prefix);
        URL_SAFE_NO_PAD.encode_string(&bytes[..], &mut text);
        text
    }

    /// What its row has of it.
    pub(super) fn hash(&self, secret: &ClusterSecret) -> [u8; 32] {
        let mut id = [0; 24];
        id[..16].copy_from_slice(&self.user.0);
        id[16..].copy_from_slice(&self.id.0);
        secret.credential_hash(&id, &self.secret)
    }
}

/// CRC-32 of prefix and bytes, big-endian.
fn checksum_of(prefix: &str, signed: &[u8]) -> [u8; 4] {
    let mut all = [prefix.as_bytes(), signed].concat();
    let sum = checksum(CrcAlgorithm::Crc32IsoHdlc, &all);
    all.zeroize();
    u32::try_from(sum).unwrap_or_default().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use datamesh_seal::SystemRandom;

    use super::*;

    #[test]
    fn a_text_reads_as_it_was_written_and_no_other_does() {
        let secret = ClusterSecret::generate();
        let made = Presented::fresh("dms_", UserId([7; 16]), &SystemRandom);
        let text = made.text();
        let read = Presented::read(&text).unwrap();
        assert_eq!((read.prefix, read.user, read.id), ("dms_", made.user, made.id));
        assert_eq!(read.hash(&secret), made.hash(&secret));
        assert_ne!(
            read.hash(&secret),
            Presented::fresh("dms_", UserId([7; 16]), &SystemRandom).hash(&secret)
        );
        for at in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert!(Presented::read(std::str::from_utf8(&other).unwrap()).is_none(), "changed at {at}");
            assert!(Presented::read(&text[..at]).is_none(), "cut at {at}");
        }
        assert!(Presented::read(&format!("{}A", &*text)).is_none());
        assert!(Presented::read("äää").is_none());
    }

    #[test]
    fn the_form_stays() {
        let secret = Zeroizing::new([3; 32]);
        let text =
            Presented { prefix: "dmt_", user: UserId([1; 16]), id: CredentialId([2; 8]), secret }.text();
        let fixed = "dmt_AQEBAQEBAQEBAQEBAQEBAQICAgICAgICAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwOTPO-y";
        assert_eq!((&**text, text.len()), (fixed, 84));
    }
}

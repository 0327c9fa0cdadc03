//! The second implementation of the formats, written from their description over RustCrypto's ciphers; it shares no line
//! with the crate.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, reason = "test support")]

use aes_gcm::aead::{Aead, KeyInit, Payload};

pub(crate) const FRAME: usize = 65_536;

/// The fields of a seal header and what its frames hold.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) suite: u8,
    pub(crate) compression: u8,
    pub(crate) flags: u8,
    pub(crate) plain_bytes: u32,
    pub(crate) stored: Vec<u8>,
}

pub(crate) fn derive(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    blake3::derive_key(context, &parts.concat())
}

fn nonce(frame: usize, frames: usize) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[7..11].copy_from_slice(&u32::try_from(frame).unwrap().to_be_bytes());
    nonce[11] = u8::from(frame + 1 == frames);
    nonce
}

fn aead(suite: u8, key: &[u8; 32], nonce: [u8; 12], aad: &[u8], msg: &[u8], seal: bool) -> Option<Vec<u8>> {
    let payload = Payload { msg, aad };
    let nonce = (&nonce).into();
    match (suite, seal) {
        (1, true) => aes_gcm::Aes256Gcm::new(key.into()).encrypt(nonce, payload).ok(),
        (1, false) => aes_gcm::Aes256Gcm::new(key.into()).decrypt(nonce, payload).ok(),
        (2, true) => chacha20poly1305::ChaCha20Poly1305::new(key.into()).encrypt(nonce, payload).ok(),
        (2, false) => chacha20poly1305::ChaCha20Poly1305::new(key.into()).decrypt(nonce, payload).ok(),
        _ => None,
    }
}

impl Segment {
    pub(crate) fn plain(suite: u8, plain: &[u8]) -> Self {
        let plain_bytes = u32::try_from(plain.len()).unwrap();
        Self { suite, compression: 0, flags: 0, plain_bytes, stored: plain.to_vec() }
    }

    pub(crate) fn fields(&self) -> Vec<u8> {
        let stored_bytes = u32::try_from(self.stored.len()).unwrap();
        let mut fields = vec![1, self.suite, self.compression, self.flags];
        fields.extend(self.plain_bytes.to_le_bytes());
        fields.extend(stored_bytes.to_le_bytes());
        fields
    }

    pub(crate) fn derived_key(&self, secret: &[u8; 32], version: u32) -> [u8; 32] {
        let context = "datamesh.io 2026 derived segment keys of a bucket v1";
        let key = derive(context, &[secret, &version.to_le_bytes()]);
        blake3::keyed_hash(&key, &[self.fields(), self.stored.clone()].concat()).into()
    }

    pub(crate) fn seal(&self, key: &[u8; 32]) -> Vec<u8> {
        let fields = self.fields();
        let mut out = fields.clone();
        out.extend(derive("datamesh.io 2026 segment key commitment v1", &[key, &fields]));
        out.extend(&blake3::hash(&fields).as_bytes()[..4]);
        let header = out.clone();
        let key = aead_key(key, &fields);
        let frames = self.stored.len().div_ceil(FRAME);
        for (frame, text) in self.stored.chunks(FRAME).enumerate() {
            out.extend(aead(self.suite, &key, nonce(frame, frames), &header, text, true).unwrap());
        }
        out
    }
}

/// The key that seals the frames behind a header with these fields.
pub(crate) fn aead_key(key: &[u8; 32], fields: &[u8]) -> [u8; 32] {
    derive("datamesh.io 2026 segment aead key v1", &[key, fields])
}

/// The bytes inside the frames of a sealed segment.
pub(crate) fn open(key: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
    let (header, body) = sealed.split_at(48);
    let key = aead_key(key, &header[..12]);
    let frames = body.len().div_ceil(FRAME + 16);
    let mut stored = Vec::new();
    for (frame, text) in body.chunks(FRAME + 16).enumerate() {
        stored.extend(aead(header[1], &key, nonce(frame, frames), header, text, false)?);
    }
    Some(stored)
}

pub(crate) fn seal_record(
    secret: &[u8; 32],
    version: u32,
    id: &[u8; 16],
    aad: &[u8],
    plain: &[u8],
) -> Vec<u8> {
    let version = version.to_le_bytes();
    let salt_key = derive("datamesh.io 2026 record salts of a bucket v1", &[secret, &version]);
    let aad_bytes = u64::try_from(aad.len()).unwrap().to_le_bytes();
    let hash = blake3::keyed_hash(&salt_key, &[id, &aad_bytes[..], aad, plain].concat());
    let salt = &hash.as_bytes()[..16];
    let mut out = vec![1, 1];
    out.extend(version);
    out.extend(salt);
    out.extend(derive("datamesh.io 2026 record key commitment v1", &[secret, &version, id, salt]));
    let key = derive("datamesh.io 2026 record key v1", &[secret, &version, id, salt]);
    let bound = [&out, aad].concat();
    out.extend(aead(1, &key, nonce(0, 1), &bound, plain, true).unwrap());
    out
}

pub(crate) fn wrap(
    cluster: &[u8; 32],
    secret: &[u8; 32],
    version: u32,
    bucket: u64,
    salt: &[u8; 32],
) -> Vec<u8> {
    let mut out = vec![1, 1];
    out.extend(&derive("datamesh.io 2026 cluster secret fingerprint v1", &[cluster])[..8]);
    out.extend(salt);
    let key = derive("datamesh.io 2026 bucket secret wrapping v1", &[cluster, salt]);
    let bound = [&out[..], &bucket.to_le_bytes(), &version.to_le_bytes()].concat();
    out.extend(aead(1, &key, nonce(0, 1), &bound, secret, true).unwrap());
    out
}

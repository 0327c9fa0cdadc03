//! What a node keeps of its membership on its volume: its certificate and its pools' layouts.

use std::sync::Arc;

use datamesh_placement::SignedLayout;
use datamesh_seal::SignedCertificate;
use datamesh_shard::PoolName;
use datamesh_store::Durability;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::encoding::whole;
use crate::swarm::{RecordBytes, RecordBytesError};

/// First byte of each kept value.
const VERSION: u8 = 1;
const CERTIFICATE: &[u8] = b"mesh/certificate";
const LAYOUTS: &[u8] = b"mesh/layout/";

#[derive(Clone)]
pub(super) struct Kept {
    records: Arc<dyn RecordBytes>,
}

impl Kept {
    pub(super) fn new(records: Arc<dyn RecordBytes>) -> Self {
        Self { records }
    }

    pub(super) fn certificate(&self) -> Result<Option<SignedCertificate>, RecordBytesError> {
        Ok(self.records.get(CERTIFICATE)?.and_then(|bytes| decode("certificate", &bytes)))
    }

    pub(super) fn keep_certificate(&self, certificate: &SignedCertificate) {
        self.keep(CERTIFICATE, "certificate", certificate);
    }

    pub(super) fn layouts(&self) -> Result<Vec<SignedLayout>, RecordBytesError> {
        let stored = self.records.iter(LAYOUTS)?;
        Ok(stored.iter().filter_map(|(_, bytes)| decode("layout", bytes)).collect())
    }

    pub(super) fn keep_layout(&self, pool: &PoolName, layout: &SignedLayout) {
        self.keep(&[LAYOUTS, pool.as_str().as_bytes()].concat(), "layout", layout);
    }

    /// What is not kept is fetched anew by the next join: worth a warning, no reason to fail. Synced: a node that forgot
    /// a layout would take shards by the one before. Rare enough to wait for the disk wherever this is called.
    fn keep<T: Serialize>(&self, key: &[u8], what: &'static str, value: &T) {
        match encode(value).map(|bytes| self.records.put(key, &bytes, Durability::Synced)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(what, %error, "not kept over a restart"),
            Err(error) => tracing::warn!(what, %error, "cannot be encoded"),
        }
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(value, vec![VERSION])
}

pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Option<T> {
    let decoded = match bytes.split_first() {
        Some((&VERSION, body)) => whole(body).ok(),
        _ => None,
    };
    if decoded.is_none() {
        tracing::warn!(what, "what was kept cannot be read; it is fetched anew");
    }
    decoded
}

use datamesh_settings::audit::{AuditEntry, TEXT_BYTES_MAX};
use serde::{Deserialize, Serialize};

use super::Record;

/// An entry of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// What was done.
    pub entry: AuditEntry,
    /// The chain's link after it.
    pub link: [u8; 32],
}

impl Record for AuditRecord {
    const NAME: &'static str = "audit entry";

    fn check(&self) -> Result<(), &'static str> {
        let AuditEntry {
            at_unix_ms: _,
            actor,
            user,
            credential,
            action,
            target,
            detail,
            address,
            request,
            status: _,
        } = &self.entry;
        let texts = [actor, user, credential, action, target, detail, address, request];
        if texts.iter().any(|text| text.len() > TEXT_BYTES_MAX) { Err("a text is too long") } else { Ok(()) }
    }
}

/// How far a chain of the audit goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHeadRecord {
    /// Its entries.
    pub count: u64,
    /// The link after the last.
    pub link: [u8; 32],
    /// The cluster's signature over both.
    #[serde(with = "super::bytes")]
    pub signature: Vec<u8>,
}

/// How much was cut off a chain of the audit: as a head, of what is not there any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuditCutRecord(pub AuditHeadRecord);

impl Record for AuditCutRecord {
    const NAME: &'static str = "audit cut";

    fn check(&self) -> Result<(), &'static str> {
        self.0.check()
    }
}

impl Record for AuditHeadRecord {
    const NAME: &'static str = "audit head";

    fn check(&self) -> Result<(), &'static str> {
        if self.signature.len() == 64 { Ok(()) } else { Err("a signature has 64 bytes") }
    }
}

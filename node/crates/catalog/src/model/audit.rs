use datamesh_settings::audit::AuditEntry;

/// Where an entry of the audit stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditAt {
    /// When it was written down; rises within a chain.
    pub at_unix_ms: u64,
    /// Which gateway's, in which of its lives.
    pub chain: String,
    /// Its place in the chain, from 0.
    pub number: u64,
}

/// An entry and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Where.
    pub at: AuditAt,
    /// What was done.
    pub entry: AuditEntry,
    /// The chain's link after this entry.
    pub link: [u8; 32],
}

/// How far a chain goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// Its entries.
    pub count: u64,
    /// The link after the last.
    pub link: [u8; 32],
    /// The cluster's signature over both.
    pub signature: Vec<u8>,
}

/// A piece of the audit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// In the order of time.
    pub rows: Vec<AuditRow>,
    /// Whether there is more after it.
    pub more: bool,
}

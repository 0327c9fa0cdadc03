//! The catalog's logic, once for all engines.

mod access_keys;
mod addresses;
mod audit;
mod bucket_settings;
mod buckets;
mod check;
mod commit;
mod credentials;
mod drains;
mod expiry;
mod faults;
mod garbage;
mod given_roles;
mod given_up;
mod identities;
mod joins;
mod layouts;
mod listing;
mod objects;
mod open;
mod pages;
mod parts;
mod recode;
mod references;
mod releases;
mod second_factors;
mod shreds;
mod tally;
mod uploads;
mod users;
mod version_listing;
mod versioning;
mod versions;

use std::collections::HashSet;
use std::sync::Arc;

pub use access_keys::AccessKeyError;
pub use addresses::Claimant;
pub use bucket_settings::{SettingError, StraySetting};
pub use buckets::{BucketError, DeleteBucketError};
pub use check::{
    BrokenObject, Flaw, FlawKind, KnownSegment, ObjectsPage, ReferencesPage, Span, UnknownSegment,
};
pub use commit::CommitObjectError;
pub use credentials::{CredentialError, KnownCredential, Proven};
pub use expiry::{Ended, Ending, RulesAt, VersionStanding};
pub use faults::{CatalogError, Invalid};
pub use garbage::ForgetError;
pub use identities::{IdentityError, Standing, Unbinder};
pub use joins::{BindError, IncarnationError};
pub use layouts::{CommitLayoutError, ProfileChange};
pub use objects::DeleteObjectError;
pub use open::OpenError;
pub use pages::PutPageError;
pub use recode::{Swap, SwapError};
pub use references::ReferenceError;
pub use shreds::{Shred, ShredError};
pub use tally::{Counters, ProfileUsage};
pub use uploads::UploadError;
pub use users::{By, Ends, UserError};

use datamesh_shard::Incarnation;
use parking_lot::RwLock;

use crate::engine::AnyKeyspace;
use crate::keyspace::Keyspace;
use crate::model::BucketId;

/// What may be chosen about a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogOptions {
    /// How long segments of replaced, deleted and aborted objects are kept for reads under way. A read that lasts longer may
    /// go on only while its object is there.
    pub retention_ms: u64,
}

impl Default for CatalogOptions {
    fn default() -> Self {
        Self { retention_ms: RETENTION_MS_DEFAULT }
    }
}

/// One hour.
const RETENTION_MS_DEFAULT: u64 = 60 * 60 * 1000;

/// The catalog over some engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog<K: Keyspace> {
    keyspace: K,
    shared: Arc<Shared>,
}

/// The catalog as a gateway embeds it, over the engine it was opened on.
pub type EmbeddedCatalog = Catalog<AnyKeyspace>;

#[derive(Debug)]
struct Shared {
    options: CatalogOptions,
    incarnation: Incarnation,
    /// Buckets that were seen to keep versions: spares a look, and decides nothing.
    with_versions: RwLock<HashSet<BucketId>>,
}

impl Shared {
    fn new(options: CatalogOptions, incarnation: Incarnation) -> Self {
        Self { options, incarnation, with_versions: RwLock::default() }
    }
}

impl<K: Keyspace> Catalog<K> {
    /// Rises each time the catalog is opened.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.shared.incarnation
    }

    /// The keyspace it stands on: for caches (`changes_since`), backups and checks.
    #[must_use]
    pub fn keyspace(&self) -> &K {
        &self.keyspace
    }

    /// What it was opened with.
    #[must_use]
    pub fn options(&self) -> CatalogOptions {
        self.shared.options
    }

    fn due_unix_ms(&self, now_unix_ms: u64) -> u64 {
        now_unix_ms.saturating_add(self.shared.options.retention_ms)
    }
}

//! The catalog's logic, once for all engines.

mod access_keys;
mod addresses;
mod appending;
mod audit;
mod bucket_settings;
mod buckets;
mod check;
mod commit;
mod copies;
mod credentials;
mod drains;
mod expiry;
mod faults;
mod garbage;
mod given;
mod given_groups;
mod given_up;
mod groups;
mod identities;
mod joins;
mod keyed_requests;
mod layouts;
mod listing;
mod locks;
mod meddling;
mod notifications;
mod objects;
mod open;
mod pages;
mod parts;
mod recode;
mod references;
mod releases;
mod restored;
mod sealed;
mod second_factors;
mod shares;
mod shreds;
mod tally;
mod trash;
mod uploads;
mod users;
mod version_listing;
mod versioning;
mod versions;

use std::collections::HashSet;
use std::sync::Arc;

pub use access_keys::{AccessKeyError, KeyFor};
pub use addresses::Claimant;
pub use appending::AppendError;
pub use bucket_settings::{SettingError, StraySetting};
pub use buckets::{BucketError, DeleteBucketError};
pub use check::{
    BrokenObject, Flaw, FlawKind, KnownSegment, ObjectsPage, ReferencesPage, Span, UnknownSegment,
};
pub use commit::{CommitObjectError, Terms};
pub use credentials::{CredentialError, KnownCredential, Proven};
pub use expiry::{Ended, Ending, RulesAt, VersionStanding};
pub use faults::{CatalogError, Invalid};
pub use garbage::ForgetError;
pub use given::{Given, Taken};
pub use given_groups::GroupChange;
pub use groups::GroupError;
pub use identities::{IdentityError, Standing, Unbinder};
pub use joins::{BindError, IncarnationError};
pub use keyed_requests::Begun;
pub use layouts::{CommitLayoutError, ProfileChange};
pub use locks::{LockError, LockingError};
pub use objects::DeleteObjectError;
pub use open::OpenError;
pub use pages::PutPageError;
pub use recode::{Swap, SwapError};
pub use references::ReferenceError;
pub use sealed::{DurableSegments, NotDurableError};
pub use shares::{KnownShare, ShareError, StrayShare};
pub use shreds::{Shred, ShredError};
pub use tally::{Counters, ProfileUsage};
pub use trash::{PurgeError, PurgeStopped, RestoreError};
pub use uploads::UploadError;
pub use users::{By, Ends, UserError};
pub use versioning::Keeping;

use datamesh_shard::Incarnation;
use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::backup::{BACKUP_BUCKET, reach_ms};
use crate::engine::AnyKeyspace;
use crate::keyspace::Keyspace;
use crate::model::{BucketId, Cause};

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
    /// Of the changes made by way of this one.
    cause: Arc<Cause>,
}

/// The catalog as a gateway embeds it, over the engine it was opened on.
pub type EmbeddedCatalog = Catalog<AnyKeyspace>;

#[derive(Debug)]
struct Shared {
    options: CatalogOptions,
    incarnation: Incarnation,
    /// Buckets that were seen to keep versions: spares a look, and decides nothing.
    with_versions: RwLock<HashSet<BucketId>>,
    meddling: meddling::Meddling,
    /// Buckets of whose changes somebody was seen to want to know: likewise.
    watched: RwLock<notifications::Watched>,
    /// Woken by each commit of this process that has events.
    event_wakes: RwLock<Vec<Arc<Notify>>>,
}

impl Shared {
    fn new(options: CatalogOptions, incarnation: Incarnation) -> Self {
        Self {
            options,
            incarnation,
            with_versions: RwLock::default(),
            meddling: meddling::Meddling::default(),
            watched: RwLock::default(),
            event_wakes: RwLock::default(),
        }
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

    /// When what an upload put may go, if it ends now without an object.
    fn upload_due_unix_ms(&self, bucket: BucketId, now_unix_ms: u64) -> u64 {
        if bucket == BACKUP_BUCKET {
            now_unix_ms.saturating_add(reach_ms(self.shared.options.retention_ms))
        } else {
            self.due_unix_ms(now_unix_ms)
        }
    }
}

//! What the segments of one upload have in common, and the catalog's knowledge of them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use datamesh_catalog::{NewUpload, SegmentRef, Target};
use datamesh_shard::{Cipher, ErasureProfile, Generation, PeerKey, PoolName};
use tokio::sync::OnceCell;

use super::context::Context;
use super::segment::Recipe;
use super::store::{StoreError, millis};

/// What a segment must be before it counts as put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// As safe as a put promises.
    Promised,
    /// Whole, each shard with its holder, unless that is one of these: they were given up for lost.
    Whole(BTreeSet<PeerKey>),
}

/// One upload's surroundings.
pub(crate) struct Job {
    pub(crate) target: Target,
    pub(crate) pool: PoolName,
    pub(crate) cipher: Cipher,
    pub(super) care: Care,
    /// Whether its segments' keys are made for it, so that none of them was there before.
    fresh: bool,
    /// Whether the catalog knows the upload.
    begun: OnceCell<()>,
}

impl Job {
    /// A put whose upload begins with its first segment: one sync less.
    pub(crate) fn new(context: &Context, target: Target, pool: PoolName) -> Result<Self, StoreError> {
        let known = context.pools.get(&pool).filter(|pool| pool.layout().is_some());
        let cipher = known.ok_or_else(|| StoreError::NoLayout(pool.clone()))?.spec.cipher;
        let (care, begun) = (Care::Promised, OnceCell::new());
        Ok(Self { target, pool, cipher, care, fresh: true, begun })
    }

    /// Of segments that take the place of others: those may be whole, so these must be.
    pub(super) fn anew(
        context: &Context,
        target: Target,
        pool: PoolName,
        given_up: BTreeSet<PeerKey>,
    ) -> Result<Self, StoreError> {
        Ok(Self { care: Care::Whole(given_up), fresh: false, ..Self::new(context, target, pool)? })
    }

    /// What its segments are put with first. Under a fresh key none was there before. What is coded anew, or was sealed by a client, may
    /// have been, and been deleted: by the clock it gets a generation that it never had.
    pub(super) fn first_generation(&self, context: &Context) -> Generation {
        if self.fresh { Generation::default() } else { later(context, Generation::default()) }
    }

    /// How its next segment is made. The pool's profile may change while a long put is under way.
    pub(super) fn recipe(&self, context: &Context) -> Result<Recipe, StoreError> {
        let pool = context.pools.get(&self.pool);
        let layout = pool.as_ref().and_then(|pool| pool.layout());
        let profile = layout.ok_or_else(|| StoreError::NoLayout(self.pool.clone()))?.profile;
        Ok(Recipe { profile, cipher: self.cipher })
    }

    /// k and m of its next segment.
    pub(crate) fn profile(&self, context: &Context) -> Result<ErasureProfile, StoreError> {
        Ok(self.recipe(context)?.profile)
    }

    /// A part of an upload that has begun.
    pub(crate) fn resumed(context: &Context, target: Target, pool: PoolName) -> Result<Self, StoreError> {
        let job = Self::new(context, target, pool)?;
        Ok(Self { begun: OnceCell::new_with(Some(())), ..job })
    }

    /// Segments that its client sealed, of an upload that has begun.
    pub(crate) fn sealed(context: &Context, target: Target, pool: PoolName) -> Result<Self, StoreError> {
        Ok(Self { fresh: false, ..Self::resumed(context, target, pool)? })
    }

    /// Has the catalog know that this upload needs the segment.
    pub(super) async fn reference(&self, context: &Context, segment: &SegmentRef) -> Result<(), StoreError> {
        let included = AtomicBool::new(false);
        let begin = || async {
            included.store(true, Ordering::Relaxed);
            let now = context.surroundings.now_unix_ms();
            let new = NewUpload {
                target: self.target.clone(),
                // What the object is besides its bytes comes with the commit.
                content_type: String::new(),
                meta: Vec::new(),
                created_unix_ms: now,
                lease_until_unix_ms: now.saturating_add(millis(context.put_lease)),
                segments: vec![segment.clone()],
            };
            context.catalog.begin_upload(new).await.map(drop)
        };
        self.begun.get_or_try_init(begin).await?;
        if !included.load(Ordering::Relaxed) {
            context.catalog.reference(self.target.upload, std::slice::from_ref(segment)).await?;
        }
        Ok(())
    }
}

/// A generation behind this one, and behind all that were given by the clock until now.
pub(super) fn later(context: &Context, generation: Generation) -> Generation {
    generation.next().max(Generation(context.surroundings.now_unix_ms()))
}

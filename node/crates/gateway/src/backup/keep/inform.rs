//! What was before this gateway started or got the lead: how new the newest backup is, whether another catalog took this one's place,
//! whether this one was set back, and when snapshots were begun.

use std::time::Duration;

use datamesh_catalog::backup::Anchor;
use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::keyspace::{Keyspace, View};
use datamesh_catalog::record::RestoredRecord;
use datamesh_exchange::anchor::AnchorId;
use datamesh_shard::PoolName;

use super::{KeepBackup, kept};
use crate::backup::chain::BackupError;
use crate::backup::holders::{Holders, KeepError};

/// Before a gateway serves, nodes have so long to say that its catalog was replaced.
const ASKED_FIRST: Duration = Duration::from_secs(3);
/// In the place of a wish, where nobody wished it.
const SET_BACK: &str = "set back with its volume";

impl KeepBackup {
    /// Asks again at each step until nodes have said it: gateways start before nodes do.
    pub(super) async fn inform(&mut self, place: &PoolName) -> Result<(), BackupError> {
        if !self.is_paced {
            let now = self.context.surroundings.now_unix_ms();
            let begun = self.context.catalog.snapshots_begun().await?.into_iter();
            self.pace.recall(begun.map(|begun| Duration::from_millis(now.saturating_sub(begun))));
            self.is_paced = true;
        }
        self.is_informed = self.ask_for_later(place).await?;
        Ok(())
    }

    /// Whether a catalog of a later generation has taken the place of this one; and how new the newest backup is. False where too few
    /// nodes have answered to know.
    pub(super) async fn ask_for_later(&mut self, place: &PoolName) -> Result<bool, BackupError> {
        let generation = self.generation().await?;
        let heard = Holders::of(&self.context.pools, place).newest(&self.opener).await;
        let Some((id, anchor)) = heard.newest else {
            let pool = self.context.pools.get(place);
            let parity = pool.and_then(|pool| Some(pool.layout()?.profile.parity()));
            // One more keeps the anchor of each backup.
            let is_known = heard.silent <= usize::from(parity.unwrap_or(0));
            if is_known {
                self.standing.has_none();
            }
            return Ok(is_known);
        };
        if id.generation > generation {
            return Err(KeepError::Superseded(id.generation).into());
        }
        let own = self.chain.as_ref().map(|chain| &chain.anchor.upload);
        if own.into_iter().chain(&self.former).all(|own| *own != anchor.upload) {
            self.found = Some(anchor.upload);
            self.hold().await?;
        }
        let age = self.context.surroundings.now_unix_ms().saturating_sub(id.at_unix_ms);
        self.standing.found(kept(id.at_unix_ms, id.revision, &anchor), Duration::from_millis(age));
        if id.generation == generation {
            self.set_back(&id, &anchor).await?;
        }
        Ok(true)
    }

    /// A catalog whose newest backup is ahead of it was set back with its volume. From here on it is another one: what it was to become
    /// would be restored in its place otherwise.
    async fn set_back(&mut self, id: &AnchorId, anchor: &Anchor) -> Result<(), BackupError> {
        let catalog = &self.context.catalog;
        let revision = catalog.keyspace().view().await?.revision().await?.0;
        if revision >= id.revision {
            return Ok(());
        }
        let wish = catalog.restored().await?.map(|before| before.wish);
        let restored = set_back_to((revision, wish), (id, anchor), self.context.surroundings.now_unix_ms());
        catalog.begin_generation(&restored).await?;
        tracing::error!(
            revision,
            backed_up = id.revision,
            "this volume has an earlier state of the catalog than the nodes keep a backup of: what came after it is lost, unless an empty \
             volume is given to this gateway and that backup restored. Backups go on with what is here"
        );
        // Of the generation that was.
        self.end();
        Ok(())
    }

    /// Whether nodes say so before this gateway serves anybody. Those that do not answer soon say it when they are given a backup.
    pub(crate) async fn is_replaced(&self) -> bool {
        let asking = async {
            let (place, _) = self.place()?;
            let generation = self.generation().await.ok()?;
            let holders = Holders::of(&self.context.pools, &place);
            holders.know_later(&self.opener, generation).await
        };
        let Ok(Some(later)) = tokio::time::timeout(ASKED_FIRST, asking).await else { return false };
        tracing::error!(error = %KeepError::Superseded(later), "this catalog was replaced");
        true
    }

    async fn generation(&self) -> Result<u64, CatalogError> {
        Ok(self.context.catalog.restored().await?.map_or(0, |restored| restored.generation))
    }
}

/// What is known of a catalog that has an earlier state than this anchor leads to. What was wished before was fulfilled before.
fn set_back_to(
    (revision, wish): (u64, Option<String>),
    (id, anchor): (&AnchorId, &Anchor),
    now: u64,
) -> RestoredRecord {
    let parts = anchor.parts.iter().take_while(|part| part.revision <= revision);
    RestoredRecord {
        generation: id.generation.saturating_add(1).max(now / 1000),
        wish: wish.unwrap_or_else(|| SET_BACK.into()),
        // Of an earlier state no time is known.
        until_unix_ms: parts.last().map_or(0, |part| part.at_unix_ms),
        at_unix_ms: now,
        revision,
    }
}

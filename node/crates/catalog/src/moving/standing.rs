//! What a keyspace says of itself, and what follows from two of them.

use datamesh_shard::Incarnation;

use super::own;
use super::{MoveError, Refusal};
use crate::keys::{self, Table};
use crate::keyspace::{Keyspace, RangeLimits, Revision, View};
use crate::record::{
    CameRecord, ClosedClusterRecord, Closure, ClusterRecord, Copied, Fence, Keeper, LeavingRecord, MoveId,
    MoveRecord, Written,
};

/// A row of a move, and the commit that wrote it.
pub(super) type Known<R> = Option<(R, Revision)>;

/// What a keyspace's own rows say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its newest commit.
    pub(super) newest: Revision,
    /// Whose it is: closed or not, the same words.
    pub(super) cluster: Known<ClusterRecord>,
    pub(super) begun: Known<MoveRecord>,
    pub(super) fence: Known<Fence>,
    pub(super) came: Known<CameRecord>,
    /// Whether there is anything at all.
    pub(super) has_rows: bool,
}

/// In one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Store {
    Empty,
    /// A catalog, and the move it came by, if it did.
    Open {
        came: Option<MoveId>,
        fingerprint: String,
    },
    Gone {
        id: MoveId,
        to: Keeper,
        fingerprint: String,
    },
    Coming {
        id: MoveId,
    },
    Strange,
}

impl Standing {
    /// Its newest commit.
    #[must_use]
    pub fn newest(&self) -> Revision {
        self.newest
    }

    /// The move by which the catalog has gone from here.
    #[must_use]
    pub fn gone(&self) -> Option<(MoveId, Keeper)> {
        match self.store() {
            Store::Gone { id, to, .. } => Some((id, to)),
            _ => None,
        }
    }

    /// Whether this is a catalog that may be served, and by which move it came; `None` where it is none.
    #[must_use]
    pub fn open(&self) -> Option<Option<MoveId>> {
        match self.store() {
            Store::Open { came, .. } => Some(came),
            _ => None,
        }
    }

    /// Of which cluster secret it is, by its fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.cluster.as_ref().map(|(cluster, _)| cluster.fingerprint.as_str())
    }

    /// Whether nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_rows
    }

    /// The move that began here last.
    #[must_use]
    pub fn begun(&self) -> Option<MoveId> {
        self.begun.map(|(begun, _)| begun.id)
    }

    /// How far the copy was when the fence was put.
    pub(super) fn copied(&self) -> Option<Copied> {
        match self.fence {
            Some((Fence::Leaving(LeavingRecord { copied, .. }), _)) => copied,
            _ => None,
        }
    }

    pub(super) fn store(&self) -> Store {
        let fingerprint = || self.cluster.as_ref().map(|(cluster, _)| cluster.fingerprint.clone());
        let fence = self.fence.map(|(fence, _)| (fence.closure(), fence.id()));
        match (fence, fingerprint()) {
            (Some((Closure::Gone { to }, id)), Some(fingerprint)) => Store::Gone { id, to, fingerprint },
            (Some((Closure::Coming { .. }, id)), _) => Store::Coming { id },
            (None, Some(fingerprint)) => {
                Store::Open { came: self.came.map(|(came, _)| came.id), fingerprint }
            }
            (None, None) if !self.has_rows => Store::Empty,
            _ => Store::Strange,
        }
    }

    pub(super) fn closed_cluster(&self) -> Option<ClosedClusterRecord> {
        let (ClusterRecord { fingerprint, incarnation }, _) = self.cluster.clone()?;
        Some(ClosedClusterRecord { fingerprint, incarnation })
    }
}

/// What a move has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// The target is to be closed, and copied into.
    Begin,
    /// The same, with what this move has done by now.
    GoOn(MoveId),
    /// The target is the catalog.
    Arrived(MoveId),
}

/// Decides it from what both say.
///
/// # Errors
/// Says what is in the way, and what to do.
pub fn course(source: &Standing, target: &Standing) -> Result<Course, Refusal> {
    let there = target.store();
    let own = match source.store() {
        Store::Empty | Store::Strange | Store::Coming { .. } => return Err(Refusal::Nothing),
        Store::Gone { id, to, .. } => {
            return match there {
                Store::Coming { id: there } if there == id => Ok(Course::GoOn(id)),
                Store::Open { came: Some(came), .. } if came == id => Ok(Course::Arrived(id)),
                _ => Err(Refusal::WentElsewhere { to, found: there.words() }),
            };
        }
        Store::Open { .. } => source.begun(),
    };
    match there {
        Store::Empty => Ok(Course::Begin),
        Store::Coming { id } if own == Some(id) => Ok(Course::GoOn(id)),
        Store::Coming { .. } => Err(Refusal::HalfOfAnother),
        // Only a copy of the source from before its fence knows that move as its own.
        Store::Open { came: Some(id), .. } if own == Some(id) => Ok(Course::Arrived(id)),
        // What is left there of this very catalog.
        Store::Gone { .. } if came_from(source, target) => Ok(Course::Begin),
        Store::Open { fingerprint, .. } | Store::Gone { fingerprint, .. } => {
            Err(Refusal::Another { fingerprint })
        }
        Store::Strange => Err(Refusal::Strange),
    }
}

/// Whether the one is what is left of the catalog where it came from.
#[must_use]
pub fn came_from(catalog: &Standing, left: &Standing) -> bool {
    match (catalog.store(), left.store()) {
        (Store::Open { came: Some(came), fingerprint }, Store::Gone { id, fingerprint: there, .. }) => {
            came == id && fingerprint == there
        }
        _ => false,
    }
}

/// Reads what a keyspace says of itself.
///
/// # Errors
/// The engine's, or what no record is.
pub async fn look(keyspace: &impl Keyspace) -> Result<Standing, MoveError> {
    let view = keyspace.view().await?;
    Ok(Standing {
        newest: view.revision().await?,
        cluster: cluster(&view).await?,
        begun: read(&view, Table::Move).await?,
        fence: read(&view, Table::Fence).await?,
        came: read(&view, Table::Came).await?,
        has_rows: !view.range(&own::all(), RangeLimits::rows(1)).await?.rows.is_empty(),
    })
}

async fn read<R: Written>(view: &impl View, table: Table) -> Result<Known<R>, MoveError> {
    let Some(row) = view.get(&keys::only(table)).await? else { return Ok(None) };
    Ok(Some((R::decode(&row.value)?, row.version)))
}

async fn cluster(view: &impl View) -> Result<Known<ClusterRecord>, MoveError> {
    let Some(row) = view.get(&keys::only(Table::Cluster)).await? else { return Ok(None) };
    Ok(Some((ClusterRecord::open_or_closed(&row.value)?, row.version)))
}

/// The incarnation with which a catalog opens that comes from this one.
pub(super) fn next_incarnation(of: &ClusterRecord) -> Incarnation {
    of.incarnation.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::FenceRecord;

    const ONE: MoveId = MoveId([1; 16]);
    const OTHER: MoveId = MoveId([2; 16]);

    fn catalog(fingerprint: &str) -> Standing {
        let cluster = ClusterRecord { fingerprint: fingerprint.into(), incarnation: Incarnation(3) };
        Standing { cluster: Some((cluster, Revision(1))), has_rows: true, ..Standing::default() }
    }

    fn begun(id: MoveId) -> Standing {
        let begun = MoveRecord { id, to: Keeper::Postgres, begun_unix_ms: 1 };
        Standing { begun: Some((begun, Revision(2))), ..catalog("f") }
    }

    fn came(id: MoveId, fingerprint: &str) -> Standing {
        let came = CameRecord { id, from: Keeper::Gateways, at_unix_ms: 1 };
        Standing { came: Some((came, Revision(2))), ..catalog(fingerprint) }
    }

    fn closed(id: MoveId, closure: Closure) -> Standing {
        let fence = Fence::Closed(FenceRecord { id, closure, at_unix_ms: 1 });
        Standing { fence: Some((fence, Revision(3))), ..begun(id) }
    }

    fn gone(id: MoveId) -> Standing {
        closed(id, Closure::Gone { to: Keeper::Postgres })
    }

    fn coming(id: MoveId) -> Standing {
        closed(id, Closure::Coming { from: Keeper::Gateways })
    }

    #[test]
    fn a_catalog_moves_to_where_nothing_is_and_goes_on_with_its_own_half() {
        assert_eq!(course(&catalog("f"), &Standing::default()), Ok(Course::Begin));
        assert_eq!(course(&begun(ONE), &Standing::default()), Ok(Course::Begin));
        assert_eq!(course(&begun(ONE), &coming(ONE)), Ok(Course::GoOn(ONE)));
        assert_eq!(course(&begun(ONE), &coming(OTHER)), Err(Refusal::HalfOfAnother));
        assert_eq!(course(&catalog("f"), &coming(OTHER)), Err(Refusal::HalfOfAnother));
    }

    #[test]
    fn what_is_not_this_catalogs_is_not_touched() {
        let another = |fingerprint: &str| Err(Refusal::Another { fingerprint: fingerprint.into() });
        assert_eq!(course(&catalog("f"), &catalog("f")), another("f"));
        assert_eq!(course(&begun(ONE), &came(OTHER, "g")), another("g"));
        assert_eq!(course(&catalog("f"), &gone(ONE)), another("f"));
        let strange = Standing { has_rows: true, ..Standing::default() };
        assert_eq!(course(&catalog("f"), &strange), Err(Refusal::Strange));
        assert_eq!(course(&Standing::default(), &Standing::default()), Err(Refusal::Nothing));
        assert_eq!(course(&coming(ONE), &Standing::default()), Err(Refusal::Nothing));
    }

    #[test]
    fn what_is_left_where_it_came_from_is_replaced() {
        assert_eq!(course(&came(ONE, "f"), &gone(ONE)), Ok(Course::Begin));
        assert!(course(&came(OTHER, "f"), &gone(ONE)).is_err());
    }

    #[test]
    fn a_catalog_that_has_gone_is_followed_to_one_place_only() {
        let leaving = LeavingRecord { id: ONE, to: Keeper::Postgres, copied: None, at_unix_ms: 1 };
        let leaving = Standing { fence: Some((Fence::Leaving(leaving), Revision(3))), ..begun(ONE) };
        for gone in [gone(ONE), leaving] {
            assert_eq!(course(&gone, &coming(ONE)), Ok(Course::GoOn(ONE)));
            assert_eq!(course(&gone, &came(ONE, "f")), Ok(Course::Arrived(ONE)));
        }
        for other in [Standing::default(), coming(OTHER), came(OTHER, "f"), catalog("f"), gone(OTHER)] {
            let refused = course(&gone(ONE), &other).unwrap_err();
            assert!(matches!(refused, Refusal::WentElsewhere { to: Keeper::Postgres, .. }), "{refused}");
        }
        // A volume that was set back to before its fence.
        assert_eq!(course(&begun(ONE), &came(ONE, "f")), Ok(Course::Arrived(ONE)));
    }
}

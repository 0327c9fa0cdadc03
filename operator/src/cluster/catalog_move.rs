//! Where a cluster's catalog is, and where it is to be: what follows for the gateways' settings. Pure.
//!
//! The operator remembers who keeps it (`status.catalogKeptBy`), by the gateways' own word. While that is not who shall, gateways are
//! given both ways, and move it; when they say that it has moved, they get the new one alone. To several gateways it comes back by way of the first
//! one's volume: the others serve the database until it leaves it, and are let in like any that are added.

use datamesh_crds::{CatalogKeeper, DataMeshCluster};
use datamesh_settings::CatalogMove;
use datamesh_settings::admin::{CatalogEngine, CatalogMovePhase, CatalogMoveStatus, CatalogStatus};
use k8s_openapi::api::apps::v1::StatefulSet;

use super::database;
use crate::outcome::Outcome;

/// What gateways are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Whether they are told of the database.
    pub(crate) database: bool,
    /// Which way it moves.
    pub(crate) moves: Option<CatalogMove>,
}

impl Place {
    const VOLUMES: Self = Self { database: false, moves: None };
    const DATABASE: Self = Self { database: true, moves: None };

    const fn moving(to: CatalogMove) -> Self {
        Self { database: true, moves: Some(to) }
    }

    /// Whether gateways are told of one another: they keep it together, or decide together when it leaves.
    pub(crate) fn names_members(self) -> bool {
        !self.database || self.moves.is_some()
    }

    /// Whether it comes to the first gateway's volume, which is told of the others once it is there.
    pub(crate) fn comes_to_the_first(self) -> bool {
        self.moves == Some(CatalogMove::FromDatabase)
    }

    /// Whether gateways need one another to serve it now.
    pub(crate) fn is_on_volumes(self) -> bool {
        !self.database || self.moves == Some(CatalogMove::ToDatabase)
    }
}

/// Who the spec wants to keep it.
pub(super) fn wanted(cluster: &DataMeshCluster) -> CatalogKeeper {
    cluster.spec.catalog_keeper()
}

/// Who keeps it now. `None` where nothing was ever started: then nobody has one, and it begins where it is wanted.
pub(super) fn kept(cluster: &DataMeshCluster, gateways: &[StatefulSet]) -> Option<CatalogKeeper> {
    let recorded = cluster.status.as_ref().and_then(|status| status.catalog_kept_by);
    // Gateways of an operator that wrote nothing down, which moved no catalog.
    let mounted = || gateways.iter().map(mounts_database).max();
    let keeper = |mounted| if mounted { CatalogKeeper::Postgres } else { CatalogKeeper::Gateways };
    recorded.or_else(|| mounted().map(keeper))
}

fn mounts_database(set: &StatefulSet) -> bool {
    let pod = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let volumes = pod.iter().flat_map(|pod| pod.volumes.iter().flatten());
    let sources = volumes.filter_map(|volume| volume.projected.as_ref()?.sources.as_ref()).flatten();
    let mut items = sources.filter_map(|source| source.secret.as_ref()?.items.as_ref()).flatten();
    items.any(|item| item.key == database::URI_FIELD)
}

/// What gateways are told, while `kept` has it and the spec wants `wanted`.
pub(super) fn place(wanted: CatalogKeeper, kept: Option<CatalogKeeper>) -> Place {
    use CatalogKeeper::{Gateways, Postgres};
    match (kept.unwrap_or(wanted), wanted) {
        (Gateways, Gateways) => Place::VOLUMES,
        (Postgres, Postgres) => Place::DATABASE,
        (Gateways, Postgres) => Place::moving(CatalogMove::ToDatabase),
        (Postgres, Gateways) => Place::moving(CatalogMove::FromDatabase),
    }
}

/// What is remembered after a gateway has spoken. One of several may not know yet that it has moved: its word changes nothing.
pub(super) fn remembered(recorded: Option<CatalogKeeper>, said: &CatalogStatus) -> Option<CatalogKeeper> {
    let keeper = match said.engine {
        CatalogEngine::Embedded => CatalogKeeper::Gateways,
        CatalogEngine::Postgres => CatalogKeeper::Postgres,
    };
    match &said.moving {
        Some(moving) if moving.phase != CatalogMovePhase::Moved => recorded.or(Some(keeper)),
        _ => Some(keeper),
    }
}

/// What Progressing says while it moves between the database and so many gateways. `None` once it has.
pub(super) fn underway(catalog: &CatalogStatus, gateways: usize) -> Option<Outcome> {
    let moving = catalog.moving.as_ref()?;
    let (place, step) = match moving.to {
        CatalogEngine::Postgres => ("PostgreSQL", ""),
        CatalogEngine::Embedded if gateways > 1 => (
            "the first gateway's volume",
            " This is step 1 of 2: once it is there, that gateway shares it with the others.",
        ),
        CatalogEngine::Embedded => ("the gateway's volume", ""),
    };
    let (reason, message) = match &moving.waits_for {
        _ if moving.phase == CatalogMovePhase::Moved => return None,
        Some(waits_for) => ("CatalogMoveWaits", format!("The catalog's move to {place} waits: {waits_for}.")),
        None => ("CatalogMoving", format!("The catalog moves to {place}: {}.", doing(moving))),
    };
    let goes_on = match moving.phase {
        CatalogMovePhase::Opening => {
            "As long as it cannot be open there, setting spec.catalog back as it was calls it off."
        }
        _ => "Puts and gets go on. To call it off, set spec.catalog back as it was.",
    };
    Some(Outcome::Underway { reason, message: format!("{message}{step} {goes_on}") })
}

fn doing(moving: &CatalogMoveStatus) -> String {
    let CatalogMoveStatus { rows, changes, .. } = moving;
    match moving.phase {
        CatalogMovePhase::Beginning => "it is about to begin".into(),
        CatalogMovePhase::Copying => format!("{rows} rows are copied, {changes} changed meanwhile"),
        CatalogMovePhase::Comparing => {
            format!("{rows} copied rows are compared, {changes} changed meanwhile")
        }
        CatalogMovePhase::Following => {
            format!("all rows are copied and compared, and {changes} changed since")
        }
        CatalogMovePhase::Opening | CatalogMovePhase::Moved => {
            "commits wait for some seconds, until it is open there".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use CatalogKeeper::{Gateways, Postgres};

    use super::*;
    use crate::report::tests::catalog;

    fn said(engine: CatalogEngine, moving: Option<(CatalogEngine, CatalogMovePhase)>) -> CatalogStatus {
        let status = |(to, phase)| CatalogMoveStatus { to, phase, rows: 7, changes: 3, waits_for: None };
        CatalogStatus { engine, moving: moving.map(status), ..catalog(1) }
    }

    #[test]
    fn gateways_are_given_both_ways_until_it_has_moved() {
        for (kept, wanted, told) in [
            (None, Gateways, Place::VOLUMES),
            (None, Postgres, Place::DATABASE),
            (Some(Gateways), Gateways, Place::VOLUMES),
            (Some(Postgres), Postgres, Place::DATABASE),
            (Some(Gateways), Postgres, Place::moving(CatalogMove::ToDatabase)),
            (Some(Postgres), Gateways, Place::moving(CatalogMove::FromDatabase)),
        ] {
            assert_eq!(place(wanted, kept), told, "{kept:?} to {wanted:?}");
        }
        assert!(Place::moving(CatalogMove::ToDatabase).is_on_volumes());
        let comes_back = Place::moving(CatalogMove::FromDatabase);
        assert!(!comes_back.is_on_volumes() && comes_back.names_members() && comes_back.comes_to_the_first());
        assert!(Place::VOLUMES.names_members() && !Place::DATABASE.names_members());
    }

    #[test]
    fn one_that_does_not_know_yet_that_it_has_moved_changes_nothing() {
        use CatalogEngine::{Embedded, Postgres as Database};
        let copying = (Database, CatalogMovePhase::Copying);
        assert_eq!(remembered(None, &said(Embedded, None)), Some(Gateways));
        assert_eq!(remembered(None, &said(Embedded, Some(copying))), Some(Gateways));
        assert_eq!(remembered(Some(Postgres), &said(Embedded, Some(copying))), Some(Postgres));
        assert_eq!(remembered(Some(Gateways), &said(Embedded, Some(copying))), Some(Gateways));
        let moved = said(Database, Some((Database, CatalogMovePhase::Moved)));
        assert_eq!(remembered(Some(Gateways), &moved), Some(Postgres));
        // Called off in the last moment: it has moved all the same.
        assert_eq!(remembered(Some(Gateways), &said(Database, None)), Some(Postgres));
        let coming_back = said(Database, Some((Embedded, CatalogMovePhase::Following)));
        assert_eq!(remembered(Some(Gateways), &coming_back), Some(Gateways));
    }

    #[test]
    fn progressing_says_how_far_it_is_what_it_waits_for_and_how_to_call_it_off() {
        let several = |status: &CatalogStatus, gateways| match underway(status, gateways) {
            Some(Outcome::Underway { reason, message }) => (reason, message),
            other => ("", format!("{other:?}")),
        };
        let text = |status: &CatalogStatus| several(status, 1);
        let mut status =
            said(CatalogEngine::Embedded, Some((CatalogEngine::Postgres, CatalogMovePhase::Copying)));
        let (reason, message) = text(&status);
        assert_eq!(reason, "CatalogMoving");
        assert!(message.contains("moves to PostgreSQL: 7 rows are copied, 3 changed"), "{message}");
        assert!(message.contains("set spec.catalog back"), "{message}");
        status.moving.as_mut().unwrap().waits_for = Some("for demo-gateway-2 to have the target open".into());
        let (reason, message) = text(&status);
        assert_eq!(reason, "CatalogMoveWaits");
        assert!(message.contains("waits: for demo-gateway-2"), "{message}");
        status.moving.as_mut().unwrap().phase = CatalogMovePhase::Moved;
        assert_eq!(underway(&status, 1), None);
        assert_eq!(underway(&said(CatalogEngine::Embedded, None), 1), None);
        let coming =
            said(CatalogEngine::Postgres, Some((CatalogEngine::Embedded, CatalogMovePhase::Opening)));
        let (_, message) = several(&coming, 3);
        assert!(
            message.contains("to the first gateway's volume") && message.contains("step 1 of 2"),
            "{message}"
        );
        assert!(message.contains("As long as it cannot be open there"), "{message}");
        assert!(!several(&coming, 1).1.contains("step"));
    }
}

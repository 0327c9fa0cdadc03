//! What is said of the catalog's copies, where gateways keep it.

use datamesh_crds::{CatalogKeeper, DataMeshCluster, condition};
use datamesh_settings::admin::{
    BackupStatus, CatalogEngine, CatalogMember, CatalogMemberState, CatalogStatus,
};
use k8s_controller::conditions::ConditionStatus;

use crate::conditions::Verdict;

/// Holds for every cluster with one gateway that does not answer.
pub(super) const SINGLE_COPY: &str = "Names and keys of all files have one copy, on the gateway's volume: losing that volume \
    loses all that is in no backup in the mesh. Set gateway.replicas to 3 for more copies.";

/// With a backup that counts.
pub(super) const BACKED_UP: &str = "Names and keys of all files have one copy, on the gateway's volume, and a backup in the mesh: \
    losing that volume loses what was acknowledged in the last 2 minutes at most.";

/// Where none is wanted.
const NO_BACKUPS: &str = "Names and keys of all files have one copy, on the gateway's volume, and no backup in the mesh \
    (gateway.catalogBackups is Off): losing that volume loses all files. Set gateway.replicas to 3 for more copies, or \
    gateway.catalogBackups to Mesh.";

/// What cannot be seen from here must not look as if it had been.
pub(super) const ELSEWHERE: &str = "Names and keys of all files are in your PostgreSQL: how many copies and backups it has, nobody here can see.";

/// Who keeps a cluster's catalog, as far as is known, or as its spec says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keepers {
    /// One gateway, on its volume.
    OneGateway,
    /// Several gateways, each on its own.
    Gateways,
    /// A PostgreSQL database.
    Postgres,
}

impl Keepers {
    /// Those of a cluster.
    pub(crate) fn of(cluster: Option<&DataMeshCluster>) -> Self {
        let Some(cluster) = cluster else { return Self::OneGateway };
        let wanted = cluster.spec.catalog_keeper();
        let known = cluster.status.as_ref().and_then(|status| status.catalog_kept_by);
        match (known.unwrap_or(wanted), cluster.spec.gateway.replicas) {
            (CatalogKeeper::Postgres, _) => Self::Postgres,
            (CatalogKeeper::Gateways, 2..) => Self::Gateways,
            (CatalogKeeper::Gateways, _) => Self::OneGateway,
        }
    }
}

/// How many of `gateways` have to run for the catalog to be read and written.
pub(crate) fn majority(gateways: usize) -> usize {
    gateways / 2 + 1
}

/// Why names and keys do not survive the next loss: for machines, and for people. `None` where they do, or nobody here can see.
pub(super) fn unsafe_for(catalog: &CatalogStatus) -> Option<(&'static str, String)> {
    let (copies, all) = (whole(catalog), catalog.members.len());
    match catalog.engine {
        CatalogEngine::Postgres => None,
        CatalogEngine::Embedded if all < 2 => {
            (copies <= 1 && !is_backed_up(catalog)).then(|| ("CatalogSingleCopy", single_copy(catalog)))
        }
        CatalogEngine::Embedded if copies > majority(all) => None,
        CatalogEngine::Embedded => {
            let lost = "if one more is lost, no file can be read or written until a majority is back";
            Some(("CatalogReplicaMissing", format!("{}; {lost}.", copies_of(catalog))))
        }
    }
}

/// Whether one gateway's catalog has a backup that counts.
pub(super) fn is_backed_up(catalog: &CatalogStatus) -> bool {
    catalog.backup.as_ref().is_some_and(BackupStatus::counts)
}

/// What would be lost with the volume, and why it is so much.
fn single_copy(catalog: &CatalogStatus) -> String {
    let backup = catalog.backup.clone().unwrap_or_default();
    if backup.off {
        return NO_BACKUPS.to_owned();
    }
    let lost = match backup.last_unix_ms {
        Some(last) => {
            format!("loses what was acknowledged since{}, the newest backup in the mesh", time(last))
        }
        None => "loses everything that is in no backup from before this gateway's start".to_owned(),
    };
    let why = backup.error.map(|error| format!(" Backups fail: {error}.")).unwrap_or_default();
    format!(
        "Names and keys of all files have one copy, on the gateway's volume: losing that volume {lost}.{why} Set \
         gateway.replicas to 3 for more copies."
    )
}

/// ` 2030-03-17 17:46:40 UTC`
pub(super) fn time(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(String::new, |at| at.strftime(" %Y-%m-%d %H:%M:%S UTC").to_string())
}

/// `degraded` with the gateways that do not have the whole catalog.
pub(crate) fn with_gateways(degraded: Verdict, catalog: &CatalogStatus) -> Verdict {
    if lacking(catalog).next().is_none() {
        return degraded;
    }
    let trouble = format!("{}.", copies_of(catalog));
    match degraded.status {
        ConditionStatus::True => Verdict { message: format!("{trouble} {}", degraded.message), ..degraded },
        _ => Verdict::yes(condition::DEGRADED, "GatewaysMissing", trouble),
    }
}

/// `Names and keys of all files are whole on 2 of 3 gateways: demo-gateway-2 does not answer`.
fn copies_of(catalog: &CatalogStatus) -> String {
    let lacking: Vec<String> =
        lacking(catalog).map(|(member, why)| format!("{} {why}", member.node)).collect();
    let (copies, all) = (whole(catalog), catalog.members.len());
    let lacking =
        if lacking.is_empty() { "one of them is about to follow".into() } else { lacking.join(", ") };
    format!("Names and keys of all files are whole on {copies} of {all} gateways: {lacking}")
}

fn whole(catalog: &CatalogStatus) -> usize {
    usize::try_from(catalog.replicas).unwrap_or(usize::MAX)
}

/// The gateways that do not have the whole catalog, and why.
fn lacking(catalog: &CatalogStatus) -> impl Iterator<Item = (&CatalogMember, &'static str)> {
    catalog.members.iter().filter_map(|member| Some((member, lacks(member.state)?)))
}

/// Why a member of the catalog is not a whole copy of it. `None` where it is.
pub(crate) fn lacks(state: CatalogMemberState) -> Option<&'static str> {
    match state {
        CatalogMemberState::Current => None,
        CatalogMemberState::Behind => Some("is catching up with the catalog"),
        CatalogMemberState::Joining => Some("is being given the catalog"),
        CatalogMemberState::Away => Some("does not answer"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use CatalogMemberState::{Away, Behind, Current, Joining};
    use datamesh_settings::admin::BackupStatus;

    /// The catalog of gateways in these states, of which the first leads.
    pub(crate) fn kept_by(states: &[CatalogMemberState]) -> CatalogStatus {
        let members = states.iter().zip(1..).map(|(&state, ordinal)| CatalogMember {
            node: crate::names::nth_gateway("demo", ordinal).parse().unwrap(),
            state,
            leads: ordinal == 1,
        });
        let whole = states.iter().filter(|&&state| state == Current).count();
        CatalogStatus {
            members: members.collect(),
            ..super::super::tests::catalog(u32::try_from(whole).unwrap())
        }
    }

    #[test]
    fn names_and_keys_are_safe_while_one_more_gateway_may_be_lost() {
        for safe in [&[Current; 3][..], &[Current; 5], &[Current, Current, Current, Current, Away]] {
            assert_eq!(unsafe_for(&kept_by(safe)), None, "{safe:?}");
        }
        for (states, named) in [
            (&[Current, Current, Away][..], "whole on 2 of 3 gateways: demo-gateway-3 does not answer"),
            (&[Current, Behind, Current], "2 of 3 gateways: demo-gateway-2 is catching up"),
            (&[Current, Current, Joining], "2 of 3 gateways: demo-gateway-3 is being given the catalog"),
            (
                &[Current, Current, Current, Away, Joining],
                "demo-gateway-4 does not answer, demo-gateway-5 is being",
            ),
            (&[Current, Behind, Behind], "whole on 1 of 3 gateways"),
        ] {
            let (reason, text) = unsafe_for(&kept_by(states)).unwrap();
            assert_eq!(reason, "CatalogReplicaMissing");
            assert!(text.contains(named) && text.contains("if one more is lost"), "{text}");
        }
        assert_eq!(unsafe_for(&kept_by(&[])).map(|(reason, _)| reason), Some("CatalogSingleCopy"));
        let postgres = CatalogStatus { engine: CatalogEngine::Postgres, ..kept_by(&[]) };
        assert_eq!(unsafe_for(&postgres), None);
    }

    #[test]
    fn one_gateway_is_safe_while_its_backup_is_new() {
        let backed_up = |last_unix_ms, behind_seconds| CatalogStatus {
            backup: Some(BackupStatus { last_unix_ms, behind_seconds, ..BackupStatus::default() }),
            ..kept_by(&[])
        };
        let last = Some(1_900_000_000_000);
        assert_eq!(unsafe_for(&backed_up(last, Some(120))), None);
        let (reason, text) = unsafe_for(&backed_up(last, Some(121))).unwrap();
        assert_eq!(reason, "CatalogSingleCopy");
        assert!(text.contains("since 2030-03-17 17:46:40 UTC"), "{text}");
        let mut failing = backed_up(None, None);
        failing.backup.as_mut().unwrap().error = Some("too few nodes".into());
        let off = BackupStatus { off: true, ..BackupStatus::default() };
        let (_, text) = unsafe_for(&CatalogStatus { backup: Some(off), ..kept_by(&[]) }).unwrap();
        assert!(text.contains("no backup in the mesh (gateway.catalogBackups is Off)"), "{text}");
        let (_, text) = unsafe_for(&failing).unwrap();
        assert!(text.contains("loses everything") && text.contains("Backups fail: too few nodes."), "{text}");
    }

    #[test]
    fn a_gateway_that_is_missed_degrades_and_a_lost_node_does_so_first() {
        let fine = || Verdict::no(condition::DEGRADED, "AllUp", "No node is down or full.");
        assert_eq!(with_gateways(fine(), &kept_by(&[Current; 3])), fine());
        assert_eq!(with_gateways(fine(), &kept_by(&[])), fine());
        let missed = kept_by(&[Current, Current, Away]);
        let verdict = with_gateways(fine(), &missed);
        assert_eq!((verdict.status, verdict.reason), (ConditionStatus::True, "GatewaysMissing"));
        assert!(verdict.message.contains("demo-gateway-3 does not answer"), "{}", verdict.message);
        let down = Verdict::yes(condition::DEGRADED, "NodesDown", "1 of 6 nodes down.");
        let both = with_gateways(down, &missed);
        assert_eq!(both.reason, "NodesDown");
        assert!(both.message.contains("demo-gateway-3") && both.message.ends_with("1 of 6 nodes down."));
    }
}

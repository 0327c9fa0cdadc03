//! What is said of copies of the catalog's backups at another S3.

use datamesh_crds::condition;
use datamesh_settings::admin::CopiesStatus;

use super::catalog::time;
use crate::conditions::Verdict;
use crate::gateway_api::GatewayError;

const TYPE: &str = condition::BACKUP_COPIES;

/// Where the spec wants them: whether the newest whole copy is as new as it is to be.
pub(crate) fn verdict(copies: Result<Option<&CopiesStatus>, &GatewayError>) -> Verdict {
    let copies = match copies {
        Ok(Some(copies)) => copies,
        Ok(None) => {
            let text = "The gateways do not have this part of the spec yet.";
            return Verdict::unknown(TYPE, "NotToldYet", text);
        }
        Err(error) => return Verdict::unknown(TYPE, "GatewayUnreachable", error.to_string()),
    };
    let newest = match (copies.last_unix_ms, copies.behind_seconds) {
        (Some(last), Some(behind)) => {
            format!("The newest whole copy at {} is of{}, {behind} s ago.", copies.place, time(last))
        }
        _ => format!("There is no whole copy at {} yet.", copies.place),
    };
    match (&copies.error, copies.counts()) {
        (None, true) => Verdict::yes(TYPE, "Copied", newest),
        (Some(error), true) => {
            Verdict::yes(TYPE, "Retrying", format!("{newest} The last try failed: {error}."))
        }
        (Some(error), false) => Verdict::no(TYPE, "Failing", format!("{newest} Copies fail: {error}.")),
        (None, false) => Verdict::no(
            TYPE,
            "Behind",
            format!("{newest} One is on its way, or there is no backup in the mesh yet."),
        ),
    }
}

/// Where it wants none any more.
pub(crate) fn not_wanted() -> Verdict {
    Verdict::yes(
        TYPE,
        condition::NOT_WANTED,
        "gateway.backupCopies is not set: backups of the catalog are in the pools alone.",
    )
}

#[cfg(test)]
mod tests {
    use k8s_controller::conditions::ConditionStatus;

    use super::*;

    #[test]
    fn how_old_the_newest_is_and_what_is_wrong_is_said() {
        let copied = CopiesStatus {
            place: "s3.example.com/copies/".into(),
            last_unix_ms: Some(1_900_000_000_000),
            behind_seconds: Some(45),
            ..CopiesStatus::default()
        };
        let error = Some("it answers 403 (AccessDenied)".to_owned());
        let is = |copies: &CopiesStatus| {
            let verdict = verdict(Ok(Some(copies)));
            assert!(verdict.message.contains("s3.example.com/copies/"), "{}", verdict.message);
            (verdict.status, verdict.reason, verdict.message)
        };
        let (status, reason, message) = is(&copied);
        assert_eq!((status, reason), (ConditionStatus::True, "Copied"));
        assert!(message.contains("2030-03-17 17:46:40 UTC, 45 s ago"), "{message}");
        let retrying = CopiesStatus { error: error.clone(), ..copied.clone() };
        assert_eq!(is(&retrying).1, "Retrying");
        let failing = CopiesStatus { behind_seconds: Some(3600), ..retrying };
        let (status, reason, message) = is(&failing);
        assert_eq!((status, reason), (ConditionStatus::False, "Failing"));
        assert!(message.contains("AccessDenied"), "{message}");
        let none = CopiesStatus { place: copied.place.clone(), ..CopiesStatus::default() };
        assert_eq!((is(&none).0, is(&none).1), (ConditionStatus::False, "Behind"));
        assert_eq!(verdict(Ok(None)).status, ConditionStatus::Unknown);
        assert!(not_wanted().is_good(), "nobody has to look");
    }
}

//! What keeps a version from being lost, and on what grounds one may go. Only decides: rows are written in `catalog/versions`.

use serde::{Deserialize, Serialize};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Who may end a retention before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetentionMode {
    /// Whoever is allowed to set governance aside, and says so.
    Governance,
    /// Nobody.
    Compliance,
}

/// A version is not lost before a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Who may end it before.
    pub mode: RetentionMode,
    /// When it ends by itself.
    pub until_unix_ms: u64,
}

/// How long versions are retained that are put without a word of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetentionPeriod {
    /// Days of 24 hours.
    Days(u32),
    /// Years by the calendar, or up to a day longer each four years.
    Years(u32),
}

/// What versions get that are put without a word of their retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultRetention {
    /// Who may end it before.
    pub mode: RetentionMode,
    /// For how long.
    pub period: RetentionPeriod,
}

/// Versions of a bucket may be locked, and it keeps them all: for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locking {
    /// What is put without a word of its retention gets this.
    pub default: Option<DefaultRetention>,
}

/// What keeps one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Until when.
    pub retention: Option<Retention>,
    /// Until somebody lifts the hold; absent: nobody ever spoke of one.
    pub legal_hold: Option<bool>,
}

/// On what grounds a version may be lost, or its retention changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// Now, by the clock of the gateway that asks.
    pub now_unix_ms: u64,
    /// Governance is set aside: whoever asks may do so, and said so.
    pub bypass_governance: bool,
}

/// A change of what keeps a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockChange {
    /// Another retention, or none.
    Retention(Option<Retention>),
    /// A hold, or its end.
    LegalHold(bool),
}

/// A version stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Locked {
    /// Until somebody lifts it.
    #[error("a legal hold is on the version")]
    LegalHold,
    /// Until a time.
    #[error("the version is retained until {} ms after 1970", .0.until_unix_ms)]
    Retained(Retention),
}

impl RetentionPeriod {
    fn ms(self) -> u64 {
        let days = match self {
            Self::Days(days) => u64::from(days),
            // So many years in a row have no more leap days than that.
            Self::Years(years) => u64::from(years) * 365 + u64::from(years.div_ceil(4)),
        };
        days.saturating_mul(DAY_MS)
    }
}

impl Locking {
    /// The lock of a version that is put now with this one. A date that is over by now, as that of an upload that took long, does not
    /// displace the default.
    pub(crate) fn complete(&self, lock: Lock, now_unix_ms: u64) -> Lock {
        let of_bucket = |DefaultRetention { mode, period }| Retention {
            mode,
            until_unix_ms: now_unix_ms.saturating_add(period.ms()),
        };
        let counts = lock.retention.filter(|said| said.until_unix_ms > now_unix_ms);
        Lock { retention: counts.or(self.default.map(of_bucket)).or(lock.retention), ..lock }
    }
}

impl Grounds {
    /// Those of everybody.
    #[must_use]
    pub const fn at(now_unix_ms: u64) -> Self {
        Self { now_unix_ms, bypass_governance: false }
    }
}

impl Retention {
    /// Whether it is over, or set aside.
    fn yields_to(self, grounds: Grounds) -> bool {
        let set_aside = self.mode == RetentionMode::Governance && grounds.bypass_governance;
        set_aside || self.until_unix_ms <= grounds.now_unix_ms
    }
}

impl Lock {
    /// Whether nobody ever said anything of one.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the version may be lost on these grounds.
    ///
    /// # Errors
    /// What keeps it.
    pub fn lets_go(&self, grounds: Grounds) -> Result<(), Locked> {
        if self.legal_hold == Some(true) {
            return Err(Locked::LegalHold);
        }
        match self.retention {
            Some(retention) if !retention.yields_to(grounds) => Err(Locked::Retained(retention)),
            _ => Ok(()),
        }
    }

    /// The lock after a change. A retention that counts still may become longer, and no weaker.
    ///
    /// # Errors
    /// What forbids the change.
    pub fn changed(self, change: LockChange, grounds: Grounds) -> Result<Self, Locked> {
        let wanted = match change {
            LockChange::LegalHold(on) => return Ok(Self { legal_hold: Some(on), ..self }),
            LockChange::Retention(wanted) => wanted,
        };
        let longer = |present: Retention| {
            wanted.is_some_and(|wanted| {
                wanted.mode == present.mode && wanted.until_unix_ms >= present.until_unix_ms
            })
        };
        match self.retention {
            Some(present) if !present.yields_to(grounds) && !longer(present) => {
                Err(Locked::Retained(present))
            }
            _ => Ok(Self { retention: wanted, ..self }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RetentionMode::{Compliance, Governance};

    const NOW: u64 = 1_000;
    const PLAIN: Grounds = Grounds::at(NOW);
    const BYPASS: Grounds = Grounds { now_unix_ms: NOW, bypass_governance: true };

    fn retained(mode: RetentionMode, until_unix_ms: u64) -> Lock {
        Lock { retention: Some(Retention { mode, until_unix_ms }), legal_hold: None }
    }

    #[test]
    fn what_counts_keeps_a_version() {
        let held = |lock: Lock| Lock { legal_hold: Some(true), ..lock };
        let lifted = Lock { legal_hold: Some(false), ..Lock::default() };
        for (lock, plain, bypass) in [
            (Lock::default(), true, true),
            (lifted, true, true),
            (retained(Governance, NOW), true, true),
            (retained(Compliance, NOW), true, true),
            (retained(Governance, NOW + 1), false, true),
            (retained(Compliance, NOW + 1), false, false),
            (held(Lock::default()), false, false),
            (held(retained(Governance, NOW + 1)), false, false),
            (held(retained(Compliance, NOW - 1)), false, false),
        ] {
            assert_eq!(lock.lets_go(PLAIN).is_ok(), plain, "{lock:?}");
            assert_eq!(lock.lets_go(BYPASS).is_ok(), bypass, "{lock:?}, set aside");
        }
    }

    #[test]
    fn a_retention_becomes_longer_and_no_weaker() {
        let to = |mode, until_unix_ms| Some(Retention { mode, until_unix_ms });
        for (present, wanted, plain, bypass) in [
            (retained(Governance, 2_000), to(Governance, 3_000), true, true),
            (retained(Governance, 2_000), to(Governance, 1_999), false, true),
            (retained(Governance, 2_000), to(Compliance, 2_000), false, true),
            (retained(Governance, 2_000), None, false, true),
            (retained(Compliance, 2_000), to(Compliance, 2_000), true, true),
            (retained(Compliance, 2_000), to(Compliance, 1_999), false, false),
            (retained(Compliance, 2_000), to(Governance, 9_000), false, false),
            (retained(Compliance, 2_000), None, false, false),
            (retained(Compliance, NOW), None, true, true),
            (Lock::default(), to(Compliance, 2_000), true, true),
        ] {
            for (grounds, may) in [(PLAIN, plain), (BYPASS, bypass)] {
                let changed = present.changed(LockChange::Retention(wanted), grounds);
                assert_eq!(changed.is_ok(), may, "{present:?} to {wanted:?}, {grounds:?}");
                assert_eq!(changed.map_or(wanted, |lock| lock.retention), wanted);
            }
        }
    }

    #[test]
    fn a_hold_and_a_retention_leave_each_other_alone() {
        let lock = retained(Compliance, 2_000).changed(LockChange::LegalHold(true), PLAIN).unwrap();
        assert_eq!(lock, Lock { legal_hold: Some(true), ..retained(Compliance, 2_000) });
        let wanted = Retention { mode: Compliance, until_unix_ms: 3_000 };
        let longer = lock.changed(LockChange::Retention(Some(wanted)), PLAIN).unwrap();
        assert_eq!(longer, Lock { retention: Some(wanted), legal_hold: Some(true) });
    }

    #[test]
    fn a_bucket_retains_what_comes_without_a_word() {
        let of = |period| Locking { default: Some(DefaultRetention { mode: Governance, period }) };
        let days = of(RetentionPeriod::Days(3)).complete(Lock::default(), NOW);
        assert_eq!(days, retained(Governance, NOW + 3 * DAY_MS));
        let years = |years| of(RetentionPeriod::Years(years)).complete(Lock::default(), 0).retention;
        assert_eq!(years(1).map(|retention| retention.until_unix_ms / DAY_MS), Some(366));
        assert_eq!(years(4).map(|retention| retention.until_unix_ms / DAY_MS), Some(4 * 365 + 1));
        let said = retained(Compliance, NOW + 5);
        assert_eq!(of(RetentionPeriod::Days(3)).complete(said, NOW), said, "what is said counts");
        let over = retained(Compliance, NOW);
        assert_eq!(of(RetentionPeriod::Days(3)).complete(over, NOW), days, "while it does");
        assert_eq!(Locking::default().complete(over, NOW), over);
        let hold = Lock { legal_hold: Some(true), ..Lock::default() };
        assert_eq!(Locking::default().complete(hold, NOW), hold);
    }
}

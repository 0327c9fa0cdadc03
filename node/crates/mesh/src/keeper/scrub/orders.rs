//! What the administrator wants of the scrub, and how far it is. Both are kept on the volume: a node that starts anew stays paused,
//! and goes on where it was.

use std::sync::Arc;

use datamesh_settings::admin::{ScrubReport, ScrubSpec};
use datamesh_shard::SegmentId;
use datamesh_store::Durability;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::keeper::rules::Rules;
use crate::swarm::RecordBytesError;

/// Where the last round got to.
const PROGRESS: &[u8] = b"scrub/progress";
/// First byte of that record: then the begin of the round, that of the last round that ended whole (0: none has), that of the first
/// round, each in seconds since 1970, little-endian, 1 if the round passed over a shard it could not read, and the last segment
/// looked at, if any. Version 1 had the first time and the last segment alone.
const PROGRESS_VERSION: u8 = 2;
/// What was ordered.
const ORDERED: &[u8] = b"scrub/ordered";
/// First byte of that record: then 1 if paused, the period in seconds, and the bytes a second (0: as many as it takes),
/// little-endian.
const ORDERED_VERSION: u8 = 1;

/// One round over the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) begun_unix: u64,
    /// Begin of the last round that ended: all that is here was read, or came, since then.
    pub(super) read_since_unix: Option<u64>,
    /// Begin of the first round: so long at most nothing proves that all was read.
    pub(super) first_unix: u64,
    /// Whether some shard could not be read, for no fault of its own: then the round proves nothing when it ends.
    pub(super) is_partial: bool,
    /// The last segment looked at; `None` at the begin.
    pub(super) last: Option<SegmentId>,
}

/// Shared by the worker, which scrubs, and the service, which is told and answers.
pub(in crate::keeper) struct Orders {
    rules: Arc<Rules>,
    state: Mutex<State>,
    /// Wakes the worker when something else is ordered.
    pub(super) wake: Arc<Notify>,
}

#[derive(Default)]
struct State {
    ordered: ScrubSpec,
    round: Option<Round>,
}

impl Orders {
    /// As they are kept. What cannot be read counts as never said: a scrub too many harms nobody.
    pub(in crate::keeper) fn recall(rules: Arc<Rules>) -> Self {
        let row = |key: &[u8]| match rules.records().get(key) {
            Ok(row) => row,
            Err(error) => {
                tracing::error!(%error, "what is kept of the scrub cannot be read; it begins anew");
                None
            }
        };
        let ordered = row(ORDERED).and_then(|row| decode_ordered(&row)).unwrap_or_default();
        let round = row(PROGRESS).and_then(|row| decode(&row));
        Self { rules, state: Mutex::new(State { ordered, round }), wake: Arc::default() }
    }

    pub(super) fn ordered(&self) -> ScrubSpec {
        self.state.lock().ordered
    }

    /// Takes an order; kept before it counts.
    pub(in crate::keeper) fn order(&self, ordered: ScrubSpec) -> Result<(), RecordBytesError> {
        if self.ordered() == ordered {
            return Ok(());
        }
        self.rules.records().put(ORDERED, &encode_ordered(ordered), Durability::Synced)?;
        self.state.lock().ordered = ordered;
        tracing::info!(?ordered, "the scrub was told otherwise");
        self.wake.notify_one();
        Ok(())
    }

    /// The round under way. One that began in the future began by a wrong clock.
    pub(super) fn round(&self, now_unix: u64) -> Round {
        let known = self.state.lock().round.filter(|round| round.begun_unix <= now_unix);
        known.unwrap_or(Round {
            begun_unix: now_unix,
            read_since_unix: None,
            first_unix: now_unix,
            is_partial: false,
            last: None,
        })
    }

    pub(super) fn note(&self, round: Round) {
        if let Err(error) = self.rules.records().put(PROGRESS, &encode(round), Durability::Lazy) {
            tracing::warn!(%error, "how far the scrub got is not kept; a restart goes on from before");
        }
        self.state.lock().round = Some(round);
    }

    /// For the node's report.
    pub(in crate::keeper) fn report(&self) -> ScrubReport {
        let now = self.rules.now();
        let round = self.round(now);
        let is_over = round.read_since_unix == Some(round.begun_unix);
        // Ids are hashes: how far one is among all is how far the round is.
        let reached = round.last.map_or(0, |last| u32::from(last.0[0]) << 8 | u32::from(last.0[1]));
        let done = if is_over { 1000 } else { reached * 1000 / (1 << 16) };
        ScrubReport {
            ordered: self.ordered(),
            done_permille: u16::try_from(done).unwrap_or(1000),
            round_seconds: now.saturating_sub(round.begun_unix),
            read_within_seconds: round.read_since_unix.map(|since| now.saturating_sub(since)),
            unread_seconds: round.read_since_unix.is_none().then(|| now.saturating_sub(round.first_unix)),
        }
    }
}

fn encode(round: Round) -> Vec<u8> {
    let mut row = vec![PROGRESS_VERSION];
    row.extend(round.begun_unix.to_le_bytes());
    row.extend(round.read_since_unix.unwrap_or(0).to_le_bytes());
    row.extend(round.first_unix.to_le_bytes());
    row.push(u8::from(round.is_partial));
    row.extend(round.last.iter().flat_map(|segment| segment.0));
    row
}

fn decode(row: &[u8]) -> Option<Round> {
    let (version, rest) = row.split_first()?;
    let (begun, rest) = rest.split_first_chunk::<8>()?;
    let (since, first, is_partial, last) = match *version {
        // It may have passed over shards without a word.
        1 => (0, *begun, true, rest),
        PROGRESS_VERSION => {
            let (since, rest) = rest.split_first_chunk::<8>()?;
            let (first, rest) = rest.split_first_chunk::<8>()?;
            let (partial @ (0 | 1), last) = rest.split_first()? else { return None };
            (u64::from_le_bytes(*since), *first, *partial == 1, last)
        }
        _ => return None,
    };
    let last = match last {
        [] => None,
        last => Some(SegmentId(last.try_into().ok()?)),
    };
    let read_since_unix = (since != 0).then_some(since);
    let (begun_unix, first_unix) = (u64::from_le_bytes(*begun), u64::from_le_bytes(first));
    Some(Round { begun_unix, read_since_unix, first_unix, is_partial, last })
}

fn encode_ordered(ordered: ScrubSpec) -> Vec<u8> {
    let mut row = vec![ORDERED_VERSION, u8::from(ordered.paused)];
    row.extend(ordered.period_seconds.to_le_bytes());
    row.extend(ordered.max_bytes_per_second.unwrap_or(0).to_le_bytes());
    row
}

fn decode_ordered(row: &[u8]) -> Option<ScrubSpec> {
    let [ORDERED_VERSION, paused @ (0 | 1), rest @ ..] = row else { return None };
    let (period, rest) = rest.split_first_chunk::<8>()?;
    let bytes = u64::from_le_bytes(rest.try_into().ok()?);
    Some(ScrubSpec {
        period_seconds: u64::from_le_bytes(*period),
        paused: *paused == 1,
        max_bytes_per_second: (bytes != 0).then_some(bytes),
    })
    .filter(ScrubSpec::is_within_limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_as_it_was_written_and_nothing_else_is() {
        for last in [None, Some(SegmentId([7; 32]))] {
            for read_since_unix in [None, Some(1_790_000_000)] {
                let is_partial = last.is_some();
                let first_unix = 1_780_000_000;
                let round =
                    Round { begun_unix: 1_800_000_000, read_since_unix, first_unix, is_partial, last };
                let row = encode(round);
                assert_eq!(decode(&row), Some(round));
                assert_eq!(decode(&row[..row.len() - 1]), None);
                assert_eq!(decode(&[&row[..], &[0]].concat()), None);
            }
        }
        assert_eq!((decode(&[]), decode(&[3, 0, 0, 0, 0, 0, 0, 0, 0])), (None, None));
    }

    #[test]
    fn the_progress_of_a_build_that_noted_no_ended_round_is_read() {
        let row = [&[1][..], &1_800_000_000_u64.to_le_bytes(), &[7; 32]].concat();
        let last = Some(SegmentId([7; 32]));
        let begun_unix = 1_800_000_000;
        let round =
            Round { begun_unix, read_since_unix: None, first_unix: begun_unix, is_partial: true, last };
        assert_eq!(decode(&row), Some(round));
    }

    #[test]
    fn orders_are_read_as_they_were_written_and_nothing_else_is() {
        for paused in [false, true] {
            for max_bytes_per_second in [None, Some(5 << 20)] {
                let ordered = ScrubSpec { period_seconds: 86_400, paused, max_bytes_per_second };
                let row = encode_ordered(ordered);
                assert_eq!(decode_ordered(&row), Some(ordered));
                assert_eq!(decode_ordered(&row[..row.len() - 1]), None);
                assert_eq!(decode_ordered(&[&row[..], &[0]].concat()), None);
            }
        }
        assert_eq!(
            hex(&encode_ordered(ScrubSpec::default())),
            "01000075120000000000".to_owned() + &"0".repeat(16)
        );
        assert_eq!(decode_ordered(&[1, 2]), None);
    }

    fn hex(row: &[u8]) -> String {
        row.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

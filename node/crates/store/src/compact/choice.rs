//! Which log file is compacted next. Pure: figures in, a decision out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::format::{LogNumber, LogRow};

/// Bytes a move leaves free for the index, besides a quarter of its size: its own log is allotted 2 MiB at a time, two
/// buffers of 2 MiB are written out while the next log is begun, and tables are merged beside those they replace. A write
/// of the index that finds no room fails the store for good.
const SPARE_BYTES: u64 = 16 << 20;
/// Bytes a move leaves free even where there is hardly a reserve: deletes need room for their notes.
const SPARE_BYTES_MIN: u64 = 1 << 20;
/// A file being appended to is not worth closing for what is dead in it as long as it is smaller.
pub(crate) const CLOSE_BYTES_MIN: u64 = 1 << 20;

/// How much room there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    /// Bytes of all log files.
    pub(crate) log_bytes: u64,
    /// Bytes the store may still use.
    pub(crate) free_bytes: u64,
    /// Bytes of them that puts leave free.
    pub(crate) reserve_bytes: u64,
    /// Bytes of the index.
    pub(crate) index_bytes: u64,
}

/// How much of what the logs can take is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// More than an eighth is left for puts.
    Low,
    /// An eighth at most.
    Raised,
    /// A sixteenth at most.
    High,
    /// A thirty-second at most.
    Full,
}

impl Space {
    /// Bytes a move leaves free whatever happens. Half of a small reserve at most: the other half is for moves, which
    /// otherwise could never begin on a disk that puts have filled. Those that do not fit wait.
    pub(crate) fn spare_bytes(&self) -> u64 {
        let wanted = SPARE_BYTES.saturating_add(self.index_bytes / 4);
        wanted.min(self.reserve_bytes / 2).max(SPARE_BYTES_MIN)
    }

    /// Whether what lives in a file can be written anew.
    pub(crate) fn fits(&self, row: &LogRow) -> bool {
        row.live_bytes.saturating_add(self.spare_bytes()) <= self.free_bytes
    }

    pub(crate) fn pressure(&self) -> Pressure {
        let room = self.free_bytes.saturating_sub(self.reserve_bytes);
        let all = self.log_bytes.saturating_add(room);
        match room {
            room if room > all / 8 => Pressure::Low,
            room if room > all / 16 => Pressure::Raised,
            room if room > all / 32 => Pressure::High,
            _ => Pressure::Full,
        }
    }
}

impl Pressure {
    /// The part of a file that may live, in sixteenths, for moving it to pay. Half: as much comes back as is written.
    /// The fuller the disk, the more writing a byte is worth, up to fifteen for one.
    fn live_sixteenths_max(self) -> u64 {
        match self {
            Self::Low => 8,
            Self::Raised => 12,
            Self::High => 14,
            Self::Full => 15,
        }
    }

    /// Whether compaction leaves the disk to others most of the time.
    pub(crate) fn rests(self) -> bool {
        self < Self::High
    }

    /// Whether a file that holds nothing but damage may go. While there is room it stays: perhaps only the reading
    /// failed, and later it succeeds.
    fn gives_up_damage(self) -> bool {
        self > Self::Low
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Move what lives in this file.
    Move(LogNumber),
    /// Nothing lives in this file; these bytes of it are damaged. Look again whether they still are.
    Judge { log: LogNumber, damaged_bytes: u64 },
    /// Moving would pay, but what lives does not fit into the space that is free.
    NoRoom,
}

/// Whether moving what lives in a closed file pays. A file with shards known to be corrupt is left alone: they cannot be
/// moved, so its space would not come back, and they stay known by pointing into it. Once they are put anew or deleted
/// the file is looked at again.
pub(crate) fn pays(row: &LogRow, pressure: Pressure) -> bool {
    let live = u128::from(row.live_bytes) * 16;
    row.live_shards > 0
        && row.corrupt_shards == 0
        && live <= u128::from(row.bytes) * u128::from(pressure.live_sixteenths_max())
}

/// Whether nothing is left in a closed file but damage, and its space is wanted.
pub(crate) fn is_spent(row: &LogRow, pressure: Pressure) -> bool {
    row.live_shards == 0 && row.live_bytes > 0 && pressure.gives_up_damage()
}

/// Whether the file being appended to should be closed, so that it can be compacted: only where space is short, since it
/// costs a file that is smaller than others, and only for as much as is written.
pub(crate) fn closing_pays(active: &LogRow, pressure: Pressure) -> bool {
    pressure >= Pressure::High && active.bytes >= CLOSE_BYTES_MIN && pays(active, Pressure::Low)
}

/// The files that had their turn in this opening. What is left in them cannot be moved, or not be decided.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    pub(crate) moved: BTreeSet<LogNumber>,
    pub(crate) judged: BTreeSet<LogNumber>,
    /// Files that could not be read just now, and when they have their turn again.
    pub(crate) aside: BTreeMap<LogNumber, Instant>,
}

impl Done {
    /// Forgets files that are gone.
    pub(crate) fn keep(&mut self, is_there: impl Fn(LogNumber) -> bool) {
        self.moved.retain(|log| is_there(*log));
        self.judged.retain(|log| is_there(*log));
        self.aside.retain(|log, _| is_there(*log));
    }
}

/// The next thing to do about closed files; `active` is not one. What costs no writing comes first, then the file of which
/// the least lives.
pub(crate) fn choose<'a>(
    rows: impl Iterator<Item = (LogNumber, &'a LogRow)>,
    active: LogNumber,
    space: &Space,
    done: &Done,
) -> Option<Next> {
    let pressure = space.pressure();
    let (mut best, mut lacks_room): (Option<(LogNumber, &LogRow)>, _) = (None, false);
    for (log, row) in rows.filter(|(log, _)| *log != active && !done.aside.contains_key(log)) {
        if is_spent(row, pressure) && !done.judged.contains(&log) {
            return Some(Next::Judge { log, damaged_bytes: row.live_bytes });
        }
        let is_candidate = pays(row, pressure) && !done.moved.contains(&log);
        let fits = space.fits(row);
        lacks_room |= is_candidate && !fits;
        if is_candidate && fits && best.is_none_or(|(_, least)| lives_less(row, least)) {
            best = Some((log, row));
        }
    }
    best.map(|(log, _)| Next::Move(log)).or(lacks_room.then_some(Next::NoRoom))
}

/// Whether a smaller part of `row` lives than of `other`.
fn lives_less(row: &LogRow, other: &LogRow) -> bool {
    let part = |live: u64, bytes: u64| u128::from(live) * u128::from(bytes);
    part(row.live_bytes, other.bytes) < part(other.live_bytes, row.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const EASY: Space =
        Space { log_bytes: 1000 * MIB, free_bytes: 1000 * MIB, reserve_bytes: 0, index_bytes: 0 };

    fn row(live_percent: u64) -> LogRow {
        let (bytes, live_shards) = (100 * MIB, u64::from(live_percent > 0));
        LogRow { bytes, live_bytes: live_percent * MIB, live_shards, ..LogRow::default() }
    }

    fn free(room: u64) -> Space {
        Space { free_bytes: room * MIB + 300 * MIB, reserve_bytes: 300 * MIB, ..EASY }
    }

    fn next(rows: &[LogRow], space: &Space) -> Option<Next> {
        let numbered = (1..).map(LogNumber).zip(rows);
        choose(numbered, LogNumber(u32::MAX), space, &Done::default())
    }

    #[test]
    fn the_file_of_which_the_least_lives_comes_first_and_the_active_one_never() {
        let rows = [row(40), row(20), row(50), row(20), row(10)];
        let numbered = || (1..).map(LogNumber).zip(&rows);
        let none = Done::default();
        assert_eq!(choose(numbered(), LogNumber(9), &EASY, &none), Some(Next::Move(LogNumber(5))));
        assert_eq!(choose(numbered(), LogNumber(5), &EASY, &none), Some(Next::Move(LogNumber(2))));
        let done = Done { moved: [2, 4].map(LogNumber).into(), ..Done::default() };
        assert_eq!(choose(numbered(), LogNumber(5), &EASY, &done), Some(Next::Move(LogNumber(1))));
        // A part counts, not the bytes.
        let small = LogRow { bytes: 10 * MIB, ..row(5) };
        assert_eq!(next(&[small, row(30)], &EASY), Some(Next::Move(LogNumber(2))));
    }

    #[test]
    fn the_fuller_the_disk_the_more_may_live() {
        for (room, pressure, most) in [
            (1000, Pressure::Low, 50),
            (140, Pressure::Raised, 75),
            (65, Pressure::High, 87),
            (30, Pressure::Full, 93),
            (0, Pressure::Full, 93),
        ] {
            assert_eq!(free(room).pressure(), pressure, "{room} MiB");
            assert_eq!(next(&[row(most)], &free(room)), Some(Next::Move(LogNumber(1))), "{room} MiB");
            assert_eq!(next(&[row(most + 1)], &free(room)), None, "{room} MiB");
        }
        // Without a log, and with nothing free at all.
        let nothing = Space { log_bytes: 0, free_bytes: 0, reserve_bytes: 5, ..EASY };
        assert_eq!(nothing.pressure(), Pressure::Full);
        assert_eq!(next(&[], &nothing), None);
    }

    #[test]
    fn a_file_with_corrupt_shards_waits_until_they_are_mended() {
        let corrupt = LogRow { corrupt_shards: 1, live_shards: 2, ..row(10) };
        for room in [1000, 0] {
            assert_eq!(next(&[corrupt], &free(room)), None);
            let mended = LogRow { corrupt_shards: 0, live_shards: 1, ..corrupt };
            assert_eq!(next(&[mended], &free(room)), Some(Next::Move(LogNumber(1))));
        }
    }

    #[test]
    fn what_lives_must_fit_into_what_is_free_the_reserve_included() {
        let space = Space { free_bytes: 35 * MIB, reserve_bytes: 30 * MIB, ..EASY };
        assert_eq!(next(&[row(20)], &space), Some(Next::Move(LogNumber(1))));
        assert_eq!(next(&[row(21)], &space), Some(Next::NoRoom));
        // More of the smaller file lives, but it fits.
        let small = LogRow { bytes: 20 * MIB, ..row(15) };
        assert_eq!(next(&[row(21), small], &space), Some(Next::Move(LogNumber(2))));
    }

    #[test]
    fn a_file_set_aside_is_passed_over_and_one_that_is_gone_is_forgotten() {
        let rows = [row(40), row(20)];
        let mut done = Done { aside: [(LogNumber(2), Instant::now())].into(), ..Done::default() };
        let next = |done: &Done| choose((1..).map(LogNumber).zip(&rows), LogNumber(9), &EASY, done);
        assert_eq!(next(&done), Some(Next::Move(LogNumber(1))));
        done.keep(|log| log != LogNumber(2));
        assert_eq!(next(&done), Some(Next::Move(LogNumber(2))));
    }

    #[test]
    fn moves_leave_room_for_the_index_or_half_of_a_small_reserve() {
        let spare = |reserve, index| {
            Space { reserve_bytes: reserve * MIB, index_bytes: index * MIB, ..EASY }.spare_bytes() / MIB
        };
        assert_eq!((spare(300, 2), spare(300, 400), spare(300, 4000)), (16, 116, 150));
        assert_eq!((spare(30, 2), spare(4, 2), spare(1, 2), spare(0, 2)), (15, 2, 1, 1));
    }

    #[test]
    fn damage_alone_is_judged_only_where_space_is_wanted() {
        let damaged = LogRow { live_shards: 0, ..row(3) };
        assert_eq!(next(&[damaged], &EASY), None);
        let judge = Next::Judge { log: LogNumber(2), damaged_bytes: 3 * MIB };
        assert_eq!(next(&[row(1), damaged], &free(100)), Some(judge));
        // Once it was judged, that is it; having been moved out of is another turn.
        let turn = |done| choose([(LogNumber(2), &damaged)].into_iter(), LogNumber(9), &free(100), &done);
        let files = BTreeSet::from([LogNumber(2)]);
        assert_eq!(turn(Done { moved: files.clone(), ..Done::default() }), Some(judge));
        assert_eq!(turn(Done { judged: files, ..Done::default() }), None);
        // Nothing at all in it: the writer removes such files by itself.
        assert_eq!(next(&[row(0)], &free(0)), None);
    }

    #[test]
    fn the_active_file_is_closed_only_where_space_is_short_and_it_is_worth_it() {
        assert!(!closing_pays(&row(10), Pressure::Raised));
        assert!(closing_pays(&row(50), Pressure::High));
        assert!(!closing_pays(&row(51), Pressure::Full));
        let small = LogRow { bytes: CLOSE_BYTES_MIN - 1, live_bytes: 10, ..row(1) };
        assert!(!closing_pays(&small, Pressure::Full));
    }

    /// Each file compacted makes the logs smaller, so it comes to an end.
    #[test]
    fn moving_always_gives_back_more_than_it_writes_or_a_fifteenth_of_it() {
        for pressure in [Pressure::Low, Pressure::Raised, Pressure::High, Pressure::Full] {
            for live in (0..=100).filter(|live| pays(&row(*live), pressure)) {
                let back = 100 - live;
                assert!(back * 15 >= live, "{pressure:?}, {live}");
                assert!(pressure > Pressure::Low || back >= live, "{live}");
            }
        }
    }
}

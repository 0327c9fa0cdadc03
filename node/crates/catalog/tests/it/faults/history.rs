//! What callers saw, held against what is there in the end. Revisions are one order of all commits, so whether a history
//! is linearizable is read off them.

use std::collections::BTreeMap;

use datamesh_catalog::keyspace::{CommitError, Revision, Row};

/// Moments are counted, not measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) begun: u64,
    pub(crate) ended: u64,
}

/// A commit that put itself into the set, counted itself, and wrote itself into a register.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) span: Span,
    pub(crate) number: u64,
    pub(crate) register: u64,
    pub(crate) outcome: Result<Revision, CommitError>,
}

/// A read of a register, and of the revision it was read at.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) span: Span,
    pub(crate) register: u64,
    pub(crate) at: Revision,
    pub(crate) seen: Option<(Revision, u64)>,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) moment: u64,
    pub(crate) writes: Vec<Write>,
    pub(crate) reads: Vec<Read>,
}

pub(crate) fn set_key(number: u64) -> Vec<u8> {
    format!("s/{number:06}").into_bytes()
}

pub(crate) fn register_key(register: u64) -> Vec<u8> {
    format!("r/{register}").into_bytes()
}

pub(crate) const SUM_KEY: &[u8] = b"sum";

fn expect(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

impl History {
    pub(crate) fn now(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    fn acknowledged(&self) -> impl Iterator<Item = (&Write, Revision)> {
        self.writes.iter().filter_map(|write| Some((write, *write.outcome.as_ref().ok()?)))
    }

    /// What is wrong with it, if anything.
    pub(crate) fn check(&self, rows: &[Row]) -> Result<(), String> {
        self.check_set(rows)?;
        self.check_order()?;
        self.reads.iter().try_for_each(|read| self.check_read(read))
    }

    /// Acknowledged: there, once. Refused: not there. Unknown: either, but whole.
    fn check_set(&self, rows: &[Row]) -> Result<(), String> {
        let rows: BTreeMap<&[u8], &Row> = rows.iter().map(|row| (row.key.as_slice(), row)).collect();
        for write in &self.writes {
            let found = rows.get(set_key(write.number).as_slice()).map(|row| row.version);
            match &write.outcome {
                Ok(revision) => {
                    expect(found == Some(*revision), || format!("lost: {write:?}, is {found:?}"))?
                }
                Err(CommitError::Engine(_) | CommitError::Closed) => {}
                Err(_) => expect(found.is_none(), || format!("refused and done: {write:?}"))?,
            }
        }
        let members = rows.keys().filter(|key| key.starts_with(b"s/")).count();
        let sum =
            rows.get(SUM_KEY).map_or(0, |row| i64::from_le_bytes(row.value.clone().try_into().unwrap()));
        expect(i64::try_from(members) == Ok(sum), || format!("{members} commits were counted {sum} times"))
    }

    /// A commit that began after another's answer comes after it.
    fn check_order(&self) -> Result<(), String> {
        let mut by_revision: Vec<(Revision, Span)> =
            self.acknowledged().map(|(write, revision)| (revision, write.span)).collect();
        by_revision.sort();
        let mut latest_begin = 0;
        for pair in by_revision.windows(2) {
            expect(pair[0].0 != pair[1].0, || format!("two commits of one revision: {pair:?}"))?;
        }
        for (revision, span) in by_revision {
            expect(span.ended > latest_begin, || {
                format!("{revision} was answered before an earlier one began")
            })?;
            latest_begin = latest_begin.max(span.begun);
        }
        Ok(())
    }

    fn check_read(&self, read: &Read) -> Result<(), String> {
        for (write, revision) in self.acknowledged() {
            let before = write.span.ended < read.span.begun;
            expect(!before || revision <= read.at, || format!("stale: {read:?} misses {write:?}"))?;
            let future = read.span.ended < write.span.begun;
            expect(!future || revision > read.at, || format!("from the future: {read:?} has {write:?}"))?;
            if write.register == read.register && revision <= read.at {
                let version = read.seen.map(|(version, _)| version);
                expect(version >= Some(revision), || format!("{read:?} is older than {write:?}"))?;
                let other = version == Some(revision) && read.seen != Some((revision, write.number));
                expect(!other, || format!("{read:?} has another value than {write:?}"))?;
            }
        }
        let backwards = |earlier: &&Read| earlier.span.ended < read.span.begun && earlier.at > read.at;
        match self.reads.iter().find(backwards) {
            Some(earlier) => Err(format!("{read:?} is older than {earlier:?}")),
            None => Ok(()),
        }
    }
}

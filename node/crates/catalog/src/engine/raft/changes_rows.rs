//! The engine's own rows among a replica's: how far it is, and the changes it remembers. They lie with the rows, so they
//! are in every snapshot and are written together with what they tell of.

use std::collections::VecDeque;
use std::io;

use super::limits::CHANGES_MAX;
use super::record::{AppliedRecord, ChangesRecord};
use crate::engine::changes::ChangeLog;
use crate::engine::rocks::{Rows, row};
use crate::keyspace::{Change, KeyRange, RESERVED_FIRST_BYTE, RangeLimits, Revision, Versioned};
use crate::record::{self, Record};

const CHANGES_PREFIX: [u8; 2] = [RESERVED_FIRST_BYTE, b'c'];

/// A record in a row of the engine's own.
pub(super) trait EngineRow: Record {
    /// Its key.
    const KEY: &'static [u8];

    fn row(&self, newest: Revision) -> io::Result<Vec<u8>> {
        Ok(row::encode(newest, &record::encode(self).map_err(io::Error::other)?))
    }

    fn read(row: Option<Versioned>) -> io::Result<Option<Self>> {
        row.map(|row| record::decode(&row.value).map_err(io::Error::other)).transpose()
    }
}

impl EngineRow for AppliedRecord {
    const KEY: &'static [u8] = &[RESERVED_FIRST_BYTE, b'a'];
}

fn key(last: Revision) -> Vec<u8> {
    [CHANGES_PREFIX.as_slice(), &last.0.to_be_bytes()].concat()
}

/// Which rows of changes there are: by the last commit in each.
#[derive(Debug, Default)]
pub(super) struct ChangesRows {
    last: VecDeque<Revision>,
}

impl ChangesRows {
    /// Reads the changes after the floor. What is kept in memory follows from them, whichever rows they stand in.
    pub(super) fn load(rows: &Rows<'_>, floor: Revision) -> io::Result<(Self, ChangeLog)> {
        let (mut found, mut changes) = (Self::default(), ChangeLog::new(floor, CHANGES_MAX));
        let (view, mut range) = (rows.view(), KeyRange::prefix(CHANGES_PREFIX));
        loop {
            let page = view.all_in(&range, RangeLimits::default()).map_err(io::Error::other)?;
            for row in &page.rows {
                let record = record::decode::<ChangesRecord>(&row.value).map_err(io::Error::other)?;
                let newer = record.0.into_iter().map(Change::from).filter(|change| change.revision > floor);
                changes.extend(newer.collect());
                found.last.push_back(row.version);
                range = range.after(&row.key);
            }
            if !page.more {
                return Ok((found, changes));
            }
        }
    }

    /// Says what to write: these changes, and away with what lies below the floor.
    pub(super) fn write(
        &mut self,
        newest: Revision,
        changes: &[Change],
        floor: Revision,
        mut edit: impl FnMut(Vec<u8>, Option<Vec<u8>>),
    ) -> io::Result<()> {
        while let Some(forgotten) = self.last.pop_front_if(|last| *last <= floor) {
            edit(key(forgotten), None);
        }
        let record = record::encode(&ChangesRecord::from(changes)).map_err(io::Error::other)?;
        edit(key(newest), Some(row::encode(newest, &record)));
        self.last.push_back(newest);
        Ok(())
    }
}

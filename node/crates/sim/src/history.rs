//! What each key may hold: a register per key, written by one client at a time and read by anybody at any time.

use std::collections::{BTreeMap, BTreeSet};

/// A value: the number of the put that wrote it; `None` where nothing is.
pub(crate) type Value = Option<u64>;

#[derive(Debug, Default)]
struct Register {
    /// More than one after writes whose end is not known.
    possible: BTreeSet<Value>,
    /// What a write under way may bring.
    coming: Option<Value>,
    /// Reads under way, and all they may see.
    readers: BTreeMap<u64, BTreeSet<Value>>,
    /// Rises as writes begin and end.
    version: u64,
}

impl Register {
    fn all(&self) -> BTreeSet<Value> {
        self.possible.iter().copied().chain(self.coming).collect()
    }

    fn tell_readers(&mut self) {
        let all = self.all();
        self.readers.values_mut().for_each(|seen| seen.extend(all.iter().copied()));
    }
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct History {
    registers: BTreeMap<String, Register>,
    next_read: u64,
}

/// A read under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    number: u64,
    /// The register's at its begin.
    version: u64,
}

impl History {
    fn register(&mut self, key: &str) -> &mut Register {
        let fresh = || Register { possible: BTreeSet::from([None]), ..Register::default() };
        self.registers.entry(key.to_owned()).or_insert_with(fresh)
    }

    pub(crate) fn write_begins(&mut self, key: &str, value: Value) {
        let register = self.register(key);
        register.version += 1;
        register.coming = Some(value);
        register.tell_readers();
    }

    /// `done`: acknowledged, so nothing else is possible any more; else it may have happened or not.
    pub(crate) fn write_ends(&mut self, key: &str, done: bool) {
        let register = self.register(key);
        let Some(value) = register.coming.take() else { return };
        register.version += 1;
        if done {
            register.possible.clear();
        }
        register.possible.insert(value);
        register.tell_readers();
    }

    pub(crate) fn read_begins(&mut self, key: &str) -> Read {
        self.next_read += 1;
        let read = self.next_read;
        let register = self.register(key);
        let all = register.all();
        register.readers.insert(read, all);
        Read { number: read, version: register.version }
    }

    /// Forgets a read that brought nothing.
    pub(crate) fn read_fails(&mut self, key: &str, read: Read) {
        self.register(key).readers.remove(&read.number);
    }

    /// Whether the read may have seen this.
    pub(crate) fn read_ends(&mut self, key: &str, read: Read, value: Value) -> Result<(), String> {
        let register = self.register(key);
        let allowed = register.readers.remove(&read.number).unwrap_or_default();
        if !allowed.contains(&value) {
            return Err(format!("key {key} reads as {value:?}; possible were {allowed:?}"));
        }
        // Only what was read while nothing was written settles what a write of unknown end came to.
        if register.coming.is_none() && register.version == read.version {
            register.possible = BTreeSet::from([value]);
        }
        Ok(())
    }

    /// Whether any write is under way.
    pub(crate) fn is_writing(&self) -> bool {
        self.registers.values().any(|register| register.coming.is_some())
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.registers.keys().cloned().collect()
    }
}

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

/// From some moment on a key may hold these.
#[derive(Debug)]
struct Change {
    unix_ms: u64,
    key: String,
    possible: BTreeSet<Value>,
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct History {
    registers: BTreeMap<String, Register>,
    next_read: u64,
    /// All that happened, in order.
    changes: Vec<Change>,
    /// Keys that were to be shredded, and when that request ended; absent where no answer said so.
    shreds: Vec<(Option<u64>, String)>,
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

    fn note(&mut self, now_ms: u64, key: &str) {
        let possible = self.register(key).all();
        self.changes.push(Change { unix_ms: now_ms, key: key.to_owned(), possible });
    }

    pub(crate) fn write_begins(&mut self, now_ms: u64, key: &str, value: Value) {
        let register = self.register(key);
        register.version += 1;
        register.coming = Some(value);
        register.tell_readers();
        self.note(now_ms, key);
    }

    /// `done`: acknowledged, so nothing else is possible any more; else it may have happened or not.
    pub(crate) fn write_ends(&mut self, now_ms: u64, key: &str, done: bool) {
        let register = self.register(key);
        let Some(value) = register.coming.take() else { return };
        register.version += 1;
        if done {
            register.possible.clear();
        }
        register.possible.insert(value);
        register.tell_readers();
        self.note(now_ms, key);
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

    /// A shred of a key has ended: at this time, or nobody knows when.
    pub(crate) fn is_shredded(&mut self, at_ms: Option<u64>, key: &str) {
        self.shreds.push((at_ms, key.to_owned()));
    }

    /// Whether a catalog that is set back to this moment may have a key whose bytes were shredded since: that is not taken back.
    pub(crate) fn may_be_shredded(&self, since_unix_ms: u64, key: &str) -> bool {
        self.shreds.iter().any(|(at, shredded)| shredded == key && at.is_none_or(|at| at >= since_unix_ms))
    }

    /// Whether any write is under way.
    pub(crate) fn is_writing(&self) -> bool {
        self.registers.values().any(|register| register.coming.is_some())
    }

    /// The catalog is what it was at some moment since then: what was acknowledged before is in it, and what came later may be.
    pub(crate) fn is_set_back(&mut self, unix_ms: u64) {
        let kept = self.changes.partition_point(|change| change.unix_ms < unix_ms);
        for (key, register) in &mut self.registers {
            let of_key = |change: &&Change| change.key == *key;
            let before = self.changes[..kept].iter().rfind(of_key);
            let base = before.map_or_else(|| BTreeSet::from([None]), |change| change.possible.clone());
            let later = self.changes[kept..].iter().filter(of_key).flat_map(|change| &change.possible);
            register.possible = base.into_iter().chain(later.copied()).collect();
            register.coming = None;
            register.version += 1;
        }
    }

    /// Whether what keys hold now was what they held at one moment since then: a backup is of one revision.
    pub(crate) fn is_one_moment(&self, unix_ms: u64, held: &BTreeMap<String, Value>) -> bool {
        let mut wrong: BTreeSet<&str> =
            held.iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key.as_str()).collect();
        let kept = self.changes.partition_point(|change| change.unix_ms < unix_ms);
        for (at, change) in self.changes.iter().enumerate() {
            if at >= kept && wrong.is_empty() {
                return true;
            }
            match held.get(&change.key).is_none_or(|value| change.possible.contains(value)) {
                true => wrong.remove(change.key.as_str()),
                false => wrong.insert(&change.key),
            };
        }
        wrong.is_empty()
    }

    /// How many keys hold what they did not hold in the end.
    pub(crate) fn differing(&self, held: &BTreeMap<String, Value>) -> usize {
        let last = |key: &String| self.changes.iter().rfind(|change| change.key == *key);
        let differs =
            |(key, value): &(&String, &Value)| last(key).is_some_and(|last| !last.possible.contains(value));
        held.iter().filter(differs).count()
    }

    /// What a key holds, where that is known for certain.
    pub(crate) fn held(&self) -> BTreeMap<String, Value> {
        let settled = self.registers.iter().filter(|(_, register)| register.possible.len() == 1);
        settled.filter_map(|(key, register)| Some((key.clone(), *register.possible.first()?))).collect()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.registers.keys().cloned().collect()
    }
}

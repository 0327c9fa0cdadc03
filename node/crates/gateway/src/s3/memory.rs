//! Memory of bodies that must be whole before anything can be done with them: so much for all requests together, and a part of it for
//! each who sends them. Who waits for it in vain is told to come again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// It is counted in these.
const UNIT_BYTES: usize = 1 << 10;
/// How long a body waits for it at most.
pub(super) const WAIT: Duration = Duration::from_secs(10);

/// There was none within [`WAIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// What is shared.
#[derive(Clone)]
pub(super) struct Memory(Arc<Shared>);

struct Shared {
    all: Arc<Semaphore>,
    /// Units of one user at most, and of those who are taken for one, at each level.
    each: Vec<usize>,
    /// Of those who have some now, by level.
    users: Mutex<HashMap<(usize, String), Arc<Semaphore>>>,
}

/// What one request has of it, until it is dropped.
pub(super) struct Held {
    memory: Memory,
    /// By level. Nobody's once it is dropped.
    own: Vec<(String, Arc<Semaphore>)>,
    units: Vec<OwnedSemaphorePermit>,
}

impl Memory {
    /// So many bytes, of which one user has so many at most; where there are several levels, whoever it is taken for at each has as many.
    pub(super) fn new(bytes: usize, each: &[usize]) -> Self {
        let all = Arc::new(Semaphore::new(bytes / UNIT_BYTES));
        let each = each.iter().map(|bytes| bytes / UNIT_BYTES).collect();
        Self(Arc::new(Shared { all, each, users: Mutex::default() }))
    }

    /// For a request of this user, nothing yet. A name for each level.
    pub(super) fn held_by(&self, names: impl IntoIterator<Item = String>) -> Held {
        let mut users = self.0.users.lock();
        let levels = self.0.each.iter().enumerate().zip(names);
        let own = levels.map(|((level, each), name)| {
            let own = users.entry((level, name.clone())).or_insert_with(|| Arc::new(Semaphore::new(*each)));
            (name, Arc::clone(own))
        });
        let own = own.collect();
        drop(users);
        Held { memory: self.clone(), own, units: Vec::new() }
    }
}

impl Held {
    /// Has so many bytes in all, once they are free.
    ///
    /// # Errors
    /// They were not for too long.
    pub(super) async fn grow_to(&mut self, bytes: usize) -> Result<(), Busy> {
        let had = self.units.first().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(bytes.div_ceil(UNIT_BYTES).saturating_sub(had)).map_err(|_| Busy)?;
        if more == 0 {
            return Ok(());
        }
        // Of what is everybody's last: who waits for their own part keeps nobody waiting.
        let own = self.own.iter().map(|(_, own)| own).chain([&self.memory.0.all]).cloned();
        let taking = async {
            let mut taken = Vec::new();
            for part in own {
                taken.push(part.acquire_many_owned(more).await.map_err(|_| Busy)?);
            }
            Ok(taken)
        };
        let taken: Vec<_> = timeout(WAIT, taking).await.map_err(|_| Busy)??;
        match self.units.is_empty() {
            true => self.units = taken,
            false => self.units.iter_mut().zip(taken).for_each(|(unit, more)| unit.merge(more)),
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut users = self.memory.0.users.lock();
        self.units.clear();
        for (level, (name, own)) in self.own.drain(..).enumerate() {
            drop(own);
            let user = (level, name);
            if users.get(&user).is_some_and(|own| Arc::strong_count(own) == 1) {
                users.remove(&user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const KIB: usize = 1 << 10;

    #[tokio::test(start_paused = true)]
    async fn one_user_leaves_the_others_their_part() {
        let memory = Memory::new(4 * KIB, &[2 * KIB]);
        let held = |user: &str| memory.held_by([user.to_owned()]);
        let (mut one, mut again, mut other) = (held("one"), held("one"), held("other"));
        assert_eq!(one.grow_to(KIB + 1).await, Ok(()), "of two units both");
        let began = Instant::now();
        assert_eq!(again.grow_to(1).await, Err(Busy));
        assert_eq!(began.elapsed(), WAIT);
        assert_eq!(other.grow_to(3 * KIB).await, Err(Busy), "nobody has more than their part");
        assert_eq!(other.grow_to(2 * KIB).await, Ok(()));
        assert_eq!(held("third").grow_to(1).await, Err(Busy), "all of it is taken");
        drop(other);
        let began = Instant::now();
        let (waited, ()) = tokio::join!(again.grow_to(1), async {
            tokio::time::sleep(WAIT / 2).await;
            drop(one);
        });
        assert_eq!(
            (waited, began.elapsed()),
            (Ok(()), WAIT / 2),
            "whoever waits has it as soon as it is free"
        );
    }

    #[tokio::test]
    async fn it_grows_and_comes_back() {
        let memory = Memory::new(8 * KIB, &[8 * KIB]);
        let mut held = memory.held_by(["one".into()]);
        for bytes in [0, 1, KIB, KIB + 1, 10, 8 * KIB] {
            assert_eq!(held.grow_to(bytes).await, Ok(()), "{bytes}");
        }
        assert_eq!(memory.0.all.available_permits(), 0);
        let second = memory.held_by(["one".into()]);
        drop(held);
        assert_eq!((memory.0.all.available_permits(), memory.0.users.lock().len()), (8, 1));
        drop(second);
        assert!(memory.0.users.lock().is_empty());
    }
    #[tokio::test(start_paused = true)]
    async fn many_who_are_taken_for_one_have_one_part_together() {
        let memory = Memory::new(8 * KIB, &[KIB, 2 * KIB]);
        let held = |user: &str, region: &str| memory.held_by([user.to_owned(), region.to_owned()]);
        let mut neighbours = ["a", "b", "c"].map(|user| held(user, "here"));
        for neighbour in &mut neighbours[..2] {
            assert_eq!(neighbour.grow_to(KIB).await, Ok(()));
        }
        assert_eq!(neighbours[2].grow_to(1).await, Err(Busy), "of the region's nothing is left");
        let mut far = held("a", "there");
        assert_eq!(far.grow_to(1).await, Err(Busy), "the same user, wherever");
        drop(neighbours);
        assert_eq!(far.grow_to(1).await, Ok(()));
        drop(far);
        assert!(memory.0.users.lock().is_empty());
    }
}

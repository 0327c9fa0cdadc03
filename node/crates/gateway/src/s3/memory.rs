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
    /// Units of one user at most.
    each: usize,
    /// Of those who have some now.
    users: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// What one request has of it, until it is dropped.
pub(super) struct Held {
    memory: Memory,
    user: String,
    /// Nobody's once it is dropped.
    own: Option<Arc<Semaphore>>,
    units: Option<[OwnedSemaphorePermit; 2]>,
}

impl Memory {
    /// So many bytes, of which one user has so many at most.
    pub(super) fn new(bytes: usize, each: usize) -> Self {
        let all = Arc::new(Semaphore::new(bytes / UNIT_BYTES));
        Self(Arc::new(Shared { all, each: each / UNIT_BYTES, users: Mutex::default() }))
    }

    /// For a request of this user, nothing yet.
    pub(super) fn held_by(&self, user: String) -> Held {
        let mut users = self.0.users.lock();
        let own = users.entry(user.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.0.each)));
        Held { memory: self.clone(), own: Some(Arc::clone(own)), user, units: None }
    }
}

impl Held {
    /// Has so many bytes in all, once they are free.
    ///
    /// # Errors
    /// They were not for too long.
    pub(super) async fn grow_to(&mut self, bytes: usize) -> Result<(), Busy> {
        let had = self.units.as_ref().map_or(0, |[own, _]| own.num_permits());
        let more = u32::try_from(bytes.div_ceil(UNIT_BYTES).saturating_sub(had)).map_err(|_| Busy)?;
        let Some(own) = self.own.clone().filter(|_| more > 0) else { return Ok(()) };
        let all = Arc::clone(&self.memory.0.all);
        let taking = async { Ok([own.acquire_many_owned(more).await?, all.acquire_many_owned(more).await?]) };
        let taken: Result<_, tokio::sync::AcquireError> = timeout(WAIT, taking).await.map_err(|_| Busy)?;
        let taken = taken.map_err(|_| Busy)?;
        match &mut self.units {
            None => self.units = Some(taken),
            Some(units) => units.iter_mut().zip(taken).for_each(|(unit, more)| unit.merge(more)),
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut users = self.memory.0.users.lock();
        self.units = None;
        self.own = None;
        if users.get(&self.user).is_some_and(|own| Arc::strong_count(own) == 1) {
            users.remove(&self.user);
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
        let memory = Memory::new(4 * KIB, 2 * KIB);
        let held = |user: &str| memory.held_by(user.to_owned());
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
        assert_eq!((waited, began.elapsed()), (Ok(()), WAIT / 2), "whoever waits has it as soon as it is free");
    }

    #[tokio::test]
    async fn it_grows_and_comes_back() {
        let memory = Memory::new(8 * KIB, 8 * KIB);
        let mut held = memory.held_by("one".into());
        for bytes in [0, 1, KIB, KIB + 1, 10, 8 * KIB] {
            assert_eq!(held.grow_to(bytes).await, Ok(()), "{bytes}");
        }
        assert_eq!(memory.0.all.available_permits(), 0);
        let second = memory.held_by("one".into());
        drop(held);
        assert_eq!((memory.0.all.available_permits(), memory.0.users.lock().len()), (8, 1));
        drop(second);
        assert!(memory.0.users.lock().is_empty());
    }
}

//! Gateways that keep one catalog become fewer, under clients that write and read back at once: five, three, one. The leader is among those
//! that leave, one is lost with its volume on the way, and in the end one grows again, with a volume that had left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::gateways::{Client, Gateways};
use datamesh_settings::admin::ClusterStatus;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const WRITERS: usize = 3;
/// A request that fails is tried again for so long: one gateway restarts, or two without a majority.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// One that leaves has its vote within it, or none any more.
const VOTES_WITHIN: Duration = Duration::from_secs(10);

/// Clients, each with keys only it writes: what it was told that it wrote last is what anybody reads next.
struct History {
    writers: JoinSet<Vec<(String, Vec<u8>)>>,
    stop: Arc<AtomicBool>,
    /// Through which gateways: the first of them.
    through: Arc<watch::Sender<usize>>,
    steps: watch::Receiver<u64>,
}

impl History {
    fn start(gateways: &Gateways, through: usize) -> Self {
        let (stop, (count, steps)) = (Arc::new(AtomicBool::new(false)), watch::channel(0));
        let through = Arc::new(watch::Sender::new(through));
        let mut writers = JoinSet::new();
        for name in 0..WRITERS {
            let writer = Writer {
                name,
                client: gateways.client(),
                through: Arc::clone(&through),
                stop: Arc::clone(&stop),
                count: count.clone(),
            };
            writers.spawn(writer.run());
        }
        Self { writers, stop, through, steps }
    }

    /// Until each writer has come further, as a rule: so many steps were taken since now.
    async fn go_on(&mut self) {
        let now = *self.steps.borrow_and_update();
        self.steps.wait_for(|steps| *steps >= now + 4 * WRITERS as u64).await.unwrap();
    }

    /// What is there at last.
    async fn finish(self) -> Vec<(String, Vec<u8>)> {
        self.stop.store(true, Ordering::Relaxed);
        self.writers.join_all().await.into_iter().flatten().collect()
    }
}

struct Writer {
    name: usize,
    client: Client,
    through: Arc<watch::Sender<usize>>,
    stop: Arc<AtomicBool>,
    count: watch::Sender<u64>,
}

impl Writer {
    async fn run(self) -> Vec<(String, Vec<u8>)> {
        let mut written = Vec::new();
        for number in 0_usize.. {
            // A register that is written each time, and one key after another.
            let value = format!("{}:{number}", self.name).repeat(1 + number % 700).into_bytes();
            for key in [format!("register-{}", self.name), format!("set-{}-{number}", self.name)] {
                self.tried(number, |at| self.client.put(at, &key, &value)).await;
                let read = self.tried(number + 1, |at| self.client.get(at, &key)).await;
                assert!(read == value, "{key}: {number} was acknowledged and is not there");
                written.retain(|(known, _)| *known != key);
                written.push((key, value.clone()));
            }
            self.count.send_modify(|count| *count += 1);
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        written
    }

    /// Through one gateway and then another: each failure is one that a retry mends.
    async fn tried<T, F: Future<Output = Result<T, reqwest::Error>>>(
        &self,
        first: usize,
        ask: impl Fn(usize) -> F,
    ) -> T {
        let (begun, mut failures) = (Instant::now(), Vec::new());
        for turn in first.. {
            let through = *self.through.borrow();
            match ask(turn % through).await {
                Ok(answer) => return answer,
                Err(error) => failures.push(error.to_string()),
            }
            assert!(begun.elapsed() < PATIENCE, "no retry mends it: {failures:?}");
            sleep(PAUSE).await;
        }
        unreachable!("turns do not end")
    }
}

/// As the operator does: those that leave first, the leader last, each when all others have everything.
async fn tell(all: &mut Gateways, (stay, leave): (usize, usize), without: &[usize]) {
    all.tell(stay, leave);
    let leader = all.leader().await;
    let mut order: Vec<usize> =
        (stay..stay + leave).chain(0..stay).filter(|at| !without.contains(at)).collect();
    order.sort_by_key(|at| *at == leader);
    for at in order {
        all.stop(at).await;
        match at < stay {
            true => all.restart(at).await,
            false => all.restart_within(at, VOTES_WITHIN).await,
        }
        let are_whole = |status: &ClusterStatus| {
            let copies = usize::try_from(status.catalog.replicas).unwrap();
            have_left(status) || copies + without.len() >= status.catalog.members.len()
        };
        all.until_at(0, are_whole).await;
    }
}

fn have_left(status: &ClusterStatus) -> bool {
    status.catalog.leaving.as_ref().is_some_and(|leaving| leaving.have_left)
}

/// Until one of those that leave leads.
async fn lead_from(all: &mut Gateways, first: usize) {
    for _ in 0..10 {
        let leader = all.leader().await;
        if leader >= first {
            return;
        }
        all.stop(leader).await;
        all.restart(leader).await;
        all.until(|status| status.catalog.replicas == 5).await;
    }
    panic!("none of the last leads");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes of a machine of its own: `make test-long` runs it"]
async fn five_become_three_and_one_and_three_again() {
    let mut all = Gateways::start_of(5).await;
    all.put_pool(0).await;
    let is_known =
        |status: &ClusterStatus| !status.pools.is_empty() && status.pools.iter().all(|pool| pool.writable);
    all.until(|status| status.catalog.replicas == 5 && is_known(status)).await;
    lead_from(&mut all, 3).await;
    let mut history = History::start(&all, 3);
    history.go_on().await;

    tell(&mut all, (3, 2), &[]).await;
    all.until(|status| have_left(status) && status.catalog.members.len() == 3).await;
    assert!(all.leader().await < 3);
    for at in [3, 4] {
        all.kill(at).await;
        all.lose_volume(at);
    }
    history.go_on().await;
    tell(&mut all, (3, 0), &[]).await;
    all.until(|status| status.catalog.replicas == 3 && status.catalog.leaving.is_none()).await;
    history.go_on().await;

    // One that is to leave is lost with its volume: it is not waited for.
    all.kill(2).await;
    all.lose_volume(2);
    history.through.send_replace(1);
    tell(&mut all, (1, 2), &[2]).await;
    all.until(|status| have_left(status) && status.catalog.members.is_empty()).await;
    assert_eq!(all.status(0).await.unwrap().catalog.replicas, 1);
    all.kill(1).await;
    history.go_on().await;
    tell_the_last(&mut all).await;
    history.go_on().await;
    assert_eq!(all.status(0).await.unwrap().catalog.replicas, 1);

    // The second comes with the volume that had left, the third with an empty one.
    all.tell(3, 0);
    all.stop(0).await;
    all.start_all().await;
    all.until(|status| status.catalog.replicas == 3).await;
    history.through.send_replace(3);
    history.go_on().await;
    let written = history.finish().await;
    assert!(written.len() > 3 * WRITERS, "too little was written: {}", written.len());
    for (number, (key, value)) in written.iter().enumerate() {
        assert!(all.get(number % 3, key).await.unwrap() == *value, "{key}");
    }
    all.end().await;
}

async fn tell_the_last(all: &mut Gateways) {
    all.tell(1, 0);
    all.stop(0).await;
    all.restart(0).await;
    all.until(|status| status.catalog.leaving.is_none() && status.catalog.members.is_empty()).await;
}

/// Called off in the middle: those that had lost their votes get them again, on the volumes they had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes of a machine of its own: `make test-long` runs it"]
async fn who_was_to_leave_may_stay_after_all() {
    let mut all = Gateways::start().await;
    all.put_pool(0).await;
    all.until(|status| status.catalog.replicas == 3 && status.pools.iter().all(|pool| pool.writable)).await;
    let mut history = History::start(&all, 1);
    tell(&mut all, (1, 2), &[]).await;
    all.until(have_left).await;
    history.go_on().await;
    // No gateway is the last before it is: the others' settings say that they leave, and it has all votes.
    all.tell(3, 0);
    for at in [1, 2, 0] {
        all.kill(at).await;
    }
    all.start_all().await;
    all.until(|status| status.catalog.replicas == 3 && status.catalog.leaving.is_none()).await;
    history.go_on().await;
    for (key, value) in history.finish().await {
        assert!(all.get(2, &key).await.unwrap() == value, "{key}");
    }
    // With votes elsewhere none starts alone.
    all.kill(1).await;
    let refused = all.start_one_alone(1).await.unwrap_err().to_string();
    assert!(refused.contains("3 have one") && refused.contains("catalogMembers is empty"), "{refused}");
    all.end().await;
}

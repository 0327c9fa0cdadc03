//! Damage is mended when it is found, not when the steward happens to come by. In virtual time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is for tests")]

#[path = "support/members.rs"]
mod members;
#[path = "support/shelf.rs"]
mod shelf;
#[path = "support/world.rs"]
mod world;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_mesh::{Caller, Pace};
use datamesh_shard::ShardKey;
use members::{Members, peer};
use world::{World, noise, put, segment};

const HOUR: Duration = Duration::from_secs(3600);
/// Rests that would outlast every test: whatever happens sooner was asked for.
const PACE: Pace = Pace {
    grace: Duration::from_secs(40),
    look: Duration::from_secs(1),
    rest_open: Duration::from_secs(10),
    rest_whole: Duration::from_secs(24 * 3600),
    rest_homing: Duration::from_secs(24 * 3600),
    scrub_period: Duration::from_secs(24 * 3600),
    rest_max: Duration::from_secs(24 * 3600),
};

/// A whole segment, and the member that has its second shard, who is not the steward.
struct Scene {
    members: Members,
    key: ShardKey,
    holder: u16,
    steward: u16,
}

impl Scene {
    async fn new() -> Self {
        Self::at(PACE).await
    }

    async fn at(pace: Pace) -> Self {
        let members = Members::start(&World::new(), 2, pace);
        let payload = noise(1, 5000);
        let (header, keys) = segment(&payload);
        let holders = members.table.holders(members.table.partition_of(keys[0].segment)).to_vec();
        for (key, holder) in keys.into_iter().zip(&holders) {
            let (answer, _) = members.ask(*holder, put(key, &header, 1), payload.clone()).await;
            assert_eq!(answer, Response::Done);
        }
        // Counted whole, and left alone from then on.
        tokio::time::sleep(Duration::from_secs(5)).await;
        members.asked();
        let scene = Self { members, key: keys[1], holder: holders[1], steward: holders[0] };
        assert!(scene.is_whole());
        scene
    }

    fn is_whole(&self) -> bool {
        self.members.shelves[usize::from(self.holder)].is_sound(self.key)
    }

    fn shelf(&self) -> &shelf::MemoryShelf {
        &self.members.shelves[usize::from(self.holder)]
    }

    /// How long it takes until the segment is whole again, if it is within an hour.
    async fn mended_after(&self) -> Option<Duration> {
        let begun = tokio::time::Instant::now();
        while !self.is_whole() && begun.elapsed() < HOUR {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.is_whole().then(|| begun.elapsed())
    }

    fn look(&self) -> Request {
        Request::Look { segments: vec![self.key.segment] }
    }

    async fn tell(&self, request: Request) -> Response {
        self.members.ask(self.steward, request, Bytes::new()).await.0
    }
}

/// A shard that was missing when a put or a delete could still be under way: that is waited for.
const SOON: Duration = Duration::from_secs(40 + 60);

#[tokio::test(start_paused = true)]
async fn what_a_node_reads_corrupt_is_rebuilt_soon() {
    let scene = Scene::new().await;
    scene.shelf().rot(scene.key);
    let (read, _) = scene.members.ask(scene.holder, Request::Get { key: scene.key }, Bytes::new()).await;
    assert!(matches!(read, Response::Refused(Refusal::Corrupt { .. })), "{read:?}");
    let mended = scene.mended_after().await.unwrap();
    assert!(mended < SOON, "{mended:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_gateway_misses_is_rebuilt_soon() {
    let scene = Scene::new().await;
    scene.shelf().lose(scene.key);
    assert_eq!(scene.tell(scene.look()).await, Response::Done);
    let mended = scene.mended_after().await.unwrap();
    assert!(mended < SOON, "{mended:?}");
}

#[tokio::test(start_paused = true)]
async fn the_control_without_a_word_nobody_comes_by() {
    for rots in [true, false] {
        let scene = Scene::new().await;
        match rots {
            true => scene.shelf().rot(scene.key),
            false => scene.shelf().lose(scene.key),
        }
        assert_eq!(scene.mended_after().await, None);
    }
}

/// How long a partition rests goes by how long it took to count it, not by how long what was missing took to come.
#[tokio::test(start_paused = true)]
async fn what_was_long_in_rebuilding_is_counted_again_as_soon_as_anything() {
    let scene = Scene::at(Pace { rest_whole: Duration::from_secs(60), ..PACE }).await;
    let wire = Duration::from_secs(30);
    scene.members.wires.put_seconds.store(wire.as_secs(), Ordering::SeqCst);
    scene.shelf().lose(scene.key);
    assert_eq!(scene.tell(scene.look()).await, Response::Done);
    assert!(scene.mended_after().await.unwrap() > wire);
    // By now that has been counted, and found whole.
    tokio::time::sleep(wire + Duration::from_secs(10)).await;
    scene.shelf().lose(scene.key);
    let mended = scene.mended_after().await.unwrap();
    assert!(mended < SOON * 2, "{mended:?}");
}

/// Times that another member is asked what it has, while somebody gives hints without end.
async fn looks(scene: &Scene, seconds: u32, hint: &Request) -> usize {
    scene.members.asked();
    for _ in 0..seconds * 10 {
        assert_eq!(scene.tell(hint.clone()).await, Response::Done);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let asked = scene.members.asked();
    let is_look = |request: &&Request| matches!(request, Request::Digests(_) | Request::Inventory { .. });
    asked.iter().filter(is_look).count()
}

#[tokio::test(start_paused = true)]
async fn hints_without_end_do_not_keep_a_steward_busy() {
    let scene = Scene::new().await;
    let read = looks(&scene, 600, &scene.look()).await;
    assert!((30..=60).contains(&read), "one in ten seconds at most: {read}");
    let all = (0..=255).map(|n| datamesh_shard::SegmentId([n; 32])).collect();
    let read = looks(&scene, 600, &Request::Look { segments: all }).await;
    // Of sixteen partitions this node is steward of some.
    assert!(read <= 16 * 60, "{read}");
}

#[tokio::test(start_paused = true)]
async fn only_members_and_gateways_give_hints() {
    let scene = Scene::new().await;
    let answered = async |caller: Caller| {
        scene.members.ask_as(caller, scene.steward, scene.look(), Bytes::new()).await.0
    };
    let refused = Response::Refused(Refusal::NotAMember);
    assert_eq!(answered(Caller::stranger(peer(77))).await, refused);
    let fellow = Caller { member_of: Some(world::pool()), ..Caller::stranger(peer(1)) };
    assert_eq!(answered(fellow).await, Response::Done);
}

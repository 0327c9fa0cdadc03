use datamesh_shard::{SegmentId, ShardIndex};

use super::*;

const M: usize = 2;

fn peer(n: u8) -> PeerKey {
    PeerKey([n; 32])
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn key(n: u8) -> ShardKey {
    ShardKey { segment: SegmentId([n; 32]), index: ShardIndex(0) }
}

/// A pool of six, and its time.
struct Pool {
    all: Reputations,
    members: Vec<Subject>,
    now: Instant,
}

impl Pool {
    fn new() -> Self {
        let subject = |n| Subject { peer: peer(n), live: true, incarnation: Some(Incarnation(1)) };
        Self { all: Reputations::default(), members: (0..6).map(subject).collect(), now: Instant::now() }
    }

    /// As many requests of a kind to each, which take so long, and a judgement 3 s later.
    fn pass(&mut self, asked: Asked, requests: u32, took: impl Fn(u8) -> Duration) {
        for n in 0..6 {
            (0..requests).for_each(|_| self.all.note(peer(n), asked, took(n), Ended::Done));
        }
        self.judge(3);
    }

    fn judge(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.all.judge(&self.members, M, self.now);
    }

    /// Who is avoided.
    fn avoided(&self) -> Vec<u8> {
        (0..6).filter(|n| self.all.avoided(&peer(*n)).is_some()).collect()
    }
}

/// Node 1 takes so long, the others 6 ms.
fn first(slow: Duration) -> impl Fn(u8) -> Duration {
    move |n| if n == 1 { slow } else { ms(6) }
}

#[test]
fn a_slow_disk_is_avoided_after_three_windows_and_returns_after_three() {
    for asked in [Asked::Put, Asked::Get] {
        let mut pool = Pool::new();
        pool.pass(asked, 4, first(ms(400)));
        pool.pass(asked, 4, first(ms(400)));
        assert_eq!(pool.avoided(), [0; 0]);
        pool.pass(asked, 4, first(ms(400)));
        assert_eq!(pool.avoided(), [1]);
        let Why::Slow { asked: what, window } = pool.all.avoided(&peer(1)).unwrap().why else { panic!() };
        assert_eq!((what, window.mean, window.others), (asked, ms(400), ms(6)));
        // Better, but not yet well: nothing changes.
        (0..9).for_each(|_| pool.pass(asked, 4, first(ms(110))));
        assert_eq!(pool.avoided(), [1]);
        (0..2).for_each(|_| pool.pass(asked, 4, first(ms(20))));
        assert_eq!(pool.avoided(), [1]);
        pool.pass(asked, 4, first(ms(20)));
        assert_eq!(pool.avoided(), [0; 0]);
    }
}

#[test]
fn who_is_slow_is_a_matter_of_the_others() {
    let slow = |took: &dyn Fn(u8) -> Duration| {
        let mut pool = Pool::new();
        (0..5).for_each(|_| pool.pass(Asked::Put, 8, took));
        pool.avoided()
    };
    assert_eq!(slow(&first(ms(199))), [0; 0], "no time that anybody would notice");
    assert_eq!(slow(&first(ms(200))), [1]);
    assert_eq!(slow(&|_| ms(3000)), [0; 0], "all are: it is the load, or the gateway");
    assert_eq!(slow(&|n| if n == 1 { ms(800) } else { ms(101) }), [0; 0], "not 8 times as slow");
    assert_eq!(slow(&|n| if n == 1 { ms(809) } else { ms(101) }), [1]);
    assert_eq!(slow(&|n| if n < 4 { ms(900) } else { ms(5) }), [0; 0], "most are: two are quick");
    // The worst of two, and of three no more than m.
    let mut three = Pool::new();
    let took = |n: u8| [ms(5), ms(900), ms(5), ms(950), ms(5), ms(5)][usize::from(n)];
    (0..3).for_each(|_| three.pass(Asked::Put, 8, took));
    assert_eq!(three.avoided(), [1, 3]);
    assert!(three.all.rank_of(&peer(3)) < three.all.rank_of(&peer(1)));
    (0..3).for_each(|_| three.pass(Asked::Get, 8, |n| if n == 5 { ms(2000) } else { ms(5) }));
    assert_eq!(three.avoided(), [3, 5]);
}

#[test]
fn a_stall_is_no_verdict() {
    let mut pool = Pool::new();
    for stalled in [true, true, false, true, true, false] {
        // Everything under way waits for one sync.
        pool.pass(Asked::Put, 20, first(if stalled { ms(2500) } else { ms(6) }));
    }
    assert_eq!(pool.avoided(), [0; 0]);
}

#[test]
fn few_requests_say_nothing_until_there_are_more() {
    let mut pool = Pool::new();
    (0..11).for_each(|_| pool.pass(Asked::Put, 1, first(ms(900))));
    assert_eq!(pool.avoided(), [0; 0]);
    pool.pass(Asked::Put, 1, first(ms(900)));
    assert_eq!(pool.avoided(), [1], "three windows of four");
}

#[test]
fn failures_and_what_nobody_waits_for_count_as_slow() {
    let mut pool = Pool::new();
    for _ in 0..3 {
        (0..2).for_each(|_| pool.all.note(peer(1), Asked::Put, ms(1), Ended::Failed));
        (0..2).for_each(|_| pool.all.note(peer(2), Asked::Put, ms(1), Ended::Uncounted));
        (0..2).for_each(|_| pool.all.note(peer(4), Asked::Put, ms(100), Ended::GivenUp));
        (0..9).for_each(|_| pool.all.note(peer(5), Asked::Put, ms(900), Ended::GivenUp));
        pool.pass(Asked::Put, 8, |_| ms(6));
    }
    assert_eq!(pool.avoided(), [1, 5], "2 of 10 failed; given up after 100 ms it may have taken any time");
    let Why::Slow { window, .. } = pool.all.avoided(&peer(1)).unwrap().why else { panic!() };
    assert_eq!((window.failed, window.requests), (2, 10));
}

#[test]
fn whoever_was_down_or_not_asked_for_long_begins_anew() {
    let slow = || {
        let mut pool = Pool::new();
        (0..3).for_each(|_| pool.pass(Asked::Put, 4, first(ms(900))));
        assert_eq!(pool.avoided(), [1]);
        pool
    };
    let mut down = slow();
    down.members[1].live = false;
    down.judge(3);
    assert_eq!(down.avoided(), [0; 0]);
    let mut idle = slow();
    idle.judge(600);
    assert_eq!(idle.avoided(), [1]);
    idle.judge(3);
    assert_eq!(idle.avoided(), [0; 0]);
    let mut gone = slow();
    gone.all.retain(|member| *member != peer(1));
    assert_eq!(gone.avoided(), [0; 0]);
}

#[test]
fn probes_are_for_slow_peers_and_few() {
    let mut pool = Pool::new();
    (0..3).for_each(|_| pool.pass(Asked::Put, 4, first(ms(900))));
    let now = pool.now;
    let begin = |pool: &mut Pool, n: u8, asked, after| pool.all.begin_probe(&peer(n), asked, now + ms(after));
    assert!(!begin(&mut pool, 0, Asked::Put, 0), "it is not slow");
    assert_eq!((0..9).filter(|_| begin(&mut pool, 1, Asked::Put, 0)).count(), 4);
    pool.all.end_probe(&peer(1), Asked::Put);
    assert!(begin(&mut pool, 1, Asked::Put, 0));
    assert!(begin(&mut pool, 1, Asked::Get, 0));
    assert!(!begin(&mut pool, 1, Asked::Get, 5000), "one is under way");
    pool.all.end_probe(&peer(1), Asked::Get);
    assert!(!begin(&mut pool, 1, Asked::Get, 999) && begin(&mut pool, 1, Asked::Get, 1000));
}

#[test]
fn five_different_wrong_shards_make_a_quarantine_and_time_or_a_restart_ends_it() {
    let mut pool = Pool::new();
    let wrong = |pool: &mut Pool, n: u8, shard: u8| pool.all.note_wrong(peer(n), key(shard), pool.now);
    (0..99).for_each(|_| wrong(&mut pool, 1, 7));
    (0..4).for_each(|shard| wrong(&mut pool, 2, shard));
    pool.judge(601);
    wrong(&mut pool, 2, 4);
    pool.judge(3);
    assert_eq!(pool.avoided(), [0; 0], "one rotten shard over and over; a few, long ago");
    (5..9).for_each(|shard| wrong(&mut pool, 2, shard));
    pool.judge(3);
    assert_eq!(pool.avoided(), [2]);
    pool.judge(3590);
    assert_eq!(pool.avoided(), [2]);
    pool.judge(10);
    assert_eq!(pool.avoided(), [0; 0], "an hour");
    wrong(&mut pool, 2, 9);
    pool.judge(3);
    assert_eq!(pool.avoided(), [2], "on probation one more suffices");
    pool.members[2].incarnation = Some(Incarnation(2));
    pool.judge(3);
    assert_eq!(pool.avoided(), [0; 0], "started anew");
    pool.judge(3600);
    (10..14).for_each(|shard| wrong(&mut pool, 2, shard));
    pool.judge(3);
    assert_eq!(pool.avoided(), [0; 0], "probation is over");
    wrong(&mut pool, 2, 14);
    pool.judge(3);
    assert_eq!(pool.avoided(), [2]);
}

#[test]
fn no_more_than_m_are_avoided_and_whoever_is_wrong_comes_first() {
    let mut pool = Pool::new();
    (0..3).for_each(|_| pool.pass(Asked::Put, 4, |n| if n < 2 { ms(4000) } else { ms(5) }));
    assert_eq!(pool.avoided(), [0, 1]);
    for n in [3, 4, 5] {
        (0..4 + n).for_each(|shard| pool.all.note_wrong(peer(n), key(shard), pool.now));
    }
    pool.judge(3);
    assert_eq!(pool.avoided(), [4, 5], "the worst");
    assert_eq!(pool.all.rank_of(&peer(5)), Some(0));
}

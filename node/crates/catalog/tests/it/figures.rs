//! How fast the embedded catalog is: `cargo test -p datamesh-catalog --test it figures -- --ignored --nocapture`.

use std::time::Instant;

use datamesh_catalog::engine::AnyKeyspace;
use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{Condition, DraftBody, EmbeddedCatalog, ListQuery, ObjectKey};

use crate::replicas::Replicas;
use crate::support::{BUCKET, Dice, OPTIONS, Rocks, draft, new_upload, one_page, put, target, upload_id};

const OBJECTS: u64 = 100_000;
const WRITERS: u64 = 64;

fn rate(what: &str, many: u64, since: Instant) {
    let many_f = f64::from(u32::try_from(many).unwrap());
    println!("{what}: {:.0}/s", many_f / since.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; asserts nothing"]
async fn figures() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = EmbeddedCatalog::open(dir.path(), "f", OPTIONS).await.unwrap();
    let AnyKeyspace::Rocks(rocks) = catalog.keyspace().clone() else { panic!("opened in a folder") };
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let catalog = catalog.clone();
        let mut dice = Dice::new("figures");
        tasks.spawn(async move {
            for n in (writer..OBJECTS).step_by(64) {
                let sealed = (0..520).flat_map(|_| dice.next().to_le_bytes()).collect();
                let draft = draft(DraftBody::Inline { sealed }, 4096, "0123456789abcdef", n);
                let target = target(&format!("folder-{}/object-{n:08}", n % 100), n);
                catalog.put_inline(&target, &draft, &Condition::None).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    rate("4 KiB inline puts, 64 writers", OBJECTS, begun);
    println!("{:?}", rocks.stats());
    let begun = Instant::now();
    for n in 0..20_000_u64 {
        let key = ObjectKey::new(format!("folder-{}/object-{n:08}", n % 100)).unwrap();
        assert!(catalog.object(BUCKET, &key).await.unwrap().is_some());
    }
    rate("gets, one reader", 20_000, begun);
    for delimiter in [None, Some("/".to_owned())] {
        let begun = Instant::now();
        let mut query = ListQuery { limit: 1000, delimiter: delimiter.clone(), ..ListQuery::default() };
        let mut listed = 0;
        loop {
            let page = catalog.list(BUCKET, &query).await.unwrap();
            listed += u64::try_from(page.entries.len() + page.common_prefixes.len()).unwrap();
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        rate(&format!("listed, delimiter {delimiter:?} ({listed})"), listed, begun);
    }
    let begun = Instant::now();
    for n in 0..300_u64 {
        let upload = OBJECTS + n;
        catalog.begin_upload(new_upload("one", upload, 0)).await.unwrap();
        catalog.commit_object(upload_id(upload), &one_page(&[n], "e", 0), &Condition::None).await.unwrap();
    }
    rate("one-page puts, one writer, two syncs each", 300, begun);
}

const CALLERS: u64 = 256;
const COMMITS: u64 = 60_000;

/// CPU time of this process so far, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // User and system time, in ticks of a hundredth of a second.
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

async fn small_commits<K: Keyspace>(what: &str, keyspace: K) {
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let keyspace = keyspace.clone();
        tasks.spawn(async move {
            for n in (caller..COMMITS).step_by(256) {
                put(&keyspace, format!("folder/{n:08}").as_bytes(), &[7; 200]).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let cpu_ms = (cpu_seconds() - cpu) * 1000.0 / f64::from(u32::try_from(COMMITS).unwrap());
    rate(
        &format!("{what}: commits of 200 bytes, {CALLERS} callers, {cpu_ms:.3} CPU-ms each"),
        COMMITS,
        begun,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; asserts nothing"]
async fn figures_of_commits() {
    for _ in 0..2 {
        let rocks = Rocks::new();
        small_commits("one volume", rocks.keyspace.clone()).await;
        let one = Replicas::of(1).await;
        small_commits("one replica", one.any(true).await).await;
        let three = Replicas::of(3).await;
        small_commits("three replicas on one disk, at the leader", three.any(true).await).await;
        small_commits("three replicas on one disk, at a follower", three.any(false).await).await;
    }
}

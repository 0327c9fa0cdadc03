//! How fast the embedded catalog is: `cargo test -p datamesh-catalog --test it figures -- --ignored --nocapture`.

use std::time::Instant;

use datamesh_catalog::engine::AnyKeyspace;
use datamesh_catalog::{Condition, DraftBody, EmbeddedCatalog, ListQuery, ObjectKey};

use crate::support::{BUCKET, Dice, OPTIONS, draft, new_upload, one_page, target, upload_id};

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

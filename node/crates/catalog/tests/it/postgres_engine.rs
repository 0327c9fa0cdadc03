//! What is PostgreSQL's own: several processes on one database, restarts, encryption, durability.

use datamesh_catalog::engine::{MemoryKeyspace, PostgresError, PostgresKeyspace};
use datamesh_catalog::keyspace::{
    Batch, ChangesError, Check, CommitError, KeyRange, Keyspace, RangeLimits, Revision, View,
};

use tokio::task::JoinSet;

use crate::postgres::server;
use crate::random_engine::{self, Step};
use crate::support::{Dice, memory, put};

async fn all_rows(keyspace: &PostgresKeyspace) -> Vec<datamesh_catalog::keyspace::Row> {
    let all = RangeLimits { rows: usize::MAX, bytes: usize::MAX };
    keyspace.view().await.unwrap().range(&KeyRange::prefix(b""), all).await.unwrap().rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_database_are_as_the_model() {
    let mut dice = Dice::new("two_processes_on_one_database_are_as_the_model");
    let database = server().database().await;
    let open = async || PostgresKeyspace::open(server().options(&database)).await.unwrap();
    let (mut both, model): (_, MemoryKeyspace) = ([open().await, open().await], memory());
    let mut refused = 0;
    for number in 0..600 {
        let step = Step::random(&mut dice, &model, number).await;
        let keyspace = &both[dice.below(2)];
        refused += usize::from(step.compare(keyspace, &model).await);
        if dice.once_in(150) {
            both = [open().await, open().await];
            assert_eq!(all_rows(&both[0]).await, model.rows(), "step {number}");
        }
    }
    random_engine::both_kinds_occur(refused, 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_changes_are_dropped() {
    let database = server().database().await;
    let mut options = server().options(&database);
    options.changes_max = 100;
    let keyspace = PostgresKeyspace::open(options).await.unwrap();
    for _ in 0..1100 {
        put(&keyspace, b"a", b"").await.unwrap();
    }
    let admin = server().admin(&database).await;
    let floor: i64 = admin.query_one("SELECT floor FROM datamesh_head", &[]).await.unwrap().get(0);
    let kept: i64 = admin.query_one("SELECT min(revision) FROM datamesh_changes", &[]).await.unwrap().get(0);
    assert!((900..=1000).contains(&floor) && kept == floor + 1, "{floor}, {kept}");
    let floor = Revision(floor.unsigned_abs());
    let forgotten = Err(ChangesError::Forgotten { through: floor });
    assert_eq!(keyspace.changes_since(Revision(floor.0 - 1), 9).await, forgotten);
    assert!(keyspace.changes_since(floor, 9).await.is_ok());
    let unchanged = |since| Batch {
        checks: vec![Check::Unchanged { range: KeyRange::prefix(b"b"), since }],
        ..Batch::new()
    };
    assert_eq!(
        keyspace.commit(unchanged(Revision(floor.0 - 1))).await,
        Err(CommitError::Conflict { check: 0 })
    );
    assert_eq!(keyspace.commit(unchanged(floor)).await, Ok(Revision(1100)));
}

/// As after a failover to a server that lacks the last commits: nothing is built upon what is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_went_back_is_refused() {
    let database = server().database().await;
    let keyspace = PostgresKeyspace::open(server().options(&database)).await.unwrap();
    for value in [b"1", b"2", b"3"] {
        put(&keyspace, b"a", value).await.unwrap();
    }
    let admin = server().admin(&database).await;
    let back = "UPDATE datamesh_head SET revision = 1; DELETE FROM datamesh_changes WHERE revision > 1";
    admin.batch_execute(back).await.unwrap();
    let refused = put(&keyspace, b"a", b"4").await.unwrap_err().to_string();
    assert!(refused.contains("revision 1 is its newest, and 3 was acknowledged"), "{refused}");
    let again = PostgresKeyspace::open(server().options(&database)).await.unwrap();
    assert_eq!(put(&again, b"a", b"5").await, Ok(Revision(2)), "whoever restarts accepts the loss");
}

/// Of all that share a database one has the lead; it goes on to another when its session or its process is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_all_leads() {
    let database = server().database().await;
    let first = PostgresKeyspace::open(server().options(&database)).await.unwrap();
    let mut first_leads = first.lead();
    first_leads.wait_for(|leads| *leads).await.unwrap();
    let second = PostgresKeyspace::open(server().options(&database)).await.unwrap();
    let other = PostgresKeyspace::open(server().options(&server().database().await)).await.unwrap();
    other.lead().wait_for(|leads| *leads).await.unwrap();
    assert!(*first_leads.borrow() && !*second.lead().borrow(), "another database's is another lead");

    let admin = server().admin(&database).await;
    let holder = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted \
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(admin.query_one(holder, &[]).await.unwrap().get::<_, i64>(0), 1);
    first_leads.wait_for(|leads| !*leads).await.unwrap();
    let leads =
        async |keyspace: &PostgresKeyspace| drop(keyspace.lead().wait_for(|leads| *leads).await.unwrap());
    tokio::select! { () = leads(&first) => {}, () = leads(&second) => {} }
    drop(first);
    leads(&second).await;
}

/// Connections end under way, again and again: no acknowledged commit is lost, and none that was refused happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_lose_nothing() {
    let database = server().database().await;
    let keyspace = PostgresKeyspace::open(server().options(&database)).await.unwrap();
    let admin = server().admin("postgres").await;
    let mut killing = JoinSet::new();
    killing.spawn({
        let database = database.clone();
        async move {
            let mut killed = 0_i64;
            for _ in 0..40 {
                let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
                killed += admin.query_one(kill, &[&database]).await.unwrap().get::<_, i64>(0);
                tokio::task::yield_now().await;
            }
            killed
        }
    });
    let (mut acknowledged, mut unknown) = (0_i64, 0_i64);
    let mut killed = None;
    while killed.is_none() || acknowledged < 50 {
        if let Some(ended) = killing.try_join_next() {
            killed = Some(ended.unwrap());
        }
        let mut batch = Batch::new();
        batch.add(b"sum", 1);
        match keyspace.commit(batch).await {
            Ok(_) => acknowledged += 1,
            Err(CommitError::Engine(_)) => unknown += 1,
            Err(error) => panic!("{error}"),
        }
        keyspace.get(b"sum").await.unwrap();
        keyspace.view().await.unwrap();
    }
    assert!(killed.is_some_and(|killed| killed > 0), "no connection was ended: this shows nothing");
    let sum = keyspace.get(b"sum").await.unwrap().unwrap().value;
    let sum = i64::from_le_bytes(sum.try_into().unwrap());
    assert!((acknowledged..=acknowledged + unknown).contains(&sum), "{acknowledged} + {unknown} gave {sum}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_and_the_right_authority_open_it() {
    let database = server().database().await;
    let admin = server().admin(&database).await;
    let role = format!(
        "CREATE ROLE with_password LOGIN PASSWORD 'right'; GRANT ALL ON SCHEMA public TO with_password; \
         GRANT ALL ON DATABASE {database} TO with_password"
    );
    admin.batch_execute(&role).await.unwrap();
    let open = async |password: &str, ca_pem: &[u8]| {
        PostgresKeyspace::open(server().encrypted(&database, password, ca_pem)).await
    };
    let keyspace = open("right", &server().ca_pem).await.unwrap();
    assert_eq!(put(&keyspace, b"a", b"1").await, Ok(Revision(1)));
    let wrong = open("hunter2", &server().ca_pem).await.unwrap_err().to_string();
    assert!(wrong.contains("password authentication failed") && !wrong.contains("hunter2"), "{wrong}");
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let refused = open("right", stranger.as_bytes()).await.unwrap_err().to_string();
    assert!(refused.contains("certificate"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_a_later_version_are_left_alone() {
    let database = server().database().await;
    drop(PostgresKeyspace::open(server().options(&database)).await.unwrap());
    let admin = server().admin(&database).await;
    admin.batch_execute("UPDATE datamesh_head SET format = 2").await.unwrap();
    let refused = PostgresKeyspace::open(server().options(&database)).await;
    assert!(matches!(refused, Err(PostgresError::Format { found: 2, known: 1 })));
}

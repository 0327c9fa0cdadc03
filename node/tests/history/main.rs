//! Processes are killed at random moments while clients of REST and of S3 write, read, delete and list, and the history is checked: a
//! key is a register, a prefix a set. Whatever was acknowledged is there, whole, whenever anything answers at all.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its seed"
)]

#[path = "../support/cluster.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod cluster;
#[path = "../../../e2e/src/register.rs"]
#[allow(unreachable_pub, reason = "a module of another crate")]
mod register;
#[path = "../../../e2e/src/signed.rs"]
#[allow(unreachable_pub, reason = "a module of another crate")]
mod signed;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cluster::{Cluster, new_seed, random};
use datamesh_settings::admin::MemberState;
use register::Register;
use reqwest::{Method, RequestBuilder, StatusCode};
use signed::Signer;
use tokio::task::JoinSet;
use tokio::time::Instant;

const LOAD: Duration = Duration::from_secs(20);
/// A machine on which too little happens within it goes on for up to so long.
const LOAD_MAX: Duration = Duration::from_secs(120);
/// So often at least each kind of request is answered.
const ENOUGH: u64 = 6;
/// One cluster at a time: two would keep each other waiting.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
/// Between two kills: shorter than what a process takes to come back, so that sometimes several are down.
const KILL_EVERY: Duration = Duration::from_millis(900);
/// After a request that was not answered.
const PAUSE: Duration = Duration::from_millis(100);
const CLIENTS: u64 = 8;
const KEYS_EACH: u64 = 4;
/// Nothing, a row, a frame, a part of a segment, several.
const SIZES: [usize; 5] = [1, 3000, 70_000, 700_000, 5 << 20];

/// What happened, for the one line at the end and so that a run in which nothing did fails.
#[derive(Debug, Default)]
struct Counts {
    puts: AtomicU64,
    gets: AtomicU64,
    deletes: AtomicU64,
    lists: AtomicU64,
    not_answered: AtomicU64,
    kills: AtomicU64,
}

impl Counts {
    fn are_enough(&self) -> bool {
        [&self.puts, &self.gets, &self.deletes, &self.lists, &self.not_answered, &self.kills]
            .into_iter()
            .all(|happened| happened.load(Ordering::Relaxed) >= ENOUGH)
    }

    /// Whether a run that began then is over.
    fn end(&self, begun: Instant) -> bool {
        begun.elapsed() > LOAD && self.are_enough() || begun.elapsed() > LOAD_MAX
    }
}

fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}

/// A small generator of its own for each client: what it does follows from the seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let hash = blake3::hash(&self.0.to_le_bytes());
        u64::from_le_bytes(*hash.as_bytes().first_chunk().unwrap()) % bound
    }
}

/// One client and the keys only it writes.
struct Client {
    cluster: Arc<Cluster>,
    counts: Arc<Counts>,
    gateways: u16,
    /// S3 is spoken with this key pair; else REST.
    key_pair: Option<(String, String)>,
    name: u64,
    dice: Dice,
    keys: Vec<Register>,
    written: u64,
}

impl Client {
    fn key(&self, n: u64) -> String {
        format!("history/{}/{n}", self.name)
    }

    /// A value says who wrote it and when; its bytes follow from it.
    fn bytes(&self, value: u64) -> Vec<u8> {
        let size = SIZES[usize::try_from(value % SIZES.len() as u64).unwrap()];
        [&value.to_le_bytes()[..], &random(value, size)].concat()
    }

    async fn step(&mut self) -> Result<(), String> {
        let n = self.dice.below(KEYS_EACH);
        match self.dice.below(10) {
            0..4 => self.put(n).await,
            4..8 => self.get(n).await,
            8 => self.delete(n).await,
            _ => self.list().await,
        }
    }

    fn register(&mut self, n: u64) -> &mut Register {
        &mut self.keys[usize::try_from(n).unwrap()]
    }

    async fn put(&mut self, n: u64) -> Result<(), String> {
        self.written += 1;
        // Of this client alone, and of any size.
        let value = (self.name << 48) + (self.written << 8) + self.dice.below(256);
        let answer = self.ask(Method::PUT, &self.key(n), self.bytes(value)).await;
        let done = answer.is_some_and(|(status, _)| status.is_success());
        self.ended(n, Some(value), done.then_some(&self.counts.clone().puts)).await;
        Ok(())
    }

    async fn delete(&mut self, n: u64) -> Result<(), String> {
        let answer = self.ask(Method::DELETE, &self.key(n), Vec::new()).await;
        let done = answer.is_some_and(|(status, _)| status.is_success() || status == StatusCode::NOT_FOUND);
        self.ended(n, None, done.then_some(&self.counts.clone().deletes)).await;
        Ok(())
    }

    /// What any of the gateways says, if it does: an answer that is cut off is none.
    async fn ask(&mut self, method: Method, key: &str, body: Vec<u8>) -> Option<(StatusCode, Bytes)> {
        let request = match self.signed() {
            Some((signer, http)) => {
                signer.request(&http, method, (&format!("/default/{key}"), ""), body.into())
            }
            None => self.rest(method, &format!("/files/{key}")).body(body),
        };
        answered(request).await
    }

    fn rest(&mut self, method: Method, path: &str) -> RequestBuilder {
        let gateway = self.any_gateway();
        self.cluster.request_at(gateway, method, path)
    }

    fn signed(&mut self) -> Option<(Signer, reqwest::Client)> {
        let (id, secret) = self.key_pair.clone()?;
        let gateway = self.any_gateway();
        Some((Signer::new(self.cluster.s3_host(gateway), id, secret), self.cluster.http().clone()))
    }

    fn any_gateway(&mut self) -> u16 {
        u16::try_from(self.dice.below(self.gateways.into())).unwrap()
    }

    /// A write ended, acknowledged if it is to be counted.
    async fn ended(&mut self, n: u64, value: Option<u64>, done: Option<&AtomicU64>) {
        match done {
            Some(counter) => {
                count(counter);
                self.register(n).acknowledged(value);
            }
            None => {
                self.register(n).unknown(value);
                self.not_answered().await;
            }
        }
    }

    /// As a client does it: it waits a little before it asks again.
    async fn not_answered(&self) {
        count(&self.counts.not_answered);
        tokio::time::sleep(PAUSE).await;
    }

    /// A read that fails says nothing; one that ends well must be right.
    async fn get(&mut self, n: u64) -> Result<(), String> {
        let key = self.key(n);
        let seen = match self.ask(Method::GET, &key, Vec::new()).await {
            Some((StatusCode::NOT_FOUND, _)) => None,
            Some((StatusCode::OK, body)) => {
                let value = body.first_chunk().map(|value| u64::from_le_bytes(*value));
                let value = value.ok_or_else(|| format!("{key}: {} bytes", body.len()))?;
                if body != self.bytes(value) {
                    return Err(format!("{key}: {} bytes that nobody wrote", body.len()));
                }
                Some(value)
            }
            _ => {
                self.not_answered().await;
                return Ok(());
            }
        };
        count(&self.counts.gets);
        self.register(n).saw(seen).map_err(|what| format!("{key}: {what}"))
    }

    async fn list(&mut self) -> Result<(), String> {
        let prefix = format!("history/{}/", self.name);
        let request = match self.signed() {
            Some((signer, http)) => {
                let query = format!("list-type=2&prefix={}", prefix.replace('/', "%2F"));
                signer.request(&http, Method::GET, ("/default", &query), Bytes::new())
            }
            None => self.rest(Method::GET, &format!("/files?prefix={prefix}")),
        };
        let Some((StatusCode::OK, answer)) = answered(request).await else {
            self.not_answered().await;
            return Ok(());
        };
        let listed = listed(&answer).ok_or("a listing that is none")?;
        for n in 0..KEYS_EACH {
            let key = self.key(n);
            let checked = self.register(n).listed(listed.contains(&key));
            checked.map_err(|what| format!("{key}: {what}"))?;
        }
        count(&self.counts.lists);
        Ok(())
    }
}

/// A whole answer, if there is one.
async fn answered(request: RequestBuilder) -> Option<(StatusCode, Bytes)> {
    let answer = request.send().await.ok()?;
    Some((answer.status(), answer.bytes().await.ok()?))
}

/// The keys of a listing: of S3 if it is XML, else of REST.
fn listed(answer: &Bytes) -> Option<BTreeSet<String>> {
    let text = std::str::from_utf8(answer).ok()?;
    if text.starts_with('<') {
        return Some(signed::listed_keys(text));
    }
    let listing: serde_json::Value = serde_json::from_str(text).ok()?;
    listing["items"].as_array()?.iter().map(|item| item["key"].as_str().map(str::to_owned)).collect()
}

/// Kills one process after the other; a killed one is started again as a kubelet would.
async fn kill_at_random(cluster: &Cluster, gateways: u16, counts: &Counts, mut dice: Dice, begun: Instant) {
    while !counts.end(begun) {
        // One in five is a gateway, perhaps the one that leads: running puts are cut off.
        let name = match dice.below(5) {
            0 => format!("gateway-{}", dice.below(gateways.into())),
            _ => format!("node-{}", dice.below(6)),
        };
        if cluster.kill_if_running(&name) {
            count(&counts.kills);
        }
        tokio::time::sleep(KILL_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_whatever_is_killed() {
    kill_and_check(1).await;
}

/// What one gateway acknowledged is asked of the others.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_with_three_gateways() {
    kill_and_check(3).await;
}

async fn kill_and_check(gateways: u16) {
    let _turn = TURN.lock().await;
    let seed = new_seed();
    let cluster = Arc::new(Cluster::start_restarting_with(gateways).await);
    let counts = Arc::new(Counts::default());
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for name in 0..CLIENTS {
        let mut client = Client {
            cluster: Arc::clone(&cluster),
            counts: Arc::clone(&counts),
            gateways,
            key_pair: (name % 2 == 0).then(|| cluster.s3_key()),
            name,
            dice: Dice(seed ^ (name << 32)),
            keys: vec![Register::default(); usize::try_from(KEYS_EACH).unwrap()],
            written: 0,
        };
        clients.spawn(async move {
            while !client.counts.end(begun) {
                client.step().await.unwrap_or_else(|what| panic!("seed {seed}: {what}"));
            }
            client
        });
    }
    kill_at_random(&cluster, gateways, &counts, Dice(!seed), begun).await;
    let mut clients = clients.join_all().await;
    let all_up = async || {
        let status = cluster.try_status().await;
        status.is_some_and(|status| {
            let pool = &status.pools[0];
            pool.writable && pool.members.iter().all(|member| member.state == MemberState::Up)
        })
    };
    cluster.until_async("all nodes back", all_up).await;
    let unanswered = counts.not_answered.load(Ordering::Relaxed);
    for client in &mut clients {
        for n in 0..KEYS_EACH {
            client.get(n).await.unwrap_or_else(|what| panic!("seed {seed}, at the end: {what}"));
        }
        client.list().await.unwrap_or_else(|what| panic!("seed {seed}, at the end: {what}"));
    }
    println!("{counts:?}");
    assert_eq!(
        counts.not_answered.load(Ordering::Relaxed),
        unanswered,
        "nothing is killed any more: all is answered"
    );
    assert!(counts.are_enough(), "too little happened: {counts:?}");
}

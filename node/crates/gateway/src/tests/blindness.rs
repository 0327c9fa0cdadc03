//! Nodes are blind: neither contents nor names go over the wire to them, as it is before TLS hides it from all others.
//! A build that seals nothing (cargo feature `unsealed-for-blindness-test`) is the control: the same search over the same
//! requests finds all contents there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use axum::body::Body;
use datamesh_exchange::frame::FRAME_HEADER_BYTES;
use datamesh_exchange::message::Request;
use datamesh_exchange::net::Net;
use datamesh_seal::UNSEALED;
use datamesh_shard::Incarnation;
use datamesh_shard::limits::{FRAME_BYTES, INLINE_BYTES_MAX, SEGMENT_BYTES_MAX};
use http::Method;
use serde_json::json;

use super::fake::{Frame, peer};
use super::house::{Got, House, noise, seed};
use crate::work::Worker;

/// So many bytes in a row of what must not be seen, and nodes see it.
const RUN_BYTES: usize = 32;
const WORD_BYTES: usize = 8;
/// Distance of the words that are looked up. Whatever run of 32 bytes stands on the wire, one of these words is in it.
const STRIDE: usize = 24;
/// Bits that tell nearly all words of the wire from those looked up, in 2 MiB that stay in a cache: a quick search.
const FILTER_BITS: u64 = 1 << 24;
const _: () = assert!(STRIDE + WORD_BYTES <= RUN_BYTES + 1);
/// Of seven nodes in three zones: the zones of two hold two shards of every segment, so whatever is put while this one is down
/// is handed to another. Those of the zone of three, 0 among them, have no shard of every third segment.
const ALWAYS_A_HOLDER: u8 = 1;
/// The first part of the upload; longer than a segment, as all that is stored in pages is.
const PART_BYTES: usize = 5 << 20;

/// An object, and everything it is called.
struct Thing {
    contents: Vec<u8>,
    key: String,
    content_type: String,
    meta: (String, String),
}

impl Thing {
    fn new(seed: u64, bytes: usize) -> Self {
        let word = |n: u64| hex::encode(noise(seed ^ n, RUN_BYTES));
        Self {
            contents: noise(seed, bytes),
            key: format!("folder/{}", word(1)),
            content_type: format!("text/{}", word(2)),
            meta: (word(3), word(4)),
        }
    }

    fn path(&self) -> String {
        format!("/api/v1/files/{}", self.key)
    }

    async fn put(&self, house: &House) {
        let field = format!("x-datamesh-meta-{}", self.meta.0);
        let headers = [("content-type", self.content_type.as_str()), (field.as_str(), self.meta.1.as_str())];
        house.ask(Method::PUT, &self.path(), &headers, self.contents.clone()).await.ok();
    }

    async fn upload(&self, house: &House) {
        let begin = json!({
            "key": self.key, "contentType": self.content_type, "meta": BTreeMap::from([self.meta.clone()]),
        });
        let begun = house.ask(Method::POST, "/api/v1/uploads", &[], begin.to_string()).await.ok();
        let path = format!("/api/v1/uploads/{}", begun.json()["id"].as_str().unwrap());
        let (first, second) = self.contents.split_at(PART_BYTES);
        for (number, part) in [(2, second), (1, first)] {
            house.ask(Method::PUT, &format!("{path}/parts/{number}"), &[], part.to_vec()).await.ok();
        }
        house.ask(Method::POST, &format!("{path}/complete"), &[], Body::empty()).await.ok();
    }

    async fn get(&self, house: &House, headers: &[(&str, &str)]) -> Got {
        house.ask(Method::GET, &self.path(), headers, Body::empty()).await.ok()
    }

    /// All of it, and ranges: within a frame, across frames and across segments.
    async fn read(&self, house: &House) {
        let got = self.get(house, &[]).await;
        assert!(got.body == self.contents);
        assert_eq!(got.header("content-type"), self.content_type);
        assert_eq!(got.header(&format!("x-datamesh-meta-{}", self.meta.0)), self.meta.1);
        for (first, bytes) in [(100, 300), (FRAME_BYTES - 50, 100_000), (SEGMENT_BYTES_MAX - 1000, 2000)] {
            if let Some(part) = self.contents.get(first..first + bytes) {
                let range = format!("bytes={first}-{}", first + bytes - 1);
                assert!(self.get(house, &[("range", range.as_str())]).await.body == part, "{range}");
            }
        }
    }
}

/// Bytes that no node may see.
struct Canary {
    what: String,
    bytes: Vec<u8>,
    /// Whether nodes keep it, sealed: a build that seals nothing shows it to them.
    kept: bool,
}

/// Everything about an object that nodes must not see. Of its contents neither the BLAKE3 hashes, of the whole and of each
/// 4 MiB: whoever has a file could look for it by those.
fn canaries(what: &str, thing: &Thing) -> Vec<Canary> {
    let canary = |part: &str, bytes: Vec<u8>| Canary { what: format!("{what}: {part}"), bytes, kept: false };
    let hash = |bytes: &[u8]| blake3::hash(bytes).as_bytes().to_vec();
    let contents = canary("contents", thing.contents.clone());
    let names = [&thing.key, &thing.content_type, &thing.meta.0, &thing.meta.1];
    let named = ["key", "content type", "metadata field", "metadata value"].into_iter().zip(names);
    let mut all = vec![Canary { kept: thing.contents.len() > INLINE_BYTES_MAX, ..contents }];
    all.extend(named.map(|(part, name)| canary(part, name.clone().into())));
    all.push(canary("hash", hash(&thing.contents)));
    let segments = thing.contents.chunks(SEGMENT_BYTES_MAX).filter(|segment| *segment != thing.contents);
    all.extend(segments.map(|segment| canary("hash of a segment", hash(segment))));
    all
}

/// Where something was found: which canary, which 64 KiB of it.
type Place = (usize, usize);

/// Looks for all canaries at once, at every place of them and every place of what was heard.
struct Search<'a> {
    canaries: &'a [Canary],
    /// Where each word stands: canary, offset.
    words: HashMap<u64, (usize, usize)>,
    /// A bit for each of those words.
    filter: Vec<u64>,
}

impl<'a> Search<'a> {
    fn new(canaries: &'a [Canary]) -> Self {
        let mut words = HashMap::new();
        for (n, canary) in canaries.iter().enumerate() {
            let places = (0..canary.bytes.len()).step_by(STRIDE);
            words.extend(places.filter_map(|at| Some((word(&canary.bytes[at..])?, (n, at)))));
        }
        let mut filter = vec![0; slot(FILTER_BITS - 1).0 + 1];
        for (at, bit) in words.keys().copied().map(slot) {
            filter[at] |= bit;
        }
        Self { canaries, words, filter }
    }

    fn place_of(&self, word: u64) -> Option<&(usize, usize)> {
        let (at, bit) = slot(word);
        if self.filter[at] & bit == 0 { None } else { self.words.get(&word) }
    }

    fn find(&self, heard: &[Frame]) -> BTreeSet<Place> {
        let mut found = BTreeSet::new();
        for bytes in heard.iter().flat_map(|frame| [&frame.start, &frame.payload]) {
            for there in 0..bytes.len() {
                let known = word(&bytes[there..]).and_then(|word| self.place_of(word));
                if let Some(&(n, at)) = known
                    && run(&self.canaries[n].bytes, at, bytes, there) >= RUN_BYTES
                {
                    found.insert((n, at / FRAME_BYTES));
                }
            }
        }
        found
    }
}

fn word(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk::<WORD_BYTES>().map(|word| u64::from_le_bytes(*word))
}

/// Which bit of the filter stands for a word.
fn slot(word: u64) -> (usize, u64) {
    let bit = word % FILTER_BITS;
    (usize::try_from(bit / 64).unwrap(), 1 << (bit % 64))
}

/// Bytes in a row that are the same in both, around these two places; no more than are needed are counted.
fn run(ours: &[u8], at: usize, theirs: &[u8], there: usize) -> usize {
    let after = same(ours[at..].iter().zip(&theirs[there..]));
    after + same(ours[..at].iter().rev().zip(theirs[..there].iter().rev()))
}

fn same<'a>(pairs: impl Iterator<Item = (&'a u8, &'a u8)>) -> usize {
    pairs.take(RUN_BYTES).take_while(|(one, other)| one == other).count()
}

/// What the gateway asked for.
fn kinds(heard: &[Frame]) -> BTreeSet<&'static str> {
    let kind = |frame: &Frame| match Request::decode(&frame.start[FRAME_HEADER_BYTES..]).ok()? {
        Request::Hello { .. } | Request::Join(_) | Request::Mesh => None,
        Request::Layout(_) => Some("layout"),
        Request::Put { .. } => Some("put"),
        Request::Get { .. } => Some("get"),
        Request::GetRange { .. } => Some("range"),
        Request::Locate { .. } => Some("locate"),
        Request::Delete { .. } | Request::DeleteSegment { .. } => Some("delete"),
        Request::Report => Some("report"),
        Request::Stewardship { .. } => Some("stewardship"),
        Request::Scrub { .. } => Some("scrub"),
        Request::Shred { .. } => Some("shred"),
        Request::Look { .. } => Some("look"),
        // Of gateways to gateways.
        Request::Standing | Request::Replica => None,
        Request::KeepAnchor { .. } | Request::ForgetAnchors { .. } => Some("anchor"),
        // Of a gateway that restores a catalog.
        Request::Anchors | Request::Anchor { .. } | Request::NewestLayout => None,
        // Of members to members.
        Request::Inventory { .. } | Request::Home { .. } | Request::Digests(_) | Request::Slice { .. } => {
            None
        }
    };
    heard.iter().filter_map(kind).collect()
}

/// Everything a gateway does that nodes hear of.
async fn live(house: &mut House, [paged, inline, uploaded, handed]: &[Thing; 4]) {
    paged.put(house).await;
    inline.put(house).await;
    uploaded.upload(house).await;
    house.nodes.kill(ALWAYS_A_HOLDER);
    handed.put(house).await;
    paged.read(house).await;
    house.nodes.revive(ALWAYS_A_HOLDER);
    for thing in [paged, inline, uploaded, handed] {
        thing.read(house).await;
    }
    house.ask(Method::GET, "/api/v1/files?prefix=folder/", &[], Body::empty()).await.ok();
    house.core.reports.work().await;
    house.core.alarms.work().await;
    // Replaced, then deleted.
    handed.put(house).await;
    for thing in [paged, inline, uploaded, handed] {
        house.ask(Method::DELETE, &thing.path(), &[], Body::empty()).await.ok();
    }
    house.core.reclaim.work().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_see_neither_contents_nor_names_on_the_wire() {
    let seed = seed() & !0xff;
    let sizes = [3 * SEGMENT_BYTES_MAX + 777, INLINE_BYTES_MAX, PART_BYTES + SEGMENT_BYTES_MAX + 99, 5 << 20];
    let things = [0, 1, 2, 3].map(|n: usize| Thing::new(seed ^ (0x10 << n), sizes[n]));
    // One node more than shards: another stands in for the one that goes down.
    let mut house = House::without_pool(7, 512 << 20).await;
    house.nodes.listen();
    house.open_pool(7).await;
    live(&mut house, &things).await;

    let heard = house.nodes.heard();
    let wanted = BTreeSet::from(["delete", "get", "layout", "look", "put", "range", "report", "stewardship"]);
    assert_eq!(kinds(&heard), wanted, "what a gateway asks nodes for");
    let payload_bytes: usize = heard.iter().map(|frame| frame.payload.len()).sum();
    let kept_bytes: usize = things.iter().map(|thing| thing.contents.len()).sum();
    assert!(payload_bytes > 2 * kept_bytes, "{payload_bytes}: shards in, and out again");

    let named = ["paged", "inline", "uploaded", "handed over"].iter().zip(&things);
    let canaries: Vec<Canary> = named.flat_map(|(what, thing)| canaries(what, thing)).collect();
    let search = Search::new(&canaries);
    let found = search.find(&heard);
    for (n, canary) in canaries.iter().enumerate() {
        let regions = canary.bytes.len().div_ceil(FRAME_BYTES);
        let seen = (0..regions).filter(|region| found.contains(&(n, *region))).count();
        let expected = if UNSEALED && canary.kept { regions } else { 0 };
        assert_eq!(seen, expected, "{}: of {regions} regions nodes saw so many", canary.what);
    }
    the_search_finds_what_is_sent(&house, &search).await;
}

/// The control for what goes to nodes in no build: were it to go there, it would be heard and found.
async fn the_search_finds_what_is_sent(house: &House, search: &Search<'_>) {
    for (n, canary) in search.canaries.iter().enumerate() {
        let last_run = &canary.bytes[canary.bytes.len() - RUN_BYTES..];
        let hello = Request::Hello { certificate: Some(last_run.to_vec()), incarnation: Incarnation(1) };
        house.nodes.request(&peer(0), hello, None, Duration::from_secs(1)).await.unwrap();
        let found = search.find(&house.nodes.heard());
        let place = (n, (canary.bytes.len() - 1) / FRAME_BYTES);
        assert_eq!(found, BTreeSet::from([place]), "{}", canary.what);
    }
}

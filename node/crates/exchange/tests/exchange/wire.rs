//! Frames and messages: golden files, limits, hostile bytes.

use bytes::Bytes;
use datamesh_exchange::anchor::AnchorId;
use datamesh_exchange::digest::{Digest, Question};
use datamesh_exchange::frame::{FRAME_HEADER_BYTES, FrameError, FrameHeader};
use datamesh_exchange::message::{
    JoinRequest, Joined, PROTOCOL, PartitionCount, Refusal, Request, Response, Stewardship,
};
use datamesh_exchange::survey::Tolerances;
use datamesh_placement::SignedLayout;
use datamesh_settings::Endpoint;
use datamesh_settings::admin::NodeReport;
use datamesh_settings::mesh::{CatalogHolding, CatalogStanding, MeshView, PeerView, Sight};
use datamesh_shard::limits::{MESSAGE_BYTES_MAX, REPLICA_BYTES_MAX, SHARD_BYTES_MAX};
use datamesh_shard::{
    Epoch, ErasureProfile, Generation, Held, Incarnation, NodeName, PeerKey, PoolName, SegmentId, ShardIndex,
    ShardKey, ShardSet, ZoneName,
};

const GOLDEN: &str = include_str!("../golden/messages.txt");

fn endpoint() -> Endpoint {
    Endpoint { host: "gateway-0.mesh".into(), mesh_port: 7100, bulk_port: 7101 }
}

fn layout() -> SignedLayout {
    SignedLayout { bytes: vec![1, 2, 3], signature: [7; 64] }
}

fn profile() -> ErasureProfile {
    ErasureProfile::new(4, 2).unwrap()
}

fn held() -> Held {
    let shards = [ShardIndex(0), ShardIndex(23)].into_iter().collect();
    Held { segment: SegmentId([0xab; 32]), profile: profile(), generation: Generation(2), shards }
}

/// One of every request.
pub(crate) fn requests() -> Vec<Request> {
    let key = ShardKey { segment: SegmentId([0xab; 32]), index: ShardIndex(5) };
    let join = JoinRequest {
        token: "once".into(),
        node: NodeName::new("storage-3").unwrap(),
        pool: PoolName::new("main").unwrap(),
        zone: ZoneName::new("zone-b").unwrap(),
        capacity_bytes: 1 << 40,
        endpoint: endpoint(),
        incarnation: Incarnation(3),
    };
    vec![
        Request::Hello { certificate: None, incarnation: Incarnation(1) },
        Request::Hello { certificate: Some(vec![1, 2, 3]), incarnation: Incarnation(300) },
        Request::Join(join),
        Request::Layout(layout()),
        Request::Put {
            key,
            pool: PoolName::new("main").unwrap(),
            epoch: Epoch(4),
            generation: Generation(2),
            header: Bytes::from_static(&[9; 40]),
        },
        Request::Get { key },
        Request::GetRange { key, offset: 65_584, len: 65_552 },
        Request::Locate { segment: key.segment },
        Request::Delete { key, generation: Generation(1) },
        Request::Report,
        Request::Inventory { partitions_log2: 10, partition: 1023, after: None },
        Request::Inventory { partitions_log2: 10, partition: 0, after: Some(key.segment) },
        Request::Home { key, epoch: Epoch(4), generation: Generation(2) },
        Request::DeleteSegment { segment: key.segment, generation: Generation(1) },
        Request::Stewardship { after: None },
        Request::Stewardship { after: Some(4095) },
        Request::Mesh,
        Request::Scrub { period_seconds: 86_400, paused: true, max_bytes_per_second: Some(5 << 20) },
        Request::Look { segments: vec![key.segment, SegmentId([0x0b; 32])] },
        Request::Digests(Question {
            partitions_log2: 10,
            ranges_log2: 7,
            profile: profile(),
            partitions: vec![(1023, held().shards), (0, ShardSet::EMPTY)],
        }),
        Request::Slice { from: key.segment, to: None, after: Some(key.segment) },
        Request::Slice { from: key.segment, to: Some(SegmentId([0xac; 32])), after: None },
        Request::Shred { segments: vec![key.segment, SegmentId([0x0b; 32])] },
        Request::Standing,
        Request::Replica,
        Request::KeepAnchor { id: anchor(), sealed: Bytes::from_static(&[7; 5]) },
        Request::Anchors,
        Request::Anchor { id: anchor() },
        Request::NewestLayout,
        Request::ForgetAnchors { generation: 300 },
    ]
}

fn anchor() -> AnchorId {
    AnchorId { generation: 3, revision: 300, at_unix_ms: 1_800_000_000_000, snapshot: 40 }
}

fn mesh() -> MeshView {
    let sight = Sight { live: true, rtt_micros: Some(250), read_p95_micros: None };
    MeshView {
        version: "1.2.3".into(),
        now_unix: 1_800_000_000,
        peers: vec![PeerView { peer: PeerKey([0xcd; 32]), sight }],
    }
}

fn standing() -> CatalogStanding {
    CatalogStanding {
        node: NodeName::new("gateway-2").unwrap(),
        replica: u64::MAX,
        holding: CatalogHolding::Replica,
        applied: 7,
        leads: true,
        voters: [1, u64::MAX].into(),
    }
}

/// One of every response and refusal.
pub(crate) fn responses() -> Vec<Response> {
    let refusals = [
        Refusal::NotFound,
        Refusal::Corrupt { detail: "log 7, offset 4096".into() },
        Refusal::Full,
        Refusal::StaleEpoch { known: Epoch(12) },
        Refusal::StaleGeneration,
        Refusal::NotAMember,
        Refusal::BadRequest("a get without a greeting".into()),
        Refusal::TokenRejected("used by another node".into()),
        Refusal::Busy,
        Refusal::Failed("the disk".into()),
        Refusal::Superseded { by: anchor() },
    ];
    let report = NodeReport {
        incarnation: Incarnation(3),
        shards: 1000,
        shard_bytes: 1 << 30,
        capacity_bytes: 1 << 40,
        free_bytes: 1 << 39,
        accepting: true,
        corrupt_shards: 1,
        epoch: Some(Epoch(4)),
        arriving: 2,
        scrub: None,
    };
    let answers = [
        Response::Hello { certificate: Some(vec![4, 5]), incarnation: Incarnation(2) },
        Response::Joined(Joined {
            certificate: vec![6],
            layouts: vec![layout()],
            gateways: vec![endpoint()],
        }),
        Response::Done,
        Response::Shard { header: Bytes::from_static(&[9; 40]) },
        Response::Range,
        Response::Located(vec![ShardIndex(0), ShardIndex(5)]),
        Response::Report(report),
    ];
    let tolerances = Tolerances {
        segments: vec![1, 20, 300],
        short: vec![1, 20, 0],
        unreadable: 2,
        away: 7,
        under_way: 3,
    };
    let stewardship = Stewardship {
        epoch: Some(Epoch(4)),
        counts: vec![PartitionCount { partition: 171, age_seconds: 60, silent: 1, tolerances }],
        rebuilt_shards: 5,
        rebuilt_bytes: 5 << 20,
        failed_rebuilds: 1,
        sent_home: 9,
        strays: 3,
        scrubbed_shards: 1000,
        scrubbed_corrupt: 2,
    };
    let digest = Digest { expected: 300, ids: [0xdd; 32], others: 1 };
    let later = [
        Response::Inventory(vec![held()]),
        Response::Stewardship(stewardship),
        Response::Mesh(mesh()),
        Response::Digests(vec![digest; 2]),
        Response::Shredding { done: true, left: 3 },
        Response::Standing(standing()),
        Response::Replica,
    ];
    answers.into_iter().chain(refusals.map(Response::Refused)).chain(later).chain(of_backups()).collect()
}

fn of_backups() -> [Response; 4] {
    [
        Response::Anchors(vec![anchor(); 2]),
        Response::Anchor(Bytes::from_static(&[7; 5])),
        Response::Layout(None),
        Response::Layout(Some(layout())),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn messages_read_as_the_golden_file_says_and_are_written_so() {
    let requests = requests().into_iter().map(|request| {
        let frame = request.encode(0).unwrap();
        assert_eq!(Request::decode(&frame[FRAME_HEADER_BYTES..]).unwrap(), request);
        format!("request {}", hex(&frame))
    });
    let responses = responses().into_iter().map(|response| {
        let frame = response.encode(0).unwrap();
        assert_eq!(Response::decode(&frame[FRAME_HEADER_BYTES..]).unwrap(), response);
        format!("response {}", hex(&frame))
    });
    let written: Vec<String> = requests.chain(responses).collect();
    // The first that differs, so that a failure can be read.
    for (at, (written, golden)) in written.iter().zip(GOLDEN.lines()).enumerate() {
        assert_eq!(written, golden, "line {}", at + 1);
    }
    assert_eq!(written.len(), GOLDEN.lines().count(), "all lines:\n{}", written.join("\n"));
}

/// Reports grow from version to version: what another one adds is passed over, what it does not say has its default.
#[test]
fn reports_of_other_versions_are_read() {
    let said = |text: &str| {
        let mut head = vec![PROTOCOL, 6];
        head.extend(postcard::to_stdvec(text).unwrap());
        Response::decode(&head)
    };
    let old = r#"{"incarnation":3,"shards":1,"shardBytes":2,"capacityBytes":3,"freeBytes":4,"accepting":true,"corruptShards":0,
        "epoch":null}"#;
    let newer = old.replace("\"epoch\"", "\"invented\":[7],\"epoch\"");
    for text in [old, &newer] {
        let Ok(Response::Report(report)) = said(text) else { panic!("{text}: {:?}", said(text)) };
        assert_eq!((report.shard_bytes, report.arriving), (2, 0));
    }
    assert!(matches!(said("{}"), Err(FrameError::Malformed(_))));
    assert!(matches!(said(""), Err(FrameError::Malformed(_))));
}

#[test]
fn lengths_are_refused_before_anything_is_taken() {
    let header = |head: u32, payload: u32| {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&head.to_le_bytes());
        bytes[4..].copy_from_slice(&payload.to_le_bytes());
        FrameHeader::decode(bytes)
    };
    let max = |max: usize| u32::try_from(max).unwrap();
    let good = header(max(MESSAGE_BYTES_MAX), max(REPLICA_BYTES_MAX)).unwrap();
    assert_eq!((good.head_bytes(), good.payload_bytes()), (MESSAGE_BYTES_MAX, REPLICA_BYTES_MAX));
    assert_eq!(header(1, 0), Err(FrameError::HeadBytes(1)));
    assert_eq!(header(u32::MAX, 0), Err(FrameError::HeadBytes(0xffff_ffff)));
    assert_eq!(header(max(MESSAGE_BYTES_MAX) + 1, 0), Err(FrameError::HeadBytes(MESSAGE_BYTES_MAX + 1)));
    let too_long = FrameError::PayloadBytes { bytes: REPLICA_BYTES_MAX + 1, max: REPLICA_BYTES_MAX };
    assert_eq!(header(2, max(REPLICA_BYTES_MAX) + 1), Err(too_long));
}

#[test]
fn only_shards_and_questions_between_replicas_have_a_payload() {
    let with_payload = requests().into_iter().filter(|request| request.encode(1).is_ok());
    assert!(with_payload.eq(
        requests().into_iter().filter(|request| matches!(request, Request::Put { .. } | Request::Replica))
    ));
    let header = FrameHeader::decode([2, 0, 0, 0, 9, 0, 0, 0]).unwrap();
    let refused = Err(FrameError::PayloadBytes { bytes: 9, max: 0 });
    assert_eq!(header.check_payload(Request::Report.payload_bytes_max()), refused);
    assert!(header.check_payload(Response::Range.payload_bytes_max()).is_ok());
    assert!(Response::Range.encode(SHARD_BYTES_MAX + 1).is_err());
}

#[test]
fn heads_of_another_version_too_long_or_with_a_tail_are_refused() {
    assert_eq!(Request::decode(&[]), Err(FrameError::HeadBytes(0)));
    assert_eq!(Request::decode(&[PROTOCOL + 1, 8]), Err(FrameError::Version(PROTOCOL + 1)));
    assert_eq!(Response::decode(&[PROTOCOL, 2, 0, 0]), Err(FrameError::Trailing(2)));
    assert!(matches!(Response::decode(&[PROTOCOL, 99]), Err(FrameError::Malformed(_))));
    assert_eq!(
        Request::decode(&vec![PROTOCOL; MESSAGE_BYTES_MAX + 1]),
        Err(FrameError::HeadBytes(MESSAGE_BYTES_MAX + 1))
    );
    let huge = Request::Hello { certificate: Some(vec![0; MESSAGE_BYTES_MAX]), incarnation: Incarnation(1) };
    assert!(matches!(huge.encode(0), Err(FrameError::HeadBytes(_))));
    // A vector that claims more elements than bytes follow.
    assert!(matches!(
        Response::decode(&[PROTOCOL, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        Err(FrameError::Malformed(_))
    ));
}

#[test]
fn a_join_token_is_not_shown() {
    let shown = format!("{:?}", requests());
    assert!(shown.contains("storage-3"), "the control: the rest of the request is shown");
    assert!(!shown.contains("once"));
}

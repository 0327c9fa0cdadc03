//! Who may give and ask for anchors of the catalog's backups, and layouts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is for tests")]

#[path = "support/members.rs"]
mod members;
#[path = "support/shelf.rs"]
mod shelf;
#[path = "support/world.rs"]
mod world;

use bytes::Bytes;
use datamesh_exchange::anchor::AnchorId;
use datamesh_exchange::message::{Refusal, Request, Response};
use datamesh_mesh::{Caller, Pace};
use members::{Members, peer};
use world::{World, pool};

#[tokio::test]
async fn gateways_alone_give_anchors_and_are_given_them() {
    let members = Members::start(&World::new(), 6, Pace::default());
    let id = AnchorId { generation: 2, revision: 7, at_unix_ms: 9, snapshot: 5 };
    let asked = [
        Request::KeepAnchor { id, sealed: Bytes::from_static(b"sealed") },
        Request::Anchors,
        Request::Anchor { id },
        Request::NewestLayout,
        Request::ForgetAnchors { generation: 1 },
        Request::ForgetAnchors { generation: 2 },
        Request::Anchors,
    ];
    let fellow = || Caller { member_of: Some(pool()), ..Caller::stranger(peer(1)) };
    for request in asked.clone() {
        for caller in [fellow(), Caller::stranger(peer(1))] {
            let (answer, _) = members.ask_as(caller, 0, request.clone(), Bytes::new()).await;
            assert_eq!(answer, Response::Refused(Refusal::NotAMember), "{request:?}");
        }
    }
    let mut answers = Vec::new();
    for request in asked {
        answers.push(members.ask(0, request, Bytes::new()).await.0);
    }
    assert!(matches!(&answers[3], Response::Layout(Some(_))), "{:?}", answers[3]);
    let expected =
        [Response::Done, Response::Anchors(vec![id]), Response::Anchor(Bytes::from_static(b"sealed"))];
    assert_eq!(answers[..3], expected);
    let forgotten =
        [Response::Refused(Refusal::Superseded { by: id }), Response::Done, Response::Anchors(Vec::new())];
    assert_eq!(answers[4..], forgotten);
    let again = Request::KeepAnchor { id, sealed: Bytes::from_static(b"sealed") };
    assert_eq!(members.ask(0, again, Bytes::new()).await.0, Response::Done);
    let earlier = AnchorId { generation: 1, ..id };
    let late = Request::KeepAnchor { id: earlier, sealed: Bytes::from_static(b"late") };
    let refused = Response::Refused(Refusal::Superseded { by: id });
    assert_eq!(members.ask(0, late, Bytes::new()).await.0, refused);
}

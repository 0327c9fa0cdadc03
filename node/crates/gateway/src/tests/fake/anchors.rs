//! What fake nodes keep of the catalog's backups.

use bytes::Bytes;
use datamesh_exchange::anchor::AnchorId;
use datamesh_exchange::message::{Refusal, Request, Response};

use super::{FakeNodes, Node, peer};

impl FakeNodes {
    /// Whether nodes keep the anchors they are given.
    pub(in crate::tests) fn keep_anchors(&self, keep: bool) {
        self.nodes.lock().values_mut().for_each(|node| node.keeps_none = !keep);
    }

    /// A node is too busy to give an anchor, or is not any more.
    pub(in crate::tests) fn keep_busy(&self, n: u8, busy: bool) {
        self.change(n, |node| node.is_busy = busy);
    }

    /// Anchors that a node keeps.
    pub(in crate::tests) fn anchors(&self, n: u8) -> Vec<AnchorId> {
        self.nodes.lock()[&peer(n)].anchors.values().map(|(id, _)| *id).collect()
    }

    /// A node says that it keeps this anchor; it is nothing that anybody sealed.
    pub(in crate::tests) fn claim_anchor(&self, n: u8, id: AnchorId) {
        self.change(n, |node| drop(node.anchors.insert(id.chain(), (id, Bytes::from_static(b"made up")))));
    }

    /// A byte of the newest anchor is another one, at all nodes but the first so many.
    pub(in crate::tests) fn damage_newest_anchor(&self, but: u8) {
        let spared: Vec<_> = (0..but).map(peer).collect();
        let mut nodes = self.nodes.lock();
        for (_, node) in nodes.iter_mut().filter(|(peer, _)| !spared.contains(peer)) {
            if let Some(mut kept) = node.anchors.last_entry() {
                let mut bytes = kept.get().1.to_vec();
                bytes[100] = bytes[100].wrapping_add(1);
                kept.get_mut().1 = bytes.into();
            }
        }
    }
}

impl Node {
    pub(super) fn of_backups(&mut self, request: &Request) -> Response {
        match request {
            Request::KeepAnchor { id, sealed } => self.keep_anchor(*id, sealed),
            Request::Anchors => Response::Anchors(self.anchors.values().map(|(id, _)| *id).collect()),
            Request::ForgetAnchors { .. } => {
                self.anchors.clear();
                Response::Done
            }
            Request::Anchor { .. } if self.is_busy => Response::Refused(Refusal::Busy),
            Request::Anchor { id } => match self.anchors.get(&id.chain()) {
                Some((known, sealed)) if known == id => Response::Anchor(sealed.clone()),
                _ => Response::Refused(Refusal::NotFound),
            },
            _ => Response::Layout(self.layout.clone()),
        }
    }

    fn keep_anchor(&mut self, id: AnchorId, sealed: &Bytes) -> Response {
        let newest = self.anchors.values().map(|(id, _)| *id).max();
        if let Some(by) = newest.filter(|by| by.generation > id.generation) {
            return Response::Refused(Refusal::Superseded { by });
        }
        if self.keeps_none {
            return Response::Refused(Refusal::Failed("in a test".into()));
        }
        self.anchors.insert(id.chain(), (id, sealed.clone()));
        Response::Done
    }
}

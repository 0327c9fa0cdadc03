//! Records that prove themselves, ours and others'.

use libp2p::kad::store::RecordStore;

use super::{Driver, Instant, LOOKUPS_AT_ONCE, NodeDescriptor, PUBLISH_PERIOD, Record, node_key, now_unix};
use crate::swarm::descriptor::{self, Content};
use crate::swarm::layout_key;

impl Driver {
    /// Takes a record that proves itself and is no older than the known one; gives its rank. What it says is passed on
    /// if it is news.
    pub(super) fn believe(&mut self, record: &Record) -> Option<(u64, u64)> {
        let trust = &self.config.trust;
        let content = match descriptor::check(record.key.as_ref(), &record.value, trust) {
            Ok(content) => content,
            Err(error) => {
                tracing::debug!(%error, "a DHT record is not believed");
                return None;
            }
        };
        let rank = content.rank();
        let store = self.swarm.behaviour_mut().kad.store_mut();
        let known = store
            .get(&record.key)
            .and_then(|known| Some(descriptor::check(record.key.as_ref(), &known.value, trust).ok()?.rank()));
        if known.is_some_and(|known| known > rank) {
            return None;
        }
        if let Err(error) = store.put(record.clone()) {
            tracing::warn!(%error, "a DHT record is not kept");
        }
        if known != Some(rank) {
            self.pass_on(content);
        }
        Some(rank)
    }

    /// What the last run knew.
    pub(super) fn believe_stored(&mut self) {
        let stored: Vec<_> =
            self.swarm.behaviour_mut().kad.store_mut().records().map(std::borrow::Cow::into_owned).collect();
        for record in stored {
            match descriptor::check(record.key.as_ref(), &record.value, &self.config.trust) {
                Ok(content) => self.pass_on(content),
                Err(error) => {
                    tracing::debug!(%error, "a kept DHT record is not believed any more");
                    // Nor is it told to others.
                    self.swarm.behaviour_mut().kad.store_mut().remove(&record.key);
                }
            }
        }
    }

    fn pass_on(&self, content: Content) {
        match content {
            Content::Node(node) => {
                let (peer, name) = (node.peer, node.node);
                if self.config.peers.learn(peer, node.endpoint, node.incarnation) {
                    tracing::debug!(?peer, node = %name, "found in the DHT");
                }
            }
            Content::Layout(pointer) => self.config.trust.want_layout(&pointer.pool, pointer.epoch),
        }
    }

    /// Publishes what this process says: where it is, and which layouts there are.
    pub(super) fn publish_own(&mut self) {
        self.publish_at = Instant::now() + PUBLISH_PERIOD;
        let own = NodeDescriptor {
            peer: self.config.identity.peer(),
            node: self.config.node.clone(),
            endpoint: self.config.announce.clone(),
            incarnation: self.config.incarnation,
            seq: now_unix(),
        };
        // A gateway is believed from the start; a node only once it was let in.
        if self.config.trust.knows(&own.peer) {
            self.publish(node_key(&own.peer), own.sign(&self.config.identity));
        }
        let pointers: Vec<_> = self.pointers.values().cloned().collect();
        for (pointer, certificate) in pointers {
            self.publish(layout_key(&pointer.pool), pointer.sign(&self.config.identity, &certificate));
        }
    }

    fn publish(&mut self, key: Vec<u8>, value: Result<Vec<u8>, postcard::Error>) {
        match value {
            Ok(value) => self.put(key, value, None),
            Err(error) => tracing::warn!(%error, "an own record cannot be encoded"),
        }
    }

    /// Asks the DHT where members are, a few at a time, all of them in turn.
    pub(super) fn look_up_members(&mut self) {
        let own = self.config.identity.peer();
        let members: Vec<_> =
            self.config.trust.known_peers().into_iter().filter(|peer| *peer != own).collect();
        if members.is_empty() {
            return;
        }
        for step in 0..members.len().min(LOOKUPS_AT_ONCE) {
            let peer = members[self.lookup_cursor.wrapping_add(step) % members.len()];
            self.look_up(node_key(&peer), None);
        }
        self.lookup_cursor = self.lookup_cursor.wrapping_add(LOOKUPS_AT_ONCE);
    }
}

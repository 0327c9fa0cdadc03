//! Commands, and the outcome of the queries they began.

use super::{
    Command, Driver, GetRecordOk, InboundRequest, Instant, Lookup, PUBLISH_SOON, PutReply, QueryId,
    QueryResult, Quorum, Record, RecordKey, SwarmError, kad,
};
use crate::swarm::descriptor;

impl Driver {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Put { key, value, reply } => self.put(key, value, Some(reply)),
            Command::Get { key, reply } => self.look_up(key, Some(reply)),
            Command::PublishLayout { pointer, certificate } => {
                self.pointers.insert(pointer.pool.clone(), (pointer, certificate));
                self.publish_own();
            }
        }
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>, reply: Option<PutReply>) {
        let outcome =
            descriptor::check(&key, &value, &self.config.trust).map_err(SwarmError::from).and_then(|_| {
                Ok(self.swarm.behaviour_mut().kad.put_record(Record::new(key, value), Quorum::One)?)
            });
        match (outcome, reply) {
            (Ok(query), reply) => {
                self.puts.insert(query, reply);
            }
            (Err(error), Some(reply)) => answer(reply, Err(error)),
            (Err(error), None) => tracing::warn!(%error, "an own record is not published"),
        }
    }

    pub(super) fn look_up(&mut self, key: Vec<u8>, reply: Option<super::GetReply>) {
        let query = self.swarm.behaviour_mut().kad.get_record(RecordKey::from(key));
        self.lookups.insert(query, Lookup { best: None, reply });
    }

    pub(super) fn note_query(&mut self, id: QueryId, result: QueryResult, last: bool) {
        match result {
            QueryResult::PutRecord(outcome) => self.note_put(id, outcome.is_ok()),
            QueryResult::GetRecord(outcome) => {
                if let Ok(GetRecordOk::FoundRecord(found)) = outcome {
                    self.note_found(id, found.record);
                }
                if last && let Some(lookup) = self.lookups.remove(&id) {
                    let best = lookup.best.map(|(_, value)| value);
                    if let Some(reply) = lookup.reply
                        && reply.send(best).is_err()
                    {
                        tracing::trace!("nobody waits for a DHT record any more");
                    }
                }
            }
            _ => {}
        }
    }

    fn note_put(&mut self, id: QueryId, taken: bool) {
        match self.puts.remove(&id) {
            Some(Some(reply)) => answer(reply, if taken { Ok(()) } else { Err(SwarmError::NoPeer) }),
            // Nobody there yet, most likely: soon again, but not at once.
            Some(None) if !taken && !self.connected.is_empty() => {
                self.publish_at = self.publish_at.min(Instant::now() + PUBLISH_SOON);
            }
            _ => {}
        }
    }

    fn note_found(&mut self, id: QueryId, record: Record) {
        let Some(rank) = self.believe(&record) else {
            return;
        };
        if let Some(lookup) = self.lookups.get_mut(&id)
            && lookup.best.as_ref().is_none_or(|(known, _)| *known < rank)
        {
            lookup.best = Some((rank, record.value));
        }
    }

    pub(super) fn note_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::InboundRequest {
                request: InboundRequest::PutRecord { record: Some(record), .. },
            } => {
                // What is not believed says why by itself.
                self.believe(&record);
            }
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => {
                self.note_query(id, result, step.last)
            }
            _ => {}
        }
    }
}

fn answer(reply: PutReply, outcome: Result<(), SwarmError>) {
    if reply.send(outcome).is_err() {
        tracing::trace!("nobody waits for a publication any more");
    }
}

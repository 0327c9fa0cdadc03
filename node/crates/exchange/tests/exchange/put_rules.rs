//! One rule of puts each, by hand.

use std::time::Duration;

use datamesh_exchange::message::Refusal;
use datamesh_exchange::{Ack, PutAction, PutFailure, PutMachine, PutPlan, SendFailure};
use datamesh_shard::{Epoch, ErasureProfile, ShardIndex};

use crate::put_world::DEADLINES;

fn plan(data: u8, parity: u8, spare: &[u16]) -> PutPlan {
    let profile = ErasureProfile::new(data, parity).unwrap();
    PutPlan {
        profile,
        assignment: (0..u16::from(data + parity)).collect(),
        spare: spare.to_vec(),
        zones: vec![],
        ack_shards: None,
        deadlines: DEADLINES,
        whole: false,
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn send(shard: u8, to: u16) -> PutAction {
    PutAction::Send { shard: ShardIndex(shard), to }
}

fn store(machine: &mut PutMachine, shards: std::ops::Range<u8>) {
    for shard in shards {
        machine.on_stored(ShardIndex(shard), u16::from(shard));
    }
}

#[test]
fn all_shards_are_sent_at_once_and_the_whole_is_acknowledged_at_once() {
    let mut machine = PutMachine::new(plan(4, 2, &[]), ms(0));
    assert_eq!(machine.next(ms(0)), (0..6).map(|shard| send(shard, shard.into())).collect::<Vec<_>>());
    store(&mut machine, 0..5);
    assert!(machine.next(ms(1)).is_empty());
    store(&mut machine, 5..6);
    assert_eq!(machine.next(ms(1)), [PutAction::Acknowledge(Ack::Whole), PutAction::Finished]);
    assert!(machine.missing().is_empty());
}

#[test]
fn a_failed_node_is_replaced_by_the_first_spare_outside_a_full_zone() {
    let mut with_zones = plan(4, 2, &[6, 7, 8]);
    // Zones 0, 1 and 2 hold two shards each; 6 and 7 stand in full zones, 8 in a zone of its own.
    with_zones.zones = vec![0, 0, 1, 1, 2, 2, 0, 1, 3];
    let mut machine = PutMachine::new(with_zones, ms(0));
    machine.next(ms(0));
    machine.on_failed(ShardIndex(5), 5, SendFailure::Full, ms(1));
    assert_eq!(machine.next(ms(1)), [send(5, 8)]);

    let mut machine = PutMachine::new(plan(4, 2, &[7, 6]), ms(0));
    machine.next(ms(0));
    machine.on_failed(ShardIndex(0), 0, SendFailure::Unreachable, ms(1));
    assert_eq!(machine.next(ms(1)), [send(0, 7)]);
}

#[test]
fn a_late_node_is_replaced_and_counts_when_it_answers_after_all() {
    let mut machine = PutMachine::new(plan(2, 1, &[3]), ms(0));
    machine.next(ms(0));
    store(&mut machine, 0..2);
    assert!(machine.next(ms(10)).is_empty());
    assert_eq!(machine.wake_at(), Some(ms(100)));
    assert_eq!(machine.next(ms(100)), [send(2, 3)]);
    machine.on_stored(ShardIndex(2), 2);
    assert_eq!(machine.next(ms(120)), [PutAction::Acknowledge(Ack::Whole), PutAction::Finished]);
}

#[test]
fn five_of_six_are_acknowledged_after_the_tail_deadline_and_the_sixth_is_still_tried() {
    let mut machine = PutMachine::new(plan(4, 2, &[]), ms(0));
    machine.next(ms(0));
    store(&mut machine, 0..5);
    assert!(!machine.next(ms(299)).iter().any(|action| matches!(action, PutAction::Acknowledge(_))));
    assert_eq!(machine.next(ms(300)), [PutAction::Acknowledge(Ack::Short { durable: 5 })]);
    assert_eq!(machine.missing(), [ShardIndex(5)]);
    machine.on_stored(ShardIndex(5), 5);
    assert_eq!(machine.next(ms(400)), [PutAction::Finished]);
}

#[test]
fn five_shards_on_four_nodes_do_not_survive_the_loss_of_any_one() {
    let mut doubled = plan(4, 2, &[]);
    doubled.assignment = vec![0, 1, 2, 3, 0, 1];
    let mut machine = PutMachine::new(doubled, ms(0));
    machine.next(ms(0));
    for (shard, node) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 0)] {
        machine.on_stored(ShardIndex(shard), node);
    }
    // Losing node 0 would leave three of the four needed.
    assert!(machine.next(ms(1000)).iter().all(|action| !matches!(action, PutAction::Acknowledge(_))));
}

#[test]
fn the_administrator_may_waive_the_further_loss() {
    let mut waived = plan(2, 1, &[]);
    waived.ack_shards = Some(2);
    let mut machine = PutMachine::new(waived, ms(0));
    machine.next(ms(0));
    machine.on_failed(ShardIndex(2), 2, SendFailure::Unreachable, ms(1));
    store(&mut machine, 0..2);
    assert!(machine.next(ms(2)).is_empty());
    assert_eq!(machine.next(ms(300)), [PutAction::Acknowledge(Ack::Short { durable: 2 }), send(2, 2)]);
}

#[test]
fn a_busy_node_is_asked_again_after_a_pause() {
    let mut machine = PutMachine::new(plan(2, 1, &[]), ms(0));
    machine.next(ms(0));
    store(&mut machine, 0..2);
    machine.on_failed(ShardIndex(2), 2, Refusal::Busy.into(), ms(10));
    assert!(machine.next(ms(10)).is_empty());
    assert_eq!(machine.wake_at(), Some(ms(160)));
    assert_eq!(machine.next(ms(160)), [send(2, 2)]);
}

#[test]
fn a_newer_layout_or_generation_ends_the_put() {
    let mut machine = PutMachine::new(plan(4, 2, &[]), ms(0));
    machine.next(ms(0));
    machine.on_failed(ShardIndex(1), 1, Refusal::StaleEpoch { known: Epoch(9) }.into(), ms(1));
    assert_eq!(machine.next(ms(1)), [PutAction::Fail(PutFailure::StaleEpoch { known: Epoch(9) })]);

    let mut machine = PutMachine::new(plan(4, 2, &[]), ms(0));
    machine.on_failed(ShardIndex(1), 1, Refusal::StaleGeneration.into(), ms(1));
    assert_eq!(machine.next(ms(1)), [PutAction::Fail(PutFailure::StaleGeneration)]);
}

#[test]
fn when_all_nodes_are_dead_the_put_fails_without_waiting_for_its_time_to_be_up() {
    let mut machine = PutMachine::new(plan(2, 1, &[3, 4]), ms(0));
    let mut now = ms(0);
    loop {
        let actions = machine.next(now);
        for action in &actions {
            match action {
                PutAction::Send { shard, to } => {
                    machine.on_failed(*shard, *to, SendFailure::Unreachable, now);
                }
                PutAction::Fail(PutFailure::TooFewDurable { durable: 0, total: 3, last }) => {
                    assert_eq!(*last, SendFailure::Unreachable);
                    assert!(now < DEADLINES.give_up, "{now:?}");
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
        now = if actions.is_empty() { machine.wake_at().unwrap() } else { now };
    }
}

#[test]
fn where_it_must_be_whole_nobody_steps_in_and_nothing_short_is_acknowledged() {
    let whole = |spare: &[u16]| PutPlan { whole: true, ..plan(4, 2, spare) };
    let mut machine = PutMachine::new(whole(&[6, 7]), ms(0));
    machine.next(ms(0));
    store(&mut machine, 0..5);
    machine.on_failed(ShardIndex(5), 5, SendFailure::Busy, ms(1));
    assert_eq!(machine.next(ms(1)), [], "not to a spare node, nor to one of the others");
    assert_eq!(machine.next(ms(1) + DEADLINES.retry), [send(5, 5)], "the same is asked again");
    assert_eq!(machine.next(DEADLINES.tail), [], "five would do for any other put");
    machine.on_stored(ShardIndex(5), 5);
    assert_eq!(machine.next(DEADLINES.tail), [PutAction::Acknowledge(Ack::Whole), PutAction::Finished]);

    let mut machine = PutMachine::new(whole(&[6, 7]), ms(0));
    machine.next(ms(0));
    store(&mut machine, 0..5);
    machine.on_failed(ShardIndex(5), 5, SendFailure::Full, ms(1));
    let failed = PutFailure::TooFewDurable { durable: 5, total: 6, last: SendFailure::Full };
    assert_eq!(machine.next(ms(1)), [PutAction::Fail(failed)], "there is no hope, nor is it waited for");
}

//! Which gateways may be restarted now, and what is being waited for. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::build::GatewayObjects;
use super::dereference::Found;
use super::leaving;
use super::verdicts::Answer;
use crate::outcome::Outcome;

mod alone;
mod several;

/// What is to be done to the gateways.
pub(super) struct Rollout {
    /// Gateways whose settings and StatefulSet are left alone in this pass.
    pub(super) held: BTreeSet<String>,
    /// What is being waited for.
    pub(super) outcome: Outcome,
}

/// Decides it from what runs and what a gateway says of the catalog.
pub(super) fn decide(gateways: &[GatewayObjects], found: &Found, answer: &Answer, now: Timestamp) -> Rollout {
    let mut rollout = match gateways {
        [only] => {
            let applied = &only.stateful_set;
            Rollout { held: BTreeSet::new(), outcome: alone::outcome(found.gateway(&only.name()), applied) }
        }
        _ => several::decide(gateways, found, (answer, now)),
    };
    let names = gateways.iter().map(GatewayObjects::name);
    rollout.held.extend(names.filter(|name| leaving::is_going(found, name)));
    rollout
}

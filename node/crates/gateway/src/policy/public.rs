//! Whether a policy lets strangers in, by S3's own measure: from wherever they come.

use ipnet::IpNet;

use super::{Effect, Policy, Statement};

/// Bits of a range of addresses at least that is a place, not half of the world.
const PLACE_BITS_V4: u8 = 8;
const PLACE_BITS_V6: u8 = 32;

impl Policy {
    /// Whether any statement allows something to everybody, wherever they are. Denials are not held against that.
    pub(crate) fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }
}

impl Statement {
    fn is_public(&self) -> bool {
        let from_a_place = self
            .conditions
            .iter()
            .filter_map(|condition| condition.sources())
            .any(|nets| nets.iter().all(is_a_place));
        self.effect == Effect::Allow && self.principals.include_strangers() && !from_a_place
    }
}

fn is_a_place(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => net.prefix_len() >= PLACE_BITS_V4,
        IpNet::V6(net) => net.prefix_len() >= PLACE_BITS_V6,
    }
}

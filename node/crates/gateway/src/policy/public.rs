//! Whether a policy lets strangers in, by S3's own measure: from wherever they come.

use ipnet::IpNet;

use super::{Effect, Policy, Statement};

/// Addresses at most that all ranges of a condition have together and are places still, not half of the world: those of a /8, or a /32.
const PLACES_V4: u128 = 1 << (32 - 8);
const PLACES_V6: u128 = 1 << (128 - 32);

impl Policy {
    /// Whether any statement allows something to everybody, wherever they are. Denials are not held against that.
    pub(crate) fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }
}

impl Statement {
    fn is_public(&self) -> bool {
        let from_a_place = self.conditions.iter().filter_map(|condition| condition.sources()).any(are_places);
        self.effect == Effect::Allow && self.principals.include_strangers() && !from_a_place
    }
}

fn are_places(nets: &[IpNet]) -> bool {
    let (mut v4, mut v6) = (0_u128, 0_u128);
    for net in nets {
        let (sum, behind) = match net {
            IpNet::V4(net) => (&mut v4, 32 - u32::from(net.prefix_len())),
            IpNet::V6(net) => (&mut v6, 128 - u32::from(net.prefix_len())),
        };
        *sum = sum.saturating_add(1_u128.checked_shl(behind).unwrap_or(u128::MAX));
    }
    v4 <= PLACES_V4 && v6 <= PLACES_V6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_places_are_the_world() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        assert!(are_places(&nets(&["10.0.0.0/8", "2001:db8::/32"])));
        assert!(are_places(&nets(&["192.0.2.0/24", "198.51.100.0/24"])));
        assert!(!are_places(&nets(&["10.0.0.0/8", "11.0.0.0/8"])));
        assert!(!are_places(&nets(&["0.0.0.0/0"])) && !are_places(&nets(&["::/0"])));
    }
}

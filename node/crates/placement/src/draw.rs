//! Weighted rendezvous hashing in integers: what each node asks for each shard of each partition.
//!
//! For every partition, shard index and node a uniform 64-bit number is drawn by hashing; `-log2` of it, divided by the
//! node's weight, is the price. The lowest price wins, so a node wins in proportion to its weight, a new node changes no
//! price of the old ones, and what it wins it takes from them all alike. (Thaler and Ravishankar 1998; the logarithm
//! makes the weights exact.) Prices are drawn per shard index, not once per node: so a node that comes or goes moves
//! few of the other shards of a partition to other indexes.

use crate::layout::Layout;

const SEED_CONTEXT: &str = "datamesh.io 2026 placement draw";
/// Fraction bits of logarithms and weights.
const POINT: u32 = 32;
/// The weight of a node that holds a shard of every partition: all others' prices are higher.
const WEIGHT_MAX: u64 = 64 << POINT;
/// The weight of the smallest nodes; keeps prices within 63 bits. Balancing does the rest.
const WEIGHT_MIN: u64 = 1 << 12;
/// The index that stands for none of the shards: the order of those that step in.
const STAND_IN: usize = 255;

/// Mixes 64 bits so that each depends on all (the finalizer of SplitMix64, Steele, Lea and Flood 2014).
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Steps of the logarithm's table.
const STEPS: usize = 256;
/// log2(1 + i/256) with [`POINT`] fraction bits.
const LOG2: [u64; STEPS + 1] = log2_table();

const fn log2_table() -> [u64; STEPS + 1] {
    let mut table = [0; STEPS + 1];
    let mut step = 0;
    while step < STEPS {
        // A number in [1, 2) with 63 fraction bits; squaring it brings out one bit of its logarithm after another.
        let mut square = (((STEPS + step) as u128) << 63) / STEPS as u128;
        let mut bit = 0;
        while bit < POINT {
            square = (square * square) >> 63;
            table[step] <<= 1;
            if square >= 1 << 64 {
                square >>= 1;
                table[step] |= 1;
            }
            bit += 1;
        }
        step += 1;
    }
    table[STEPS] = 1 << POINT;
    table
}

/// `-log2((hash + 1) / 2^64)` with [`POINT`] fraction bits, linear between the table's steps.
const fn neg_log2(hash: u64) -> u64 {
    let Some(number) = hash.checked_add(1) else { return 0 };
    let exponent = number.ilog2();
    let mantissa = number << (63 - exponent);
    let step = ((mantissa >> 55) & 0xff) as usize;
    let fraction = (mantissa & ((1 << 55) - 1)) >> 23;
    let between = ((LOG2[step + 1] - LOG2[step]) * fraction) >> 32;
    (64 << POINT) - (((exponent as u64) << POINT) + LOG2[step] + between)
}

/// What all nodes ask for all shards.
#[derive(Debug)]
pub(crate) struct Prices {
    /// By member: a hash of its name and the pool's.
    seeds: Vec<u64>,
    /// By member: 2^63 over its weight.
    inverse: Vec<u64>,
    /// Partitions are numbered from the top bits of ids, so a partition's first half keeps its draws when it is split.
    align: u32,
}

impl Prices {
    /// `shares`: the slots each member is to get.
    pub(crate) fn new(layout: &Layout, shares: &[u32]) -> Self {
        let partitions = 1_u64 << layout.partitions_log2;
        let seed = |node: &str| {
            // Names have no zero byte, so the two cannot run into each other.
            let text = format!("{}\0{node}", layout.pool);
            let hash = blake3::derive_key(SEED_CONTEXT, text.as_bytes());
            u64::from_le_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
        };
        Self {
            seeds: layout.members.iter().map(|member| seed(member.node.as_str())).collect(),
            inverse: shares.iter().map(|&share| (1 << 63) / weight(u64::from(share), partitions)).collect(),
            align: u32::from(32 - layout.partitions_log2),
        }
    }

    /// What `member` asks for shard `index` of `partition`.
    pub(crate) fn price(&self, partition: usize, index: usize, member: usize) -> i64 {
        let place = ((partition as u64) << self.align << 8) | index as u64;
        let log = neg_log2(mix(self.seeds[member] ^ mix(place)));
        let price = (u128::from(log) * u128::from(self.inverse[member])) >> 31;
        i64::try_from(price).unwrap_or(i64::MAX)
    }

    /// What `member` asks for stepping in for a holder of `partition`.
    pub(crate) fn stand_in(&self, partition: usize, member: usize) -> i64 {
        self.price(partition, STAND_IN, member)
    }
}

/// The weight with which a node wins its share of the slots: `-log2(1 - share / partitions)`, since it wins at most one
/// slot of a partition.
fn weight(share: u64, partitions: u64) -> u64 {
    let left = (u128::from(partitions.saturating_sub(share)) << 64) / u128::from(partitions);
    let weight = match u64::try_from(left) {
        Ok(0) => WEIGHT_MAX,
        Ok(left) => neg_log2(left - 1),
        Err(_) => WEIGHT_MIN,
    };
    weight.clamp(WEIGHT_MIN, WEIGHT_MAX)
}

#[cfg(test)]
mod tests {
    use super::{POINT, mix, neg_log2, weight};

    #[test]
    fn logarithms_are_close_and_never_rise() {
        // 1, 1/2, 1/4, 2^-64 exactly; 3/4 to a part in 10,000.
        assert_eq!(neg_log2(u64::MAX), 0);
        assert_eq!(neg_log2((1 << 63) - 1), 1 << POINT);
        assert_eq!(neg_log2((1 << 62) - 1), 2 << POINT);
        assert_eq!(neg_log2(0), 64 << POINT);
        assert!(neg_log2(3 << 62).abs_diff(1_782_546_040) < 178_254);
        let mut last = u64::MAX;
        for step in 0..1_000_000_u64 {
            let log = neg_log2(step.wrapping_mul(u64::MAX / 1_000_000));
            assert!(log <= last, "step {step}");
            last = log;
        }
    }

    #[test]
    fn known_answers() {
        assert_eq!(mix(1), 0x5692_161d_100b_05e5);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
        assert_eq!(weight(512, 1024), 1 << POINT);
        assert_eq!(weight(768, 1024), 2 << POINT);
        assert_eq!(weight(1024, 1024), 64 << POINT);
        assert_eq!(weight(0, 1024), 1 << 12);
    }
}

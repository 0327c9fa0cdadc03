//! A chain of texts: each link is a hash over the link before, so that no text is changed, removed or moved unseen; the cluster's
//! key signs how far a chain goes, so that its end is not cut off either.

use std::collections::BTreeMap;

use datamesh_shard::PeerKey;

use crate::signing::{BadSignature, ClusterSigningKey, verify};

const LINK: &str = "datamesh.io 2026 link of a chain v1";
/// What is wrong is named so often at most.
const FINDINGS_MAX: usize = 1000;
const HEAD: &str = "head of a chain v1";
const CUT: &str = "cut of a chain v1";

/// Stands for a chain up to one text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link(pub [u8; 32]);

impl Link {
    /// The link after this one: `number` counts a chain's texts from 0.
    #[must_use]
    pub fn next(&self, chain: &str, number: u64, text: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(LINK);
        hasher.update(&self.0).update(&number.to_le_bytes());
        hasher.update(&(chain.len() as u64).to_le_bytes()).update(chain.as_bytes()).update(text);
        Self(hasher.finalize().into())
    }

    /// The beginning of a chain.
    #[must_use]
    pub fn first() -> Self {
        Self::default()
    }
}

fn head(chain: &str, count: u64, link: &Link) -> Vec<u8> {
    [&count.to_le_bytes()[..], &link.0, chain.as_bytes()].concat()
}

/// Signs that `chain` has `count` texts and ends with `link`.
#[must_use]
pub fn sign_head(key: &ClusterSigningKey, chain: &str, count: u64, link: &Link) -> [u8; 64] {
    key.sign(HEAD, &head(chain, count, link))
}

/// Signs that the first `count` texts of `chain`, up to `link`, were cut off.
#[must_use]
pub fn sign_cut(key: &ClusterSigningKey, chain: &str, count: u64, link: &Link) -> [u8; 64] {
    key.sign(CUT, &head(chain, count, link))
}

/// Checks a head.
///
/// # Errors
/// When the signature is not the cluster's, or is over something else.
pub fn verify_head(
    cluster: &PeerKey,
    chain: &str,
    (count, link): (u64, &Link),
    signature: &[u8; 64],
) -> Result<(), BadSignature> {
    verify(cluster, HEAD, &head(chain, count, link), signature)
}

/// Follows chains from their texts, in whatever way these lie among each other, and says what is not as it was written.
pub struct ChainCheck {
    cluster: PeerKey,
    chains: BTreeMap<String, (u64, Link)>,
    /// Heads of before that were not passed yet.
    kept: BTreeMap<String, (u64, Option<Link>)>,
    findings: Vec<String>,
}

impl ChainCheck {
    /// Nothing seen yet; the heads are to be signed by `cluster`.
    #[must_use]
    pub fn new(cluster: PeerKey) -> Self {
        Self { cluster, chains: BTreeMap::new(), kept: BTreeMap::new(), findings: Vec::new() }
    }

    /// A head as it was when somebody kept it elsewhere: chain, texts, and last link in hexadecimal. The chain must pass it still, so that
    /// one that was removed or begun anew since is found, head and all.
    pub fn passes(&mut self, chain: &str, count: u64, link: &str) {
        self.kept.insert(chain.to_owned(), (count, link_of(link)));
    }

    /// The first `count` texts of a chain, up to a link, were cut off, which a signature says: the chain is followed from there on.
    pub fn was_cut(&mut self, chain: &str, count: u64, (link, signature): (&str, &str)) {
        let mut bytes = [0; 64];
        let link = link_of(link).filter(|link| {
            hex::decode_to_slice(signature, &mut bytes).is_ok()
                && verify(&self.cluster, CUT, &head(chain, count, link), &bytes).is_ok()
        });
        let Some(link) = link else {
            return self.find(format!("{chain}: that it was cut off is not signed by the cluster"));
        };
        // What was kept of it is cut off as well, or its end is.
        if self.kept.get(chain).is_some_and(|(kept, at)| *kept < count || (*kept, *at) == (count, Some(link)))
        {
            self.kept.remove(chain);
        }
        self.chains.insert(chain.to_owned(), (count, link));
    }

    /// The next text of a chain, with its number and the link after it in hexadecimal.
    pub fn see(&mut self, chain: &str, number: u64, (link, text): (&str, &[u8])) {
        let (expected, before) = self.chains.get(chain).copied().unwrap_or((0, Link::first()));
        let stated = link_of(link);
        if number != expected {
            self.find(format!("{chain}: number {number} stands where {expected} belongs"));
        } else if stated != Some(before.next(chain, number, text)) {
            self.find(format!("{chain}: number {number} is not what was written"));
        }
        if self.kept.get(chain).is_some_and(|(count, kept)| {
            *count == number.saturating_add(1) && kept.is_some() && *kept == stated
        }) {
            self.kept.remove(chain);
        }
        // From here on the stated link is taken, so that one fault is one finding.
        self.chains.insert(chain.to_owned(), (number.saturating_add(1), stated.unwrap_or_default()));
    }

    /// All texts were seen. Heads: chain, texts, last link and signature, both in hexadecimal. Gives what is wrong.
    #[must_use]
    pub fn end<'a>(
        mut self,
        heads: impl IntoIterator<Item = (&'a str, u64, &'a str, &'a str)>,
    ) -> Vec<String> {
        for (chain, count, link, signature) in heads {
            let (seen, last) = self.chains.remove(chain).unwrap_or((0, Link::first()));
            let mut bytes = [0; 64];
            let signed = hex::decode_to_slice(signature, &mut bytes).is_ok()
                && link_of(link)
                    .is_some_and(|link| verify_head(&self.cluster, chain, (count, &link), &bytes).is_ok());
            if !signed {
                self.find(format!("{chain}: its head is not signed by the cluster"));
            }
            if (seen, Some(last)) != (count, link_of(link)) {
                self.find(format!(
                    "{chain}: it has {count} entries, and {seen} are there, or its end is another"
                ));
            }
        }
        for (chain, (count, _)) in std::mem::take(&mut self.kept) {
            if count > 0 {
                self.find(format!("{chain}: it is not what was kept of it, {count} entries"));
            }
        }
        for chain in std::mem::take(&mut self.chains).into_keys() {
            self.find(format!("{chain}: it has no signed head"));
        }
        self.findings
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

fn link_of(text: &str) -> Option<Link> {
    let mut link = [0; 32];
    hex::decode_to_slice(text, &mut link).ok().map(|()| Link(link))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClusterSecret;

    #[test]
    fn a_link_hangs_on_everything_before_it() {
        let one = Link::first().next("gw/1", 0, b"one");
        let others = [
            Link::first().next("gw/2", 0, b"one"),
            Link::first().next("gw/1", 1, b"one"),
            Link::first().next("gw/1", 0, b"two"),
            one.next("gw/1", 0, b"one"),
        ];
        assert!(others.iter().all(|other| *other != one));
    }

    #[test]
    fn a_chain_that_was_cut_off_is_followed_from_there() {
        let key = ClusterSecret::generate().signing_key();
        let one = Link::first().next("gw/1", 0, b"one");
        let two = one.next("gw/1", 1, b"two");
        let (cut, end) = (sign_cut(&key, "gw/1", 1, &one), sign_head(&key, "gw/1", 2, &two));
        let hex_of = |link: &Link| hex::encode(link.0);
        let checked = |signed: &[u8; 64], rest: bool| {
            let mut check = ChainCheck::new(key.public());
            check.was_cut("gw/1", 1, (&hex_of(&one), &hex::encode(signed)));
            if rest {
                check.see("gw/1", 1, (&hex_of(&two), b"two"));
            }
            check.end([("gw/1", 2, hex_of(&two).as_str(), hex::encode(end).as_str())])
        };
        assert_eq!(checked(&cut, true), Vec::<String>::new());
        assert_eq!(checked(&cut, false).len(), 1, "more is gone than was cut off");
        // A head says how far a chain goes, not that what it covers may be missing.
        assert!(checked(&sign_head(&key, "gw/1", 1, &one), true)[0].contains("not signed"));
        let mut whole = ChainCheck::new(key.public());
        whole.was_cut("gw/1", 2, (&hex_of(&two), &hex::encode(sign_cut(&key, "gw/1", 2, &two))));
        assert_eq!(
            whole.end([("gw/1", 2, hex_of(&two).as_str(), hex::encode(end).as_str())]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_head_is_the_cluster_s_and_says_how_far() {
        let key = ClusterSecret::generate().signing_key();
        let link = Link::first().next("gw/1", 0, b"one");
        let signature = sign_head(&key, "gw/1", 1, &link);
        verify_head(&key.public(), "gw/1", (1, &link), &signature).unwrap();
        assert!(verify_head(&key.public(), "gw/1", (0, &link), &signature).is_err());
        assert!(verify_head(&key.public(), "gw/2", (1, &link), &signature).is_err());
        assert!(verify_head(&key.public(), "gw/1", (1, &Link::first()), &signature).is_err());
        let other = ClusterSecret::generate().signing_key();
        assert!(verify_head(&other.public(), "gw/1", (1, &link), &signature).is_err());
    }
}

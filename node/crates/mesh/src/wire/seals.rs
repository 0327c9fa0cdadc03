//! Sealing the heads of frames once payloads travel as they are: AES-256-GCM with keys of the TLS handshake before it, one
//! for each direction, and a nonce that counts, as TLS 1.3 does it. The lengths in front of a head are bound to it.

use datamesh_exchange::frame::FRAME_HEADER_BYTES;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Bytes of a key and the number its nonces begin with.
const DIRECTION_BYTES: usize = 32 + NONCE_LEN;
/// Bytes of both directions' keys.
const EXPORTED_BYTES: usize = 2 * DIRECTION_BYTES;
/// Label of the exporter (RFC 8446, section 7.5).
const EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL datamesh bulk heads";
/// Bytes a sealed head has more than the head.
pub(crate) const TAG_BYTES: usize = 16;

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// A head is not what was sealed, in this order, by the holder of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame's head does not prove itself")]
pub struct NotSealed;

/// Both directions of one connection.
pub(crate) struct Seals {
    out: Direction,
    back: Direction,
}

struct Direction {
    key: LessSafeKey,
    first: [u8; NONCE_LEN],
    count: u64,
}

impl Seals {
    /// Keys that only the two ends of this handshake have.
    ///
    /// # Errors
    /// rustls's, before the handshake is done.
    pub(crate) fn of<D>(session: &rustls::ConnectionCommon<D>, side: Side) -> Result<Self, rustls::Error> {
        let keys = Zeroizing::new([0; EXPORTED_BYTES]);
        let keys = session.export_keying_material(keys, EXPORTER_LABEL, None)?;
        Self::from_keys(&keys, side).ok_or(rustls::Error::General("the exporter gave no keys".into()))
    }

    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        Self::for_tests_of(Side::Server)
    }

    #[cfg(test)]
    pub(super) fn for_tests_of(side: Side) -> Self {
        Self::from_keys(&[7; EXPORTED_BYTES], side).unwrap()
    }

    fn from_keys(keys: &[u8; EXPORTED_BYTES], side: Side) -> Option<Self> {
        let (client, server) = keys.split_at(DIRECTION_BYTES);
        let (client, server) = (Direction::from_bytes(client)?, Direction::from_bytes(server)?);
        Some(match side {
            Side::Client => Self { out: client, back: server },
            Side::Server => Self { out: server, back: client },
        })
    }

    /// A frame's start with its head sealed.
    pub(crate) fn seal(&mut self, start: &[u8]) -> Result<Vec<u8>, NotSealed> {
        let (lengths, head) = start.split_at_checked(FRAME_HEADER_BYTES).ok_or(NotSealed)?;
        let nonce = self.out.next()?;
        let mut sealed = Vec::with_capacity(start.len() + TAG_BYTES);
        sealed.extend_from_slice(lengths);
        sealed.extend_from_slice(head);
        let head = sealed.get_mut(FRAME_HEADER_BYTES..).ok_or(NotSealed)?;
        let tag = self.out.key.seal_in_place_separate_tag(nonce, Aad::from(lengths), head);
        sealed.extend_from_slice(tag.map_err(|_| NotSealed)?.as_ref());
        Ok(sealed)
    }

    /// The head of a frame that begins with these lengths.
    pub(crate) fn open(
        &mut self,
        lengths: &[u8; FRAME_HEADER_BYTES],
        mut sealed: Vec<u8>,
    ) -> Result<Vec<u8>, NotSealed> {
        let nonce = self.back.next()?;
        let opened = self.back.key.open_in_place(nonce, Aad::from(lengths), &mut sealed);
        let bytes = opened.map_err(|_| NotSealed)?.len();
        sealed.truncate(bytes);
        Ok(sealed)
    }
}

impl Direction {
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key, first) = bytes.split_at_checked(32)?;
        let key = UnboundKey::new(&AES_256_GCM, key).ok()?;
        Some(Self { key: LessSafeKey::new(key), first: first.try_into().ok()?, count: 0 })
    }

    /// A number is never used twice: at its end the connection is.
    fn next(&mut self) -> Result<Nonce, NotSealed> {
        let mut nonce = self.first;
        for (byte, count) in nonce[NONCE_LEN - 8..].iter_mut().zip(self.count.to_be_bytes()) {
            *byte ^= count;
        }
        self.count = self.count.checked_add(1).ok_or(NotSealed)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Seals, Seals) {
        let keys: [u8; EXPORTED_BYTES] = std::array::from_fn(|n| u8::try_from(n).unwrap());
        (Seals::from_keys(&keys, Side::Client).unwrap(), Seals::from_keys(&keys, Side::Server).unwrap())
    }

    fn split(sealed: &[u8]) -> Sealed {
        let (lengths, head) = sealed.split_first_chunk().unwrap();
        (*lengths, head.to_vec())
    }

    #[test]
    fn heads_arrive_in_both_directions_and_are_not_seen() {
        let (mut client, mut server) = pair();
        for n in 0..3_u8 {
            let start = [&[9; FRAME_HEADER_BYTES][..], &[n; 40]].concat();
            let (lengths, head) = split(&client.seal(&start).unwrap());
            assert!(head.len() == 40 + TAG_BYTES && head[..40] != start[FRAME_HEADER_BYTES..]);
            assert_eq!(server.open(&lengths, head).unwrap(), [n; 40]);
        }
        let (lengths, head) = split(&server.seal(&[7; 20]).unwrap());
        assert_eq!(client.open(&lengths, head).unwrap(), [7; 12]);
    }

    type Sealed = ([u8; FRAME_HEADER_BYTES], Vec<u8>);

    #[test]
    fn what_was_changed_left_out_repeated_or_sent_back_is_refused() {
        let start = [5; 30];
        let refused = |change: fn(&mut Seals, Sealed) -> Sealed| {
            let (mut client, mut server) = pair();
            let (lengths, head) = split(&client.seal(&start).unwrap());
            let (lengths, head) = change(&mut client, (lengths, head));
            server.open(&lengths, head).is_err()
        };
        assert!(!refused(|_, sealed| sealed), "the control: as it was sent");
        assert!(refused(|_, (lengths, mut head)| {
            head[3] ^= 1;
            (lengths, head)
        }));
        assert!(refused(|_, (mut lengths, head)| {
            lengths[4] ^= 1;
            (lengths, head)
        }));
        assert!(refused(|client, _| split(&client.seal(&[5; 30]).unwrap())), "the first one is missing");
        assert!(refused(|_, (lengths, head)| (lengths, head[..10].to_vec())));
        let (mut client, mut server) = pair();
        let (lengths, head) = split(&client.seal(&start).unwrap());
        server.open(&lengths, head.clone()).unwrap();
        assert!(server.open(&lengths, head.clone()).is_err(), "repeated");
        assert!(client.open(&lengths, head).is_err(), "sent back");
    }
}

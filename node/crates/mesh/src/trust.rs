//! Whom this process believes: the cluster's key, what it signed (certificates and layouts), and how high each peer's
//! incarnation was.

mod layouts;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use datamesh_placement::{Layout, SignedLayout};
use datamesh_seal::{Certificate, CertificateError, MemberRole, SignedCertificate};
use datamesh_shard::{Epoch, Incarnation, NodeName, PeerKey, PoolName};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use crate::encoding::whole;
use layouts::{Known, Layouts};
pub use layouts::{LayoutRefused, Learned};

/// Peers remembered besides the members of layouts at most: gateways, sidecars and nodes that are about to join.
const CERTIFIED_MAX: usize = 4096;

/// Called with each newly learned layout, to keep it over a restart.
pub type KeepLayout = Box<dyn Fn(&PoolName, &SignedLayout) + Send + Sync>;

/// Who asks, as far as it proved it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key it proved in the TLS handshake.
    pub peer: PeerKey,
    /// The certificate it showed, verified; checked anew for expiry before each request.
    pub role: Option<Certificate>,
    /// The pool whose newest known layout lists it.
    pub member_of: Option<PoolName>,
    /// What it said of itself.
    pub incarnation: Incarnation,
}

impl Caller {
    /// A peer that proved no more than its key.
    #[must_use]
    pub fn stranger(peer: PeerKey) -> Self {
        Self { peer, role: None, member_of: None, incarnation: Incarnation(0) }
    }

    /// Whether it may ask for more than joining.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.role.is_some() || self.member_of.is_some()
    }

    /// Whether it showed a gateway's certificate.
    #[must_use]
    pub fn is_gateway(&self) -> bool {
        self.role.as_ref().is_some_and(|certificate| matches!(certificate.role, MemberRole::Gateway))
    }
}

/// Why a peer is not believed.
#[derive(Debug, thiserror::Error)]
pub enum NotTrusted {
    /// The certificate's bytes make no certificate.
    #[error("the certificate cannot be read: {0}")]
    Malformed(#[from] postcard::Error),
    /// The certificate does not hold for this peer, now.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// It showed a certificate of another role than it must have.
    #[error("it is no gateway")]
    NoGateway,
    /// It runs from an older opening of its store than one seen before: it was replaced and lives on.
    #[error("it says incarnation {said}, {known} was seen before: it has been replaced")]
    Incarnation {
        /// What it says.
        said: Incarnation,
        /// The highest seen.
        known: Incarnation,
    },
}

/// This process's own certificate.
struct Own {
    bytes: Vec<u8>,
    not_after_unix: u64,
}

struct Certified {
    certificate: Certificate,
}

/// What is believed. Shared by the transport, the swarm and the roles; all methods are quick and never block on I/O,
/// apart from the keeper of layouts.
pub struct Trust {
    cluster: NodeName,
    key: PeerKey,
    own: RwLock<Option<Arc<Own>>>,
    layouts: RwLock<Layouts>,
    /// Held while a layout is learned.
    learning: Mutex<()>,
    certified: RwLock<HashMap<PeerKey, Certified>>,
    incarnations: RwLock<HashMap<PeerKey, Incarnation>>,
    given_up: RwLock<BTreeSet<PeerKey>>,
    keep: KeepLayout,
    changed: watch::Sender<u64>,
    learned: Arc<Notify>,
    wanted: watch::Sender<Option<(PoolName, Epoch)>>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trust({}, {:?})", self.cluster, self.key)
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Trust {
    /// Believes `key` alone. `keep` is called with each newly learned layout.
    #[must_use]
    pub fn new(cluster: NodeName, key: PeerKey, keep: KeepLayout) -> Self {
        Self {
            cluster,
            key,
            own: RwLock::default(),
            layouts: RwLock::default(),
            learning: Mutex::default(),
            certified: RwLock::default(),
            incarnations: RwLock::default(),
            given_up: RwLock::default(),
            keep,
            changed: watch::Sender::new(0),
            learned: Arc::default(),
            wanted: watch::Sender::new(None),
        }
    }

    /// The cluster's public key.
    #[must_use]
    pub fn cluster_key(&self) -> &PeerKey {
        &self.key
    }

    /// Shows `certificate` to peers from now on.
    ///
    /// # Errors
    /// Refuses one that does not hold for `peer`, the own key, now.
    pub fn set_own(
        &self,
        certificate: &SignedCertificate,
        peer: &PeerKey,
    ) -> Result<Certificate, NotTrusted> {
        let checked = certificate.verify(&self.key, peer, now_unix())?;
        let own = Own { bytes: postcard::to_stdvec(certificate)?, not_after_unix: checked.not_after_unix };
        *self.own.write() = Some(Arc::new(own));
        self.admit(&checked);
        self.mark_changed();
        Ok(checked)
    }

    /// The own certificate's bytes and expiry, unless it has expired or there is none.
    #[must_use]
    pub fn own(&self) -> Option<(Vec<u8>, u64)> {
        let own = self.own.read().clone()?;
        (own.not_after_unix > now_unix()).then(|| (own.bytes.clone(), own.not_after_unix))
    }

    /// Judges a peer by what it shows. Without a certificate a member of a known layout is believed for its key;
    /// anyone else is a stranger, who may join and nothing else. A certificate that is shown must hold.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn accepts(
        &self,
        peer: PeerKey,
        certificate: Option<&[u8]>,
        incarnation: Incarnation,
    ) -> Result<Caller, NotTrusted> {
        let role = match certificate {
            Some(bytes) => {
                let signed: SignedCertificate = whole(bytes)?;
                Some(signed.verify(&self.key, &peer, now_unix())?)
            }
            None => None,
        };
        // What it holds may have been deleted: it may ask to join, and is told so.
        let role = role.filter(|_| !self.given_up.read().contains(&peer));
        let member_of = self.layouts.read().pool_of(&peer);
        let caller = Caller { peer, role, member_of, incarnation };
        if caller.is_known() {
            self.observe(peer, incarnation)?;
        }
        if let Some(certificate) = &caller.role {
            self.admit(certificate);
        }
        Ok(caller)
    }

    /// Whether what made `caller` known still holds: its certificate has not expired, its incarnation was not passed.
    #[must_use]
    pub fn still_holds(&self, caller: &Caller) -> bool {
        let current =
            self.incarnations.read().get(&caller.peer).is_none_or(|known| *known <= caller.incarnation);
        let unexpired = match &caller.role {
            Some(certificate) => {
                certificate.not_after_unix > now_unix() && !self.given_up.read().contains(&caller.peer)
            }
            None => self.layouts.read().pool_of(&caller.peer).is_some(),
        };
        current && unexpired
    }

    /// Remembers the highest incarnation of a known peer.
    ///
    /// # Errors
    /// Refuses a lower one than seen before.
    pub fn observe(&self, peer: PeerKey, said: Incarnation) -> Result<(), NotTrusted> {
        let mut incarnations = self.incarnations.write();
        if let Some(&known) = incarnations.get(&peer)
            && known > said
        {
            return Err(NotTrusted::Incarnation { said, known });
        }
        incarnations.insert(peer, said);
        Ok(())
    }

    /// The highest incarnation a peer was seen with; 0 before.
    #[must_use]
    pub fn incarnation(&self, peer: &PeerKey) -> Incarnation {
        self.incarnations.read().get(peer).copied().unwrap_or_default()
    }

    /// Believes the holder of a verified certificate until it expires. A gateway calls this with each certificate it
    /// hands out, so that the new node is let into the swarm before a layout lists it.
    pub fn admit(&self, certificate: &Certificate) {
        if self.given_up.read().contains(&certificate.peer) {
            return;
        }
        let mut certified = self.certified.write();
        if certified.len() >= CERTIFIED_MAX {
            let now = now_unix();
            certified.retain(|_, known| known.certificate.not_after_unix > now);
            if certified.len() >= CERTIFIED_MAX {
                return;
            }
        }
        let new = Certified { certificate: certificate.clone() };
        let before = certified.insert(certificate.peer, new);
        drop(certified);
        if before.is_none() {
            self.mark_changed();
        }
    }

    /// A volume was given up for lost: no certificate of its key counts any more, here. As long as a layout lists it, it is
    /// a member: it is told of deletes, and what it has may be needed.
    pub fn give_up(&self, peer: PeerKey) {
        if !self.given_up.write().insert(peer) {
            // Told of once more.
            return;
        }
        self.certified.write().remove(&peer);
        self.mark_changed();
    }

    /// Takes a layout the cluster signed; keeps it if it is newer than the pool's known one.
    ///
    /// # Errors
    /// Refuses what the cluster's key did not sign, what cannot be read and another cluster's.
    pub fn learn_layout(&self, signed: &SignedLayout) -> Result<Learned, LayoutRefused> {
        let layout = layouts::check(&self.cluster, &self.key, signed)?;
        let (pool, epoch) = (layout.pool.clone(), layout.epoch);
        let known = Known { layout: Arc::new(layout), signed: Arc::new(signed.clone()) };
        // One at a time, and kept before anybody is told that it is known: what a node says it knows it must not forget.
        let _one = self.learning.lock();
        if self.layout(&pool).is_none_or(|known| known.epoch < epoch) {
            (self.keep)(&pool, signed);
        }
        let learned = self.layouts.write().offer(known)?;
        if let Learned::Newer = learned {
            tracing::info!(%pool, %epoch, "learned a layout");
            self.mark_changed();
            self.learned.notify_waiters();
        }
        Ok(learned)
    }

    /// A pool's newest known layout.
    #[must_use]
    pub fn layout(&self, pool: &PoolName) -> Option<Arc<Layout>> {
        Some(self.layouts.read().get(pool)?.layout.clone())
    }

    /// The same, as signed.
    #[must_use]
    pub fn signed_layout(&self, pool: &PoolName) -> Option<Arc<SignedLayout>> {
        Some(self.layouts.read().get(pool)?.signed.clone())
    }

    /// All pools' newest known layouts, as signed.
    #[must_use]
    pub fn signed_layouts(&self) -> Vec<Arc<SignedLayout>> {
        self.layouts.read().all().map(|known| known.signed.clone()).collect()
    }

    /// Whether `peer` is a member of a known layout or held a certificate that has not expired.
    #[must_use]
    pub fn knows(&self, peer: &PeerKey) -> bool {
        let certified =
            self.certified.read().get(peer).is_some_and(|c| c.certificate.not_after_unix > now_unix());
        certified || self.layouts.read().pool_of(peer).is_some()
    }

    /// Whether `peer` held a gateway's certificate that has not expired.
    #[must_use]
    pub fn knows_gateway(&self, peer: &PeerKey) -> bool {
        self.certified.read().get(peer).is_some_and(|known| {
            matches!(known.certificate.role, MemberRole::Gateway)
                && known.certificate.not_after_unix > now_unix()
        })
    }

    /// Everyone [`Trust::knows`].
    #[must_use]
    pub fn known_peers(&self) -> Vec<PeerKey> {
        let now = now_unix();
        let mut peers = self.layouts.read().members();
        let certified = self.certified.read();
        peers.extend(
            certified.values().filter(|c| c.certificate.not_after_unix > now).map(|c| c.certificate.peer),
        );
        drop(certified);
        peers.sort_unstable();
        peers.dedup();
        peers
    }

    /// Rises with each change of certificates or layouts.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Notified of each newer layout.
    #[must_use]
    pub fn layout_learned(&self) -> Arc<Notify> {
        Arc::clone(&self.learned)
    }

    /// Notes that somewhere a layout of `epoch` exists, so that whoever can fetch it does.
    pub fn want_layout(&self, pool: &PoolName, epoch: Epoch) {
        if self.layout(pool).is_none_or(|known| known.epoch < epoch) {
            self.wanted.send_replace(Some((pool.clone(), epoch)));
        }
    }

    /// The layout last wanted.
    #[must_use]
    pub fn wanted(&self) -> watch::Receiver<Option<(PoolName, Epoch)>> {
        self.wanted.subscribe()
    }

    fn mark_changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

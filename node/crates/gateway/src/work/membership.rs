//! Keeps this gateway's own certificate fresh, and publishes in the DHT which layouts exist.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datamesh_mesh::{LayoutPointer, NotTrusted, SwarmHandle, Trust, now_unix};
use datamesh_seal::{Certificate, ClusterSigningKey, MemberRole, SignedCertificate};
use datamesh_shard::{Epoch, NodeName, PeerKey, PoolName};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Next, Worker};
use crate::join::CERTIFICATE_LIFE;
use crate::pools::Pools;

/// How soon a new epoch is published at the latest; members are told directly, at once.
const PERIOD: Duration = Duration::from_secs(30);

pub(crate) struct KeepMembership {
    pub(crate) key: ClusterSigningKey,
    pub(crate) node: NodeName,
    pub(crate) peer: PeerKey,
    pub(crate) trust: Arc<Trust>,
    pub(crate) swarm: SwarmHandle,
    pub(crate) pools: Arc<Pools>,
    /// The certificate in use, its end, and what was published with it.
    pub(crate) own: Option<Own>,
}

pub(crate) struct Own {
    certificate: SignedCertificate,
    not_after_unix: u64,
    published: BTreeMap<PoolName, Epoch>,
}

/// Signs a fresh certificate for this gateway and shows it from now on.
pub(crate) fn certify(
    trust: &Trust,
    key: &ClusterSigningKey,
    (node, peer): (&NodeName, PeerKey),
) -> Result<Own, NotTrusted> {
    let not_after_unix = now_unix().saturating_add(CERTIFICATE_LIFE.as_secs());
    let certificate = Certificate { role: MemberRole::Gateway, node: node.clone(), peer, not_after_unix };
    let certificate = SignedCertificate::sign(key, certificate);
    let checked = trust.set_own(&certificate, &peer)?;
    trust.admit(&checked);
    Ok(Own { certificate, not_after_unix, published: BTreeMap::new() })
}

impl KeepMembership {
    async fn step(&mut self) -> Result<(), NotTrusted> {
        let renew_at = now_unix().saturating_add(CERTIFICATE_LIFE.as_secs() / 2);
        let mut own = match self.own.take() {
            Some(own) if own.not_after_unix > renew_at => own,
            _ => certify(&self.trust, &self.key, (&self.node, self.peer))?,
        };
        for (name, pool) in self.pools.all() {
            let (Some(layout), Some(signed)) = (pool.layout(), &pool.signed) else { continue };
            let epoch = layout.epoch;
            if own.published.get(&name) == Some(&epoch) {
                continue;
            }
            let pointer =
                LayoutPointer { pool: name.clone(), epoch, hash: blake3::hash(&signed.bytes).into() };
            match self.swarm.publish_layout(pointer, own.certificate.clone()).await {
                Ok(()) => drop(own.published.insert(name, epoch)),
                Err(error) => tracing::debug!(pool = %name, %error, "a layout was not published"),
            }
        }
        self.own = Some(own);
        Ok(())
    }
}

impl Worker for KeepMembership {
    fn name(&self) -> &'static str {
        "keep membership"
    }

    fn work(&mut self) -> BoxFuture<'_, Next> {
        async {
            if let Err(error) = self.step().await {
                tracing::error!(%error, "the own certificate is not renewed");
            }
            Next::Wait(PERIOD)
        }
        .boxed()
    }
}

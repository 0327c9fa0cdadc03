//! The pool's gateway: asked what it knows, told what is wanted.

use datamesh_settings::admin::{ClusterStatus, PoolStatus};
use datamesh_shard::PoolName;

use super::dereference::Found;
use super::validate::ValidPool;
use crate::gateway_api::{Door, GatewayError};

/// What the gateway said, and the way to it.
pub(crate) struct Answer(Result<(Door, ClusterStatus), GatewayError>);

/// Why the gateway has not taken a pool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Untold {
    /// It refuses it, for this reason.
    Refused(String),
    /// It could not be told; it is tried again.
    Away(String),
}

/// Asks the gateway.
pub(crate) async fn ask(found: &Found) -> Answer {
    Answer(heard(found).await)
}

async fn heard(found: &Found) -> Result<(Door, ClusterStatus), GatewayError> {
    let cluster = found.cluster.as_ref().ok_or(GatewayError::NoCluster)?;
    let door = Door::of(cluster, found.tokens.as_ref(), found.tls.as_ref())?;
    let status = door.status().await?;
    Ok((door, status))
}

impl Answer {
    /// What it knows, or why it could not be asked.
    pub(crate) fn status(&self) -> Result<&ClusterStatus, &GatewayError> {
        self.0.as_ref().map(|(_, status)| status)
    }

    /// The pool, as the gateway knows it.
    pub(crate) fn pool(&self, name: &PoolName) -> Option<&PoolStatus> {
        self.status().ok()?.pools.iter().find(|pool| pool.name == *name)
    }

    /// Tells the gateway what is wanted. One that could not be asked a moment ago is not waited for again.
    pub(crate) async fn submit(&self, pool: &ValidPool) -> Result<(), Untold> {
        match &self.0 {
            Ok((door, _)) => door.put_pool(&pool.name, &pool.spec).await.map_err(|error| untold(&error)),
            Err(error) => Err(Untold::Away(error.to_string())),
        }
    }
}

/// A refusal stays one however often it is asked again; everything else may pass.
fn untold(error: &GatewayError) -> Untold {
    match error {
        GatewayError::Refused { status: 400 | 409 | 422, answer, .. } => {
            Untold::Refused(answer.trim().to_owned())
        }
        error => Untold::Away(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_refuses_is_no_outage() {
        let refused = |status, answer: &str| GatewayError::Refused {
            host: "demo-gateway.datamesh.svc".into(),
            status,
            answer: answer.into(),
        };
        let words = "members n6 still hold data";
        for status in [400, 409, 422] {
            assert_eq!(untold(&refused(status, words)), Untold::Refused(words.into()));
        }
        for passing in [refused(503, words), refused(401, words), GatewayError::NoCluster] {
            assert!(matches!(untold(&passing), Untold::Away(_)), "{passing}");
        }
    }
}

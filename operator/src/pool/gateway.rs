//! The pool's gateway: asked what it knows, told what is wanted.

use datamesh_settings::admin::{ClusterStatus, PoolStatus};

use super::dereference::Found;
use super::validate::ValidPool;
use crate::gateway_api::{Door, GatewayError};

/// What the gateway said, and the way to it.
pub(crate) struct Answer {
    door: Option<Door>,
    status: Result<ClusterStatus, GatewayError>,
    /// What came of telling it what is wanted, once it was told.
    told: Option<Result<(), Untold>>,
}

/// Why the gateway has not taken a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Untold {
    /// It refuses it, for this reason.
    Refused(String),
    /// It could not be told; it is tried again.
    Away(String),
}

/// Asks the gateway.
pub(crate) async fn ask(found: &Found) -> Answer {
    let door = door(found);
    let (door, status) = match door {
        Ok(door) => {
            let status = door.status().await;
            (Some(door), status)
        }
        Err(error) => (None, Err(error)),
    };
    Answer { door, status, told: None }
}

fn door(found: &Found) -> Result<Door, GatewayError> {
    let cluster = found.cluster.as_ref().ok_or(GatewayError::NoCluster)?;
    Door::of(cluster, found.tokens.as_ref(), found.tls.as_ref())
}

impl Answer {
    /// What it knows, or why it could not be asked.
    pub(crate) fn status(&self) -> Result<&ClusterStatus, &GatewayError> {
        self.status.as_ref()
    }

    /// The pool, as the gateway knows it.
    pub(crate) fn pool(&self, name: &str) -> Option<&PoolStatus> {
        self.status().ok()?.pools.iter().find(|pool| pool.name.as_str() == name)
    }

    /// What came of telling it what is wanted.
    pub(crate) fn told(&self) -> Option<&Result<(), Untold>> {
        self.told.as_ref()
    }

    /// The pool as the gateway knew it when it had taken the present spec, in this pass. Nothing else is a word by which
    /// something may be deleted.
    pub(crate) fn word(&self, name: &str) -> Option<&PoolStatus> {
        self.pool(name).filter(|_| matches!(self.told, Some(Ok(()))))
    }

    /// Tells the gateway what is wanted, and keeps what it answers. One that could not be asked a moment ago is not waited
    /// for again.
    pub(crate) async fn submit(&mut self, pool: &ValidPool) {
        let told = match (&self.door, &self.status) {
            (Some(door), Ok(_)) => door.put_pool(&pool.name, &pool.spec).await,
            (_, Err(error)) => return self.told = Some(Err(Untold::Away(error.to_string()))),
            (None, Ok(_)) => return,
        };
        self.told = Some(match told {
            Ok(status) => {
                self.status = Ok(status);
                Ok(())
            }
            Err(error) => Err(untold(&error)),
        });
    }
}

#[cfg(test)]
impl Answer {
    /// As if the gateway had been told, with this outcome, and knew this.
    pub(crate) fn of(told: Result<(), Untold>, status: Result<ClusterStatus, GatewayError>) -> Self {
        Self { door: None, status, told: Some(told) }
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

//! Passwords: Argon2id with the cluster's pepper, a bounded number at a time on the threads that transfers compute on too.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use datamesh_catalog::{PasswordHash, UserId};
use datamesh_seal::ClusterSecret;
use http::{HeaderValue, header};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::pipeline::Context;
use crate::problem::{Kind, Problem};
use crate::surroundings::random;

/// Characters of a password at least (NIST SP 800-63B-4 wants 15 where it is alone, 8 beside a second factor; OWASP 8 to 15).
const CHARS_MIN: usize = 10;
/// Bytes of a password at most: room for a long sentence.
pub(super) const BYTES_MAX: usize = 256;
/// Hashes made at once: half the threads at least stay with transfers on two cores and more. Each takes 19 MiB.
const AT_ONCE: usize = 1;
/// Whoever comes while this many wait is told to come again: some 40 ms each, two seconds.
const WAITING_MAX: usize = 48;
/// Those seconds.
const AGAIN_SECONDS: u64 = 2;
/// OWASP's first choice: 19 MiB, two passes, one lane.
const PARAMS: Params = Params::DEFAULT;

/// Makes and checks hashes.
pub(super) struct Passwords {
    context: Arc<Context>,
    secret: Arc<ClusterSecret>,
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Passwords {
    pub(super) fn new(context: Arc<Context>, secret: Arc<ClusterSecret>) -> Self {
        let (turns, waiting) = (Semaphore::new(AT_ONCE), Semaphore::new(AT_ONCE + WAITING_MAX));
        let (turns, waiting) = (Arc::new(turns), Arc::new(waiting));
        Self { context, secret, turns, waiting }
    }

    /// The hash of a user's new password.
    pub(super) async fn hash(
        &self,
        user: UserId,
        password: Zeroizing<String>,
    ) -> Result<PasswordHash, Problem> {
        check(&password)?;
        let salt = random::<16>(&*self.context.surroundings);
        let made =
            self.run(user, move |argon2| argon2.hash_password_with_salt(password.as_bytes(), &salt)).await?;
        let made = made.map_err(|error| Problem::internal("cannot hash a password", &error))?;
        Ok(PasswordHash(made.to_string()))
    }

    /// Whether it is this user's password. Without a hash to hold it against it costs the same and is not.
    pub(super) async fn verify(
        &self,
        user: UserId,
        password: Zeroizing<String>,
        hash: Option<PasswordHash>,
    ) -> Result<bool, Problem> {
        if password.len() > BYTES_MAX {
            return Ok(false);
        }
        let checked = move |argon2: &Argon2<'_>| match hash {
            Some(hash) => {
                made_here(&hash.0).map(|hash| argon2.verify_password(password.as_bytes(), &hash).is_ok())
            }
            None => {
                let made = argon2.hash_password_with_salt(password.as_bytes(), &[0; 16]);
                std::hint::black_box(made).map_or(Ok(false), |_| Ok(false))
            }
        };
        let checked = self.run(user, checked).await?;
        checked.map_err(|error| Problem::internal("a password's hash is none", &error))
    }

    async fn run<T: Send + 'static>(
        &self,
        user: UserId,
        work: impl FnOnce(&Argon2<'_>) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else { return Err(busy()) };
        let stopping = || Problem::new(Kind::Stopping, "sign in again in a moment");
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| stopping())?;
        let pepper = self.secret.password_pepper(&user.0);
        let work = move || {
            let argon2 = Argon2::new_with_secret(&pepper[..], Algorithm::Argon2id, Version::V0x13, PARAMS);
            let done = argon2.map(|argon2| work(&argon2));
            // Not before: whoever hangs up does not make room for another hash while this one is made.
            drop((place, turn));
            done
        };
        let done = self.context.compute(work).await.map_err(|_| stopping())?;
        done.map_err(|error| Problem::internal("Argon2 refuses its parameters", &error))
    }
}

/// A hash of the form that is made here: a row that somebody else wrote must not decide what checking it costs.
fn made_here(text: &str) -> Result<Phc, NotMadeHere> {
    let hash = Phc::new(text).map_err(|_| NotMadeHere)?;
    let params = Params::try_from(&hash).map_err(|_| NotMadeHere)?;
    let costs = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    let ours = hash.algorithm.as_str() == Algorithm::Argon2id.as_str()
        && hash.version == Some(Version::V0x13.into())
        && costs(&params) == costs(&PARAMS);
    if ours { Ok(hash) } else { Err(NotMadeHere) }
}

/// The hash has another form.
#[derive(Debug, thiserror::Error)]
#[error("it is not of the form that is made here")]
struct NotMadeHere;

fn busy() -> Problem {
    too_many("many sign in at this moment", AGAIN_SECONDS)
}

/// Told to come again after so many seconds.
pub(super) fn too_many(why: &str, seconds: u64) -> Problem {
    Problem::new(Kind::TooManyRequests, format!("{why}: try again in {seconds} s"))
        .header(header::RETRY_AFTER, HeaderValue::from(seconds))
}

/// Whether a new password is one.
fn check(password: &str) -> Result<(), Problem> {
    let wrong = if password.chars().count() < CHARS_MIN {
        format!("a password has at least {CHARS_MIN} characters")
    } else if password.len() > BYTES_MAX {
        format!("a password has at most {BYTES_MAX} bytes")
    } else {
        return Ok(());
    };
    Err(Problem::new(Kind::InvalidBody, wrong).in_body("password"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashes_of_our_cost_are_checked() {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, PARAMS);
        let ours = argon2.hash_password_with_salt(b"correct horse battery", &[1; 16]).unwrap().to_string();
        made_here(&ours).unwrap();
        for (from, to) in [
            ("m=19456", "m=4194304"),
            ("m=19456", "m=8"),
            ("t=2", "t=4294967295"),
            ("p=1", "p=2"),
            ("argon2id", "argon2i"),
            ("v=19", "v=16"),
        ] {
            let other = ours.replace(from, to);
            assert!(other != ours && made_here(&other).is_err(), "{other}");
        }
    }
}

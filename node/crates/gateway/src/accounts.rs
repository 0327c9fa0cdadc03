//! Users: how they become some, sign in, and what stands for them afterwards. Rows decide ([`datamesh_catalog`]); in memory are only
//! the attempts that were wrong.

mod addresses;
mod credentials;
mod devices;
mod federated;
mod given;
mod groups;
mod identities;
mod invitations;
mod key_owners;
mod mailed_reset;
mod newcomers;
mod passwords;
mod polls;
mod second_factor;
mod secrets;
mod shares;
mod sign_in;
mod throttle;
mod users;

use std::sync::Arc;

use datamesh_catalog::catalog::{CredentialError, UserError};
use datamesh_catalog::{EmbeddedCatalog, User, UserId};
use datamesh_seal::ClusterSecret;

use crate::auth::{Principal, Who};
use crate::mail::Mailer;
use crate::objects::refusals;
use crate::oidc::Providers;
use crate::pipeline::Context;
use crate::problem::{Kind, Problem};
use crate::surroundings::Surroundings;
use mailed_reset::Post;
use passwords::Passwords;
use polls::Polls;
use shares::ProvenLately;
use throttle::Throttle;

pub(crate) use addresses::Claimed;
pub(crate) use credentials::{Made, NewToken, TOKEN_DAYS_MAX};
pub(crate) use devices::Asked;
pub(crate) use federated::{CameBack, CameIn, SentAway, Where};
pub(crate) use identities::{Bound, Met};
pub(crate) use invitations::Invitation;
pub(crate) use key_owners::{FILE_OWNER, Owner};
pub(crate) use second_factor::Offered;
pub(crate) use secrets::SHARE_PREFIX;
pub(crate) use shares::{MadeShare, NewShare, OpenShare, SHARE_DAYS_MAX, no_share};
pub(crate) use sign_in::{SignIn, SignedIn};
pub(crate) use users::{Change, NewUser, Registering};

/// Whose invitations of the administrator's token file are: no user's.
const OPERATOR: UserId = UserId([0; 16]);
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// All there is to users.
pub(crate) struct Accounts {
    context: Arc<Context>,
    catalog: EmbeddedCatalog,
    secret: Arc<ClusterSecret>,
    surroundings: Arc<dyn Surroundings>,
    passwords: Passwords,
    throttle: Throttle,
    proven: ProvenLately,
    /// Of sign-ins at providers: what goes wrong there is no wrong password here.
    elsewhere: Throttle,
    polls: Polls,
    /// Absent: the cluster sends no mail.
    post: Option<Post>,
    providers: Providers,
}

impl Accounts {
    pub(crate) fn new(
        context: &Arc<Context>,
        secret: Arc<ClusterSecret>,
        (mailer, providers): (Option<Mailer>, Providers),
    ) -> Self {
        Self {
            context: Arc::clone(context),
            catalog: context.catalog.clone(),
            surroundings: Arc::clone(&context.surroundings),
            passwords: Passwords::new(Arc::clone(context), Arc::clone(&secret)),
            secret,
            throttle: Throttle::default(),
            proven: ProvenLately::new(&*context.surroundings),
            elsewhere: Throttle::default(),
            polls: Polls::default(),
            post: mailer.map(Post::new),
            providers,
        }
    }

    fn now(&self) -> u64 {
        self.surroundings.now_unix_ms()
    }

    /// Runs what nobody waits for: whoever measured how long it takes would learn from it.
    pub(crate) fn behind_the_answer(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.context.spawn_tail(task));
    }

    /// The user who asks.
    ///
    /// # Errors
    /// `conflict` for who has a token file: that is no account.
    pub(crate) async fn myself(&self, principal: &Principal) -> Result<User, Problem> {
        let Who::User { id, .. } = principal.who else { return Err(no_account()) };
        self.catalog.user(id).await.map_err(refusals::catalog)?.ok_or_else(no_such_user)
    }
}

/// What has an account needs one.
fn no_account() -> Problem {
    Problem::new(Kind::Conflict, "the token comes from a file and is no account: sign in as a user")
}

/// There is no such user.
pub(crate) fn no_such_user() -> Problem {
    Problem::new(Kind::NoSuchUser, "GET /api/v1/admin/users lists those that exist").in_parameter("name")
}

/// What a request was allowed by has ended while it was under way.
fn superseded() -> Problem {
    Problem::new(Kind::Conflict, "the password or the session was changed meanwhile: sign in again")
}

pub(crate) fn not_kept(error: CredentialError) -> Problem {
    match error {
        CredentialError::NoUser => no_such_user(),
        CredentialError::Superseded => superseded(),
        CredentialError::SecondFactor => second_factor::wrong_code(),
        CredentialError::Invalid(invalid) => Problem::new(Kind::InvalidBody, invalid.to_string()),
        CredentialError::Catalog(error) => refusals::catalog(error),
    }
}

fn not_made(error: UserError) -> Problem {
    match error {
        error @ (UserError::Taken(_) | UserError::KeysOf(_)) => {
            Problem::new(Kind::UserExists, error.to_string()).in_body("name")
        }
        UserError::NotInvited => not_invited(),
        UserError::Invalid(invalid) => Problem::new(Kind::InvalidBody, invalid.to_string()).in_body("email"),
        UserError::Catalog(error) => refusals::catalog(error),
    }
}

fn not_invited() -> Problem {
    Problem::new(Kind::Forbidden, "the invitation was used, has run out or was never made: ask for another")
        .in_body("invite")
}

/// Cuts a client's words down to so many bytes, at a character's end.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

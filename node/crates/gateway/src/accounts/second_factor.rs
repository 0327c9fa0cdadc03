//! Second factors: codes of the time (RFC 6238) and, for who lost what makes them, recovery codes. A code counts once, at whichever
//! gateway: the commit that it allows uses it up.

use datamesh_catalog::{SecondFactor, Shown, User, UserId};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use subtle::ConstantTimeEq as _;
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use super::passwords::too_many;
use super::sign_in::address_of;
use super::{Accounts, no_account, superseded};
use crate::auth::{Address, Principal, Via, Who};
use crate::objects::refusals;
use crate::problem::{Kind, Problem};
use crate::surroundings::random;

/// Bytes of a secret: as many as HMAC-SHA-1 gives (RFC 4226, section 4).
const SECRET_BYTES: usize = 20;
/// Recovery codes of a user, and the random bytes of each: 16 characters of Base32.
const RECOVERY_CODES: usize = 10;
const RECOVERY_BYTES: usize = 10;
const RECOVERY_CHARS: usize = 16;
/// Characters of what may be a code at most.
const CODE_CHARS_MAX: usize = 64;
/// Wrong codes without a pause. Who tries them has the password: what is counted is the user's, wherever it comes from.
const FREE_CODES: u32 = 5;
/// The first pause, which doubles, and the longest: of a million codes three count at a time.
const PAUSE_MS: u64 = 15_000;
const PAUSE_MS_MAX: u64 = 900_000;
/// Wrong codes after which none of the time is taken, until a recovery code is (NIST SP 800-63B wants at most a hundred). Another password
/// forgives none: who reads the owner's mail can choose one.
const WRONG_CODES_MAX: u32 = 50;
/// Seconds of a time step, and how many steps clocks may differ.
const STEP_SECONDS: u64 = 30;
const SKEW_STEPS: u64 = 1;
/// How long an offer may be confirmed, in steps: ten minutes.
const OFFER_STEPS: u64 = 20;
/// What programs that make codes show beside the name.
const ISSUER: &str = "DataMesh";

/// A second factor that is offered: the one time its secret is shown.
pub(crate) struct Offered {
    pub(crate) secret: Zeroizing<String>,
    /// What programs that make codes read, as a picture mostly.
    pub(crate) uri: Zeroizing<String>,
}

/// How a user's second factor is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FactorState {
    /// Since when it is asked for; none: it is not.
    pub(crate) since_unix_ms: Option<u64>,
    pub(crate) recovery_codes_left: usize,
}

/// A code as it was typed.
enum Code {
    /// Six digits.
    OfTime(Zeroizing<String>),
    /// Base32, in one piece and in capitals.
    Recovery(Zeroizing<String>),
}

impl Code {
    fn read(text: &str) -> Option<Self> {
        if text.len() > CODE_CHARS_MAX {
            return None;
        }
        let kept = text.chars().filter(|char| !char.is_whitespace() && *char != '-');
        let bare = Zeroizing::new(kept.collect::<String>().to_ascii_uppercase());
        match bare.len() {
            6 if bare.bytes().all(|byte| byte.is_ascii_digit()) => Some(Self::OfTime(bare)),
            RECOVERY_CHARS => Some(Self::Recovery(bare)),
            _ => None,
        }
    }
}

/// When the next code of the time may be tried.
fn next_unix_ms(factor: &SecondFactor) -> u64 {
    let Some(beyond) = factor.wrong.checked_sub(FREE_CODES) else { return 0 };
    let pause_ms = PAUSE_MS.saturating_mul(1 << beyond.min(16)).min(PAUSE_MS_MAX);
    factor.last_wrong_unix_ms.saturating_add(pause_ms)
}

/// The step before the first whose code is taken of a second factor that is offered now.
fn step_before_offer(now_unix_ms: u64) -> u64 {
    (now_unix_ms / 1000 / STEP_SECONDS).saturating_sub(SKEW_STEPS + 1)
}

/// Whether it was offered lately: an offer nobody took must not wait for who finds an open session.
fn is_offered(factor: &SecondFactor, now_unix_ms: u64) -> bool {
    !factor.counts() && step_before_offer(now_unix_ms) <= factor.used_step.saturating_add(OFFER_STEPS)
}

/// A code is asked for, or the one that came is none.
pub(super) fn required(detail: &str) -> Problem {
    Problem::new(Kind::SecondFactorRequired, detail).in_body("code")
}

/// The code that was shown is none, or was used.
pub(super) fn wrong_code() -> Problem {
    required("the code is wrong, was used before or has run out: wait for the next one")
}

impl Accounts {
    /// How the second factor of the user who asks is.
    pub(crate) async fn second_factor(&self, principal: &Principal) -> Result<FactorState, Problem> {
        let Who::User { id, .. } = principal.who else { return Err(no_account()) };
        let known = self.catalog.second_factor(id).await.map_err(refusals::catalog)?;
        let state = |factor: SecondFactor| FactorState {
            since_unix_ms: Some(factor.since_unix_ms),
            recovery_codes_left: factor.recovery.len(),
        };
        Ok(known.filter(SecondFactor::counts).map(state).unwrap_or_default())
    }

    /// Offers a second factor to the user who asks, if they prove their password: whoever found an open session must not lock them out.
    /// It counts once they have shown a code of it.
    ///
    /// # Errors
    /// `conflict` where one counts already.
    pub(crate) async fn offer_second_factor(
        &self,
        principal: &Principal,
        password: Zeroizing<String>,
        from: Option<Address>,
    ) -> Result<Offered, Problem> {
        let (user, proven) = self.proven_again(principal, password, from).await?;
        let secret = Zeroizing::new(random::<SECRET_BYTES>(&*self.surroundings));
        let offered = SecondFactor {
            sealed: self.secret.seal_second_factor(&user.id.0, &secret[..]),
            since_unix_ms: 0,
            used_step: step_before_offer(self.now()),
            wrong: 0,
            last_wrong_unix_ms: 0,
            recovery: Vec::new(),
        };
        let kept = self.catalog.offer_second_factor((user.id, &proven), &offered).await;
        if !kept.map_err(refusals::catalog)? {
            let detail = "there is a second factor: remove it first; or the password was changed meanwhile";
            return Err(Problem::new(Kind::Conflict, detail));
        }
        let secret = Zeroizing::new(Secret::new_stack(*secret).to_base32());
        let name = utf8_percent_encode(user.name.as_str(), NON_ALPHANUMERIC);
        let uri = format!("otpauth://totp/{ISSUER}:{name}?secret={}&issuer={ISSUER}", *secret);
        Ok(Offered { secret, uri: Zeroizing::new(uri) })
    }

    /// Makes the second factor that was offered in the last ten minutes count, by a code of it, and gives the recovery codes, this once.
    /// The user's other sessions, tokens, codes and invitations end: they were made without it.
    ///
    /// # Errors
    /// `second-factor-required` where the code is none, `conflict` where nothing was offered.
    pub(crate) async fn confirm_second_factor(
        &self,
        principal: &Principal,
        code: &str,
    ) -> Result<Vec<Zeroizing<String>>, Problem> {
        let nothing =
            || Problem::new(Kind::Conflict, "no second factor is offered, or not lately: ask for one first");
        let user = self.myself(principal).await?;
        let Via::Session(session) = principal.via else { return Err(no_account()) };
        let known = self.catalog.second_factor(user.id).await.map_err(refusals::catalog)?;
        let offered = known.filter(|factor| is_offered(factor, self.now())).ok_or_else(nothing)?;
        let Some(code @ Code::OfTime(_)) = Code::read(code) else { return Err(wrong_code()) };
        let Shown::Step { step, .. } = self.judge((user.id, &offered), code).await? else {
            return Err(wrong_code());
        };
        let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| self.fresh_recovery_code()).collect();
        let hash = |code: &Zeroizing<String>| self.secret.recovery_code_hash(&user.id.0, code.as_bytes());
        let confirmed = SecondFactor {
            since_unix_ms: self.now(),
            used_step: step,
            wrong: 0,
            last_wrong_unix_ms: 0,
            recovery: codes.iter().map(hash).collect(),
            sealed: offered.sealed,
        };
        let confirmed = self.catalog.confirm_second_factor(user.id, &confirmed, session).await;
        if !confirmed.map_err(refusals::catalog)? {
            return Err(nothing());
        }
        Ok(codes.iter().map(|code| grouped(code)).collect())
    }

    /// Removes the second factor of the user who asks, by their password and a code.
    ///
    /// # Errors
    /// `forbidden` for a wrong password, `second-factor-required` for a wrong code.
    pub(crate) async fn remove_second_factor(
        &self,
        principal: &Principal,
        (password, code): (Zeroizing<String>, &str),
        from: Option<Address>,
    ) -> Result<(), Problem> {
        let (user, proven) = self.proven_again(principal, password, from).await?;
        let Some(shown) = self.shown(&user, Some(code)).await? else {
            return Err(Problem::new(Kind::Conflict, "there is no second factor"));
        };
        let removed = self.catalog.remove_second_factor(user.id, (&proven, &shown)).await;
        if removed.map_err(refusals::catalog)? { Ok(()) } else { Err(superseded()) }
    }

    /// Takes a user's second factor away, as an administrator.
    ///
    /// # Errors
    /// `forbidden` for one's own: that takes the password and a code. `no-such-credential` where there is none.
    pub(crate) async fn clear_second_factor(&self, principal: &Principal, name: &str) -> Result<(), Problem> {
        let user = self.user(name).await?;
        if matches!(principal.who, Who::User { id, .. } if id == user.id) {
            let detail = "one's own is removed by password and code: POST /api/v1/auth/second-factor/remove";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        match self.catalog.clear_second_factor(user.id).await.map_err(refusals::catalog)? {
            true => Ok(()),
            false => {
                Err(Problem::new(Kind::NoSuchCredential, "the user has no second factor")
                    .in_parameter("name"))
            }
        }
    }

    /// What a user who proved their password shows besides; `None` where nothing is asked for.
    ///
    /// # Errors
    /// `second-factor-required` where no code came or a wrong one, `too-many-requests` after many wrong ones.
    pub(super) async fn shown(&self, user: &User, code: Option<&str>) -> Result<Option<Shown>, Problem> {
        let known = self.catalog.second_factor(user.id).await.map_err(refusals::catalog)?;
        let Some(factor) = known.filter(SecondFactor::counts) else { return Ok(None) };
        let Some(code) = code else { return Err(required("send the code of the second factor too")) };
        let code = Code::read(code).ok_or_else(wrong_code)?;
        self.judge((user.id, &factor), code).await.map(Some)
    }

    /// Uses up what was shown where nothing is kept by it.
    pub(super) async fn spend(&self, user: UserId, shown: Option<Shown>) -> Result<(), Problem> {
        let Some(shown) = shown else { return Ok(()) };
        let spend = move |factor: &mut SecondFactor| {
            let spent = factor.clone().spent(&shown);
            let fresh = spent.is_some();
            *factor = spent.unwrap_or_else(|| factor.clone());
            fresh
        };
        let spent = self.catalog.change_second_factor(user, spend).await.map_err(refusals::catalog)?;
        spent.map(drop).ok_or_else(wrong_code)
    }

    /// What a code shows of a second factor. A code of the time counts as wrong until a commit used it up, so that many at once are no
    /// way around the pauses; recovery codes are beyond guessing, so whoever holds the owner up with wrong codes does not keep them out.
    async fn judge(&self, (user, factor): (UserId, &SecondFactor), code: Code) -> Result<Shown, Problem> {
        match code {
            Code::OfTime(digits) => {
                let factor = self.claim_attempt(user).await?;
                let step = self.totp(user, &factor)?.check(&digits, self.now() / 1000);
                let fresh = step.filter(|step| *step > factor.used_step);
                let shown = fresh.map(|step| Shown::Step { step, sealed: factor.sealed });
                shown.ok_or_else(wrong_code)
            }
            Code::Recovery(text) => {
                let hash = self.secret.recovery_code_hash(&user.0, text.as_bytes());
                let known =
                    factor.recovery.iter().fold(false, |known, left| known | bool::from(left.ct_eq(&hash)));
                if known { Ok(Shown::Recovery(hash)) } else { Err(wrong_code()) }
            }
        }
    }

    async fn claim_attempt(&self, user: UserId) -> Result<SecondFactor, Problem> {
        let now_unix_ms = self.now();
        let claim = move |factor: &mut SecondFactor| {
            let may = factor.wrong < WRONG_CODES_MAX && next_unix_ms(factor) <= now_unix_ms;
            (factor.wrong, factor.last_wrong_unix_ms) = (factor.wrong.saturating_add(1), now_unix_ms);
            may
        };
        let claimed = self.catalog.change_second_factor(user, claim).await.map_err(refusals::catalog)?;
        if let Some(factor) = claimed {
            return Ok(factor);
        }
        let known = self.catalog.second_factor(user).await.map_err(refusals::catalog)?;
        if known.as_ref().is_some_and(|factor| factor.wrong >= WRONG_CODES_MAX) {
            return Err(required(
                "too many codes were wrong: only a recovery code is taken now, and codes of the time after it",
            ));
        }
        let next_unix_ms = known.as_ref().map_or(now_unix_ms, next_unix_ms);
        let seconds = next_unix_ms.saturating_sub(now_unix_ms).div_ceil(1000).max(1);
        Err(too_many("too many codes were wrong; a recovery code is taken at once", seconds))
    }

    fn totp(&self, user: UserId, factor: &SecondFactor) -> Result<Totp, Problem> {
        let opened = self.secret.open_second_factor(&user.0, &factor.sealed);
        let secret = opened.map_err(|error| Problem::internal("a second factor does not open", &error))?;
        let totp = Builder::new().with_secret(Secret::new(secret.as_slice().into())).build();
        totp.map_err(|error| Problem::internal("a second factor is none", &error))
    }

    fn fresh_recovery_code(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(random::<RECOVERY_BYTES>(&*self.surroundings));
        Zeroizing::new(Secret::new(bytes.as_slice().into()).to_base32())
    }

    /// The user who asks, once more by their password.
    pub(super) async fn proven_again(
        &self,
        principal: &Principal,
        password: Zeroizing<String>,
        from: Option<Address>,
    ) -> Result<(User, datamesh_catalog::PasswordHash), Problem> {
        let user = self.myself(principal).await?;
        let attempt = self.attempt(&user.name.folded(), from)?;
        let Some(proven) = user.password.clone() else { return Err(superseded()) };
        if !self.passwords.verify(user.id, password, user.password.clone()).await? {
            return Err(Problem::new(Kind::Forbidden, "the password is wrong").in_body("password"));
        }
        self.throttle.succeeded((&user.name.folded(), address_of(from)), attempt);
        Ok((user, proven))
    }
}

/// A recovery code as people read it: groups of four.
fn grouped(code: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * RECOVERY_CHARS));
    for (at, char) in code.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            text.push('-');
        }
        text.push(char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_people_type_them() {
        for text in ["123456", " 123 456\n", "123-456"] {
            assert!(matches!(Code::read(text), Some(Code::OfTime(code)) if *code == "123456"), "{text}");
        }
        for text in ["ABCD-EFGH-IJKL-MNOP", "abcdefghijklmnop", "abcd efgh ijkl mnop"] {
            assert!(matches!(Code::read(text), Some(Code::Recovery(code)) if *code == "ABCDEFGHIJKLMNOP"));
        }
        for text in ["", "12345", "1234567", "12345a", &"1".repeat(1 << 20)] {
            assert!(Code::read(text).is_none());
        }
        assert_eq!(*grouped("ABCDEFGHIJKLMNOP"), "ABCD-EFGH-IJKL-MNOP");
    }

    #[test]
    fn the_pause_grows_and_is_bounded() {
        let mut factor = SecondFactor {
            sealed: Vec::new(),
            since_unix_ms: 1,
            used_step: 0,
            wrong: 0,
            last_wrong_unix_ms: 0,
            recovery: Vec::new(),
        };
        let mut pauses = Vec::new();
        for wrong in [0, FREE_CODES - 1, FREE_CODES, FREE_CODES + 1, FREE_CODES + 5, FREE_CODES + 6, u32::MAX]
        {
            factor.wrong = wrong;
            pauses.push(next_unix_ms(&factor) / 1000);
        }
        assert_eq!(pauses, [0, 0, 15, 30, 480, 900, 900]);
    }

    /// RFC 6238, appendix B, to six digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = Secret::new_stack(*b"12345678901234567890");
        let totp = Builder::new().with_secret(secret).build().unwrap();
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            assert_eq!(totp.check(code, seconds), Some(seconds / 30));
            assert_eq!(totp.check(code, seconds + 30), Some(seconds / 30), "a clock half a minute behind");
            assert_eq!(totp.check(code, seconds + 90), None);
        }
    }
}

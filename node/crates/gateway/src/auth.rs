//! Who may do what: bearer tokens from files, compared in constant time.

use std::path::Path;

use http::{HeaderMap, header};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::problem::{Kind, Problem};
use crate::watched::{LoadError, Watched};

/// Characters of a token at least: shorter ones can be guessed.
const TOKEN_CHARS_MIN: usize = 16;
/// Separates the hash of tokens from every other BLAKE3 use.
const CONTEXT: &str = "datamesh.io 2026 gateway bearer token";

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Files and the status.
    User,
    /// Everything.
    Admin,
}

/// A token's hash: equal lengths compare in constant time, and the token itself is not kept.
#[derive(Clone, Copy)]
struct TokenHash([u8; 32]);

impl TokenHash {
    fn of(token: &str) -> Self {
        Self(blake3::derive_key(CONTEXT, token.as_bytes()))
    }

    fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The tokens the gateway accepts, as their files say now.
pub struct Tokens {
    user: Watched<TokenHash>,
    admin: Watched<TokenHash>,
}

/// Why a token file is no use.
#[derive(Debug, thiserror::Error)]
#[error("token file: {0}")]
pub struct TokenError(#[from] LoadError);

impl Tokens {
    /// Reads both files. Blocking.
    ///
    /// # Errors
    /// Names the file and what is wrong; never shows the token.
    pub fn open(user: &Path, admin: &Path) -> Result<Self, TokenError> {
        Ok(Self { user: watch(user)?, admin: watch(admin)? })
    }

    /// These tokens, which stand in no file and never change.
    ///
    /// # Errors
    /// When one is too short.
    pub fn fixed(user: &str, admin: &str) -> Result<Self, TokenError> {
        Ok(Self { user: fixed(user)?, admin: fixed(admin)? })
    }

    /// Reads them again if they changed. Blocking.
    pub(crate) fn refresh(&self) -> Result<bool, LoadError> {
        let user = self.user.refresh();
        let admin = self.admin.refresh();
        Ok(user? | admin?)
    }

    /// Lets a request pass or says why not.
    ///
    /// # Errors
    /// `unauthorized` without a known token, `forbidden` where the user token asks for what only the admin's may.
    pub fn check(&self, headers: &HeaderMap, need: Access) -> Result<Access, Problem> {
        let Some(token) = bearer(headers) else {
            return Err(Problem::new(Kind::Unauthorized, "send the header `Authorization: Bearer <token>`"));
        };
        let given = TokenHash::of(token);
        // Both are always compared, so that time says nothing about which one was close.
        let (user, admin) = (self.user.current().matches(&given), self.admin.current().matches(&given));
        match (admin, user, need) {
            (true, _, _) => Ok(Access::Admin),
            (false, true, Access::User) => Ok(Access::User),
            (false, true, Access::Admin) => {
                Err(Problem::new(Kind::Forbidden, "this path needs the administrator's token"))
            }
            (false, false, _) => {
                Err(Problem::new(Kind::Unauthorized, "the token is not known to this cluster"))
            }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn watch(path: &Path) -> Result<Watched<TokenHash>, LoadError> {
    let path = path.to_path_buf();
    Watched::open(vec![path.clone()], move || {
        let token = datamesh_settings::read_secret(&path)
            .map(Zeroizing::new)
            .map_err(|e| LoadError(e.to_string()))?;
        hash(&token).map_err(|LoadError(error)| LoadError(format!("{}: {error}", path.display())))
    })
}

fn fixed(token: &str) -> Result<Watched<TokenHash>, LoadError> {
    let hash = hash(token)?;
    Watched::open(Vec::new(), move || Ok(hash))
}

fn hash(token: &str) -> Result<TokenHash, LoadError> {
    if token.len() < TOKEN_CHARS_MIN {
        return Err(LoadError(format!("a token has at least {TOKEN_CHARS_MIN} characters")));
    }
    Ok(TokenHash::of(token))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn header(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        headers
    }

    fn refused(tokens: &Tokens, headers: &HeaderMap, need: Access) -> Kind {
        tokens.check(headers, need).unwrap_err().kind()
    }

    #[test]
    fn only_the_right_token_opens_the_right_door() {
        let dir = tempfile::tempdir().unwrap();
        let (user, admin) = (dir.path().join("user"), dir.path().join("admin"));
        std::fs::write(&user, "user-token-user-token\n").unwrap();
        std::fs::write(&admin, "admin-token-admin-token").unwrap();
        let tokens = Tokens::open(&user, &admin).unwrap();
        let (as_user, as_admin) =
            (header("Bearer user-token-user-token"), header("bearer admin-token-admin-token"));
        assert_eq!(tokens.check(&as_user, Access::User).unwrap(), Access::User);
        assert_eq!(tokens.check(&as_admin, Access::User).unwrap(), Access::Admin);
        assert_eq!(tokens.check(&as_admin, Access::Admin).unwrap(), Access::Admin);
        assert_eq!(refused(&tokens, &as_user, Access::Admin), Kind::Forbidden);
        for wrong in ["Bearer", "Bearer ", "Basic user-token-user-token", "Bearer user-token-user-toke", "x"]
        {
            assert_eq!(refused(&tokens, &header(wrong), Access::User), Kind::Unauthorized, "{wrong}");
        }
        assert_eq!(refused(&tokens, &HeaderMap::new(), Access::User), Kind::Unauthorized);

        std::fs::write(&user, "another-token-entirely").unwrap();
        assert!(tokens.refresh().unwrap());
        assert_eq!(refused(&tokens, &as_user, Access::User), Kind::Unauthorized);
        assert!(tokens.check(&header("Bearer another-token-entirely"), Access::User).is_ok());
    }

    #[test]
    fn short_tokens_are_refused_without_showing_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "hunter2").unwrap();
        let error = Tokens::open(&path, &path).err().unwrap().to_string();
        assert!(error.contains("16 characters") && !error.contains("hunter2"), "{error}");
        assert!(Tokens::fixed("long-enough-to-be-one", "hunter2").is_err());
    }
}

//! Bearer tokens from files, compared in constant time: the first administrator, and programs beside the cluster.

use std::path::Path;

use datamesh_catalog::Role;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::watched::{LoadError, Watched};

/// Characters of a token at least: shorter ones can be guessed.
const TOKEN_CHARS_MIN: usize = 16;
/// Separates the hash of tokens from every other BLAKE3 use.
const CONTEXT: &str = "datamesh.io 2026 gateway bearer token";

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

    /// What the holder of a token may do; `None` when it is in no file.
    pub(super) fn role_of(&self, token: &str) -> Option<Role> {
        let given = TokenHash::of(token);
        // Both are always compared, so that time says nothing about which one was close.
        let (user, admin) = (self.user.current().matches(&given), self.admin.current().matches(&given));
        if admin { Some(Role::Admin) } else { user.then_some(Role::Member) }
    }
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
    use super::*;

    #[test]
    fn only_the_right_token_opens_the_right_door() {
        let dir = tempfile::tempdir().unwrap();
        let (user, admin) = (dir.path().join("user"), dir.path().join("admin"));
        std::fs::write(&user, "user-token-user-token\n").unwrap();
        std::fs::write(&admin, "admin-token-admin-token").unwrap();
        let tokens = Tokens::open(&user, &admin).unwrap();
        assert_eq!(tokens.role_of("user-token-user-token"), Some(Role::Member));
        assert_eq!(tokens.role_of("admin-token-admin-token"), Some(Role::Admin));
        for wrong in ["", "user-token-user-toke", "x"] {
            assert_eq!(tokens.role_of(wrong), None, "{wrong}");
        }
        std::fs::write(&user, "another-token-entirely").unwrap();
        assert!(tokens.refresh().unwrap());
        assert_eq!(tokens.role_of("user-token-user-token"), None);
        assert_eq!(tokens.role_of("another-token-entirely"), Some(Role::Member));
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

use datamesh_shard::limits::OBJECT_KEY_BYTES_MAX;
use serde::{Deserialize, Serialize};

use super::Record;
use crate::limits::{
    ADDRESS_BYTES_MAX, CREDENTIAL_NAME_BYTES_MAX, EMAIL_BYTES_MAX, ISSUER_BYTES_MAX, PASSWORD_HASH_BYTES_MAX,
    RECOVERY_CODES_MAX, SECOND_FACTOR_SEALED_BYTES_MAX, SHARE_UNDER_WAY_MAX, SUBJECT_BYTES_MAX,
};
use crate::model::{
    AddressCode, Credential, CredentialKind, Group, Identity, Registration, SecondFactor, Share, ShareUse,
    Shared, User, UserId,
};

/// Scopes of a token at most: one of each.
const SCOPES_MAX: usize = 3;

impl Record for User {
    const NAME: &'static str = "user";

    fn check(&self) -> Result<(), &'static str> {
        if self.email.as_ref().is_some_and(|email| email.len() > EMAIL_BYTES_MAX) {
            return Err("the address is too long");
        }
        match &self.password {
            Some(hash) if hash.0.len() > PASSWORD_HASH_BYTES_MAX => Err("the password's hash is too long"),
            _ => Ok(()),
        }
    }
}

impl Record for Group {
    const NAME: &'static str = "group";
}

impl Record for Credential {
    const NAME: &'static str = "credential";

    fn check(&self) -> Result<(), &'static str> {
        if self.address.len() > ADDRESS_BYTES_MAX {
            return Err("the address is too long");
        }
        match &self.kind {
            CredentialKind::Session { device: name } | CredentialKind::Token { name, .. }
                if name.len() > CREDENTIAL_NAME_BYTES_MAX =>
            {
                Err("the name is too long")
            }
            CredentialKind::Token { scopes, .. } if scopes.len() > SCOPES_MAX => Err("too many scopes"),
            _ => Ok(()),
        }
    }
}

impl Record for AddressCode {
    const NAME: &'static str = "address code";

    fn check(&self) -> Result<(), &'static str> {
        if self.email.len() > EMAIL_BYTES_MAX { Err("the e-mail address is too long") } else { Ok(()) }
    }
}

impl Record for SecondFactor {
    const NAME: &'static str = "second factor";

    fn check(&self) -> Result<(), &'static str> {
        if self.sealed.len() > SECOND_FACTOR_SEALED_BYTES_MAX {
            return Err("the sealed secret is too long");
        }
        if self.recovery.len() > RECOVERY_CODES_MAX { Err("too many recovery codes") } else { Ok(()) }
    }
}

impl Record for Share {
    const NAME: &'static str = "share";

    fn check(&self) -> Result<(), &'static str> {
        if self.password.as_ref().is_some_and(|hash| hash.0.len() > PASSWORD_HASH_BYTES_MAX) {
            return Err("the password's hash is too long");
        }
        match &self.what {
            Shared::Prefix { prefix, .. } | Shared::Drop { prefix, .. }
                if prefix.len() > OBJECT_KEY_BYTES_MAX =>
            {
                Err("the prefix is too long")
            }
            _ => Ok(()),
        }
    }
}

impl Record for ShareUse {
    const NAME: &'static str = "use of a share";

    fn check(&self) -> Result<(), &'static str> {
        if self.under_way.len() > SHARE_UNDER_WAY_MAX {
            Err("too many downloads are under way")
        } else {
            Ok(())
        }
    }
}

/// Whose a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNameRecord {
    /// The user.
    pub user: UserId,
}

impl Record for UserNameRecord {
    const NAME: &'static str = "user name";
}

/// Who somebody at a provider is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRecord {
    /// The user.
    pub user: UserId,
    /// Who they are there.
    pub identity: Identity,
    /// They are not any more, and the user alone binds them anew.
    pub ended: bool,
}

impl Record for IdentityRecord {
    const NAME: &'static str = "identity";

    fn check(&self) -> Result<(), &'static str> {
        if self.identity.issuer.len() > ISSUER_BYTES_MAX {
            return Err("the issuer is too long");
        }
        if self.identity.subject.len() > SUBJECT_BYTES_MAX { Err("the subject is too long") } else { Ok(()) }
    }
}

/// Who may become a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationRecord {
    /// Who.
    pub registration: Registration,
}

impl Record for RegistrationRecord {
    const NAME: &'static str = "registration";
}

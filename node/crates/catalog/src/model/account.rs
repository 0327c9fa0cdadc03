use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::USER_NAME_CHARS_MAX;

/// A user's number, chosen at random. It stays when the name changes hands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub [u8; 16]);

/// Names one credential of a user, chosen at random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CredentialId(pub [u8; 8]);

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is {0} hexadecimal digits")]
pub struct HexIdError(usize);

macro_rules! hex_id {
    ($name:ident, $bytes:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = HexIdError;

            fn from_str(text: &str) -> Result<Self, HexIdError> {
                let mut id = [0; $bytes];
                hex::decode_to_slice(text, &mut id).map_err(|_| HexIdError(2 * $bytes))?;
                Ok(Self(id))
            }
        }
    };
}
hex_id!(UserId, 16);
hex_id!(CredentialId, 8);

/// What somebody is called: ASCII, so that no two names look alike, and unique whatever their case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9][A-Za-z0-9._-]*$", "maxLength" = USER_NAME_CHARS_MAX))]
pub struct UserName(Box<str>);

/// Why a text is no user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name is 1 to {USER_NAME_CHARS_MAX} of a-z, A-Z, 0-9, `.`, `_` and `-`, and begins with a letter or digit"
)]
pub struct UserNameError;

impl UserName {
    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What makes it unique.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl TryFrom<String> for UserName {
    type Error = UserNameError;

    fn try_from(text: String) -> Result<Self, UserNameError> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if begins && text.len() <= USER_NAME_CHARS_MAX && text.bytes().all(known) {
            Ok(Self(text.into()))
        } else {
            Err(UserNameError)
        }
    }
}

impl FromStr for UserName {
    type Err = UserNameError;

    fn from_str(text: &str) -> Result<Self, UserNameError> {
        text.to_owned().try_into()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What somebody may do; each may do what the ones before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Files, buckets and the status.
    Member,
    /// And see who did what, and how the cluster is.
    Auditor,
    /// And change pools and nodes.
    Operator,
    /// And everything else: users, keys, the cluster's key.
    Admin,
}

impl Role {
    /// All of them, least first.
    pub const ALL: [Self; 4] = [Self::Member, Self::Auditor, Self::Operator, Self::Admin];

    /// As JSON has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// What of its owner's role a token may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// Read files, lists and the status.
    Read,
    /// Write and delete files and buckets.
    Write,
    /// What needs more than the least role.
    Administer,
}

/// An Argon2id hash in PHC's form; never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Somebody who may sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The number everything of theirs is kept under.
    pub id: UserId,
    /// What they are called.
    pub name: UserName,
    /// Where mail reaches them.
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Whether they are refused for the time being.
    pub disabled: bool,
    /// When they were made known.
    pub created_unix_ms: u64,
    /// What their password is held against; absent until they chose one.
    pub password: Option<PasswordHash>,
    /// Wrong passwords since the last right one.
    pub failed_sign_ins: u32,
    /// When the last of them was; 0: never.
    pub last_failed_unix_ms: u64,
}

impl User {
    /// Whether who proved the password of this hash has proven it still: it is theirs, and they are not disabled.
    #[must_use]
    pub fn proves(&self, proven: &PasswordHash) -> bool {
        !self.disabled && self.password.as_ref() == Some(proven)
    }
}

/// Something random that stands for a user. The catalog has a keyed hash of its secret, never the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The hash.
    pub hash: [u8; 32],
    /// What it is for.
    pub kind: CredentialKind,
    /// When it was made.
    pub created_unix_ms: u64,
    /// When it was last used, to a few minutes.
    pub used_unix_ms: u64,
    /// It counts before this.
    pub until_unix_ms: u64,
    /// Where it was last used from.
    pub address: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({:?}, until {}, …)", self.kind, self.until_unix_ms)
    }
}

/// What a credential is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CredentialKind {
    /// Somebody signed in.
    Session {
        /// What their program calls itself.
        device: String,
    },
    /// A program acts for somebody.
    Token {
        /// What people call it.
        name: String,
        /// What of the owner's role it may use.
        scopes: Vec<Scope>,
    },
    /// Whoever has it may choose the user's password, once.
    Reset,
    /// Whoever has it may become a user of this role, once.
    Invite {
        /// The role.
        role: Role,
    },
}

/// Whoever has it reads the mail of an address, and may say once that it is the user's. The catalog has a keyed hash of its secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressCode {
    /// The hash.
    pub hash: [u8; 32],
    /// The address.
    pub email: String,
    /// It counts before this.
    pub until_unix_ms: u64,
}

impl fmt::Debug for AddressCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressCode(until {}, …)", self.until_unix_ms)
    }
}

/// Who may become a user by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Registration {
    /// Nobody: an administrator makes users.
    #[default]
    Closed,
    /// Whoever has an invitation.
    Invite,
    /// Anybody who reaches the gateway.
    Open,
}

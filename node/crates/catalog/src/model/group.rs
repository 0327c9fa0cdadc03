use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Role, User, UserName, UserNameError};

/// What a group is called: as users are, and unique whatever its case. A user and a group may have one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct GroupName(UserName);

impl GroupName {
    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What makes it unique.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.folded()
    }
}

impl FromStr for GroupName {
    type Err = UserNameError;

    fn from_str(text: &str) -> Result<Self, UserNameError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Users together: they have its role, if theirs is not a greater one, and policies of buckets may name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// What it is called.
    pub name: GroupName,
    /// What its members may do at least; none: nothing besides what policies let it.
    pub role: Option<Role>,
    /// How many they are.
    pub members: u32,
    /// When it was made.
    pub created_unix_ms: u64,
}

/// A user and the groups they are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user: User,
    /// By name.
    pub groups: Vec<Group>,
}

impl Account {
    /// What they may do: the greatest of their own role and those of their groups.
    #[must_use]
    pub fn role(&self) -> Role {
        self.groups.iter().filter_map(|group| group.role).fold(self.user.role, Role::max)
    }

    /// Whether their invitations count.
    #[must_use]
    pub fn may_invite(&self) -> bool {
        !self.user.disabled && self.role() == Role::Admin
    }
}

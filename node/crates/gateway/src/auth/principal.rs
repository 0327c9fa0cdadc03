//! Who asks, with what they may.

use datamesh_catalog::{CredentialId, Role, Scope, UserId, UserName};

use crate::audit::Actor;
use crate::problem::{Kind, Problem};

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: it is how one becomes somebody.
    Anyone,
    /// To be somebody, not a program that acts for them: what is one's own account.
    Themselves,
    /// To read files.
    Read,
    /// To write files.
    Write,
    /// At least this role.
    Role(Role),
    /// At least this role, in person: what would give a program more than its token was made for.
    InPerson(Role),
}

impl Need {
    /// The least role that has it; absent: nobody in particular.
    pub(crate) const fn role(self) -> Option<Role> {
        match self {
            Self::Anyone => None,
            Self::Themselves | Self::Read | Self::Write => Some(Role::Member),
            Self::Role(role) | Self::InPerson(role) => Some(role),
        }
    }

    /// What a token must be made for; absent: no token will do.
    pub(crate) const fn scope(self) -> Option<Scope> {
        match self {
            Self::Anyone | Self::Themselves | Self::InPerson(_) => None,
            Self::Read => Some(Scope::Read),
            Self::Write => Some(Scope::Write),
            Self::Role(_) => Some(Scope::Administer),
        }
    }
}

/// Somebody who asks for something.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(crate) who: Who,
    pub(crate) via: Via,
    pub(crate) role: Role,
}

/// Who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Whoever has a token file: `operator` or `user`.
    Holder(&'static str),
    /// A user.
    User { id: UserId, name: UserName },
}

/// What stands for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// A token file.
    File,
    /// They signed in.
    Session(CredentialId),
    /// A program has a token of theirs.
    Token {
        /// Its id.
        id: CredentialId,
        /// What it was made for.
        scopes: Vec<Scope>,
    },
}

impl Principal {
    /// Whoever has the token file of this role.
    pub(super) fn holder(role: Role) -> Self {
        let name = if role == Role::Admin { "operator" } else { "user" };
        Self { who: Who::Holder(name), via: Via::File, role }
    }

    /// Whether they may do what needs this.
    ///
    /// # Errors
    /// `forbidden`, with what would be needed.
    pub(crate) fn may(&self, need: Need) -> Result<(), Problem> {
        if let Some(least) = need.role()
            && self.role < least
        {
            let detail =
                format!("this needs the role {}, and yours is {}", least.as_str(), self.role.as_str());
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        match (&self.via, need.scope()) {
            (Via::Token { .. }, None) if need != Need::Anyone => {
                Err(Problem::new(Kind::Forbidden, "a token may not do this: sign in"))
            }
            (Via::Token { scopes, .. }, Some(scope)) if !scopes.contains(&scope) => Err(Problem::new(
                Kind::Forbidden,
                format!("the token was not made for this: it needs {scope:?}"),
            )),
            _ => Ok(()),
        }
    }

    /// Who they are, as 16 bytes, whatever stands for them.
    pub(crate) fn asker(&self) -> [u8; 16] {
        match &self.who {
            Who::User { id, .. } => id.0,
            Who::Holder(name) => {
                let mut asker = [0; 16];
                asker.iter_mut().zip(name.bytes()).for_each(|(to, byte)| *to = byte);
                asker
            }
        }
    }

    /// As the audit names them.
    pub(crate) fn actor(&self) -> Actor {
        let credential = match &self.via {
            Via::File => String::new(),
            Via::Session(id) | Via::Token { id, .. } => id.to_string(),
        };
        let (name, user) = match &self.who {
            Who::Holder(name) => ((*name).to_owned(), String::new()),
            Who::User { id, name } => (format!("user:{name}"), id.to_string()),
        };
        Actor { name, user, credential }
    }
}

//! What a request is held against in conditions.

use std::net::IpAddr;

use super::actions::Action;

/// What is known of a request. What is absent the request does not say, or it means nothing there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The other end of the connection.
    pub(crate) source: Option<IpAddr>,
    pub(crate) now_unix_ms: u64,
    pub(crate) user_agent: Option<String>,
    pub(crate) referer: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) delimiter: Option<String>,
    pub(crate) max_keys: Option<i64>,
    pub(crate) acl: Option<String>,
    pub(crate) version: Option<String>,
}

impl Facts {
    /// The same request where it touches another object, in this version.
    pub(crate) fn of_version(&self, version: Option<String>) -> Self {
        Self {
            source: self.source,
            now_unix_ms: self.now_unix_ms,
            user_agent: self.user_agent.clone(),
            referer: self.referer.clone(),
            version,
            ..Self::default()
        }
    }
}

/// What a condition can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    SourceIp,
    SecureTransport,
    CurrentTime,
    UserAgent,
    Referer,
    Prefix,
    Delimiter,
    MaxKeys,
    Acl,
    VersionId,
}

/// Of what kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Date,
    Bool,
    Address,
}

/// What a request says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fact<'a> {
    Text(&'a str),
    Number(i64),
    Date(i64),
    Bool(bool),
    Address(IpAddr),
}

impl Key {
    const ALL: [Self; 10] = [
        Self::SourceIp,
        Self::SecureTransport,
        Self::CurrentTime,
        Self::UserAgent,
        Self::Referer,
        Self::Prefix,
        Self::Delimiter,
        Self::MaxKeys,
        Self::Acl,
        Self::VersionId,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SourceIp => "aws:SourceIp",
            Self::SecureTransport => "aws:SecureTransport",
            Self::CurrentTime => "aws:CurrentTime",
            Self::UserAgent => "aws:UserAgent",
            Self::Referer => "aws:Referer",
            Self::Prefix => "s3:prefix",
            Self::Delimiter => "s3:delimiter",
            Self::MaxKeys => "s3:max-keys",
            Self::Acl => "s3:x-amz-acl",
            Self::VersionId => "s3:VersionId",
        }
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::SourceIp => Kind::Address,
            Self::SecureTransport => Kind::Bool,
            Self::CurrentTime => Kind::Date,
            Self::MaxKeys => Kind::Number,
            Self::UserAgent
            | Self::Referer
            | Self::Prefix
            | Self::Delimiter
            | Self::Acl
            | Self::VersionId => Kind::Text,
        }
    }

    /// Small and capital letters are the same.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name().eq_ignore_ascii_case(name))
    }

    /// The names of all, for whoever wrote another one.
    pub(super) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Whether requests for this action can say it at all.
    pub(super) fn is_of(self, action: Action) -> bool {
        match self {
            Self::SourceIp | Self::SecureTransport | Self::CurrentTime | Self::UserAgent | Self::Referer => {
                true
            }
            Self::Prefix | Self::Delimiter | Self::MaxKeys => {
                matches!(action, Action::ListBucket | Action::ListBucketVersions)
            }
            Self::Acl => {
                matches!(action, Action::PutObject | Action::PutObjectAcl | Action::PutObjectVersionAcl)
            }
            Self::VersionId => action.name().contains("ObjectVersion"),
        }
    }

    pub(super) fn of(self, facts: &Facts) -> Option<Fact<'_>> {
        match self {
            Self::SourceIp => facts.source.map(|address| Fact::Address(address.to_canonical())),
            // The port speaks nothing but TLS.
            Self::SecureTransport => Some(Fact::Bool(true)),
            Self::CurrentTime => i64::try_from(facts.now_unix_ms).ok().map(Fact::Date),
            Self::MaxKeys => facts.max_keys.map(Fact::Number),
            Self::UserAgent => facts.user_agent.as_deref().map(Fact::Text),
            Self::Referer => facts.referer.as_deref().map(Fact::Text),
            Self::Prefix => facts.prefix.as_deref().map(Fact::Text),
            Self::Delimiter => facts.delimiter.as_deref().map(Fact::Text),
            Self::Acl => facts.acl.as_deref().map(Fact::Text),
            Self::VersionId => facts.version.as_deref().map(Fact::Text),
        }
    }
}

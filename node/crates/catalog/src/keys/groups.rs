//! Keys of groups of users.

use super::{KeyError, KeyReader, Table, table};
use crate::keyspace::KeyRange;
use crate::model::UserId;

/// Key of a group, by its name, folded.
#[must_use]
pub fn group(folded: &str) -> Vec<u8> {
    table(Table::Group).bytes(folded.as_bytes()).finish()
}

/// Key of a group's member.
#[must_use]
pub fn group_member(folded: &str, user: UserId) -> Vec<u8> {
    table(Table::GroupMember).bytes(folded.as_bytes()).fixed(&user.0).finish()
}

/// All members of a group.
#[must_use]
pub fn group_members(folded: &str) -> KeyRange {
    KeyRange::prefix(table(Table::GroupMember).bytes(folded.as_bytes()).finish())
}

/// Reads the member back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_group_member(key: &[u8]) -> Result<UserId, KeyError> {
    let mut key = KeyReader::new(key, Table::GroupMember)?;
    let (_, user) = (key.bytes()?, UserId(key.fixed()?));
    key.end()?;
    Ok(user)
}

/// Key of a group that a user is in.
#[must_use]
pub fn group_of(user: UserId, folded: &str) -> Vec<u8> {
    table(Table::GroupOf).fixed(&user.0).bytes(folded.as_bytes()).finish()
}

/// All groups that a user is in.
#[must_use]
pub fn groups_of(user: UserId) -> KeyRange {
    KeyRange::prefix(table(Table::GroupOf).fixed(&user.0).finish())
}

/// Reads the group's folded name back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_group_of(key: &[u8]) -> Result<String, KeyError> {
    let mut key = KeyReader::new(key, Table::GroupOf)?;
    let (_, folded) = (key.fixed::<16>()?, key.bytes()?);
    key.end()?;
    String::from_utf8(folded).map_err(|_| KeyError::Name)
}

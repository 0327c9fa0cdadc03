//! Keys of users and of what stands for them, and of what they did.

use super::{KeyError, KeyReader, Table, table};
use crate::keyspace::KeyRange;
use crate::model::{AuditAt, CredentialId, Identity, UserId};

/// Key of a user.
#[must_use]
pub fn user(id: UserId) -> Vec<u8> {
    table(Table::User).fixed(&id.0).finish()
}

/// Key of a user's name, folded.
#[must_use]
pub fn user_name(folded: &str) -> Vec<u8> {
    table(Table::UserName).bytes(folded.as_bytes()).finish()
}

/// Key of a credential.
#[must_use]
pub fn credential(user: UserId, id: CredentialId) -> Vec<u8> {
    table(Table::Credential).fixed(&user.0).fixed(&id.0).finish()
}

/// All credentials of a user.
#[must_use]
pub fn credentials(user: UserId) -> KeyRange {
    KeyRange::prefix(table(Table::Credential).fixed(&user.0).finish())
}

/// Reads the credential's id back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_credential(key: &[u8]) -> Result<CredentialId, KeyError> {
    let mut key = KeyReader::new(key, Table::Credential)?;
    let (_, id) = (key.fixed::<16>()?, CredentialId(key.fixed()?));
    key.end()?;
    Ok(id)
}

/// Key of a code that proves an address of mail.
#[must_use]
pub fn address_code(user: UserId, id: CredentialId) -> Vec<u8> {
    table(Table::AddressCode).fixed(&user.0).fixed(&id.0).finish()
}

/// All of a user.
#[must_use]
pub fn address_codes(user: UserId) -> KeyRange {
    KeyRange::prefix(table(Table::AddressCode).fixed(&user.0).finish())
}

/// Key of a user's second factor.
#[must_use]
pub fn second_factor(user: UserId) -> Vec<u8> {
    table(Table::SecondFactor).fixed(&user.0).finish()
}

/// Key of a share.
#[must_use]
pub fn share(user: UserId, id: CredentialId) -> Vec<u8> {
    table(Table::Share).fixed(&user.0).fixed(&id.0).finish()
}

/// All shares of a user.
#[must_use]
pub fn shares(user: UserId) -> KeyRange {
    KeyRange::prefix(table(Table::Share).fixed(&user.0).finish())
}

/// Key of how much of a share was used.
#[must_use]
pub fn share_use(user: UserId, id: CredentialId) -> Vec<u8> {
    table(Table::ShareUse).fixed(&user.0).fixed(&id.0).finish()
}

/// Reads the key of a share, or of its use, back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_share(key: &[u8], rows: Table) -> Result<(UserId, CredentialId), KeyError> {
    let mut key = KeyReader::new(key, rows)?;
    let ids = (UserId(key.fixed()?), CredentialId(key.fixed()?));
    key.end()?;
    Ok(ids)
}

/// Key of who somebody at a provider is.
#[must_use]
pub fn identity(of: &Identity) -> Vec<u8> {
    table(Table::Identity).u8(0).bytes(of.issuer.as_bytes()).bytes(of.subject.as_bytes()).finish()
}

/// Key of who a user is at a provider.
#[must_use]
pub fn identity_of(user: UserId, issuer: &str) -> Vec<u8> {
    table(Table::Identity).u8(1).fixed(&user.0).bytes(issuer.as_bytes()).finish()
}

/// All that a user is at providers.
#[must_use]
pub fn identities(user: UserId) -> KeyRange {
    KeyRange::prefix(table(Table::Identity).u8(1).fixed(&user.0).finish())
}

/// Key of a sign-in at a provider that came back.
#[must_use]
pub fn used_state(until_unix_ms: u64, hash: &[u8; 32]) -> Vec<u8> {
    table(Table::UsedState).u64(until_unix_ms).fixed(hash).finish()
}

/// Those that have run out before a time.
#[must_use]
pub fn used_states_before(unix_ms: u64) -> KeyRange {
    KeyRange::between(table(Table::UsedState).finish(), table(Table::UsedState).u64(unix_ms).finish())
}

/// Key of how far a chain of the audit goes.
#[must_use]
pub fn audit_head(chain: &str) -> Vec<u8> {
    table(Table::AuditHead).bytes(chain.as_bytes()).finish()
}

/// Reads the chain back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_audit_head(key: &[u8]) -> Result<String, KeyError> {
    chain_in(key, Table::AuditHead)
}

/// Key of how much was cut off a chain of the audit.
#[must_use]
pub fn audit_cut(chain: &str) -> Vec<u8> {
    table(Table::AuditCut).bytes(chain.as_bytes()).finish()
}

/// Reads the chain back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_audit_cut(key: &[u8]) -> Result<String, KeyError> {
    chain_in(key, Table::AuditCut)
}

fn chain_in(key: &[u8], rows: Table) -> Result<String, KeyError> {
    let mut key = KeyReader::new(key, rows)?;
    let chain = key.bytes()?;
    key.end()?;
    String::from_utf8(chain).map_err(|_| KeyError::Name)
}

/// Key of an entry of the audit.
#[must_use]
pub fn audit_entry(at: &AuditAt) -> Vec<u8> {
    table(Table::AuditEntry).u64(at.at_unix_ms).bytes(at.chain.as_bytes()).u64(at.number).finish()
}

/// Reads it back.
///
/// # Errors
/// Refuses keys of other tables, and everything that is no such key.
pub fn read_audit_entry(key: &[u8]) -> Result<AuditAt, KeyError> {
    let mut key = KeyReader::new(key, Table::AuditEntry)?;
    let (at_unix_ms, chain, number) = (key.u64()?, key.bytes()?, key.u64()?);
    key.end()?;
    let chain = String::from_utf8(chain).map_err(|_| KeyError::Name)?;
    Ok(AuditAt { at_unix_ms, chain, number })
}

/// Entries of the audit from a time on, and before another.
#[must_use]
pub fn audit_between(from_unix_ms: u64, until_unix_ms: u64) -> KeyRange {
    let at = |unix_ms: u64| table(Table::AuditEntry).u64(unix_ms).finish();
    KeyRange::between(at(from_unix_ms), at(until_unix_ms))
}

//! Limits on what the catalog keeps; those that other crates share are in `datamesh_shard::limits`.

use datamesh_shard::limits::{INLINE_BYTES_MAX, MESSAGE_BYTES_MAX};

/// Segments of one page at most: 1 GiB of an object, and a row of some 40 KiB.
pub const PAGE_SEGMENTS_MAX: usize = 256;
/// Bytes of a page's sealed part at most: room for 256 keys, sizes and hashes.
pub const PAGE_SEALED_BYTES_MAX: usize = 64 << 10;
/// Bytes of a sealed inline object at most: its plaintext, and room for tag, nonce and header.
pub const INLINE_SEALED_BYTES_MAX: usize = INLINE_BYTES_MAX + 256;
/// Parts of one upload at most (as in S3).
pub const PARTS_MAX: usize = 10_000;
/// Pages of one part at most: 5 TiB of full pages, and as many again for short segments.
pub const PART_PAGES_MAX: u32 = 10_240;
/// Bytes of a content type at most.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// Bytes of an entity tag at most.
pub const ETAG_BYTES_MAX: usize = 128;
/// Bytes of an object's metadata at most, names and values together: room for what S3 takes of users (2 KiB), as much again of
/// headers and checksums, and what sealing adds.
pub const META_BYTES_MAX: usize = 8 << 10;
/// Bytes of a part's sealed checksums at most.
pub const PART_TAG_SEALED_BYTES_MAX: usize = 1 << 10;
/// Bytes of what is set of a bucket at most, each: a thousand rules.
pub const BUCKET_SETTING_BYTES_MAX: usize = 512 << 10;
/// Subscriptions to events of one bucket at most, as in S3.
pub const SUBSCRIPTIONS_MAX: usize = 100;
/// Bytes of a subscription's id, prefix and suffix at most, each: those of the longest key.
pub const SUBSCRIPTION_TEXT_BYTES_MAX: usize = 1024;
/// Bytes of each text of an event about who asked at most.
pub const EVENT_TEXT_BYTES_MAX: usize = 256;
/// Events read at once at most.
pub const EVENTS_PER_CALL_MAX: usize = 1000;
/// S3 key pairs at most.
pub const ACCESS_KEYS_MAX: usize = 10_000;
/// Of these, how many only administrators make: those whom users leave none.
pub const ACCESS_KEYS_RESERVED: usize = 1000;
/// S3 key pairs that somebody who makes their own has at most.
pub const ACCESS_KEYS_OF_USER_MAX: usize = 20;
/// Bytes of the name and of the owner of a key pair at most.
pub const ACCESS_KEY_NAME_BYTES_MAX: usize = 128;
/// Buckets that a key pair is bound to at most.
pub const ACCESS_KEY_BUCKETS_MAX: usize = 100;
/// Characters of a user's name at most.
pub const USER_NAME_CHARS_MAX: usize = 64;
/// Bytes of an e-mail address at most (RFC 5321).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Bytes of a password's hash at most; Argon2id with its salt and parameters has about 100.
pub const PASSWORD_HASH_BYTES_MAX: usize = 256;
/// Sessions of one user at most; beyond, the one used longest ago ends.
pub const SESSIONS_MAX: usize = 50;
/// Tokens of one user at most.
pub const TOKENS_MAX: usize = 64;
/// Codes and invitations of one user at most.
pub const CODES_MAX: usize = 36;
/// Codes to choose a password of one user beyond which none is mailed: nobody fills a mailbox, nor takes the room of an administrator's.
pub const MAILED_CODES_MAX: usize = 3;
/// Bytes of a second factor's sealed secret at most: 64 of a secret, and what sealing adds.
pub const SECOND_FACTOR_SEALED_BYTES_MAX: usize = 256;
/// Links of one user at most.
pub const SHARES_MAX: usize = 500;
/// Downloads of one link at most that may go on at a time without being counted anew; beyond, the oldest may not.
pub const SHARE_UNDER_WAY_MAX: usize = 16;
/// Groups of users at most.
pub const GROUPS_MAX: usize = 256;
/// Members of one group at most: a group is deleted in one commit.
pub const GROUP_MEMBERS_MAX: usize = 1000;
/// Groups of one user at most: they are read with each request.
pub const GROUPS_OF_USER_MAX: usize = 16;
/// Recovery codes of one user at most.
pub const RECOVERY_CODES_MAX: usize = 16;
/// Bytes of the issuer of a provider of OpenID Connect at most.
pub const ISSUER_BYTES_MAX: usize = 255;
/// Bytes of what a provider calls somebody by at most (OpenID Connect Core, section 2).
pub const SUBJECT_BYTES_MAX: usize = 255;
/// Bytes of a token's name, and of what a session's program calls itself, at most.
pub const CREDENTIAL_NAME_BYTES_MAX: usize = 256;
/// Bytes of a network address as text at most.
pub const ADDRESS_BYTES_MAX: usize = 64;
/// Requests of one asker that have keys and are not forgotten, at most: each is some hundred bytes, and seldom a few thousand.
pub const KEYED_REQUESTS_MAX: u32 = 10_000;
/// Bytes of the sealed answer to such a request at most.
pub const KEYED_ANSWER_BYTES_MAX: usize = 16 << 10;
/// Segments named in one call of `reference`, `unreference` or `forget_condemned` at most.
pub const SEGMENTS_PER_CALL_MAX: usize = 1024;
/// Entries of one listing at most.
pub const LISTING_MAX: usize = 10_000;
/// Volumes remembered as given up at most; beyond, the one given up first is forgotten.
pub const GIVEN_UP_MAX: usize = 4096;
/// Shreddings remembered at most, those that are over included; beyond, none begins.
pub const SHREDS_MAX: usize = 4096;
/// Nodes named in the outcome of a shredding at most.
pub const SHRED_STAYS_MAX: usize = 1024;
/// Bytes of a signed layout at most.
pub const LAYOUT_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
/// Bytes of one wrapped bucket secret at most.
pub const WRAPPED_SECRET_BYTES_MAX: usize = 1 << 10;
/// Wrapped secrets (versions) of one bucket at most.
pub const BUCKET_SECRETS_MAX: usize = 256;
/// Bytes of one row's record at most: a layout and its framing.
pub const RECORD_BYTES_MAX: usize = LAYOUT_BYTES_MAX + (64 << 10);

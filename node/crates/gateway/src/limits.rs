//! Limits of the HTTP side, in one place. Sizes of segments and objects are in `datamesh_shard::limits`.

use std::time::Duration;

/// Connections served at once. Each costs about 64 KiB of TLS and HTTP state, and 512 KiB of an HTTP/2 upload that
/// waits for its buffers.
pub const CONNECTIONS_MAX: usize = 512;
/// Bytes of a request's line and headers at most.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// Header fields of a request at most.
pub const HEADERS_MAX: usize = 100;
/// Concurrent requests on one HTTP/2 connection.
pub const STREAMS_MAX: u32 = 64;
/// Time a client has for its TLS handshake, and for the headers of a request.
pub const HEADER_WAIT: Duration = Duration::from_secs(10);
/// Time a request's body may bring nothing before the request is given up.
pub const BODY_STALL: Duration = Duration::from_secs(60);
/// Time a client has to send or take one segment (4 MiB), 14 KiB/s: it holds buffers that all transfers share.
pub const SEGMENT_WAIT: Duration = Duration::from_secs(300);
/// Time a client may take nothing of an answer before its connection is dropped.
pub const WRITE_STALL: Duration = Duration::from_secs(60);
/// Time running requests have to end once the gateway stops.
pub const DRAIN_WAIT: Duration = Duration::from_secs(20);
/// Bytes of a JSON request body at most: a pool of 1,000 members fits.
pub const JSON_BYTES_MAX: usize = 1 << 20;
/// Bytes of user metadata at most, names and values (as in S3).
pub const META_BYTES_MAX: usize = 2 << 10;
/// Bytes of user metadata and kept headers as JSON at most: sealed and in base64, with checksums, they fit what the catalog
/// keeps.
pub const FIELDS_BYTES_MAX: usize = 5 << 10;
/// Entries of one list answer at most, and by default.
pub const LIST_MAX: usize = 1000;
/// Requests to REST with a credential that is not known, from one address (of IPv6: a /64), at once and each second: each costs a read
/// of the catalog. Generous: many people may have one address, and who is known has theirs back.
pub const ADDRESS_REQUESTS: u32 = 20_000;
/// See [`ADDRESS_REQUESTS`].
pub const ADDRESS_REQUESTS_PER_SECOND: u32 = 5000;
/// The same without any credential: to sign in, and to read the API's description.
pub const STRANGER_REQUESTS: u32 = 2000;
/// See [`STRANGER_REQUESTS`].
pub const STRANGER_REQUESTS_PER_SECOND: u32 = 500;
/// The same of one user or holder of a token file, from wherever they ask.
pub const USER_REQUESTS: u32 = 20_000;
/// See [`USER_REQUESTS`].
pub const USER_REQUESTS_PER_SECOND: u32 = 5000;
/// Addresses, and users, whose requests are counted each by themselves at a time; beyond, neighbours share a bucket. 2 MiB each.
pub const RATES_MAX: usize = 10_000;
/// Files of one zip at most: what is said of each at its end is kept until then, some 300 bytes.
pub const ARCHIVE_ENTRIES_MAX: usize = 10_000;
/// Parts of one resumable upload at most.
pub const PARTS_MAX: u32 = 10_000;
/// Bytes of one part that the gateway advises.
pub const PART_BYTES: u64 = 64 << 20;
/// Bytes of one part at most: as many segments as one page lists, so that a part is replaced in one step.
pub const PART_BYTES_MAX: u64 = 1 << 30;
/// How long an upload by S3 lives without a sign of its client. There its end is not announced: long enough for whoever pauses.
pub const S3_UPLOAD_LEASE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long an upload lives without a sign of its client.
pub const UPLOAD_LEASE: Duration = Duration::from_secs(24 * 3600);
/// How long what a plain put left behind waits to be reclaimed when its gateway died; a put that lives renews it.
pub const PUT_LEASE: Duration = Duration::from_secs(900);

//! Limits of the HTTP side, in one place. Sizes of segments and objects are in `datamesh_shard::limits`.

use std::time::Duration;

use datamesh_settings::S3_INTAKE_BYTES_MIN;

/// Connections of all listeners at once, where memory and open files are enough for them.
pub const CONNECTIONS_MAX: usize = 10_240;
/// Memory of one connection. One that is idle costs about 16 KiB, one that sends headers up to [`HEADER_BYTES_MAX`] more, one that sends
/// a body as a stranger up to [`STRANGERS_JSON_BYTES_MAX`].
pub const CONNECTION_BYTES: u64 = 64 << 10;
/// Those of them with HTTP/2, which may bring 512 KiB of uploads that wait for their buffers; half of all at most. Who comes beyond is
/// offered HTTP/1.1.
pub const HTTP2_CONNECTIONS_MAX: usize = 512;
/// Bytes of a request's line and headers at most.
pub const HEADER_BYTES_MAX: usize = 32 << 10;
/// Header fields of a request at most.
pub const HEADERS_MAX: usize = 100;
/// Concurrent requests on one HTTP/2 connection.
pub const STREAMS_MAX: u32 = 64;
/// Time a client has for its TLS handshake, and for the headers of a request from their first byte.
pub const HEADER_WAIT: Duration = Duration::from_secs(10);
/// Time a connection is kept for the next request: longer than pools of clients keep theirs (90 s are usual), so that they close first.
/// Where no place is left, who is idle longest gives way.
pub const IDLE_WAIT: Duration = Duration::from_secs(120);
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
/// Bytes of a JSON request body at most of whoever needs to be nobody: each costs no credential, and waits in memory.
pub const STRANGERS_JSON_BYTES_MAX: usize = 16 << 10;
/// Bytes of user metadata at most, names and values (as in S3).
pub const META_BYTES_MAX: usize = 2 << 10;
/// Bytes of user metadata and kept headers as JSON at most: sealed and in base64, with checksums, they fit what the catalog
/// keeps.
pub const FIELDS_BYTES_MAX: usize = 5 << 10;
/// Entries of one list answer at most, and by default.
pub const LIST_MAX: usize = 1000;
/// Addresses, users and keys of S3 whose requests are counted each by themselves at a time; beyond, neighbours share a bucket. 2 MiB each.
pub const RATES_MAX: usize = 10_000;
/// Files of one zip at most: what is said of each at its end is kept until then, some 350 bytes and its name four times at the end.
pub const ARCHIVE_ENTRIES_MAX: usize = 10_000;
/// Bytes of all names in one zip at most.
pub const ARCHIVE_NAMES_BYTES_MAX: usize = 2 << 20;
/// Time a client has for any zip, besides what its files and bytes take.
pub const ARCHIVE_WAIT: Duration = Duration::from_secs(600);
/// Time a client has for each file of a zip.
pub const ARCHIVE_FILE_WAIT: Duration = Duration::from_millis(200);
/// Bytes of a zip that a client takes in a second at least, as of segments.
pub const ARCHIVE_BYTES_PER_SECOND: u64 = 14 << 10;
/// Time for the largest zip.
pub const ARCHIVE_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Parts of one resumable upload at most.
pub const PARTS_MAX: u32 = 10_000;
/// Bytes of one part that the gateway advises.
pub const PART_BYTES: u64 = 64 << 20;
/// Bytes of one part at most: as many segments as one page lists, so that a part is replaced in one step.
pub const PART_BYTES_MAX: u64 = 1 << 30;
/// Bytes in a second that a body brings at least which others wait for, as of segments.
pub const BODY_BYTES_PER_SECOND: u64 = 14 << 10;
/// Bytes of S3's bodies that must be whole in memory, at once, beside the budget of all transfers: as many as the memory limit leaves, but no fewer
/// than the settings say, and no more than this.
pub const S3_INTAKE_BYTES_MAX: u64 = 3 * S3_INTAKE_BYTES_MIN;
/// Bytes of one form at most: the file, its fields, and what memory is taken at a time.
pub const S3_FORM_BYTES: usize = 17 << 20;
/// Bytes of one document at most: 1,000 keys to delete, or 10,000 parts.
pub const S3_DOCUMENT_BYTES: usize = 4 << 20;
/// How long an upload by S3 lives without a sign of its client. There its end is not announced: long enough for whoever pauses.
pub const S3_UPLOAD_LEASE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long an upload lives without a sign of its client.
pub const UPLOAD_LEASE: Duration = Duration::from_secs(24 * 3600);
/// Time an upload that goes on where it stopped may bring nothing before its request is given up: a client whose connection died comes
/// again sooner than after a put's.
pub const APPEND_STALL: Duration = Duration::from_secs(10);
/// Time such a client has for a segment: then what came is one. With the stall above, what a gateway may lose when it dies.
pub const APPEND_WAIT: Duration = Duration::from_secs(30);
/// Bytes of one request with a checksum at most: nothing of it counts before its end.
pub const CHECKED_BYTES_MAX: u64 = 256 << 20;
/// Bytes of `Upload-Metadata` at most.
pub const UPLOAD_METADATA_BYTES_MAX: usize = 4 << 10;
/// How long what a plain put left behind waits to be reclaimed when its gateway died; a put that lives renews it.
pub const PUT_LEASE: Duration = Duration::from_secs(900);

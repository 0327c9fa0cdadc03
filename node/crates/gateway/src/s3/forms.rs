//! Forms on their way to the library. It takes one whose first line comes in pieces for malformed, and reads all fields anew with each
//! piece; so it gets them in one. Then it compares the signature that is among them, reads the file whole, and asks last who may send it:
//! so a file that nobody signed is read no further than its fields unless a policy lets strangers put objects.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use datamesh_shard::BucketName;
use futures::stream;
use s3s::path::S3Path;

use super::access::need;
use super::actions::{self, Brings};
use super::front::BY_THE_LIBRARY;
use super::intake::{Intake, Paced, Trouble};
use super::memory::Held;
use super::standing::{Asker, Standing, Wanted};
use crate::api::App;
use crate::limits::S3_FORM_BYTES;
use crate::policy::Facts;

/// Bytes at most of a form's fields, up to where its file begins; of one field too.
pub(super) const FIELDS_BYTES_MAX: usize = 64 << 10;
/// Bytes of a file sent by a form at most: the library reads it whole.
pub(super) const FILE_BYTES_MAX: usize = 16 << 20;
/// Time for the fields, and for the rest once there is memory for it.
const FIELDS_WAIT: Duration = Duration::from_secs(10);
const FILE_WAIT: Duration = Duration::from_secs(60);
/// What the library gets of the rest at a time: it keeps each piece by itself.
const PIECE_BYTES: usize = 32 << 10;
/// Memory is had as the file comes, not for all of it at once: who sends nothing more holds no more. So much at a time.
const HELD_BYTES: usize = 8 * PIECE_BYTES;

const _: () =
    assert!(FIELDS_BYTES_MAX + FILE_BYTES_MAX + 2 * HELD_BYTES <= S3_FORM_BYTES, "the largest form has room");

/// How the part begins that the library takes for the file.
const FILE: &[u8] = b"name=\"file\"";

/// What is known of a form before it is read.
pub(super) struct Form {
    pub(super) app: Arc<App>,
    pub(super) bucket: Option<BucketName>,
    pub(super) facts: Facts,
}

impl Form {
    /// The same body: its first piece has [`FIELDS_BYTES_MAX`] bytes, or all there are.
    pub(super) fn guard(self, body: Body, intake: Arc<Intake>) -> Body {
        let mut body = Paced::new(body);
        body.restart(Some(FIELDS_WAIT));
        let reading = Reading {
            form: self,
            intake,
            body,
            rest: BytesMut::new(),
            fields: None,
            left: 0,
            at: At::Fields,
        };
        Body::from_stream(stream::try_unfold(reading, |mut reading| async move {
            let piece = reading.next().await?;
            Ok::<_, axum::Error>((!piece.is_empty()).then_some((piece, reading)))
        }))
    }

    /// Whether a policy may let strangers put objects.
    async fn takes_strangers(&self) -> bool {
        let Some(bucket) = &self.bucket else { return false };
        let asked = actions::of(BY_THE_LIBRARY, false, Brings::default());
        let path = S3Path::bucket(bucket.as_str());
        let wanted = Wanted { operation: BY_THE_LIBRARY, need: need(BY_THE_LIBRARY), asked, path: &path };
        let facts = self.facts.of_version(None);
        Standing::judge(&self.app, (Asker::Anonymous, facts), wanted).await.is_ok()
    }
}

/// A form that is read.
struct Reading {
    form: Form,
    intake: Arc<Intake>,
    body: Paced,
    /// What came and was not handed on.
    rest: BytesMut,
    /// What its fields are kept in, until its file is let in.
    fields: Option<Held>,
    /// Bytes of memory that it has and has not used.
    left: usize,
    at: At,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Fields,
    /// The rest of the file, if it begins among what the library has by now.
    Rest {
        has_file: bool,
    },
    File,
    /// Nothing more.
    End,
}

impl Reading {
    /// The next piece; an empty one where there is none.
    async fn next(&mut self) -> Result<Bytes, axum::Error> {
        match self.at {
            At::Fields => {
                let mut held = self.intake.fields_memory();
                self.read(FIELDS_BYTES_MAX, Some(&mut held)).await?;
                match self.at {
                    At::End => self.intake.keep(held),
                    _ => self.fields = Some(held),
                }
                let fields = self.rest.split_to(self.rest.len().min(FIELDS_BYTES_MAX)).freeze();
                if self.at == At::Fields {
                    self.at = At::Rest { has_file: has_file(&fields) };
                }
                return Ok(fields);
            }
            // The library refuses fields without end by themselves.
            At::Rest { has_file: false } => self.at = At::File,
            At::Rest { has_file: true } => {
                self.admit().await?;
                self.at = At::File;
            }
            At::File => self.hold().await?,
            At::End => {}
        }
        self.read(PIECE_BYTES, None).await?;
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES)).freeze();
        self.left = self.left.saturating_sub(piece.len());
        Ok(piece)
    }

    /// Reads until there are so many bytes, or no more.
    async fn read(&mut self, bytes: usize, mut held: Option<&mut Held>) -> Result<(), axum::Error> {
        while self.at != At::End && self.rest.len() < bytes {
            let Some(piece) = self.body.next(&self.intake).await? else {
                self.at = At::End;
                return Ok(());
            };
            self.rest.extend_from_slice(&piece);
            if let Some(held) = &mut held {
                self.intake.grow(held, self.rest.len().min(bytes)).await?;
            }
        }
        Ok(())
    }

    /// Lets the file in, if whoever sends it may.
    async fn admit(&mut self) -> Result<(), axum::Error> {
        if !self.intake.is_signed() && !self.form.takes_strangers().await {
            return Err(self.intake.gives_up(Trouble::Unsigned));
        }
        self.take(FIELDS_BYTES_MAX).await?;
        // Strangers' fields wait for that.
        self.fields = None;
        self.hold().await?;
        self.body.restart(Some(FILE_WAIT));
        Ok(())
    }

    /// Has memory for the next piece.
    async fn hold(&mut self) -> Result<(), axum::Error> {
        if self.left < PIECE_BYTES {
            self.take(HELD_BYTES).await?;
            self.left += HELD_BYTES;
        }
        Ok(())
    }

    /// Has so many bytes more of what forms are kept in, until the request is answered.
    async fn take(&mut self, bytes: usize) -> Result<(), axum::Error> {
        let mut held = self.intake.form_memory();
        self.intake.grow(&mut held, bytes).await?;
        self.intake.keep(held);
        Ok(())
    }
}

/// Whether the library may have found the file among these bytes.
fn has_file(bytes: &[u8]) -> bool {
    bytes.windows(FILE.len()).any(|window| window.eq_ignore_ascii_case(FILE))
}

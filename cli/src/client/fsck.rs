//! A check of the cluster, line by line while it runs.

use datamesh_settings::admin::{FsckEvent, FsckRequest};
use reqwest::{Method, Response};

use super::{Client, accepted};
use crate::failure::Failure;

/// Bytes of a line at most: one finding, with the longest key there is.
const LINE_BYTES_MAX: usize = 64 << 10;

/// The lines of a check that is under way.
pub(crate) struct Lines {
    response: Response,
    read: Vec<u8>,
}

impl Client {
    /// Begins a check. It goes on while its lines are read.
    pub(crate) async fn fsck(&self, repair: bool) -> Result<Lines, Failure> {
        let url = format!("{}/api/v1/admin/fsck", self.base);
        let request = self.http.request(Method::POST, url).bearer_auth(self.config.admin_token()?);
        let response = accepted(request.json(&FsckRequest { repair }).send().await?).await?;
        Ok(Lines { response, read: Vec::new() })
    }
}

impl Client {
    /// Lets a catalog that came out of copies delete again.
    pub(crate) async fn confirm_restored(&self) -> Result<(), Failure> {
        let url = format!("{}/api/v1/admin/restored/confirm", self.base);
        let request = self.http.request(Method::POST, url).bearer_auth(self.config.admin_token()?);
        accepted(request.send().await?).await.map(drop)
    }
}

impl Lines {
    /// The next line; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<FsckEvent>, Failure> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let event = serde_json::from_slice(&line);
                return event.map(Some).map_err(|error| Failure::Answer(error.to_string()));
            }
            if self.read.len() > LINE_BYTES_MAX {
                return Err(Failure::Answer(format!("a line has more than {LINE_BYTES_MAX} bytes")));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.read.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

//! Frames: how a message lies on a connection.
//!
//! `u32 head bytes | u32 payload bytes` (little-endian), then the head (version byte [`PROTOCOL`], then postcard), then
//! the raw payload. Both lengths are checked before a buffer is taken, and the payload's again once the head is known.

use bytes::Bytes;
use datamesh_shard::limits::{MESSAGE_BYTES_MAX, REPLICA_BYTES_MAX, SHARD_BYTES_MAX};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::{PROTOCOL, Request, Response};

/// Bytes in front of each head.
pub const FRAME_HEADER_BYTES: usize = 8;
/// Bytes of any message's payload at most. Each connection takes less, by who is at its other end.
pub const PAYLOAD_BYTES_MAX: usize =
    if REPLICA_BYTES_MAX > SHARD_BYTES_MAX { REPLICA_BYTES_MAX } else { SHARD_BYTES_MAX };

/// The two lengths a frame begins with, within their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    head_bytes: u32,
    payload_bytes: u32,
}

/// Why bytes are no frame, or a message does not fit one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Head length out of range.
    #[error("a message head of {0} bytes: 2 to {MESSAGE_BYTES_MAX} are allowed")]
    HeadBytes(usize),
    /// Payload length out of range for any message, or for this one.
    #[error("a payload of {bytes} bytes where at most {max} are allowed")]
    PayloadBytes {
        /// What was announced.
        bytes: usize,
        /// What the message allows.
        max: usize,
    },
    /// Another version's head.
    #[error("message version {0}; this build speaks version {PROTOCOL}")]
    Version(u8),
    /// Not a message, or bytes are left after it.
    #[error("malformed message: {0}")]
    Malformed(postcard::Error),
    /// Bytes left over after the message.
    #[error("{0} bytes left over after the message")]
    Trailing(usize),
}

impl FrameHeader {
    /// Reads the first [`FRAME_HEADER_BYTES`] of a frame.
    ///
    /// # Errors
    /// Refuses lengths beyond the limits.
    pub fn decode(bytes: [u8; FRAME_HEADER_BYTES]) -> Result<Self, FrameError> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let header = Self {
            head_bytes: u32::from_le_bytes([a, b, c, d]),
            payload_bytes: u32::from_le_bytes([e, f, g, h]),
        };
        if !(2..=MESSAGE_BYTES_MAX).contains(&header.head_bytes()) {
            return Err(FrameError::HeadBytes(header.head_bytes()));
        }
        header.check_payload(PAYLOAD_BYTES_MAX)?;
        Ok(header)
    }

    /// Bytes of the head that follows.
    #[must_use]
    pub const fn head_bytes(self) -> usize {
        self.head_bytes as usize
    }

    /// Bytes of the payload that follows the head.
    #[must_use]
    pub const fn payload_bytes(self) -> usize {
        self.payload_bytes as usize
    }

    /// Checks the payload's length against what the decoded message allows.
    ///
    /// # Errors
    /// Names both lengths.
    pub const fn check_payload(self, max: usize) -> Result<(), FrameError> {
        if self.payload_bytes() > max {
            return Err(FrameError::PayloadBytes { bytes: self.payload_bytes(), max });
        }
        Ok(())
    }
}

impl Request {
    /// Frame header and head in one buffer; the caller writes the payload after it.
    ///
    /// # Errors
    /// Refuses a message or payload beyond the limits.
    pub fn encode(&self, payload_bytes: usize) -> Result<Bytes, FrameError> {
        encode(self, payload_bytes, self.payload_bytes_max())
    }

    /// Reads a head.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(head: &[u8]) -> Result<Self, FrameError> {
        decode(head)
    }
}

impl Response {
    /// Frame header and head in one buffer; the caller writes the payload after it.
    ///
    /// # Errors
    /// Refuses a message or payload beyond the limits.
    pub fn encode(&self, payload_bytes: usize) -> Result<Bytes, FrameError> {
        encode(self, payload_bytes, self.payload_bytes_max())
    }

    /// Reads a head.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(head: &[u8]) -> Result<Self, FrameError> {
        decode(head)
    }
}

fn encode<T: Serialize>(message: &T, payload_bytes: usize, payload_max: usize) -> Result<Bytes, FrameError> {
    let too_long = FrameError::PayloadBytes { bytes: payload_bytes, max: payload_max };
    if payload_bytes > payload_max {
        return Err(too_long);
    }
    let payload_len = u32::try_from(payload_bytes).map_err(|_| too_long)?;
    let mut frame = vec![0; FRAME_HEADER_BYTES];
    frame.push(PROTOCOL);
    let mut frame = postcard::to_extend(message, frame).map_err(FrameError::Malformed)?;
    let head_bytes = frame.len() - FRAME_HEADER_BYTES;
    if head_bytes > MESSAGE_BYTES_MAX {
        return Err(FrameError::HeadBytes(head_bytes));
    }
    let head_len = u32::try_from(head_bytes).map_err(|_| FrameError::HeadBytes(head_bytes))?;
    frame[..4].copy_from_slice(&head_len.to_le_bytes());
    frame[4..FRAME_HEADER_BYTES].copy_from_slice(&payload_len.to_le_bytes());
    Ok(frame.into())
}

fn decode<T: DeserializeOwned>(head: &[u8]) -> Result<T, FrameError> {
    if head.len() > MESSAGE_BYTES_MAX {
        return Err(FrameError::HeadBytes(head.len()));
    }
    let Some((&version, body)) = head.split_first() else {
        return Err(FrameError::HeadBytes(0));
    };
    if version != PROTOCOL {
        return Err(FrameError::Version(version));
    }
    // What is decoded is at most a small multiple of `body`, which is within the limit: postcard has no compression
    // and serde caps what it reserves ahead of the elements it has seen.
    let (message, rest) = postcard::take_from_bytes(body).map_err(FrameError::Malformed)?;
    if !rest.is_empty() {
        return Err(FrameError::Trailing(rest.len()));
    }
    Ok(message)
}

//! The zip itself, by the crate `zip`: entries as they are, not compressed (what pays is compressed on the nodes, and most of what people
//! store pays not), their lengths and checksums behind them, 64-bit where a file is large.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use zip::result::ZipError;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

/// From here on lengths need 64 bits.
const LARGE_BYTES: u64 = u32::MAX as u64;

/// Why nothing more can be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    Zip(#[from] ZipError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a file in it is called, how long it is, and when it was put.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) size_bytes: u64,
    pub(super) put_unix_ms: u64,
}

/// What was written and not taken.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes into memory; whoever writes takes it out as it comes. One that is dropped half-way ends its zip in good order, but into memory that
/// goes with it: nobody is sent that end.
pub(super) struct Writer {
    zip: Option<ZipWriter<StreamWriter<Written>>>,
    written: Written,
}

impl Writer {
    pub(super) fn new() -> Self {
        let written = Written::default();
        Self { zip: Some(ZipWriter::new_stream(written.clone())), written }
    }

    /// Begins the next file.
    pub(super) fn begin(&mut self, entry: &Entry) -> Result<(), WriteError> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(entry.size_bytes >= LARGE_BYTES)
            .last_modified_time(time_of(entry.put_unix_ms));
        if let Some(zip) = &mut self.zip {
            zip.start_file(entry.name.as_str(), options)?;
        }
        Ok(())
    }

    /// The next bytes of it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if let Some(zip) = &mut self.zip {
            zip.write_all(bytes)?;
        }
        Ok(())
    }

    /// Ends the last file and the zip.
    pub(super) fn finish(&mut self) -> Result<(), WriteError> {
        if let Some(zip) = self.zip.take() {
            zip.finish()?;
        }
        Ok(())
    }

    /// What was written since it was last taken.
    pub(super) fn take(&mut self) -> Bytes {
        std::mem::take(&mut *self.written.0.lock()).into()
    }
}

/// In Greenwich, of the years that a zip can say.
fn time_of(unix_ms: u64) -> DateTime {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let Some(at) = at.map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).datetime()) else {
        return DateTime::default();
    };
    let small = |number: i8| u8::try_from(number).unwrap_or_default();
    let year = u16::try_from(at.year()).unwrap_or_default();
    let (month, day) = (small(at.month()), small(at.day()));
    let made = DateTime::from_date_and_time(
        year,
        month,
        day,
        small(at.hour()),
        small(at.minute()),
        small(at.second()),
    );
    made.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn entry(name: &str, size_bytes: u64) -> Entry {
        Entry { name: name.into(), size_bytes, put_unix_ms: 1_790_000_000_000 }
    }

    #[test]
    fn what_is_written_piece_by_piece_is_a_zip() {
        let mut writer = Writer::new();
        let mut out = Vec::new();
        for (name, size) in [("a/b", 10_u64), ("empty", 0), ("grüße", LARGE_BYTES)] {
            writer.begin(&entry(name, size)).unwrap();
            for _ in 0..size.min(5) {
                writer.write(b"ab").unwrap();
                let piece = writer.take();
                assert!(!piece.is_empty(), "nothing waits for the end");
                out.extend(piece);
            }
        }
        writer.finish().unwrap();
        out.extend(writer.take());
        let mut zip = zip::ZipArchive::new(io::Cursor::new(out)).unwrap();
        assert_eq!(zip.len(), 3);
        for (name, expected) in [("a/b", "ababababab"), ("empty", ""), ("grüße", "ababababab")] {
            let mut text = String::new();
            let mut file = zip.by_name(name).unwrap();
            assert_eq!(file.last_modified().unwrap().to_string(), "2026-09-21 14:13:20");
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
        }
    }
}

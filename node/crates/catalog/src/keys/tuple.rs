use super::Table;

/// First byte of every key of this encoding. (0 is the engine's.)
pub const KEY_VERSION: u8 = 1;

/// Inside bytes, 0 is written as 0 255; bytes end with 0 1. So a shorter text comes before its extensions, and 0 before
/// every other byte.
const ZERO: u8 = 0;
const ZERO_IS_DATA: u8 = 255;
const ZERO_IS_END: u8 = 1;

/// Why bytes are no key of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Another version or table.
    #[error("the key is not of the expected table and version")]
    Table,
    /// It ends within a column.
    #[error("the key ends within a column")]
    Short,
    /// A 0 that is neither data nor end.
    #[error("the key's bytes are not escaped as they must be")]
    Escape,
    /// More columns than the table has.
    #[error("the key has more than its columns")]
    Long,
    /// A column that is no name.
    #[error("a column of the key is not a name")]
    Name,
    /// Another time than its record's.
    #[error("the key's time is not its record's")]
    Time,
}

/// Writes a key, column by column. Numbers are big-endian.
#[derive(Clone, Debug)]
pub struct KeyWriter(Vec<u8>);

impl KeyWriter {
    /// A key of this table.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self(vec![KEY_VERSION, table as u8])
    }

    /// A number of one byte.
    #[must_use]
    pub fn u8(self, number: u8) -> Self {
        self.fixed(&[number])
    }

    /// A number of four bytes.
    #[must_use]
    pub fn u32(self, number: u32) -> Self {
        self.fixed(&number.to_be_bytes())
    }

    /// A number of eight bytes.
    #[must_use]
    pub fn u64(self, number: u64) -> Self {
        self.fixed(&number.to_be_bytes())
    }

    /// Bytes of a length that the table fixes.
    #[must_use]
    pub fn fixed(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes of any length.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.bytes_prefix(bytes).fixed(&[ZERO, ZERO_IS_END])
    }

    /// How all byte columns begin that begin with these bytes. Ends the key.
    #[must_use]
    pub fn bytes_prefix(mut self, bytes: &[u8]) -> Self {
        self.0.reserve(bytes.len() + 2);
        for &byte in bytes {
            self.0.push(byte);
            if byte == ZERO {
                self.0.push(ZERO_IS_DATA);
            }
        }
        self
    }

    /// The key.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a key, column by column.
#[derive(Clone, Debug)]
pub struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
    /// Reads a key of this table.
    ///
    /// # Errors
    /// `Table` when it is none.
    pub fn new(key: &'a [u8], table: Table) -> Result<Self, KeyError> {
        match key {
            [KEY_VERSION, number, columns @ ..] if *number == table as u8 => Ok(Self(columns)),
            _ => Err(KeyError::Table),
        }
    }

    /// A number of four bytes.
    ///
    /// # Errors
    /// `Short` at the key's end.
    pub fn u32(&mut self) -> Result<u32, KeyError> {
        self.fixed().map(u32::from_be_bytes)
    }

    /// A number of eight bytes.
    ///
    /// # Errors
    /// `Short` at the key's end.
    pub fn u64(&mut self) -> Result<u64, KeyError> {
        self.fixed().map(u64::from_be_bytes)
    }

    /// Bytes of a fixed length.
    ///
    /// # Errors
    /// `Short` at the key's end.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let (column, rest) = self.0.split_first_chunk::<N>().ok_or(KeyError::Short)?;
        self.0 = rest;
        Ok(*column)
    }

    /// Bytes of any length.
    ///
    /// # Errors
    /// `Short` or `Escape`.
    pub fn bytes(&mut self) -> Result<Vec<u8>, KeyError> {
        let mut out = Vec::new();
        loop {
            let zero = self.0.iter().position(|&byte| byte == ZERO).ok_or(KeyError::Short)?;
            let (plain, rest) = self.0.split_at(zero);
            out.extend_from_slice(plain);
            match rest {
                [ZERO, ZERO_IS_END, rest @ ..] => {
                    self.0 = rest;
                    return Ok(out);
                }
                [ZERO, ZERO_IS_DATA, rest @ ..] => {
                    out.push(ZERO);
                    self.0 = rest;
                }
                [ZERO] => return Err(KeyError::Short),
                _ => return Err(KeyError::Escape),
            }
        }
    }

    /// A name, or anything else that is read from text.
    ///
    /// # Errors
    /// As `bytes`, and `Name` when it is none.
    pub fn name<T: std::str::FromStr>(&mut self) -> Result<T, KeyError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).ok_or(KeyError::Name)
    }

    /// Nothing more may come.
    ///
    /// # Errors
    /// `Long` when something does.
    pub fn end(self) -> Result<(), KeyError> {
        if self.0.is_empty() { Ok(()) } else { Err(KeyError::Long) }
    }
}

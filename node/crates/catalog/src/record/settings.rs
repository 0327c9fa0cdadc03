use serde::{Deserialize, Serialize};

use super::Record;
use crate::limits::BUCKET_SETTING_BYTES_MAX;

/// Something that is set of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingRecord {
    /// Opaque to the catalog.
    #[serde(with = "super::bytes")]
    pub bytes: Vec<u8>,
}

impl Record for SettingRecord {
    const NAME: &'static str = "setting of a bucket";

    fn check(&self) -> Result<(), &'static str> {
        if self.bytes.len() > BUCKET_SETTING_BYTES_MAX { Err("the setting is too long") } else { Ok(()) }
    }
}

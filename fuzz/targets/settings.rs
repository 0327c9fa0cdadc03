//! The settings file, and what the admin API is sent and answers.
#![no_main]

use datamesh_fuzz as _;
use datamesh_settings::Settings;
use datamesh_settings::admin::{ClusterStatus, PoolSpec};
use serde::{Serialize, de::DeserializeOwned};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(settings) = Settings::from_yaml(text)
    {
        let again = settings.to_yaml().ok().and_then(|text| Settings::from_yaml(&text).ok());
        assert_eq!(again, Some(settings));
    }
    json::<PoolSpec>(input);
    json::<ClusterStatus>(input);
});

fn json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(input: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(input) {
        let again = serde_json::to_vec(&value).ok().and_then(|text| serde_json::from_slice(&text).ok());
        assert_eq!(again, Some(value));
    }
}

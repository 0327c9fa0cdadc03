//! The settings file.
#![no_main]

use datamesh_settings::Settings;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(settings) = Settings::from_yaml(text) {
            let again = settings.to_yaml().ok().and_then(|text| Settings::from_yaml(&text).ok());
            assert_eq!(again, Some(settings));
        }
    }
});

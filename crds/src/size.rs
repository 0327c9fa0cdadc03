//! Sizes and amounts: the part of Kubernetes' quantities that makes sense here, readable by CEL, schema and code alike.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// Characters of a size at most.
const SIZE_CHARS_MAX: usize = 20;
/// A whole number with an optional unit: no fractions, so every reader agrees on the bytes.
const SIZE_PATTERN: &str = "^[0-9]+(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$";
/// What Kubernetes accepts for cpu and memory, without exponents.
const AMOUNT_PATTERN: &str = "^[0-9]+([.][0-9]+)?(m|Ki|Mi|Gi|Ti|k|M|G|T)?$";

/// A number of bytes as people write it: `10Gi`, `500M`, `4096`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(String);

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no size: write a whole number and Ki, Mi, Gi, Ti or Pi (or k, M, G, T, P), like 10Gi")]
pub struct SizeError {
    text: String,
}

impl Size {
    /// A size as written; [`Size::bytes`] checks it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number of bytes.
    ///
    /// # Errors
    /// Says how a size is written; also when it is more than fits in 64 bits.
    pub fn bytes(&self) -> Result<u64, SizeError> {
        let error = || SizeError { text: self.0.chars().take(SIZE_CHARS_MAX).collect() };
        let digits = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (number, unit) = self.0.split_at(digits);
        let number: u64 = number.parse().map_err(|_| error())?;
        number.checked_mul(unit_bytes(unit).ok_or_else(error)?).ok_or_else(error)
    }

    /// As Kubernetes' own type.
    #[must_use]
    pub fn quantity(&self) -> Quantity {
        Quantity(self.0.clone())
    }
}

/// Bytes of one unit.
fn unit_bytes(unit: &str) -> Option<u64> {
    Some(match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "P" => 1_000_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        _ => return None,
    })
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": SIZE_CHARS_MAX, "pattern": SIZE_PATTERN })
    }
}

/// An amount of cpu or memory, text or number as everywhere in Kubernetes: `500m`, `1`, `256Mi`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Amount(String);

impl Amount {
    /// An amount as written.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The amount as whole bytes, a part of one counted as one, as Kubernetes counts it. `None` when it is no amount, or
    /// more than fits in 64 bits.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        let digits = self.0.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.0.len());
        let (number, unit) = self.0.split_at(digits);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || (fraction.is_empty() && number.contains('.')) || fraction.contains('.') {
            return None;
        }
        // Thousandths stay whole numbers too: 0.2Gi is 2Gi in ten parts, and 1500m are 1500 in a thousand.
        let (unit, thousandths) = if unit == "m" { (1, 1000) } else { (unit_bytes(unit)?, 1) };
        let parts = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?.checked_mul(thousandths)?;
        let all: u128 = format!("{whole}{fraction}").parse().ok()?;
        u64::try_from(all.checked_mul(u128::from(unit))?.div_ceil(parts)).ok()
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum TextOrNumber {
            Text(String),
            Whole(i64),
        }
        Ok(Self(match TextOrNumber::deserialize(deserializer)? {
            TextOrNumber::Text(text) => text,
            TextOrNumber::Whole(number) => number.to_string(),
        }))
    }
}

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "pattern": AMOUNT_PATTERN, "maxLength": SIZE_CHARS_MAX })
    }
}

/// What a container asks for and may use at most, by resource name (`cpu`, `memory`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Resources {
    /// What the scheduler reserves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub requests: BTreeMap<String, Amount>,
    /// What the container may use at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub limits: BTreeMap<String, Amount>,
}

impl Resources {
    /// The memory limit in bytes, if there is one.
    #[must_use]
    pub fn memory_limit_bytes(&self) -> Option<u64> {
        self.limits.get("memory")?.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_does() {
        for (text, bytes) in
            [("10Gi", 10 << 30), ("500M", 500_000_000), ("4096", 4096), ("0", 0), ("1Pi", 1 << 50)]
        {
            assert_eq!(Size::new(text).bytes(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_named_with_the_remedy() {
        for text in ["", "Gi", "1.5Gi", "-1", "10gb", "10 Gi", "18446744073709551616", "99999999Pi"] {
            let error = Size::new(text).bytes().unwrap_err().to_string();
            assert!(error.contains("like 10Gi"), "{error}");
        }
    }

    #[test]
    fn amounts_come_as_text_or_number() {
        let resources: Resources = serde_yaml::from_str("limits: {cpu: 2, memory: 256Mi}").unwrap();
        assert_eq!(resources.limits["cpu"].as_str(), "2");
        assert_eq!(resources.memory_limit_bytes(), Some(256 << 20));
    }

    #[test]
    fn fractions_are_read_exactly() {
        for (text, bytes) in [
            ("0.2Gi", 214_748_365),
            ("0.5Gi", 1 << 29),
            ("1.5Mi", 3 << 19),
            ("0.000001k", 1),
            ("1.0", 1),
            ("256Mi", 256 << 20),
            ("128974848000m", 128_974_848),
            ("1500m", 2),
            ("0.1234567890123456Ti", 135_742_175_047),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(Amount::new(text).bytes(), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_not_guessed() {
        let digits = "9".repeat(60);
        for text in ["", "Gi", ".5Gi", "5.Gi", "1.2.3", "-1", "1e3", "10gb", "18446744073709551616", &digits]
        {
            assert_eq!(Amount::new(text).bytes(), None, "{text}");
        }
    }
}

//! How many requests gateways take.

// KubeSchema copies each struct, with its `pub`, into a function.
#![allow(unreachable_pub)]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How many requests each gateway takes of whom before it refuses more: by REST with 429, by S3 with `SlowDown`. What is left out is
/// generous. A change restarts the gateways.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestLimitsSpec {
    /// Of REST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<PortLimitsSpec>,
    /// Of S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<PortLimitsSpec>,
}

/// Limits of one port.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortLimitsSpec {
    /// Of one address (of IPv6 a /64) that shows no credential. Left out: 2000 at once and 500 a second for REST, ten times that for S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strangers: Option<RequestRateSpec>,
    /// Of one address whose credential is not known. Left out: 20000 at once and 5000 a second for REST, ten times that for S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<RequestRateSpec>,
    /// Of one user, by S3 with all keys together, of one holder of a token file, or of one key of S3 that is no user's. Left out: 200000 at once and 50000 a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<RequestRateSpec>,
}

/// So many requests at once, and so many a second at length.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.perSecond >= 1 && self.burst >= self.perSecond && self.burst <= 10000000").message("gateway.requestLimits: perSecond is at least 1, and burst at least perSecond and at most 10000000"))]
pub struct RequestRateSpec {
    /// Requests at once.
    pub burst: i32,
    /// Requests a second.
    pub per_second: i32,
}

//! How many requests the spec lets the gateways take; what it leaves out is as usual. Pure.

use datamesh_crds::{PortLimitsSpec, RequestLimitsSpec, RequestRateSpec};
use datamesh_settings::request_limits::{PortLimits, RequestLimits, RequestRate, RequestRateError};

/// As the gateways are told.
///
/// # Errors
/// A rate that is none, which the definition's rules refuse too.
pub(super) fn of(spec: Option<&RequestLimitsSpec>) -> Result<RequestLimits, RequestRateError> {
    let usual = RequestLimits::default();
    let Some(spec) = spec else { return Ok(usual) };
    Ok(RequestLimits { rest: port(spec.rest.as_ref(), usual.rest)?, s3: port(spec.s3.as_ref(), usual.s3)? })
}

fn port(spec: Option<&PortLimitsSpec>, usual: PortLimits) -> Result<PortLimits, RequestRateError> {
    let Some(spec) = spec else { return Ok(usual) };
    Ok(PortLimits {
        strangers: rate(spec.strangers.as_ref(), usual.strangers)?,
        addresses: rate(spec.addresses.as_ref(), usual.addresses)?,
        known: rate(spec.known.as_ref(), usual.known)?,
    })
}

fn rate(spec: Option<&RequestRateSpec>, usual: RequestRate) -> Result<RequestRate, RequestRateError> {
    let whole = |number: i32| u32::try_from(number).unwrap_or_default();
    spec.map_or(Ok(usual), |spec| RequestRate::new(whole(spec.burst), whole(spec.per_second)))
}

//! `bucket.domain` in place of `domain/bucket`.

use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

/// Takes what stands in front of the domain for a bucket; requests to any other name are path-style, so that the gateway is
/// found by its service's name as well.
#[derive(Clone, Debug)]
pub(super) struct Domain(pub(super) String);

impl S3Host for Domain {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let bucket = strip_suffix(name, &self.0).and_then(|bucket| bucket.strip_suffix('.'));
        let host = VirtualHost::new(self.0.as_str());
        Ok(match bucket.filter(|bucket| !bucket.is_empty()) {
            Some(bucket) => host.with_bucket(bucket.to_ascii_lowercase()),
            None => host,
        })
    }
}

/// As `str::strip_suffix`; names of hosts have no case.
fn strip_suffix<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    let at = name.len().checked_sub(suffix.len())?;
    name.get(at..)?.eq_ignore_ascii_case(suffix).then(|| name.get(..at))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_domain_is_the_bucket() {
        let domain = Domain("s3.example.com".into());
        let bucket = |host: &str| domain.parse_host_header(host).unwrap().bucket().map(str::to_owned);
        assert_eq!(bucket("photos.s3.example.com").as_deref(), Some("photos"));
        assert_eq!(bucket("Photos.S3.example.com:9000").as_deref(), Some("photos"));
        assert_eq!(bucket("my.photos.s3.example.com").as_deref(), Some("my.photos"));
        for host in ["s3.example.com", ".s3.example.com", "gateway.svc", "xs3.example.com", "com", "", "ä"] {
            assert_eq!(bucket(host), None, "{host}");
        }
    }
}

//! Host names to addresses.

use std::net::{IpAddr, SocketAddr};

/// All addresses of a host; those of a literal address without asking anyone.
///
/// # Errors
/// The resolver's own.
pub(crate) async fn resolved(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literal_addresses_need_no_resolver() {
        assert_eq!(resolved("10.1.2.3", 5).await.unwrap(), ["10.1.2.3:5".parse().unwrap()]);
        assert_eq!(resolved("::1", 5).await.unwrap(), ["[::1]:5".parse().unwrap()]);
        assert_eq!(resolved("[::1]", 5).await.unwrap(), ["[::1]:5".parse().unwrap()]);
    }
}

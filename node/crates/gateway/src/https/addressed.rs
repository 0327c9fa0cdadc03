//! Tells each request where its connection comes from, and counts them.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::idle::Count;
use crate::auth::Address;

/// The routes, for one connection.
#[derive(Clone)]
pub(super) struct Addressed {
    pub(super) router: TowerToHyperService<Router>,
    pub(super) from: IpAddr,
    /// Requests so far.
    pub(super) requests: Count,
}

impl Service<Request<Incoming>> for Addressed {
    type Response = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.requests.fetch_add(1, Ordering::Relaxed);
        request.extensions_mut().insert(Address(self.from));
        self.router.call(request)
    }
}

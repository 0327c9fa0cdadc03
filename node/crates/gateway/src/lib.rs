//! datamesh-gateway

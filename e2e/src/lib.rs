//! datamesh-e2e

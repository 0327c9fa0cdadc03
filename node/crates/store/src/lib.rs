//! datamesh-store

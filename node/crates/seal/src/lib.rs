//! datamesh-seal

//! datamesh-mesh

//! datamesh-operator
fn main() {}

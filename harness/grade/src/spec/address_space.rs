//! Address spaces: arithmetic on addresses, and tables that a machine takes for its own.

mod arithmetic;

pub(crate) use arithmetic::{address_split, page_math};

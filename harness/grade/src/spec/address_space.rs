//! Address spaces: arithmetic on addresses, and tables that a machine takes for its own.

mod arithmetic;
mod images;
mod tables;

pub(crate) use arithmetic::{address_split, page_math};
pub(crate) use tables::{four_level, two_level};

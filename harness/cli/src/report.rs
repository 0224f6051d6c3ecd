//! Verdicts and observations as people and other programs read them.

pub mod comparison;
pub mod gradescope;
pub mod hang;
pub mod json;
pub mod junit;
pub mod summary;
pub mod verdict;

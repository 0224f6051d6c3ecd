//! Address spaces: arithmetic on addresses, tables that a machine takes for its own, and what the real ones do.

mod arithmetic;
mod console;
mod dirty_track;
mod fault_kinds;
mod fault_report;
mod frames;
pub(super) mod images;
mod large;
mod no_execute;
mod overlays;
mod process_map;
mod replacement;
mod segments;
mod swapping;
mod tables;
mod tlb;
mod user_pager;

pub(crate) use arithmetic::{address_split, page_math};
pub(crate) use console::mmio_console;
pub(crate) use dirty_track::dirty_track;
pub(crate) use fault_kinds::fault_kinds;
pub(crate) use fault_report::fault_report;
pub(crate) use frames::frames;
pub(crate) use large::large_pages;
pub(crate) use no_execute::no_execute;
pub(crate) use overlays::overlays;
pub(crate) use process_map::process_map;
pub(crate) use replacement::{accessed_dirty, clock_hand};
pub(crate) use segments::{base_bounds, memory_fence};
pub(crate) use swapping::swap_images;
pub(crate) use tables::{four_level, two_level};
pub(crate) use tlb::tlb_reach;
pub(crate) use user_pager::user_pager;

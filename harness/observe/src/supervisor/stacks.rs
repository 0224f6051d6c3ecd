//! The stacks of calls on their way to the harness. A program makes most of its calls from few places: what stands for
//! one place is sent once, and the events name it by its number.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::observation::{Event, Stack};

/// The stacks taken out of a row of events.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stacks {
    distinct: Vec<Stack>,
    /// For each event the number of its stack, from 1; 0 where it has none.
    of_events: Vec<u32>,
}

impl Stacks {
    /// Takes them away.
    pub(super) fn take_from(events: &mut [Event]) -> Stacks {
        let mut stacks = Stacks::default();
        let mut numbers = HashMap::new();
        for event in events {
            let stack = std::mem::take(&mut event.stack);
            let number = if stack.is_empty() {
                0
            } else {
                // None is freed while it is in the list, so each address is that of one stack.
                *numbers.entry(stack.as_ptr()).or_insert_with(|| {
                    stacks.distinct.push(stack);
                    stacks.distinct.len() as u32
                })
            };
            stacks.of_events.push(number);
        }
        stacks
    }

    /// Puts them back where they were.
    pub(crate) fn give_back(self, events: &mut [Event]) {
        for (event, number) in events.iter_mut().zip(self.of_events) {
            if let Some(stack) = (number as usize).checked_sub(1).and_then(|n| self.distinct.get(n)) {
                event.stack = stack.clone();
            }
        }
    }
}

//! What shared memory held: said where it was looked at and had changed since it was last looked at.

use std::collections::BTreeMap;

use observe::{Call, Event, ObjectId, Observation, Snapshot, What};

use super::readable::{fit_middle, printable, quoted};
use super::told::Told;

/// Columns that the changed bytes may take.
const ROOM: usize = 30;

/// What tells one piece of shared memory from another: its object, or where the object is not known its address.
type Key = Result<ObjectId, u64>;

/// Adds what shared memory held to the sentences of the events at which it was looked at.
pub(super) fn tell(obs: &Observation, told: &mut [Told]) {
    let mut held: BTreeMap<Key, &[u8]> = BTreeMap::new();
    for one in told {
        for snapshot in taken(&obs.events[one.event]) {
            let key = snapshot.object.ok_or(snapshot.address);
            let before = held.insert(key, &snapshot.bytes);
            if let Some((offset, bytes)) = change(before.unwrap_or(&[]), &snapshot.bytes) {
                let name = name(obs, snapshot);
                let words = format!("; {name} now holds {} from byte {offset} on", quoted(bytes, ROOM));
                one.said.sentence += &words;
            }
        }
    }
}

fn taken(event: &Event) -> &[Snapshot] {
    match &event.what {
        What::Forked { snapshots, .. } | What::Exited { snapshots, .. } => snapshots,
        What::Called { call: Call::Munmap { snapshots, .. }, .. } => snapshots,
        _ => &[],
    }
}

fn name(obs: &Observation, snapshot: &Snapshot) -> String {
    let object = snapshot.object.and_then(|id| obs.objects.get(id.0 as usize)).filter(|o| !o.label.is_empty());
    object.map_or("shared memory".into(), |o| fit_middle(&printable(&o.label), 24))
}

/// The first byte that differs, and the bytes from there to the last that does. Fresh memory is all zeros.
fn change<'a>(before: &[u8], now: &'a [u8]) -> Option<(usize, &'a [u8])> {
    let differs = |i: &usize| before.get(*i).copied().unwrap_or(0) != now[*i];
    let first = (0..now.len()).find(differs)?;
    let last = (0..now.len()).rev().find(differs)?;
    Some((first, &now[first..=last]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_what_lies_between_the_first_and_the_last_byte_that_differ() {
        assert_eq!(change(&[], &[0, 0]), None);
        assert_eq!(change(&[], &[0, 7, 0, 9, 0]), Some((1, &[7, 0, 9][..])));
        assert_eq!(change(&[1, 2], &[1, 3]), Some((1, &[3][..])));
    }
}

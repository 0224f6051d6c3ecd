//! Where labels go: no two texts overlap, and no leader runs through a text.

/// Height of a row of labels.
pub(super) const ROW: f64 = 17.0;
/// Space between the leader of a label and its text, and after the text.
const GAP: f64 = 5.0;
/// A band has no more rows than this; labels beyond are left to the table.
pub(super) const MOST_ROWS: usize = 7;

/// A label with a leader at its left edge, above or below a lane.
#[derive(Clone, Debug)]
pub(super) struct Flag {
    /// Where its leader stands.
    pub x: f64,
    /// Width of the text.
    pub width: f64,
    /// Row, 0 next to the lane; `None` where there was no room.
    pub row: Option<usize>,
}

impl Flag {
    /// A flag that has no row yet.
    pub fn new(x: f64, text_width: f64) -> Flag {
        Flag { x, width: text_width + 2.0 * GAP, row: None }
    }
}

/// Gives each flag the lowest row in which its text meets neither another text nor another leader.
/// Where there are too many, those earlier in `order` (indices into `flags`) win.
pub(super) fn place(flags: &mut [Flag], order: &[usize]) -> usize {
    let mut chosen: Vec<usize> = Vec::new();
    for index in order {
        chosen.push(*index);
        if !fits(flags, &chosen) {
            chosen.pop();
        }
    }
    let rows = stack(flags, &chosen);
    rows.into_iter()
        .flatten()
        .map(|(index, row)| {
            flags[index].row = Some(row);
            row + 1
        })
        .max()
        .unwrap_or(0)
}

fn fits(flags: &[Flag], chosen: &[usize]) -> bool {
    stack(flags, chosen).is_some()
}

/// From right to left: a label must lie above all leaders that stand in its text, so the leftmost lies highest.
fn stack(flags: &[Flag], chosen: &[usize]) -> Option<Vec<(usize, usize)>> {
    let mut sorted = chosen.to_vec();
    sorted.sort_by(|a, b| flags[*b].x.total_cmp(&flags[*a].x).then(b.cmp(a)));
    let mut placed: Vec<(usize, usize)> = Vec::new();
    for index in sorted {
        let flag = &flags[index];
        let under = placed.iter().filter(|(other, _)| flags[*other].x < flag.x + flag.width);
        let row = under.map(|(_, row)| row + 1).max().unwrap_or(0);
        if row >= MOST_ROWS {
            return None;
        }
        placed.push((index, row));
    }
    Some(placed)
}

/// Width of text in a proportional typeface of this size: that of DejaVu Sans, the widest in common use.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().map(em).sum::<f64>() * size
}

/// Width of text in a monospaced typeface of this size.
pub(super) fn mono_width(text: &str, size: f64) -> f64 {
    super::readable::cells(text) as f64 * 0.61 * size
}

fn em(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '\'' | 'I' | 'J' => 0.3,
        ' ' | ',' | '.' | ':' | ';' | '/' | '\\' | '|' => 0.34,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '!' | '-' | '·' => 0.41,
        's' | 'z' | 'c' | '"' | '?' | '_' | '*' => 0.56,
        'm' | 'W' | '%' | '@' | '…' | '—' => 1.0,
        'w' | 'M' | 'O' | 'Q' | 'G' | 'D' | 'N' | '+' | '=' | '<' | '>' | '#' | '~' | '×' | '→' | '←' | '✗' | '&' => {
            0.86
        }
        'A'..='Z' => 0.7,
        c if c.is_ascii() => 0.64,
        c if super::readable::cells(c.encode_utf8(&mut [0; 4])) == 2 => 1.1,
        _ => 0.8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowded_labels_never_overlap_and_are_never_crossed() {
        let mut seed = 7u64;
        let mut random = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        for _ in 0..200 {
            let mut flags: Vec<Flag> = (0..40).map(|_| Flag::new(random(900) as f64, random(150) as f64)).collect();
            let order: Vec<usize> = (0..flags.len()).collect();
            let rows = place(&mut flags, &order);
            assert!(rows <= MOST_ROWS);
            for (i, a) in flags.iter().enumerate() {
                for b in flags.iter().skip(i + 1) {
                    let (Some(ra), Some(rb)) = (a.row, b.row) else { continue };
                    let (left, lrow, right, rrow) = if a.x <= b.x { (a, ra, b, rb) } else { (b, rb, a, ra) };
                    let meets = right.x < left.x + left.width;
                    assert!(!meets || lrow != rrow, "texts overlap: {left:?} {right:?}");
                    assert!(!meets || rrow < lrow || right.x == left.x, "leader through text: {left:?} {right:?}");
                }
            }
        }
    }
}

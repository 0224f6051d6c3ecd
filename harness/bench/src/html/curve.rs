//! Throughput by block size, as a picture.

use maud::{Markup, html};

use crate::format::{bytes, significant};
use crate::report::{Group, ResultRow};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 38.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 32.0;

/// The curve of the plain reads, with mapping as a level to compare with;
/// `None` with fewer than three sizes.
pub fn by_block_size(group: &Group<'_>) -> Option<Markup> {
    let mut points: Vec<&ResultRow> =
        group.rows.iter().copied().filter(|row| !row.again && is_plain(&row.strategy)).collect();
    points.sort_by_key(|row| row.block_bytes);
    points.dedup_by_key(|row| row.block_bytes);
    if points.len() < 3 {
        return None;
    }
    let level = group.rows.iter().find(|row| row.strategy == "mmap" || row.strategy == "mmap_both");
    let gib = |bytes_per_second: f64| bytes_per_second / (1u64 << 30) as f64;
    let of = |row: &ResultRow, ns: f64| gib(row.bytes as f64 / ns * 1e9);
    let most = points
        .iter()
        .map(|row| of(row, row.wall_ns.low))
        .chain(level.map(|row| gib(row.bytes_per_second)))
        .fold(0.0, f64::max)
        * 1.08;
    let (first, last) = (log2(points.first()?), log2(points.last()?));
    let x = |row: &ResultRow| LEFT + (log2(row) - first) / (last - first) * (WIDTH - LEFT - RIGHT - 20.0) + 10.0;
    let y = |gib: f64| HEIGHT - BOTTOM - gib.min(most) / most * (HEIGHT - TOP - BOTTOM);
    let path: Vec<String> =
        points.iter().map(|row| format!("{:.1},{:.1}", x(row), y(gib(row.bytes_per_second)))).collect();
    let ticks = ticks(most);
    Some(html! {
        figure {
            h3 { "Block size" }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label="Throughput by block size" {
                @for tick in &ticks {
                    line.axis x1=(LEFT) x2=(WIDTH - RIGHT) y1=(at(y(*tick))) y2=(at(y(*tick))) {}
                    text x=(LEFT - 5.0) y=(at(y(*tick) + 4.0)) text-anchor="end" { (significant(*tick).trim_end_matches('0').trim_end_matches('.')) }
                }
                @if let Some(row) = level {
                    @let height = y(gib(row.bytes_per_second));
                    line.level x1=(LEFT) x2=(WIDTH - RIGHT) y1=(at(height)) y2=(at(height)) {}
                    text.level-name x=(LEFT + 4.0) y=(at(height - 5.0)) { (row.strategy) }
                }
                polyline.curve points=(path.join(" ")) {}
                @for row in &points {
                    line.error x1=(at(x(row))) x2=(at(x(row))) y1=(at(y(of(row, row.wall_ns.low)))) y2=(at(y(of(row, row.wall_ns.high)))) {}
                    circle.dot cx=(at(x(row))) cy=(at(y(gib(row.bytes_per_second)))) r="4" {}
                    text x=(at(x(row))) y=(HEIGHT - BOTTOM + 17.0) text-anchor="middle" {
                        (bytes(row.block_bytes.unwrap_or(0)))
                    }
                }
                text x="2" y="10" { "GiB/s" }
            }
            figcaption { "Plain calls by the bytes asked for at a time; the dashed level is mapping." }
        }
    })
}

fn is_plain(name: &str) -> bool {
    let size = name.strip_prefix("read_write_").or_else(|| name.strip_prefix("read_"));
    size.is_some_and(|size| size.ends_with(['k', 'm']) && size[..size.len() - 1].bytes().all(|b| b.is_ascii_digit()))
}

fn log2(row: &ResultRow) -> f64 {
    (row.block_bytes.unwrap_or(1).max(1) as f64).log2()
}

fn at(value: f64) -> String {
    format!("{value:.1}")
}

/// Three to six round numbers from 0 to `most`.
fn ticks(most: f64) -> Vec<f64> {
    let rough = most / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|f| f * power).find(|step| *step >= rough).unwrap_or(rough);
    (0..).map(|i| f64::from(i) * step).take_while(|tick| *tick <= most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round() {
        assert_eq!(ticks(10.0), [0.0, 5.0, 10.0]);
        assert_eq!(ticks(27.0), [0.0, 10.0, 20.0]);
        assert_eq!(ticks(1.7), [0.0, 0.5, 1.0, 1.5]);
    }

    #[test]
    fn only_plain_calls_are_on_the_curve() {
        assert!(is_plain("read_64k") && is_plain("read_write_1m"));
        assert!(!is_plain("read_write_1m_allocated") && !is_plain("pread_256k") && !is_plain("mmap"));
    }
}

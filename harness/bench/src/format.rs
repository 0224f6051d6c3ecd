//! Quantities as a person reads them.

/// `1536` → "1.50 KiB".
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value.fract() == 0.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{} {}", significant(value), UNITS[unit])
    }
}

/// Nanoseconds with the unit that suits them: "118 ns", "4.03 µs", "34.8 ms".
pub fn nanoseconds(ns: f64) -> String {
    let (value, unit) = match ns.abs() {
        v if v < 1e3 => (ns, "ns"),
        v if v < 1e6 => (ns / 1e3, "\u{b5}s"),
        v if v < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    format!("{} {unit}", significant(value))
}

/// Bytes a second as GiB/s or MiB/s.
pub fn throughput(bytes_per_second: f64) -> String {
    let gib = bytes_per_second / (1u64 << 30) as f64;
    if gib >= 1.0 {
        format!("{} GiB/s", significant(gib))
    } else {
        format!("{} MiB/s", significant(bytes_per_second / (1u64 << 20) as f64))
    }
}

/// Three significant digits, without an exponent.
pub fn significant(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// "no trial", "1 trial", "2 trials".
pub fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_take_the_unit_that_suits_them() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.50 KiB");
        assert_eq!(bytes(256 << 20), "256 MiB");
        assert_eq!(nanoseconds(118.0), "118 ns");
        assert_eq!(nanoseconds(4030.0), "4.03 \u{b5}s");
        assert_eq!(throughput(2.0 * (1u64 << 30) as f64), "2.00 GiB/s");
        assert_eq!([0, 1, 2].map(|n| counted(n, "pair")), ["no pair", "1 pair", "2 pairs"]);
        assert_eq!(throughput(512.0 * (1u64 << 20) as f64), "512 MiB/s");
    }
}

//! Quantities as they are typed: sizes, times, and parts of a whole.

use std::time::Duration;

/// The K-th of N parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub part: u64,
    /// How many there are.
    pub of: u64,
}

/// `256M`, `1GiB`, `4096` → bytes. Units are powers of 1024 whichever way they are written.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| "a size is a number with an optional unit: 4096, 256M, 1GiB".to_owned())?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        other => return Err(format!("\u{201c}{other}\u{201d} is no unit; use K, M, G or T")),
    };
    number.checked_mul(1 << shift).ok_or_else(|| "more bytes than a file can have".to_owned())
}

/// `3/8` → the third of eight parts.
pub fn parse_shard(text: &str) -> Result<Shard, String> {
    let form = || "a shard is K/N with 1 ≤ K ≤ N, such as 1/4".to_owned();
    let (part, of) = text.split_once('/').ok_or_else(form)?;
    let part: u64 = part.parse().map_err(|_| form())?;
    let of: u64 = of.parse().map_err(|_| form())?;
    if part == 0 || part > of { Err(form()) } else { Ok(Shard { part, of }) }
}

/// `2.5` or `2.5s`.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.trim_end_matches('s').parse().map_err(|_| "a number of seconds is expected".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && seconds < 86_400.0 => Ok(duration),
        _ => Err("between 0 and 86400 seconds are possible".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_the_usual_units() {
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("256M"), Ok(256 << 20));
        assert_eq!(parse_size("1GiB"), Ok(1 << 30));
        assert!(parse_size("").is_err());
        assert!(parse_size("M").is_err());
        assert!(parse_size("1X").is_err());
        assert!(parse_size("-1").is_err());
        assert!(parse_size("18446744073709551615K").is_err());
    }

    #[test]
    fn shards_count_from_one() {
        assert_eq!(parse_shard("1/1"), Ok(Shard { part: 1, of: 1 }));
        for bad in ["0/0", "0/4", "5/4", "1", "a/b", "1/", "/1", "-1/2"] {
            assert!(parse_shard(bad).is_err(), "{bad}");
        }
    }
}

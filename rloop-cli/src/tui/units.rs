//! How numbers are written: three digits, unit behind, `-` for no data.

use crate::model::Percent;

/// A duration.
pub fn ns(value: Option<u64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(ns) if ns < 1_000 => format!("{ns} ns"),
        Some(ns) if ns < 999_500 => scaled(ns as f64 / 1e3, "us"),
        Some(ns) if ns < 999_500_000 => scaled(ns as f64 / 1e6, "ms"),
        Some(ns) => scaled(ns as f64 / 1e9, "s"),
    }
}

/// A size, in powers of 1024.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = value as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    scaled(value, UNITS[unit])
}

/// A place in a file: exact, for as long as it can be read.
pub fn offset(value: u64) -> String {
    const READABLE: u64 = 10_000_000_000;
    // Half of one takes two letters more.
    const READABLE_HALF: u64 = READABLE / 10;
    let (whole, rest) = (value / 1024, value % 1024);
    match (rest, whole) {
        (0, 0) => "0 B".to_owned(),
        (0, ..READABLE) => format!("{} KiB", thousands(whole)),
        (1.., 0..1024) => format!("{} B", thousands(value)),
        (512, ..READABLE_HALF) => format!("{}.5 KiB", thousands(whole)),
        _ => bytes(value),
    }
}

fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count or a rate, in powers of 1000.
pub fn count(value: f64) -> String {
    match value {
        v if v < 999.5 => format!("{v:.0}"),
        v if v < 999_500.0 => scaled(v / 1e3, "k").replace(' ', ""),
        v => scaled(v / 1e6, "M").replace(' ', ""),
    }
}

/// A share of 1.
pub fn percent(value: Option<f64>) -> String {
    match value.map(Percent::of) {
        None => "-".to_owned(),
        Some(Percent::Below1) => "<1%".to_owned(),
        Some(Percent::About(percent)) => format!("{percent}%"),
        Some(Percent::Above99) => ">99%".to_owned(),
    }
}

fn scaled(value: f64, unit: &str) -> String {
    if value >= 99.95 || value == value.trunc() && value < 10.0 {
        format!("{value:.0} {unit}")
    } else if value >= 9.995 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.2} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        assert_eq!(ns(None), "-");
        assert_eq!(ns(Some(0)), "0 ns");
        assert_eq!(ns(Some(1_234)), "1.23 us");
        assert_eq!(ns(Some(45_678_000)), "45.7 ms");
        assert_eq!(ns(Some(999_499)), "999 us");
        assert_eq!(ns(Some(999_500)), "1.00 ms");
        assert_eq!(ns(Some(999_999_999)), "1.00 s");
        assert_eq!(ns(Some(2_000_000_000)), "2 s");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1.00 KiB");
        assert_eq!(bytes(4096), "4 KiB");
        assert_eq!(bytes(150 << 20), "150 MiB");
        assert_eq!(offset(0), "0 B");
        assert_eq!(offset(131_104 << 10), "131,104 KiB");
        assert_eq!(offset(4096 + 512), "4,608 B");
        assert_eq!(offset((311_296 << 10) + 512), "311,296.5 KiB");
        assert_eq!(offset(9_999_999_999 << 10), "9,999,999,999 KiB");
        assert_eq!(offset(20 << 40), "20.0 TiB");
        assert_eq!(count(12.0), "12");
        assert_eq!(count(82_345.0), "82.3k");
        assert_eq!(percent(Some(0.994)), "99%");
        assert_eq!(percent(Some(0.9999)), ">99%");
        assert_eq!(percent(Some(0.0001)), "<1%");
        assert_eq!([0.0, 1.0].map(Some).map(percent), ["0%", "100%"]);
    }
}

//! Sizes as losetup takes them.

/// The letters, each 1024 times (or 1000 times) the one before.
const LETTERS: &str = "KMGTPE";

/// A number of bytes: plain, or with a suffix. `K` and `KiB` are 1024, `KB` is 1000; a fraction is
/// allowed where it comes to whole bytes.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit(suffix).ok_or(
        "the suffix must be K, M, G, T, P or E, KiB and so on (1024), or KB and so on (1000)",
    )?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}").parse::<u128>().ok();
    let digits = digits.filter(|_| !number.ends_with('.'));
    let digits = digits.ok_or("not a size, such as 4096, 4K or 1.5GiB")?;
    let scale = 10_u128.checked_pow(fraction.len() as u32);
    let bytes = digits.checked_mul(unit).zip(scale);
    let (bytes, scale) = bytes.ok_or("larger than any file")?;
    if bytes % scale != 0 {
        return Err("not a whole number of bytes".into());
    }
    i64::try_from(bytes / scale)
        .map(|bytes| bytes as u64)
        .map_err(|_| "larger than any file".into())
}

/// A size that is not 0.
pub(super) fn parse_some(text: &str) -> Result<u64, String> {
    match parse(text)? {
        0 => Err("must be larger than 0".into()),
        bytes => Ok(bytes),
    }
}

/// A block size.
pub(super) fn parse_block(text: &str) -> Result<u32, String> {
    match parse(text)? {
        bytes @ (512 | 1024 | 2048 | 4096) => Ok(bytes as u32),
        _ => Err("must be 512, 1024, 2048 or 4096".into()),
    }
}

fn unit(suffix: &str) -> Option<u128> {
    let mut rest = suffix.chars();
    let Some(letter) = rest.next() else {
        return Some(1);
    };
    let power = 1 + LETTERS.find(letter.to_ascii_uppercase())? as u32;
    match rest.as_str() {
        "" | "iB" => Some(1024_u128.pow(power)),
        "B" => Some(1000_u128.pow(power)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_those_of_losetup() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4K", 4096),
            ("4k", 4096),
            ("4KiB", 4096),
            ("4KB", 4000),
            ("1M", 1 << 20),
            ("1.5GiB", 3 << 29),
            ("2TB", 2_000_000_000_000),
            ("7E", 7 << 60),
            ("0.5K", 512),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "K",
            "-1",
            "1X",
            "1Kb",
            "1KiBB",
            "4 K",
            "8E",
            "0.0001K",
            "1.",
            "1e3",
            "0x10",
            "99999999999999999999999999999999999999999",
            "1.2.3",
            "0.00000000000000000000000000000000000000000001E",
        ] {
            assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
        }
        assert!(parse_some("0").is_err());
        assert!(parse_block("8K").is_err() && parse_block("513").is_err());
        assert_eq!(parse_block("4K"), Ok(4096));
    }
}

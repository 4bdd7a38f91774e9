//! Shares in percent.

use std::fmt;

/// A share in whole percent: never 0 of what is not nothing, or 100 of what is not all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Percent {
    /// Less than one, and not nothing.
    Below1,
    /// So many.
    About(f64),
    /// More than 99, and not all.
    Above99,
}

impl Percent {
    /// Of a share of 1.
    pub fn of(share: f64) -> Self {
        match share {
            share if share > 0.0 && share < 0.005 => Self::Below1,
            share if (0.995..1.0).contains(&share) => Self::Above99,
            share => Self::About((share * 100.0).round()),
        }
    }
}

/// As it stands in a sentence.
impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below1 => f.write_str("less than 1%"),
            Self::About(percent) => write!(f, "{percent}%"),
            Self::Above99 => f.write_str("over 99%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_nothing_nor_all_is_not_said_to_be() {
        let told = |share| Percent::of(share).to_string();
        assert_eq!([0.0, 1.0].map(told), ["0%", "100%"]);
        assert_eq!([0.0001, 0.9999].map(told), ["less than 1%", "over 99%"]);
        assert_eq!([0.005, 0.5, 0.994].map(told), ["1%", "50%", "99%"]);
    }
}

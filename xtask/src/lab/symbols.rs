//! The proof that a module and a kernel agree on symbols. Debian's kernels keep no versions of
//! them, but a Rust symbol carries a hash of its crate: another source, configuration or compiler
//! gives another name.

use std::collections::HashSet;

use anyhow::{Result, bail};

/// How many symbols a module wants from the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Symbols {
    pub(super) rust: usize,
    pub(super) other: usize,
}

impl Symbols {
    /// Looks each wanted symbol, one a line, up in the text of a Module.symvers.
    pub(super) fn check(wanted: &str, symvers: &str) -> Result<Self> {
        // Checksum, name, where it is, kind of export.
        let names = symvers
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1));
        let exported: HashSet<&str> = names.collect();
        let wanted: Vec<&str> = wanted.split_whitespace().collect();
        let missing: Vec<&str> = wanted
            .iter()
            .filter(|name| !exported.contains(*name))
            .copied()
            .collect();
        if !missing.is_empty() {
            bail!(
                "the kernel does not export {} of {} symbols: {}",
                missing.len(),
                wanted.len(),
                missing.join(" ")
            );
        }
        let rust = wanted.iter().filter(|name| name.starts_with("_R")).count();
        let other = wanted.len() - rust;
        Ok(Self { rust, other })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYMVERS: &str = "0x00000000\t_RNvNtCs6H_4core9panicking5panic\tvmlinux\tEXPORT_SYMBOL_GPL\t\n\
                           0x00000000\tkfree\tvmlinux\tEXPORT_SYMBOL\t\n";

    #[test]
    fn a_symbol_of_another_crate_hash_is_missing() {
        let symbols = Symbols::check("kfree\n_RNvNtCs6H_4core9panicking5panic\n", SYMVERS);
        assert_eq!(
            symbols.expect("both are there"),
            Symbols { rust: 1, other: 1 }
        );
        let error = Symbols::check("_RNvNtCs7X_4core9panicking5panic\n", SYMVERS)
            .expect_err("the hash differs");
        assert!(
            error
                .to_string()
                .contains("_RNvNtCs7X_4core9panicking5panic")
        );
    }
}

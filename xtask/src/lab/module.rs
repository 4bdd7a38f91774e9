//! The module, built against the stock kernel.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::chroot::succeed;
use super::folder::Folder;
use super::symbols::Symbols;
use crate::{build_folder, output_of, root};

/// The module's source, seen from the checkout's folder.
const SOURCE: &str = "kernel-module";

/// A module that the stock kernel takes.
pub(super) struct Module {
    path: PathBuf,
    release: String,
    symbols: Symbols,
}

impl Module {
    /// The file to load.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.path.metadata().map_or(0, |stat| stat.len());
        let (rust, other) = (self.symbols.rust, self.symbols.other);
        write!(
            f,
            "{}: {bytes} bytes; kernel {} exports all its {rust} Rust and {other} other symbols",
            self.path.display(),
            self.release
        )
    }
}

/// Builds the module and makes sure that the kernel has what it wants. `None`: there is no source.
pub(super) fn build(folder: &Folder) -> Result<Option<Module>> {
    let source = root().join(SOURCE);
    if !source.join("Kbuild").exists() {
        return Ok(None);
    }
    let release = folder.release().to_owned();
    let products = build_folder()?.join("lab/module");
    fs::create_dir_all(&products)?;
    let chroot = folder
        .chroot()
        .bind(source, "/lab/module")
        .bind(&products, "/lab/build");
    let mut make = folder.kernel().make(&chroot);
    succeed(make.args(["M=/lab/module", "MO=/lab/build", "modules"]))
        .with_context(|| format!("{SOURCE} does not build against kernel {release}"))?;
    let mut nm = chroot.command("nm");
    let wanted = output_of(nm.args(["--undefined-only", "--just-symbols", "/lab/build/rloop.ko"]))?;
    let exported = chroot
        .outside(&folder.kernel().headers())
        .join("Module.symvers");
    let exported = fs::read_to_string(&exported)
        .with_context(|| format!("could not read {}", exported.display()))?;
    let symbols = Symbols::check(&wanted, &exported)
        .with_context(|| format!("rloop.ko does not fit kernel {release}"))?;
    let magic = |file: &str| output_of(chroot.command("modinfo").args(["-F", "vermagic", file]));
    let stock = format!("/lib/modules/{release}/kernel/drivers/block/loop.ko.xz");
    let (ours, stock) = (magic("/lab/build/rloop.ko")?, magic(&stock)?);
    if ours != stock {
        bail!("rloop.ko is for \"{ours}\", the kernel's own modules are for \"{stock}\"");
    }
    let path = products.join("rloop.ko");
    Ok(Some(Module {
        path,
        release,
        symbols,
    }))
}

//! The module, built against the folder's kernel.

use std::fmt;
use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::chroot::{Chroot, succeed};
use super::folder::Folder;
use super::symbols::Symbols;
use crate::{build_folder, output_of, root};

/// The module's source, seen from the checkout's folder.
const SOURCE: &str = "kernel-module";

/// A module that the folder's kernel takes.
pub(super) struct Module {
    path: PathBuf,
    content: Vec<u8>,
    release: String,
    symbols: Symbols,
}

impl Module {
    /// What to load. Another build may have changed the file meanwhile.
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rust, other) = (self.symbols.rust, self.symbols.other);
        write!(
            f,
            "{}: {} bytes; kernel {} exports all its {rust} Rust and {other} other symbols",
            self.path.display(),
            self.content.len(),
            self.release
        )
    }
}

/// Builds the module and makes sure that the kernel has what it wants.
pub(super) fn build(folder: &Folder) -> Result<Module> {
    let place = Place::new(folder, if folder.is_debug() { "debug" } else { "module" })?;
    let release = folder.release().to_owned();
    place.make(folder, &["modules"])?;
    let wanted = output_of(
        place
            .chroot
            .command("nm")
            .args(["-u", "-j", "/lab/build/rloop.ko"]),
    )?;
    let exported = symvers(folder)?;
    let symbols = Symbols::check(&wanted, &exported)
        .with_context(|| format!("rloop.ko does not fit kernel {release}"))?;
    if !folder.is_debug() {
        same_magic(&place.chroot, &release)?;
    }
    let path = place.products.join("rloop.ko");
    let content = fs::read(&path)?;
    Ok(Module {
        path,
        content,
        release,
        symbols,
    })
}

/// Runs clippy, which compiles as rustc does. A warning is an error.
pub(super) fn lint(folder: &Folder) -> Result<()> {
    let place = Place::new(folder, "lint")?;
    place.make(folder, &["CLIPPY=1", "KRUSTFLAGS=-Dwarnings", "modules"])
}

/// Where the module is built.
struct Place {
    products: PathBuf,
    chroot: Chroot,
    _lock: File,
}

impl Place {
    /// A folder of its own for each way to build, which nobody else uses meanwhile.
    fn new(folder: &Folder, name: &str) -> Result<Self> {
        let source = root().join(SOURCE);
        let lab = build_folder()?.join("lab");
        let products = lab.join(name);
        fs::create_dir_all(&products)?;
        let _lock = File::create(lab.join(format!("{name}.lock")))?;
        _lock.lock()?;
        let chroot = folder.chroot();
        let chroot = chroot
            .bind(source, "/lab/module")
            .bind(&products, "/lab/build");
        Ok(Self {
            products,
            chroot,
            _lock,
        })
    }

    fn make(&self, folder: &Folder, words: &[&str]) -> Result<()> {
        let mut make = folder.kernel().make(&self.chroot);
        succeed(make.args(["M=/lab/module", "MO=/lab/build"]).args(words)).with_context(|| {
            format!(
                "{SOURCE} does not build against kernel {}",
                folder.release()
            )
        })
    }
}

/// What the kernel exports: for the stock kernel, the list of Debian's build.
fn symvers(folder: &Folder) -> Result<String> {
    let path = if folder.is_debug() {
        folder.build()
    } else {
        folder.chroot().outside(&folder.kernel().headers())
    };
    let path = path.join("Module.symvers");
    fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))
}

/// The kernel takes only modules with its own version, compiler and options.
fn same_magic(chroot: &Chroot, release: &str) -> Result<()> {
    let magic = |file: &str| output_of(chroot.command("modinfo").args(["-F", "vermagic", file]));
    let stock = format!("/lib/modules/{release}/kernel/drivers/block/loop.ko.xz");
    let (ours, stock) = (magic("/lab/build/rloop.ko")?, magic(&stock)?);
    if ours != stock {
        bail!("rloop.ko is for \"{ours}\", the kernel's own modules are for \"{stock}\"");
    }
    Ok(())
}

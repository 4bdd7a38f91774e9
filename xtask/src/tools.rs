//! What building the probes needs beyond the stable toolchain: the source of core, and a linker.
//! Both are kept in the user's cache and made when they are missing.

use std::env::var_os;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{cargo, output_of, root, source, succeed};

/// The linker's version. It is built against the LLVM in rustc, so it goes with rustc's version.
const LINKER_VERSION: &str = "0.13.0";

/// The linker's feature for the LLVM of rustc 1.95.
const LINKER_LLVM: &str = "llvm-22";

/// The tools, all there.
pub(crate) struct Tools {
    /// Where rustc lies.
    sysroot: PathBuf,
    /// Where what we made lies.
    cache: PathBuf,
}

impl Tools {
    /// The tools if they are there.
    pub(crate) fn present() -> Option<Self> {
        let tools = Self::find().ok()?.0;
        (tools.linker().exists() && tools.library().join("core").exists()).then_some(tools)
    }

    /// The tools; what is missing is made.
    pub(crate) fn get() -> Result<Self> {
        let (tools, version) = Self::find()?;
        fs::create_dir_all(&tools.cache)
            .with_context(|| format!("could not make {}", tools.cache.display()))?;
        if !tools.library().join("core").exists() {
            source::get(&tools.sysroot, &tools.cache, &version)
                .context("could not get the source of core (rust-src)")?;
        }
        if !tools.linker().exists() {
            tools.build_linker().context("could not build bpf-linker")?;
        }
        Ok(tools)
    }

    fn find() -> Result<(Self, String)> {
        let mut rustc = Command::new("rustc");
        let sysroot = output_of(rustc.current_dir(root()).args(["--print", "sysroot"]))?;
        let mut rustc = Command::new("rustc");
        let version = output_of(rustc.current_dir(root()).arg("--version"))?;
        let version = version
            .split(' ')
            .nth(1)
            .context("rustc tells no version")?
            .to_owned();
        let key = format!("rust-{version}-bpf-linker-{LINKER_VERSION}");
        let cache = cache()?.join("tools").join(key);
        let sysroot = sysroot.into();
        Ok((Self { sysroot, cache }, version))
    }

    /// The linker's path.
    pub(crate) fn linker(&self) -> PathBuf {
        self.cache.join("bin/bpf-linker")
    }

    /// The folder with the source of core and its kin.
    pub(crate) fn library(&self) -> PathBuf {
        source::place(&self.sysroot).join("library")
    }

    /// Lets a command find the LLVM in rustc.
    pub(crate) fn on_library_path(&self, command: &mut Command) {
        let mut folders = vec![self.sysroot.join("lib")];
        let before = var_os("LD_LIBRARY_PATH").unwrap_or_default();
        folders
            .extend(std::env::split_paths(&before).filter(|folder| !folder.as_os_str().is_empty()));
        if let Ok(path) = std::env::join_paths(folders) {
            command.env("LD_LIBRARY_PATH", path);
        }
    }

    fn build_linker(&self) -> Result<()> {
        eprintln!("xtask: building bpf-linker {LINKER_VERSION}, once");
        // Its build looks for a library of this name, in a folder laid out as LLVM installs it.
        let prefix = self.cache.join("llvm");
        fs::create_dir_all(prefix.join("lib"))?;
        let link = prefix.join("lib/libLLVM.so");
        replace_link(&self.llvm()?, &link)?;
        let mut command = cargo();
        command
            .args([
                "install",
                "bpf-linker",
                "--version",
                LINKER_VERSION,
                "--locked",
                "--quiet",
            ])
            .args(["--no-default-features", "--features", LINKER_LLVM, "--root"])
            .arg(&self.cache)
            .env("LLVM_PREFIX", &prefix)
            .env("CARGO_TARGET_DIR", self.cache.join("build"));
        self.on_library_path(&mut command);
        succeed(&mut command)?;
        fs::remove_dir_all(self.cache.join("build"))?;
        Ok(())
    }

    /// The LLVM that rustc itself uses.
    fn llvm(&self) -> Result<PathBuf> {
        let folder = self.sysroot.join("lib");
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("libLLVM") && name.contains(".so") {
                return Ok(path);
            }
        }
        bail!("{} has no libLLVM", folder.display())
    }
}

/// The project's folder in the user's cache.
pub(crate) fn cache() -> Result<PathBuf> {
    let caches = var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .context("neither HOME nor XDG_CACHE_HOME is set")?;
    Ok(caches.join("rloop"))
}

/// Makes a symbolic link, in the place of one that may be there.
pub(crate) fn replace_link(to: &Path, link: &Path) -> Result<()> {
    if link.is_symlink() {
        fs::remove_file(link)?;
    }
    symlink(to, link).with_context(|| format!("could not make the link {}", link.display()))
}

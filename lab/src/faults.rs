//! Failures that the debug kernel makes: of memory, and of I/O to a disk.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

const DEBUG: &str = "/sys/kernel/debug";
/// Memory of the slab allocator, pages, and I/O to disks that were chosen.
pub(crate) const MEMORY: [&str; 2] = ["failslab", "fail_page_alloc"];
pub(crate) const DISK: [&str; 1] = ["fail_make_request"];

/// Whether this kernel makes any.
pub(crate) fn are_there() -> bool {
    Path::new(DEBUG).join(MEMORY[0]).exists()
}

/// Some of what the chosen tasks ask for fails, until this goes.
pub(crate) struct Faults {
    kinds: Vec<&'static str>,
    /// Files that say who or what was chosen.
    chosen: Vec<PathBuf>,
}

impl Faults {
    /// So many of a hundred, of these kinds. Nobody is chosen yet.
    pub(crate) fn begin(kinds: &[&'static str], percent: u32) -> Result<Self> {
        let faults = Self {
            kinds: kinds.to_vec(),
            chosen: Vec::new(),
        };
        for kind in kinds {
            set(kind, "task-filter", "Y")?;
            set(kind, "times", "-1")?;
            set(kind, "probability", &percent.to_string())?;
        }
        Ok(faults)
    }

    /// The workers that belong to no processor, as the module's do.
    pub(crate) fn of_workers(mut self) -> Result<Self> {
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            // It may be gone.
            let says = |file| fs::read_to_string(path.join(file)).unwrap_or_default();
            let name = says("comm");
            // Only a program has a command line, as this one, whose name is like the workers'.
            let is_program = !says("cmdline").is_empty();
            if !is_program && (name.starts_with("kworker/u") || name.contains("rloop")) {
                let _ = self.choose(path.join("make-it-fail"));
            }
        }
        Ok(self)
    }

    /// This process, and threads that it starts from now on, where they use this disk.
    pub(crate) fn of_process_on(mut self, disk: &Path) -> Result<Self> {
        self.choose("/proc/self/make-it-fail".into())?;
        let name = disk.file_name().context("the disk has no name")?;
        self.choose(Path::new("/sys/block").join(name).join("make-it-fail"))?;
        Ok(self)
    }

    fn choose(&mut self, file: PathBuf) -> Result<()> {
        fs::write(&file, "1").with_context(|| format!("{} takes nothing", file.display()))?;
        self.chosen.push(file);
        Ok(())
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        for kind in &self.kinds {
            if let Err(error) = set(kind, "probability", "0") {
                println!("{error:#}");
            }
        }
        for file in &self.chosen {
            // A worker may be gone.
            let _ = fs::write(file, "0");
        }
    }
}

/// Makes all memory that may be waited for able to fail too. Nothing is said of each failure.
pub(crate) fn prepare() -> Result<()> {
    for kind in MEMORY {
        set(kind, "ignore-gfp-wait", "N")?;
    }
    set("fail_page_alloc", "min-order", "0")?;
    for kind in MEMORY.into_iter().chain(DISK) {
        set(kind, "verbose", "0")?;
    }
    Ok(())
}

/// Lets the `number`th thing fail that this thread asks for from now on and that can. Whether there was one.
pub(crate) fn fail_nth<T>(number: u32, act: impl FnOnce() -> T) -> Result<(T, bool)> {
    let mut options = File::options();
    let counter = options
        .read(true)
        .write(true)
        .open("/proc/thread-self/fail-nth")
        .context("this kernel cannot count failures")?;
    let mut left = [0; 16];
    counter.write_at(number.to_string().as_bytes(), 0)?;
    let done = act();
    // Nothing that could fail lies between.
    let length = counter.read_at(&mut left, 0)?;
    counter.write_at(b"0", 0)?;
    Ok((done, std::str::from_utf8(&left[..length])?.trim() == "0"))
}

/// Lets the kernel look for memory that was lost; what it finds is judged after the test.
pub(crate) fn look_for_leaks() -> Result<()> {
    /// Younger ones are not looked at; and what a first look finds, a second one confirms.
    const YOUNG: std::time::Duration = std::time::Duration::from_secs(6);
    for _ in 0..2 {
        std::thread::sleep(YOUNG);
        fs::write(Path::new(DEBUG).join("kmemleak"), "scan")?;
    }
    Ok(())
}

fn set(kind: &str, attribute: &str, value: &str) -> Result<()> {
    fs::write(Path::new(DEBUG).join(kind).join(attribute), value)
        .with_context(|| format!("{kind} does not take {attribute}={value}"))
}

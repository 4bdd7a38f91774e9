//! What people do to the files of a filesystem, at random, with a copy in memory to compare with.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::direct;
use crate::random::Random;

/// How many files there are at most, and how long they may become, in bytes.
const FILES: u64 = 40;
const LONGEST: u64 = 300_000;

/// Files, and what has to be in them.
pub(crate) struct Churn {
    random: Random,
    files: BTreeMap<String, Vec<u8>>,
}

impl Churn {
    /// No files yet.
    pub(crate) fn new(seed: u64) -> Self {
        let (random, files) = (Random::new(seed, 0), BTreeMap::new());
        Self { random, files }
    }

    /// Does so many things in a folder.
    pub(crate) fn run(&mut self, folder: &Path, operations: u64) -> Result<()> {
        for _ in 0..operations {
            let name = format!("{}", self.random.below(FILES));
            let path = folder.join(&name);
            match self.random.below(10) {
                0..=4 => self.write(name, &path)?,
                5 => self.cut(&name, &path)?,
                6 => self.punch(&name, &path)?,
                7 => self.rename(&name, folder)?,
                8 => self.remove(&name, &path)?,
                _ => self.sync_and_check(&name, &path)?,
            }
        }
        Ok(())
    }

    fn write(&mut self, name: String, path: &Path) -> Result<()> {
        const LARGEST: u64 = 50_000;
        let content = self.files.entry(name).or_default();
        let offset = self.random.below(LONGEST - LARGEST) as usize;
        let bytes = vec![self.random.next() as u8 | 1; self.random.below(LARGEST) as usize];
        let end = offset + bytes.len();
        content.resize(content.len().max(end), 0);
        content[offset..end].copy_from_slice(&bytes);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.write_all_at(&bytes, offset as u64)?;
        if bytes.is_empty() {
            file.set_len(content.len() as u64)?;
        }
        Ok(())
    }

    fn cut(&mut self, name: &str, path: &Path) -> Result<()> {
        if let Some(content) = self.files.get_mut(name) {
            content.resize(self.random.below(LONGEST) as usize, 0);
            File::options()
                .write(true)
                .open(path)?
                .set_len(content.len() as u64)?;
        }
        Ok(())
    }

    fn punch(&mut self, name: &str, path: &Path) -> Result<()> {
        if let Some(content) = self
            .files
            .get_mut(name)
            .filter(|content| !content.is_empty())
        {
            let start = self.random.below(content.len() as u64);
            let end = start + 1 + self.random.below(content.len() as u64 - start);
            content[start as usize..end as usize].fill(0);
            direct::punch(&File::options().write(true).open(path)?, start, end - start)?;
        }
        Ok(())
    }

    fn rename(&mut self, name: &str, folder: &Path) -> Result<()> {
        if let Some(content) = self.files.remove(name) {
            let new = format!("{}", self.random.below(FILES));
            fs::rename(folder.join(name), folder.join(&new))?;
            self.files.insert(new, content);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str, path: &Path) -> Result<()> {
        if self.files.remove(name).is_some() {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    fn sync_and_check(&mut self, name: &str, path: &Path) -> Result<()> {
        if let Some(content) = self.files.get(name) {
            let file = File::open(path)?;
            file.sync_all()?;
            ensure!(
                fs::read(path)? == *content,
                "the file {name} does not hold what was written"
            );
        }
        Ok(())
    }

    /// All files are there, hold what they have to, and there are no others.
    pub(crate) fn check(&self, folder: &Path) -> Result<()> {
        for (name, content) in &self.files {
            let read = fs::read(folder.join(name)).with_context(|| format!("the file {name}"))?;
            ensure!(
                read == *content,
                "the file {name} does not hold what was written"
            );
        }
        let there: Vec<PathBuf> = fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        ensure!(
            there.len() == self.files.len(),
            "there are files that nobody made: {there:?}"
        );
        Ok(())
    }
}

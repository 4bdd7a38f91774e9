//! Names of cgroups: the kernel and the probes know them by number, people by path.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::mounts::Mounts;

/// Paths by number. A cgroup keeps both for life, so what was found once stays found, also when the
/// cgroup is gone by now.
#[derive(Debug, Default)]
pub struct Cgroups {
    /// Where the cgroup filesystem (of version 2) is mounted.
    root: Option<PathBuf>,
    /// `None` for those that were gone before they were looked for.
    paths: HashMap<u64, Option<String>>,
}

impl Cgroups {
    /// Of the first cgroup filesystem among these mounts; with none, all stay without a path.
    pub fn new(mounts: &Mounts) -> Self {
        Self {
            root: mounts.by_fs("cgroup2").map(|mount| mount.target.clone()),
            paths: HashMap::new(),
        }
    }

    /// The path of a cgroup, from the root of the cgroup filesystem that is seen here.
    pub fn path(&mut self, id: u64) -> Option<&str> {
        if !self.paths.contains_key(&id) {
            if let Some(root) = self.root.clone() {
                self.walk(&root, "");
            }
            // Gone. It is not looked for again: numbers are not used twice.
            self.paths.entry(id).or_default();
        }
        self.paths.get(&id)?.as_deref()
    }

    /// Learns the cgroups in `folder` and below. What goes away meanwhile is left out.
    fn walk(&mut self, folder: &Path, path: &str) {
        if path.is_empty()
            && let Ok(stat) = fs::metadata(folder)
        {
            self.paths.insert(stat.ino(), Some("/".to_owned()));
        }
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let path = format!("{path}/{}", entry.file_name().to_string_lossy());
            self.walk(&entry.path(), &path);
            self.paths.insert(entry.ino(), Some(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_has_the_path_of_its_folder_and_keeps_it() {
        let tree = tempfile::tempdir().expect("a folder");
        let inner = tree.path().join("user.slice/app.service");
        fs::create_dir_all(&inner).expect("made");
        let number = |path: &Path| fs::metadata(path).expect("there").ino();
        let (root, id) = (number(tree.path()), number(&inner));
        let mut cgroups = Cgroups {
            root: Some(tree.path().to_owned()),
            paths: HashMap::new(),
        };
        assert_eq!(cgroups.path(id), Some("/user.slice/app.service"));
        assert_eq!(cgroups.path(root), Some("/"));
        fs::remove_dir(&inner).expect("removed");
        assert_eq!(cgroups.path(id), Some("/user.slice/app.service"));
        assert_eq!(cgroups.path(u64::MAX), None);
        assert_eq!(Cgroups::default().path(id), None);
    }
}

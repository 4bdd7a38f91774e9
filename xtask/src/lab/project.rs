//! What a guest gets of the project: a small disk with the module, the programs and a command.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};

use super::chroot::{self, Chroot};
use super::folder::Folder;
use super::guest::{inherited, unnamed};
use super::module::{self, Module};
use crate::{build_folder, cargo, succeed};

/// The guest's first process.
const INIT: &str = include_str!("../../../lab/init");

/// The programs that are built on this machine and run in the guest.
const PROGRAMS: [&str; 3] = ["rloop", "rloop-top", "rloop-lab"];

/// The guest sees the disk here.
const INSIDE: &str = "/lab";

/// What the guest is to run.
pub(super) enum Command {
    /// A shell on the console.
    Shell,
    /// A line for sh.
    Line(String),
    /// A script of this machine, and its arguments.
    Script(PathBuf, Vec<String>),
}

impl Command {
    /// From what the user typed: a script if the first word is a file, else a command.
    pub(super) fn of_words(words: &[String]) -> Self {
        match words {
            [script, arguments @ ..] if Path::new(script).is_file() => {
                Self::Script(script.into(), arguments.to_vec())
            }
            // One word may be a whole line.
            [line] => Self::Line(line.clone()),
            words => Self::Line(quoted(words)),
        }
    }

    pub(super) fn is_shell(&self) -> bool {
        matches!(self, Self::Shell)
    }
}

/// What is built of the project for a guest.
pub(super) struct Products {
    /// `None` for a kernel that it is not for.
    module: Option<Module>,
}

impl Products {
    /// Builds the module and the programs.
    pub(super) fn build(folder: &Folder) -> Result<Self> {
        let has_module = folder.has_module();
        let module = has_module.then(|| module::build(folder)).transpose()?;
        build_programs()?;
        Ok(Self { module })
    }
}

/// The disk. It has no name, so nothing has to remove it.
pub(super) struct Project {
    pub(super) disk: File,
    pub(super) is_shell: bool,
}

impl Project {
    /// Puts the products and the command on a disk.
    pub(super) fn stage(folder: &Folder, products: &Products, command: &Command) -> Result<Self> {
        let lab = build_folder()?.join("lab");
        fs::create_dir_all(&lab)?;
        let lock = File::create(lab.join("lock"))?;
        lock.lock()?;
        let stage = lab.join("stage");
        if stage.exists() {
            fs::remove_dir_all(&stage)?;
        }
        fs::create_dir_all(stage.join("bin"))?;
        write_script(&stage.join("init"), INIT)?;
        write_script(&stage.join("command"), &script(command, &stage)?)?;
        if let Some(module) = &products.module {
            fs::write(stage.join("rloop.ko"), module.content())?;
        }
        for program in PROGRAMS {
            copy(
                &build_folder()?.join(program),
                &stage.join("bin").join(program),
            )?;
        }
        if folder.is_debug() {
            let modules = folder.build().join("installed/lib/modules");
            succeed(
                std::process::Command::new("cp")
                    .arg("-a")
                    .args([&modules, &stage]),
            )?;
        }
        let disk = image(folder, &stage)?;
        let is_shell = command.is_shell();
        Ok(Self { disk, is_shell })
    }
}

/// Builds the programs that run in the guest. They are for this machine's C library; the guest's
/// is as new, or newer.
pub(super) fn build_programs() -> Result<()> {
    let packages = ["--package", "rloop-cli", "--package", "rloop-lab"];
    succeed(
        cargo()
            .args(["build", "--quiet", "--locked", "--bins"])
            .args(packages),
    )
}

fn script(command: &Command, stage: &Path) -> Result<String> {
    let line = match command {
        Command::Shell => format!("{}; exec bash", same_size()),
        Command::Line(line) => line.clone(),
        Command::Script(path, arguments) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            fs::create_dir_all(stage.join("files"))?;
            let text = fs::read_to_string(path)
                .with_context(|| format!("could not read the script {}", path.display()))?;
            write_script(&stage.join("files").join(&*name), &text)?;
            let mut words = vec![format!("{INSIDE}/files/{name}")];
            words.extend(arguments.iter().cloned());
            quoted(&words)
        }
    };
    Ok(format!("export PATH={INSIDE}/bin:$PATH\n{line}\n"))
}

/// What gives the guest's terminal the size of this one.
fn same_size() -> String {
    let mut stty = std::process::Command::new("stty");
    let size = stty.arg("size").stdin(Stdio::inherit()).output();
    let text = size.map_or_else(
        |_| String::new(),
        |size| String::from_utf8_lossy(&size.stdout).into(),
    );
    match text.trim().split_once(' ') {
        Some((rows, columns)) => format!("stty rows {rows} columns {columns}"),
        None => ":".into(),
    }
}

/// The words as sh reads them.
fn quoted(words: &[String]) -> String {
    let quoted = words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    quoted.collect::<Vec<_>>().join(" ")
}

fn write_script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("could not copy {}", from.display()))?;
    Ok(())
}

fn image(folder: &Folder, stage: &Path) -> Result<File> {
    const ROOM: u64 = 64 << 20;
    let disk = unnamed(size(stage)? + ROOM)?;
    let path = inherited(&disk)?;
    let chroot = Chroot::new(folder.path().join("root")).bind(stage, "/mnt");
    let mut mke2fs = chroot.command("mke2fs");
    chroot::succeed(
        mke2fs
            .args(["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0"])
            .args(["-d", "/mnt", &path]),
    )?;
    Ok(disk)
}

fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let stat = entry.metadata()?;
        bytes += if stat.is_dir() {
            size(&entry.path())?
        } else {
            stat.len()
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_guest_as_they_are() {
        let words = ["echo".to_owned(), "it's $HOME".to_owned()];
        assert_eq!(quoted(&words), r"'echo' 'it'\''s $HOME'");
    }
}

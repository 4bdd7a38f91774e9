//! Programs of the lab's folder, run inside it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Mounts what programs need, in a mount namespace that ends with the program: nothing is left
/// mounted, however this ends.
const ENTER: &str = r#"
root=$1; shift
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmp "$root/tmp"
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; shift 2; done
shift
exec chroot "$root" "$@"
"#;

/// A root folder, and folders of this machine that its programs see.
pub(super) struct Chroot {
    root: PathBuf,
    binds: Vec<(PathBuf, String)>,
}

impl Chroot {
    pub(super) fn new(root: PathBuf) -> Self {
        let binds = Vec::new();
        Self { root, binds }
    }

    /// Lets the programs see `outside` at `inside`, which must be there.
    pub(super) fn bind(mut self, outside: impl Into<PathBuf>, inside: impl Into<String>) -> Self {
        self.binds.push((outside.into(), inside.into()));
        self
    }

    /// A command for `program`.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = by_itself("sh");
        command.args(["-ec", ENTER, "sh"]).arg(&self.root);
        for (outside, inside) in &self.binds {
            command.arg(outside).arg(inside);
        }
        command
            .args(["--", program])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8")
            // A folder that is not there inside would make programs stumble.
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// A file of the root folder, seen from outside.
    pub(super) fn outside(&self, inside: &str) -> PathBuf {
        self.root.join(
            Path::new(inside)
                .strip_prefix("/")
                .unwrap_or(Path::new(inside)),
        )
    }
}

/// A command whose mounts nobody else sees. What others unmount is unmounted for it too: otherwise it would keep their
/// devices busy. It ends when this process does, with all it started.
/// The program is not process 1 of its namespace: that one cannot end itself by a signal.
pub(super) fn by_itself(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "unshare", "--mount"])
        .args(["--propagation", "slave"])
        .args(["--pid", "--fork", "--kill-child"])
        .args(["sh", "-c", "\"$@\"; exit $?", "sh", program]);
    command
}

/// Runs a command of a root folder, and fails if it does.
pub(super) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().context("could not start setpriv")?;
    if !status.success() {
        let words = command.get_args().map(OsStr::to_string_lossy);
        let inside = words.skip_while(|word| word != "--").skip(1);
        let line = inside.collect::<Vec<_>>().join(" ");
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

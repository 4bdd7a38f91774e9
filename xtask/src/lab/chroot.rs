//! Programs of the lab's folder, run inside it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Mounts what programs need, in a mount namespace that ends with the program: nothing is left
/// mounted, however this ends.
const ENTER: &str = r#"
root=$1; shift
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; shift 2; done
shift
exec chroot "$root" "$@"
"#;

/// A root folder, and folders of this machine that its programs see.
pub(super) struct Chroot {
    root: PathBuf,
    binds: Vec<(PathBuf, &'static str)>,
}

impl Chroot {
    pub(super) fn new(root: PathBuf) -> Self {
        let binds = Vec::new();
        Self { root, binds }
    }

    /// Lets the programs see `outside` at `inside`, which must be there.
    pub(super) fn bind(mut self, outside: impl Into<PathBuf>, inside: &'static str) -> Self {
        self.binds.push((outside.into(), inside));
        self
    }

    /// A command for `program`. It ends when this process does.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "unshare", "--mount"])
            .args(["sh", "-ec", ENTER, "sh"])
            .arg(&self.root);
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

//! What the probes say they could not count.

mod support;

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use rloop::source::Source as _;
use rloop::source::live::{DebugLog, Live, LiveOptions};
use support::live::{Aligned, BLOCK, MIB, direct, open_direct};
use support::{ScratchDir, attached, root_or_skip};

#[test]
fn with_debug_the_probes_tell_what_went_around_the_device() {
    if !root_or_skip() {
        return;
    }
    let dir = ScratchDir::new();
    let file = dir.sparse("file", MIB);
    let device = attached(&file, &direct());
    let path = dir.path().join("state/top.log");
    let options = LiveOptions {
        devices: vec![device.name().to_owned()],
        ..LiveOptions::default()
    };
    let log = DebugLog::append(&path).expect("a log");
    let mut live = Live::with_debug(options, log).expect("watches");
    let mut memory = Aligned([0; 16 * BLOCK]);
    open_direct(&file)
        .read_exact_at(&mut memory.0[..BLOCK], 0)
        .expect("reads");
    live.next().expect("samples");
    let text = fs::read_to_string(&path).expect("the log");
    let inode = fs::metadata(&file).expect("the file").ino();
    let name = format!("device 0 is {}", device.name());
    let read = format!("inode {inode}: {BLOCK} bytes of direct I/O around the device");
    for words in [name, read] {
        assert!(text.contains(&words), "{words} is not in\n{text}");
    }
}

//! `rloop list`.

use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use super::{args, table::Table};
use crate::driver::{self, RloopDevice};
use crate::program::Stop;

/// Shows the attached devices.
pub(super) fn run(args: &args::List) -> Result<(), Stop> {
    let devices = driver::list()?;
    let mut out = io::stdout().lock();
    if args.json {
        let devices = devices.iter().map(Device::of).collect();
        let text = serde_json::to_string(&List { devices }).map_err(io::Error::other)?;
        writeln!(out, "{text}")?;
    } else if !devices.is_empty() {
        write!(out, "{}", table(&devices))?;
    }
    Ok(())
}

fn table(devices: &[RloopDevice]) -> Table {
    let mut table = Table::new(&[
        "NAME", ">SIZE", ">OFFSET", "RO", "PROVIDER", "WHY", "FILL", "COMMIT", "ERROR", "FILE",
    ]);
    for device in devices {
        table.row(vec![
            format!("/dev/{}", device.name),
            device.size_bytes.to_string(),
            device.offset_bytes.to_string(),
            u8::from(device.read_only).to_string(),
            device.provider.clone(),
            device.why.clone(),
            device.fill.clone(),
            device.commit.clone(),
            error_text(device.error).unwrap_or_else(|| "-".into()),
            file_text(&device.path, device.deleted),
        ]);
    }
    table
}

/// The path, with control characters told in a way that leaves the line whole.
fn file_text(path: &Path, deleted: bool) -> String {
    let mut text = String::new();
    for c in path.to_string_lossy().chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    if deleted {
        text.push_str(" (deleted)");
    }
    text
}

/// An errno in words; `None` for 0.
fn error_text(errno: u32) -> Option<String> {
    let errno = i32::try_from(errno).ok().filter(|errno| *errno != 0)?;
    Some(io::Error::from_raw_os_error(errno).to_string())
}

#[derive(Serialize)]
struct List<'a> {
    devices: Vec<Device<'a>>,
}

#[derive(Serialize)]
struct Device<'a> {
    name: &'a str,
    dev: String,
    size_bytes: u64,
    block_bytes: u32,
    offset_bytes: u64,
    sizelimit_bytes: u64,
    read_only: bool,
    partitions: bool,
    backing: Backing<'a>,
    provider: &'a str,
    why: &'a str,
    fill: &'a str,
    commit: &'a str,
    errno: Option<u32>,
    extents: u64,
}

#[derive(Serialize)]
struct Backing<'a> {
    path: std::borrow::Cow<'a, str>,
    deleted: bool,
    dev: Option<String>,
    ino: Option<u64>,
}

impl<'a> Device<'a> {
    fn of(device: &'a RloopDevice) -> Self {
        Self {
            name: &device.name,
            dev: device.dev.to_string(),
            size_bytes: device.size_bytes,
            block_bytes: device.block_bytes,
            offset_bytes: device.offset_bytes,
            sizelimit_bytes: device.sizelimit_bytes,
            read_only: device.read_only,
            partitions: device.partitions,
            backing: Backing {
                path: device.path.to_string_lossy(),
                deleted: device.deleted,
                dev: device.file.map(|file| file.st_dev.to_string()),
                ino: device.file.map(|file| file.ino),
            },
            provider: &device.provider,
            why: &device.why,
            fill: &device.fill,
            commit: &device.commit,
            errno: (device.error != 0).then_some(device.error),
            extents: device.extents,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::schema;
    use crate::device::DeviceNumber;
    use crate::device::list::FileId;

    fn device() -> RloopDevice {
        let dev = DeviceNumber { major: 8, minor: 1 };
        RloopDevice {
            name: "rloop3".into(),
            number: 3,
            dev: DeviceNumber {
                major: 259,
                minor: 4,
            },
            instance: 17,
            size_bytes: 1 << 30,
            block_bytes: 512,
            read_only: false,
            partitions: true,
            offset_bytes: 4096,
            sizelimit_bytes: 0,
            path: "/srv/a\tb.img".into(),
            deleted: true,
            file: Some(FileId {
                st_dev: dev,
                fs_dev: Some(dev),
                ino: 131,
            }),
            provider: "vfs".into(),
            why: "open-for-writing".into(),
            fill: "layout".into(),
            commit: "each".into(),
            error: 5,
            extents: 0,
            counters: Vec::new(),
        }
    }

    #[test]
    fn the_object_is_what_the_schema_says() {
        let bare = RloopDevice {
            file: None,
            error: 0,
            ..device()
        };
        let all = [device(), bare];
        let devices = all.iter().map(Device::of).collect();
        let value = serde_json::to_value(List { devices }).expect("is JSON");
        schema::check("list", &value);
        assert_eq!(value["devices"][0]["errno"], 5);
        assert_eq!(value["devices"][1]["errno"], serde_json::Value::Null);
        schema::check("list", &serde_json::json!({ "devices": [] }));
        let mut wrong = value;
        wrong["devices"][0]["why"] = "because".into();
        assert!(schema::errors("list", &wrong).contains("because"));
    }

    #[test]
    fn a_device_is_a_line_with_everything_in_it() {
        let text = table(&[device()]).to_string();
        let lines: Vec<&str> = text.lines().collect();
        let [names, line] = lines[..] else {
            panic!("{text}");
        };
        assert!(names.starts_with("NAME") && names.ends_with("FILE"));
        for word in [
            "/dev/rloop3",
            "1073741824",
            "4096",
            "vfs",
            "open-for-writing",
            "layout",
            "each",
        ] {
            assert!(
                line.split_whitespace().any(|cell| cell == word),
                "{word}: {line}"
            );
        }
        assert!(line.contains("os error 5"), "{line}");
        assert!(line.ends_with("/srv/a\\tb.img (deleted)"), "{line}");
    }
}

//! Recordings: samples in a file, each in a frame with its length and checksum.
//!
//! The file starts with [`MAGIC`] and the format's version (4 bytes, little-endian). A frame is the
//! payload's length, its CRC-32 (both 4 bytes, little-endian) and the payload: a [`Sample`] in
//! postcard's encoding, in which a device's extents are left out when they are those of the frame
//! before. `docs/recording-format.md` says the same for other programs.

mod reader;

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

pub use reader::Reader;

use crate::sample::{Extent, Sample};

/// The first bytes of every recording.
pub const MAGIC: [u8; 8] = *b"rloopREC";
/// The version this program writes, and the only one it reads.
pub const VERSION: u32 = 5;
/// No frame is longer: a damaged length must not make us ask for all memory.
const FRAME_MAX: usize = 64 << 20;

/// What is wrong with a recording; the text says which file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Read(PathBuf, #[source] io::Error),
    /// The file cannot be written.
    #[error("{0} cannot be written: {1}; {advice}", advice = advice(.1))]
    Write(PathBuf, #[source] io::Error),
    /// It is something else.
    #[error("{0} is not a recording of rloop-top: name a file that --record wrote")]
    Foreign(PathBuf),
    /// Written by another version of the program.
    #[error(
        "{0} has recording format {1}, this program reads format {VERSION}: use the rloop-top that wrote it"
    )]
    Version(PathBuf, u32),
    /// A frame in its middle does not match its checksum.
    #[error(
        "{0} is damaged at byte {1}: what comes before can be kept with `head -c {1} {quoted} > NEW`",
        quoted = shlex::try_quote(&.0.to_string_lossy()).unwrap_or_default()
    )]
    Damaged(PathBuf, u64),
    /// One sample is larger than a frame may be.
    #[error("{0}: a sample of {1} bytes is too large to record; watch fewer devices")]
    TooLarge(PathBuf, usize),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AlreadyExists => "a file is never overwritten: name another one",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space there or record elsewhere; what was recorded before can be replayed"
        }
        _ => "name a file in a folder that you may write to",
    }
}

/// The devices' extents of the frame before, by device name.
type Known = Vec<(String, Arc<Vec<Extent>>)>;

/// One frame's payload: the sample, and for each device whether its extents are in it.
#[derive(serde::Serialize, serde::Deserialize)]
struct Payload {
    sample: Sample,
    fresh_extents: Vec<bool>,
}

/// Appends samples to a new recording.
pub struct Recorder {
    file: File,
    path: PathBuf,
    known: Known,
}

impl Recorder {
    /// Creates the file; one that is there already is not overwritten.
    pub fn create(path: &Path) -> Result<Self, RecordError> {
        let failed = |error| RecordError::Write(path.to_owned(), error);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(failed)?;
        file.write_all(&MAGIC)
            .and_then(|()| file.write_all(&VERSION.to_le_bytes()))
            .map_err(failed)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            known: Known::new(),
        })
    }

    /// Appends a sample. On an error, such as a full disk, what was recorded before stays readable.
    pub fn append(&mut self, sample: &Sample) -> Result<(), RecordError> {
        let mut sample = sample.clone();
        let mut known = Known::new();
        let mut fresh_extents = Vec::new();
        for device in &mut sample.devices {
            let same = self.known.iter().any(|(name, extents)| {
                *name == device.name
                    && (Arc::ptr_eq(extents, &device.extents) || *extents == device.extents)
            });
            known.push((device.name.clone(), device.extents.clone()));
            fresh_extents.push(!same);
            if same {
                device.extents = Arc::default();
            }
        }
        let failed = |error| RecordError::Write(self.path.clone(), error);
        let payload = postcard::to_stdvec(&Payload {
            sample,
            fresh_extents,
        })
        .map_err(|error| failed(io::Error::other(error)))?;
        if payload.len() > FRAME_MAX {
            return Err(RecordError::TooLarge(self.path.clone(), payload.len()));
        }
        let mut frame = Vec::with_capacity(payload.len() + 8);
        frame.extend((payload.len() as u32).to_le_bytes());
        frame.extend(crc32fast::hash(&payload).to_le_bytes());
        frame.extend(payload);
        // One write: a kill in between leaves a torn tail, which readers drop.
        self.file.write_all(&frame).map_err(failed)?;
        self.known = known;
        Ok(())
    }
}

#[cfg(test)]
mod tests;

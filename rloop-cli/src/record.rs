//! Recordings: samples in a file, each in a frame with its length and checksum.
//!
//! The file starts with [`MAGIC`] and the format's version (4 bytes, little-endian). A frame is the
//! payload's length, its CRC-32 (both 4 bytes, little-endian) and the payload: a [`Sample`] in
//! postcard's encoding, in which a device's extents are left out when they are those of the frame
//! before. `docs/recording-format.md` says the same for other programs.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::sample::{Extent, Sample};

/// The first bytes of every recording.
pub const MAGIC: [u8; 8] = *b"rloopREC";
/// The version this program writes, and the only one it reads.
pub const VERSION: u32 = 1;
/// No frame is longer: a damaged length must not make us ask for all memory.
const FRAME_MAX: usize = 64 << 20;

/// What is wrong with a recording; the text says which file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
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
        "{0} is damaged at byte {1}: what comes before can be kept with `head -c {1} {0} > NEW`"
    )]
    Damaged(PathBuf, u64),
    /// One sample is larger than a frame may be.
    #[error("{0}: a sample of {1} bytes is too large to record; watch fewer devices")]
    TooLarge(PathBuf, usize),
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
        let failed = |error| RecordError::Io(path.to_owned(), error);
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
                *name == device.name && Arc::ptr_eq(extents, &device.extents)
            });
            known.push((device.name.clone(), device.extents.clone()));
            fresh_extents.push(!same);
            if same {
                device.extents = Arc::default();
            }
        }
        let failed = |error| RecordError::Io(self.path.clone(), error);
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

/// Reads a recording from its beginning.
pub struct Reader {
    file: io::BufReader<File>,
    path: PathBuf,
    at: u64,
    size: u64,
    known: Known,
    torn: bool,
}

impl Reader {
    /// Opens a recording.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let failed = |error| RecordError::Io(path.to_owned(), error);
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut reader = Self {
            file: io::BufReader::new(file),
            path: path.to_owned(),
            at: 0,
            size,
            known: Known::new(),
            torn: false,
        };
        let mut head = [0; 12];
        match reader.file.read_exact(&mut head) {
            Ok(()) if head[..8] == MAGIC => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(failed(error));
            }
            _ => return Err(RecordError::Foreign(path.to_owned())),
        }
        reader.at = 12;
        match u32::from_le_bytes([head[8], head[9], head[10], head[11]]) {
            VERSION => Ok(reader),
            version => Err(RecordError::Version(path.to_owned(), version)),
        }
    }

    /// The next sample; `None` at the end, and where a torn tail begins.
    pub fn next_sample(&mut self) -> Result<Option<Sample>, RecordError> {
        let left = self.size.saturating_sub(self.at);
        if left == 0 || self.torn {
            return Ok(None);
        }
        let damaged = || RecordError::Damaged(self.path.clone(), self.at);
        let failed = |error| RecordError::Io(self.path.clone(), error);
        let mut head = [0; 8];
        if left < 8 {
            self.torn = true;
            return Ok(None);
        }
        self.file.read_exact(&mut head).map_err(failed)?;
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let len = word(0) as usize;
        if len > FRAME_MAX {
            return Err(damaged());
        }
        if left - 8 < len as u64 {
            self.torn = true;
            return Ok(None);
        }
        let mut payload = vec![0; len];
        self.file.read_exact(&mut payload).map_err(failed)?;
        if crc32fast::hash(&payload) != word(4) {
            return Err(damaged());
        }
        let payload: Payload = postcard::from_bytes(&payload).map_err(|_| damaged())?;
        let sample = self.restore(payload);
        self.at += 8 + len as u64;
        Ok(Some(sample))
    }

    /// The last frame was cut off, as by a kill or a full disk, and dropped.
    pub fn torn(&self) -> bool {
        self.torn
    }

    fn restore(&mut self, payload: Payload) -> Sample {
        let Payload {
            mut sample,
            fresh_extents,
        } = payload;
        let mut known = Known::new();
        for (device, fresh) in sample.devices.iter_mut().zip(fresh_extents) {
            if !fresh
                && let Some((_, extents)) = self.known.iter().find(|(name, _)| *name == device.name)
            {
                device.extents = extents.clone();
            }
            known.push((device.name.clone(), device.extents.clone()));
        }
        self.known = known;
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::DeviceSample;

    fn samples() -> Vec<Sample> {
        let extents = Arc::new(vec![Extent {
            len_bytes: 4096,
            ..Extent::default()
        }]);
        (0..3)
            .map(|i| {
                let mut device = DeviceSample {
                    name: "loop7".into(),
                    extents: extents.clone(),
                    ..DeviceSample::default()
                };
                device.ops[0].submitted = i;
                Sample {
                    monotonic_ns: i,
                    devices: vec![device],
                    ..Sample::default()
                }
            })
            .collect()
    }

    fn recording(folder: &Path) -> PathBuf {
        let path = folder.join("recording");
        let mut recorder = Recorder::create(&path).expect("creates");
        samples()
            .iter()
            .for_each(|sample| recorder.append(sample).expect("appends"));
        path
    }

    fn read(path: &Path) -> Result<(Vec<Sample>, bool), RecordError> {
        let mut reader = Reader::open(path)?;
        let mut samples = Vec::new();
        while let Some(sample) = reader.next_sample()? {
            samples.push(sample);
        }
        Ok((samples, reader.torn()))
    }

    #[test]
    fn what_was_recorded_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = recording(folder.path());
        assert_eq!(read(&path).expect("reads"), (samples(), false));
        assert!(
            matches!(Recorder::create(&path), Err(RecordError::Io(..))),
            "never overwrites"
        );
    }

    #[test]
    fn cut_anywhere_it_gives_what_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = std::fs::read(recording(folder.path())).expect("reads");
        let path = folder.path().join("cut");
        for len in 0..bytes.len() {
            std::fs::write(&path, &bytes[..len]).expect("writes");
            match read(&path) {
                Ok((found, _)) => {
                    assert!(len >= 12 && found.len() < 3 && found[..] == samples()[..found.len()])
                }
                Err(error) => assert!(
                    len < 12 && matches!(error, RecordError::Foreign(_)),
                    "{len}: {error}"
                ),
            }
        }
    }

    #[test]
    fn a_flipped_bit_never_passes_for_data() {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = std::fs::read(recording(folder.path())).expect("reads");
        let path = folder.path().join("flipped");
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 0x10;
            std::fs::write(&path, &bytes).expect("writes");
            if let Ok((found, torn)) = read(&path) {
                assert!(
                    torn && found[..] == samples()[..found.len()],
                    "byte {place}"
                );
            }
        }
    }
}

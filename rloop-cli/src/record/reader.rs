//! Reading recordings.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{FRAME_MAX, Known, MAGIC, Payload, RecordError, VERSION};
use crate::sample::Sample;

/// Bytes of a frame before its payload: its length and its checksum.
const HEAD: u64 = 8;

/// Reads a recording from its beginning.
pub struct Reader {
    file: io::BufReader<File>,
    path: PathBuf,
    at: u64,
    size: u64,
    known: Known,
    torn: bool,
    over: bool,
}

impl Reader {
    /// Opens a recording.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let failed = |error| RecordError::Read(path.to_owned(), error);
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(io::Error::other(
                "it is not a plain file; save what it yields as one",
            )));
        }
        let mut reader = Self {
            file: io::BufReader::new(file),
            path: path.to_owned(),
            at: 0,
            size: metadata.len(),
            known: Known::new(),
            torn: false,
            over: false,
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

    /// The next sample; `None` at the end, where a torn tail begins, and after an error.
    pub fn next_sample(&mut self) -> Result<Option<Sample>, RecordError> {
        if self.over {
            return Ok(None);
        }
        let found = self.frame();
        self.over = !matches!(found, Ok(Some(_)));
        found
    }

    fn frame(&mut self) -> Result<Option<Sample>, RecordError> {
        let left = self.size.saturating_sub(self.at);
        let failed = |error| RecordError::Read(self.path.clone(), error);
        if left < HEAD {
            self.torn = left > 0;
            return Ok(None);
        }
        let mut head = [0; HEAD as usize];
        self.file.read_exact(&mut head).map_err(failed)?;
        let [a, b, c, d, crc @ ..] = head;
        let (len, crc) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(crc));
        if len as usize > FRAME_MAX {
            return Err(self.damaged());
        }
        // No more than the file has is asked for, whatever the length claims.
        let mut payload = vec![0; u64::from(len).min(left - HEAD) as usize];
        self.file.read_exact(&mut payload).map_err(failed)?;
        if payload.len() < len as usize {
            if holds_frame(&payload, crc) {
                return Err(self.damaged());
            }
            self.torn = true;
            return Ok(None);
        }
        if crc32fast::hash(&payload) != crc {
            return Err(self.damaged());
        }
        let sample = postcard::from_bytes(&payload)
            .ok()
            .and_then(|payload| self.restore(payload))
            .ok_or_else(|| self.damaged())?;
        self.at += HEAD + u64::from(len);
        Ok(Some(sample))
    }

    fn damaged(&self) -> RecordError {
        RecordError::Damaged(self.path.clone(), self.at)
    }

    /// The last frame was cut off, as by a kill or a full disk, and dropped.
    pub fn torn(&self) -> bool {
        self.torn
    }

    /// Puts back the extents that were left out; `None` if there are none to put back.
    fn restore(&mut self, payload: Payload) -> Option<Sample> {
        let Payload {
            mut sample,
            fresh_extents,
        } = payload;
        if fresh_extents.len() != sample.devices.len() {
            return None;
        }
        let mut known = Known::new();
        for (device, fresh) in sample.devices.iter_mut().zip(fresh_extents) {
            if !fresh {
                let (_, extents) = self.known.iter().find(|(name, _)| *name == device.name)?;
                device.extents = extents.clone();
            }
            known.push((device.name.clone(), device.extents.clone()));
        }
        self.known = known;
        Some(sample)
    }
}

/// A whole frame with that checksum is there after all: its length was damaged, it is not torn.
fn holds_frame(bytes: &[u8], crc: u32) -> bool {
    let mut hasher = crc32fast::Hasher::new();
    bytes.iter().enumerate().any(|(at, byte)| {
        hasher.update(std::slice::from_ref(byte));
        hasher.clone().finalize() == crc && postcard::from_bytes::<Payload>(&bytes[..=at]).is_ok()
    })
}

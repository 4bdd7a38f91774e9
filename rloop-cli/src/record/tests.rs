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
        matches!(Recorder::create(&path), Err(RecordError::Write(..))),
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
fn a_flipped_bit_is_always_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = std::fs::read(recording(folder.path())).expect("reads");
    let path = folder.path().join("flipped");
    for place in 0..bytes.len() {
        for bit in [0x01, 0x10, 0x80] {
            let mut bytes = bytes.clone();
            bytes[place] ^= bit;
            std::fs::write(&path, &bytes).expect("writes");
            let error = read(&path).expect_err("refused");
            let as_expected = match place {
                0..8 => matches!(error, RecordError::Foreign(_)),
                8..12 => matches!(error, RecordError::Version(..)),
                _ => matches!(error, RecordError::Damaged(..)),
            };
            assert!(as_expected, "byte {place}: {error}");
        }
    }
}

#[test]
fn nothing_follows_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recording(folder.path());
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[30] ^= 1;
    std::fs::write(&path, &bytes).expect("writes");
    let mut reader = Reader::open(&path).expect("opens");
    let error = reader.next_sample().expect_err("refused").to_string();
    assert!(error.contains("damaged at byte 12") && error.contains("head -c 12"));
    assert!(matches!(reader.next_sample(), Ok(None)));
}

#[test]
fn a_claimed_length_does_not_allocate() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("long");
    let file = |len: u32| {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend([0; 8]);
        bytes
    };
    std::fs::write(&path, file(u32::MAX)).expect("writes");
    assert!(matches!(read(&path), Err(RecordError::Damaged(_, 12))));
    std::fs::write(&path, file(FRAME_MAX as u32)).expect("writes");
    assert!(matches!(read(&path), Ok((samples, true)) if samples.is_empty()));
}

#[test]
fn extents_are_written_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sizes");
    let mut recorder = Recorder::create(&path).expect("creates");
    let size = || std::fs::metadata(&path).expect("is there").len();
    let mut wanted = Vec::new();
    let mut grown = Vec::new();
    for (round, extents) in [1000u64, 1000, 1001, 1001].into_iter().enumerate() {
        // An equal table that was read anew is not a change.
        let extents = Arc::new((0..extents).map(extent).collect::<Vec<_>>());
        let device = DeviceSample {
            name: "loop7".into(),
            extents,
            ..DeviceSample::default()
        };
        let sample = Sample {
            wall_ns: round as u64,
            devices: vec![device],
            ..Sample::default()
        };
        let before = size();
        recorder.append(&sample).expect("appends");
        grown.push(size() - before);
        wanted.push(sample);
    }
    assert!(grown[0] > 1000 && grown[1] < 300 && grown[2] > 1000 && grown[3] < 300);
    assert_eq!(read(&path).expect("reads"), (wanted, false));
}

fn extent(i: u64) -> Extent {
    Extent {
        start_bytes: i << 16,
        len_bytes: 1 << 16,
        ..Extent::default()
    }
}

#[test]
fn a_full_disk_is_said_plainly() {
    let mut recorder = Recorder {
        file: File::options()
            .write(true)
            .open("/dev/full")
            .expect("opens"),
        path: "/dev/full".into(),
        known: Known::new(),
    };
    let error = recorder.append(&samples()[0]).expect_err("full");
    assert!(error.to_string().contains("free some space"), "{error}");
}

#[test]
fn a_pipe_and_a_folder_are_refused() {
    for path in ["/dev/null", "/"] {
        let error = Reader::open(Path::new(path)).err().expect("refused");
        assert!(error.to_string().contains("not a plain file"), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("noise");
        let payload_crc = crc32fast::hash(&bytes).to_le_bytes();
        let mut file = MAGIC.to_vec();
        file.extend(VERSION.to_le_bytes());
        file.extend((bytes.len() as u32).to_le_bytes());
        file.extend(payload_crc);
        file.extend(&bytes);
        std::fs::write(&path, &file).expect("writes");
        let _ = read(&path);
    }
}

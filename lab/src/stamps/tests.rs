//! The rule finds what it is for.

use super::Stamps;
use crate::direct::SECTOR;

const ZEROS: [u8; SECTOR] = [0; SECTOR];

/// Two sectors, and what a completed write has put into the first.
fn written() -> (Stamps, Vec<u8>) {
    let stamps = Stamps::new(1, 2, 10);
    let bytes = write(&stamps);
    (stamps, bytes)
}

fn write(stamps: &Stamps) -> Vec<u8> {
    let mut bytes = vec![0; SECTOR];
    let begun = stamps.begin_write(0, &mut bytes);
    stamps.end_write(begun, true);
    bytes
}

/// Whether a reader of a sector that begins now may see this.
fn may_see(stamps: &Stamps, sector: u64, bytes: &[u8]) -> bool {
    let reader = stamps.begin_read(sector, 1);
    stamps.check(&reader, bytes).is_ok()
}

#[test]
fn zeros_are_seen_only_before_a_write_is_complete() {
    let stamps = Stamps::new(1, 2, 10);
    let mut bytes = vec![0; SECTOR];
    let begun = stamps.begin_write(0, &mut bytes);
    assert!(may_see(&stamps, 0, &ZEROS) && may_see(&stamps, 0, &bytes));
    stamps.end_write(begun, true);
    assert!(!may_see(&stamps, 0, &ZEROS) && may_see(&stamps, 0, &bytes));
    assert!(may_see(&stamps, 1, &ZEROS), "the other sector");
}

#[test]
fn a_reader_that_began_before_may_see_zeros() {
    let stamps = Stamps::new(1, 2, 10);
    let reader = stamps.begin_read(0, 1);
    let bytes = write(&stamps);
    assert!(stamps.check(&reader, &ZEROS).is_ok());
    assert!(stamps.check(&reader, &bytes).is_ok());
}

#[test]
fn an_older_write_is_overtaken() {
    let (stamps, old) = written();
    let new = write(&stamps);
    assert!(!may_see(&stamps, 0, &old) && may_see(&stamps, 0, &new));
}

#[test]
fn of_writes_at_the_same_time_either_may_be_seen() {
    let stamps = Stamps::new(1, 2, 10);
    let (mut one, mut other) = (vec![0; SECTOR], vec![0; SECTOR]);
    let begun = (
        stamps.begin_write(0, &mut one),
        stamps.begin_write(0, &mut other),
    );
    stamps.end_write(begun.1, true);
    stamps.end_write(begun.0, true);
    assert!(may_see(&stamps, 0, &one) && may_see(&stamps, 0, &other));
}

#[test]
fn a_failed_write_overtakes_nothing() {
    let (stamps, old) = written();
    let mut bytes = vec![0; SECTOR];
    let begun = stamps.begin_write(0, &mut bytes);
    stamps.end_write(begun, false);
    assert!(may_see(&stamps, 0, &old) && may_see(&stamps, 0, &bytes));
}

#[test]
fn zeros_that_were_made_overtake_data() {
    let (stamps, old) = written();
    let begun = stamps.begin_zeros(0, 1);
    assert!(may_see(&stamps, 0, &old) && may_see(&stamps, 0, &ZEROS));
    stamps.end_zeros(begun, true);
    assert!(!may_see(&stamps, 0, &old) && may_see(&stamps, 0, &ZEROS));
    write(&stamps);
    assert!(!may_see(&stamps, 0, &ZEROS), "a later write overtakes them");
}

#[test]
fn what_was_not_written_there_is_not_seen() {
    let (stamps, bytes) = written();
    let mut changed = bytes.clone();
    changed[SECTOR - 1] ^= 1;
    let pattern = [0xa5; SECTOR];
    let half = [&bytes[..SECTOR / 2], &ZEROS[SECTOR / 2..]].concat();
    for wrong in [&changed[..], &pattern, &half] {
        assert!(!may_see(&stamps, 0, wrong));
    }
    assert!(!may_see(&stamps, 1, &bytes), "it is another sector's");
    let other_seed = Stamps::new(2, 2, 10);
    let elsewhere = write(&other_seed);
    assert!(!may_see(&stamps, 0, &elsewhere), "it is another run's");
}

#[test]
fn a_sector_is_torn_only_while_something_is_done_to_it() {
    let (stamps, old) = written();
    let reader = stamps.begin_read(0, 1);
    let new = write(&stamps);
    let torn = [&old[..SECTOR / 2], &new[SECTOR / 2..]].concat();
    assert!(stamps.check(&reader, &torn).is_ok(), "a write went on");
    assert!(!may_see(&stamps, 0, &torn), "it is complete");
    let strange = [&old[..SECTOR / 2], &[0xa5; SECTOR / 2]].concat();
    let half = [&new[..SECTOR / 2], &ZEROS[SECTOR / 2..]].concat();
    for wrong in [strange, half] {
        assert!(stamps.check(&reader, &wrong).is_err());
    }
}

#[test]
fn it_is_torn_in_the_middle_of_a_word() {
    let (stamps, old) = written();
    let reader = stamps.begin_read(0, 1);
    let new = write(&stamps);
    let at = SECTOR / 2 + 3;
    let torn = [&old[..at], &new[at..]].concat();
    assert!(stamps.check(&reader, &torn).is_ok());
}

#[test]
fn of_what_is_overtaken_no_part_is_seen() {
    let (stamps, old) = written();
    write(&stamps);
    let reader = stamps.begin_read(0, 1);
    let new = write(&stamps);
    let torn = [&old[..SECTOR / 2], &new[SECTOR / 2..]].concat();
    assert!(stamps.check(&reader, &torn).is_err());
}

#[test]
fn at_rest_nothing_is_torn() {
    let (stamps, old) = written();
    let mut bytes = vec![0; SECTOR];
    stamps.begin_write(0, &mut bytes);
    let torn = [&old[..SECTOR / 2], &bytes[SECTOR / 2..]].concat();
    assert!(may_see(&stamps, 0, &torn), "a write is under way");
    let reader = super::Reader::at_rest(0, vec![0]);
    assert!(stamps.check(&reader, &torn).is_err());
}

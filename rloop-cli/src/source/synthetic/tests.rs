use super::*;
use crate::model::derive;

fn samples(seed: u64) -> Vec<Sample> {
    let mut source = Synthetic::new(seed);
    let next = || source.next().expect("cannot fail").expect("has no end");
    std::iter::repeat_with(next).take(10).collect()
}

#[test]
fn a_seed_gives_the_same_samples_and_another_one_others() {
    assert_eq!(samples(7), samples(7));
    assert_ne!(samples(7), samples(8));
}

#[test]
fn its_numbers_agree_with_each_other() {
    for pair in samples(1).windows(2) {
        let frame = derive(&pair[0], &pair[1]);
        for device in &frame.devices {
            let touched = device.touched.iter();
            let of_extents: u64 = touched.map(|extent| extent.reads + extent.writes).sum();
            assert_eq!(device.all.ops, of_extents);
            assert_eq!(device.all.ops, device.all.completed + device.all.lost);
            assert_eq!(device.all.ops, device.all.total.count);
            assert_eq!(
                device.bypass_ratio.is_some(),
                device.all.ops > 0,
                "{}",
                device.name
            );
        }
    }
}

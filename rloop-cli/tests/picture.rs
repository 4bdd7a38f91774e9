//! The README's pictures are what the dashboard draws.

use std::path::Path;

#[path = "../examples/picture/pictures.rs"]
mod pictures;

#[test]
fn the_pictures_are_what_is_drawn_of_what_is_shipped() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let drawn = pictures::pictures(&docs).expect("what is drawn");
    for (name, svg) in drawn {
        let path = docs.join("images").join(name);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == svg,
            "docs/images/{name} is not what is drawn now: cargo xtask picture"
        );
    }
}

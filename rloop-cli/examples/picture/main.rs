//! Draws the README's pictures: the dashboard itself, on the recording that is shipped, and as it was in the guest.
//! `cargo xtask picture` runs it.

use std::path::Path;

mod pictures;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for (name, svg) in pictures::pictures(&docs)? {
        let path = docs.join("images").join(name);
        std::fs::write(&path, svg)?;
        println!("docs/images/{name}");
    }
    Ok(())
}

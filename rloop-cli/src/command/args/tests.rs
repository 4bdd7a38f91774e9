use clap::CommandFactory;

use super::*;

fn parse(words: &[&str]) -> Result<Command, clap::error::ErrorKind> {
    let words = ["rloop"].iter().chain(words);
    let args = Args::try_parse_from(words).map_err(|error| error.kind())?;
    Ok(args.command.expect("a command"))
}

#[test]
fn the_definition_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn attach_takes_what_losetup_takes() {
    let words = [
        "attach",
        "a.img",
        "-o",
        "1M",
        "--sizelimit",
        "10MB",
        "-r",
        "-P",
        "-b",
        "4K",
    ];
    let Ok(Command::Attach(args)) = parse(&words) else {
        panic!("not parsed");
    };
    assert_eq!((args.offset, args.sizelimit), (1 << 20, Some(10_000_000)));
    assert_eq!(args.block_size, Some(4096));
    assert!(args.read_only && args.partitions);
    assert_eq!(
        (args.filling.fill, args.filling.commit),
        (Fill::Vfs, Commit::Flush)
    );
    let words = ["attach", "a.img", "--fill", "layout", "--commit", "each"];
    let Ok(Command::Attach(args)) = parse(&words) else {
        panic!("not parsed");
    };
    assert_eq!(
        (args.filling.fill, args.filling.commit),
        (Fill::Layout, Commit::Each)
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    use clap::error::ErrorKind::{
        ArgumentConflict, DisplayHelpOnMissingArgumentOrSubcommand, InvalidSubcommand,
        InvalidValue, MissingRequiredArgument, ValueValidation,
    };
    for (words, kind) in [
        (&[][..], DisplayHelpOnMissingArgumentOrSubcommand),
        (&["detach"], MissingRequiredArgument),
        (&["detach", "--all", "rloop0"], ArgumentConflict),
        (&["attach"], MissingRequiredArgument),
        (&["attach", "x", "--fill", "fast"], InvalidValue),
        (&["attach", "x", "--offset", "-1"], ValueValidation),
        (&["attach", "x", "--offset", "1Q"], ValueValidation),
        (&["attach", "x", "--sizelimit", "0"], ValueValidation),
        (&["attach", "x", "--block-size", "8K"], ValueValidation),
        (&["diff", "a"], MissingRequiredArgument),
        (&["diff", "a", "b", "-t", "-1"], ValueValidation),
        (&["diff", "a", "b", "-t", "NaN"], ValueValidation),
        (&["diff", "a", "b", "--format", "xml"], InvalidValue),
        (&["stat", "rloop0", "0"], ValueValidation),
        (&["stat", "rloop0", "1", "0"], ValueValidation),
        (&["mount", "x"], InvalidSubcommand),
    ] {
        assert_eq!(parse(words).map(|_| ()), Err(kind), "{words:?}");
    }
}

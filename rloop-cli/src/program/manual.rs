//! A program's manual page, its commands included.

use std::io::{self, Write as _};

use clap_mangen::Man;

/// How each section begins that the library renders by itself: once is enough.
const PREAMBLE: [&str; 2] = [r".ie \n(.g .ds Aq \(aq", r".el .ds Aq '"];

/// Renders the page: what the command line says of itself, then a part for each command.
pub(super) fn render(mut command: clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    command.build();
    let man = Man::new(command.clone()).section("8");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    // Examples are in columns, which stretched blanks would take apart.
    writeln!(text, ".ad l")?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let mut commands = command.get_subcommands().filter(|part| !part.is_hide_set());
    if let Some(first) = commands.next() {
        writeln!(text, ".SH COMMANDS")?;
        for part in std::iter::once(first).chain(commands) {
            render_command(part, &mut text)?;
        }
    }
    man.render_extra_section(&mut text)?;
    man.render_version_section(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    writeln!(page, "{}", PREAMBLE.join("\n"))?;
    for line in text.lines().filter(|line| !PREAMBLE.contains(line)) {
        writeln!(page, "{line}")?;
    }
    Ok(())
}

/// One command: its usage, and its sections a level lower.
fn render_command(command: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace('-', r"\-");
    writeln!(page, ".SS \"{usage}\"")?;
    // That it has help is said once, of the program.
    let man = Man::new(command.clone().mut_arg("help", |help| help.hide(true)));
    let mut text = Vec::new();
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    for line in String::from_utf8_lossy(&text).lines() {
        if ![".SH DESCRIPTION", ".SH OPTIONS"].contains(&line) {
            writeln!(page, "{line}")?;
        }
    }
    Ok(())
}

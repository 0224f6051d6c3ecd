//! `completions` and `man`: made of the command line's own definition, so that they cannot tell of another one.

use std::io::Write;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Exit;

/// A script that completes this command line in a shell.
pub fn completions(shell: Shell) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "syslings", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Exit::Done)
}

/// The manual page: the program's own, and a section for each command.
pub fn man() -> Result<Exit> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for part in command.get_subcommands() {
        writeln!(page, ".SH \"{}\"", part.get_name().to_uppercase())?;
        let man = clap_mangen::Man::new(part.clone().disable_help_flag(true));
        let mut section = Vec::new();
        man.render_synopsis_section(&mut section)?;
        man.render_description_section(&mut section)?;
        man.render_options_section(&mut section)?;
        page.extend(as_subsections(&section));
    }
    man.render_version_section(&mut page)?;
    std::io::stdout().lock().write_all(&page)?;
    Ok(Exit::Done)
}

/// Sections of a page become parts of one section.
fn as_subsections(section: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(section).replace(".SH ", ".SS ").into_bytes()
}

//! `blobcp manual`: the pages of the manual, and the scripts by which shells complete.
//!
//! Whoever makes a package of blobcp runs it once; it is not shown in the help. A page says what `--help` says, since
//! both are made of one description of the command line; the order and the fonts are those of man-pages(7). What has no
//! command, the configuration file and the options of fstab, are pages of `docs/man`, into which the list of all
//! settings is put: it is never written twice.
//!
//! After the options of a command its help has paragraphs and examples. [`Prose`] sets these: an indented line stays as
//! it is, other lines are filled, and a line such as `Examples:` begins a section.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use clap::{Arg, Args, Command, CommandFactory};
use clap_mangen::Man;

use super::completion;
use super::failure::{Failure, about, reason};
use crate::config::Settings;

/// Pages of the manual that no command has, by their names, with a line [`SETTINGS`] in each.
const PAGES: [(&str, &str, Spelling); 2] = [
    ("man5/blobcp.toml.5", include_str!("../../docs/man/blobcp.toml.5"), Spelling::Key),
    ("man8/mount.blobcp.8", include_str!("../../docs/man/mount.blobcp.8"), Spelling::Option),
];

/// Where the settings stand in a page.
const SETTINGS: &str = ".\\\" SETTINGS\n";

/// Names under which the pages of mount helpers are looked for, too.
const SAME: [(&str, &str); 3] = [
    ("man8/mount.fuse.blobcp.8", "man8/mount.blobcp.8"),
    ("man8/umount.blobcp.8", "man8/mount.blobcp.8"),
    ("man8/umount.fuse.blobcp.8", "man8/mount.blobcp.8"),
];

/// Completion scripts: the shell, and the name under which it looks for the one of a command.
const SCRIPTS: [(&str, &str); 3] = [
    ("bash", "bash-completion/completions/blobcp"),
    ("fish", "fish/vendor_completions.d/blobcp.fish"),
    ("zsh", "zsh/vendor-completions/_blobcp"),
];

/// Write manual pages and completion scripts
#[derive(clap::Args)]
#[command(hide = true)]
pub(super) struct Arguments {
    /// A directory as /usr/share is: man and the directories of shells are made below it.
    directory: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut command = super::Arguments::command().disable_help_subcommand(true);
        command.build();
        let man = self.directory.join("man");
        for command in shown(&command) {
            let page = page(command).map_err(|error| Failure::new(reason(&error)))?;
            write(&man.join(format!("man1/{}.1", title(command))), &page)?;
        }
        for (name, page, spelling) in PAGES {
            write(&man.join(name), page.replace(SETTINGS, &settings(spelling)).as_bytes())?;
        }
        for (name, same) in SAME {
            write(&man.join(name), format!(".so {same}\n").as_bytes())?;
        }
        for (shell, name) in SCRIPTS {
            write(&self.directory.join(name), &script(shell)?)?;
        }
        Ok(())
    }
}

/// Writes a file that everybody may read, in directories that are made if need be.
fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, content));
    written.map_err(|error| about(path, &error))
}

/// `command` and those below it, without what the help does not show.
fn shown(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|command| !command.is_hide_set()).flat_map(shown);
    std::iter::once(command).chain(below).collect()
}

/// `blobcp-cp`.
fn title(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// The page of `command`, in roff.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone()).title(title(command).to_uppercase()).manual("blobcp");
    let prose = command.get_after_help().map(|text| Prose::of(&text.to_string())).unwrap_or_default();
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    page.write_all(prose.before.as_bytes())?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    man.render_options_section(&mut page)?;
    page.write_all(prose.sections.as_bytes())?;
    let others = ["blobcp(1)", "blobcp.toml(5)", "mount.blobcp(8)"];
    let own = format!("{}(1)", title(command));
    let others: Vec<&str> = others.into_iter().filter(|other| *other != own).collect();
    page.write_all(format!(".SH SEE ALSO\n{}\n", escaped(&others.join(", "))).as_bytes())?;
    Ok(page)
}

/// Text of a help in roff.
#[derive(Debug, Default, PartialEq)]
struct Prose {
    /// Paragraphs of the description.
    before: String,
    /// Sections with their headings.
    sections: String,
}

impl Prose {
    fn of(text: &str) -> Self {
        let mut prose = Self::default();
        let (mut is_before, mut is_verbatim) = (true, false);
        let mut is_new = true;
        for line in text.lines() {
            let verbatim = line.starts_with("  ") || (is_verbatim && line.is_empty());
            let heading = heading(line);
            is_before &= heading.is_none();
            let out = if is_before { &mut prose.before } else { &mut prose.sections };
            if is_verbatim && !verbatim {
                *out += ".EE\n";
                is_new = true;
            }
            match heading {
                Some((name, rest)) => {
                    *out += &format!(".SH {}\n", name.to_uppercase());
                    if !rest.is_empty() {
                        *out += &format!("{}\n", escaped(rest));
                    }
                    is_new = false;
                }
                None if verbatim => {
                    if !is_verbatim {
                        *out += ".PP\n.EX\n";
                    }
                    *out += &format!("{}\n", escaped(line));
                }
                None if line.is_empty() => is_new = true,
                None => {
                    if is_new {
                        *out += ".PP\n";
                    }
                    *out += &format!("{}\n", escaped(line));
                    is_new = false;
                }
            }
            is_verbatim = verbatim;
        }
        if is_verbatim {
            prose.sections += ".EE\n";
        }
        prose
    }
}

/// `Examples:`, or `Credentials: AZURE_STORAGE_KEY …`: one word that begins a section, and what follows it.
fn heading(line: &str) -> Option<(&str, &str)> {
    let (word, rest) = line.split_once(':')?;
    let is_word = word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(|c| c.is_ascii_alphabetic());
    (is_word && word.len() > 4 && (rest.is_empty() || rest.starts_with(' '))).then(|| (word, rest.trim()))
}

/// A line that roff shows as it is.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    // At the beginning of a line these would be commands.
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

/// How a setting is written.
#[derive(Clone, Copy)]
enum Spelling {
    /// In the configuration file: `attr-ttl = "5s"`.
    Key,
    /// After `-o` and in fstab: `attr_ttl=5s`.
    Option,
}

/// All settings of a mount, a paragraph for each.
fn settings(spelling: Spelling) -> String {
    let command = Settings::augment_args(Command::new("settings")).disable_help_flag(true);
    command.get_arguments().filter(|arg| !arg.is_hide_set()).map(|arg| setting(arg, spelling)).collect()
}

fn setting(arg: &Arg, spelling: Spelling) -> String {
    let name = arg.get_long().unwrap_or_default();
    let value = arg.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str());
    let name = match spelling {
        Spelling::Key => format!(".BR {} \" = \\fI{}\\fR\"", escaped(name), escaped(value)),
        Spelling::Option if arg.is_require_equals_set() => {
            format!(".BR {name} [=\\fI{}\\fR]", escaped(value), name = name.replace('-', "_"))
        }
        Spelling::Option => format!(".BR {name} =\\fI{}\\fR", escaped(value), name = name.replace('-', "_")),
    };
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let help: String = help.lines().map(|line| format!("{}\n", escaped(line))).collect();
    format!(".TP\n{name}\n{help}")
}

/// What `shell` reads to complete, as this program tells a shell that asks.
fn script(shell: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::new(format!("no script for {shell}: {}", reason(&error)));
    let asked = Process::new("/proc/self/exe").env(completion::VARIABLE, shell).stderr(Stdio::inherit()).output();
    let output = asked.map_err(failed)?;
    if !output.status.success() {
        return Err(failed(io::Error::other(output.status.to_string())));
    }
    let mut script = output.stdout;
    if shell == "zsh" {
        // zsh reads the file when something is completed for the first time, and expects an answer to that, too.
        script.extend_from_slice(b"\n[[ $funcstack[1] = _blobcp ]] && _clap_dynamic_completer_blobcp\n");
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::mount_options;

    #[test]
    fn paragraphs_are_filled_and_examples_stay_as_they_are() {
        let text = "One\ntwo.\n\nThree.\n\nExamples:\n  blobcp x --y\n\n  .z\n\nCredentials: A\nB.";
        let prose = Prose::of(text);
        assert_eq!(prose.before, ".PP\nOne\ntwo.\n.PP\nThree.\n");
        let expected = ".SH EXAMPLES\n.PP\n.EX\n  blobcp x \\-\\-y\n\n  .z\n\n.EE\n.SH CREDENTIALS\nA\nB.\n";
        assert_eq!(prose.sections, expected);
    }

    #[test]
    fn a_line_is_never_a_command_of_roff() {
        assert_eq!(escaped(".so a\\b-c"), "\\&.so a\\eb\\-c");
        assert_eq!(escaped("'x"), "\\&'x");
    }

    #[test]
    fn only_one_word_is_a_heading() {
        assert_eq!(heading("Examples:"), Some(("Examples", "")));
        assert_eq!(heading("Credentials: A, B"), Some(("Credentials", "A, B")));
        for line in ["In /etc/fstab, with keys:", "A URL: one", "https://x", "RATE is x: y", ""] {
            assert_eq!(heading(line), None, "{line}");
        }
    }

    #[test]
    fn every_setting_is_a_key_and_an_option() {
        let (keys, options) = (settings(Spelling::Key), settings(Spelling::Option));
        assert!(keys.contains(".TP\n.BR attr\\-ttl \" = \\fITIME\\fR\"\n"), "{keys}");
        assert!(options.contains(".TP\n.BR attr_ttl =\\fITIME\\fR\n"), "{options}");
        assert!(options.contains(".BR read_only [=\\fIyes|no\\fR]"), "{options}");
        for (name, page, _) in PAGES {
            assert_eq!(page.matches(SETTINGS).count(), 1, "{name}");
        }
    }

    #[test]
    fn options_that_a_page_names_are_accepted() {
        let (_, page, _) = PAGES[1];
        let named = page.lines().filter_map(|line| line.strip_prefix(".B \"")?.strip_suffix('"')).collect::<Vec<_>>();
        assert!(named.len() > 5, "{named:?}");
        for list in named {
            mount_options::MountOptions::parse(&[list.replace(' ', ",")]).unwrap();
        }
        assert!(mount_options::MountOptions::parse(&["nonsense".into()]).is_err());
    }

    #[test]
    fn who_may_not_write_hears_where() {
        let arguments = Arguments { directory: PathBuf::from("/proc/none") };
        let failure = arguments.run().unwrap_err();
        assert!(failure.message.unwrap().starts_with("/proc/none/man/man1/blobcp.1: "));
    }
}

//! The command line of libtest, as far as a harness with a process per case can mean it.
//!
//! ```text
//!   argv ─words→ parse ─→ Args { action, filters, skip, … } ─→ chooses(name, ignored) │ report │ runner
//! ```
//!
//! Rules:
//! * Pure: no environment, no output.
//! * What we do not know is an error that names the word, never ignored: a misspelt filter option must not run
//!   everything.
//! * `--test-threads` is accepted and has no effect: cases run one at a time.

/// What the process was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Run,
    List,
    Help,
}

/// Which cases are run with respect to their `#[ignore]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ignored {
    /// They are listed and reported, but do not run.
    Skip,
    /// `--ignored`: they alone.
    Only,
    /// `--include-ignored`: like all others.
    Include,
}

/// When the report uses colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

/// The command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Args {
    pub(super) action: Action,
    pub(super) color: Color,
    /// One character per case, or bare lines from `--list`.
    pub(super) terse: bool,
    /// Whether the output of cases is kept for the report; if not, they write straight to ours.
    pub(super) capture: bool,
    /// Shows what was captured from cases that passed, too.
    pub(super) show_output: bool,
    ignored: Ignored,
    exact: bool,
    filters: Vec<String>,
    skip: Vec<String>,
}

impl Args {
    /// Whether a case of this name takes part (an ignored one may take part by being reported as ignored).
    pub(super) fn chooses(&self, name: &str, ignored: bool) -> bool {
        let hit = |f: &String| if self.exact { name == f } else { name.contains(f.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(hit))
            && !self.skip.iter().any(hit)
            && (self.ignored != Ignored::Only || ignored)
    }

    /// Whether ignored cases that take part are run.
    pub(super) fn runs_ignored(&self) -> bool {
        self.ignored != Ignored::Skip
    }
}

/// Reads the words after the program's name.
pub(super) fn parse(words: impl IntoIterator<Item = String>) -> Result<Args, String> {
    let mut args = Args {
        action: Action::Run,
        color: Color::Auto,
        terse: false,
        capture: true,
        show_output: false,
        ignored: Ignored::Skip,
        exact: false,
        filters: Vec::new(),
        skip: Vec::new(),
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            args.filters.extend(words);
            break;
        }
        if !word.starts_with('-') || word == "-" {
            args.filters.push(word);
            continue;
        }
        let (option, glued) = match word.split_once('=') {
            Some((option, value)) if word.starts_with("--") => (option, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        if let Some(rest) = args.flag(option)? {
            let value = glued.or_else(|| words.next()).ok_or(format!("option `{rest}` needs a value"))?;
            args.option(rest, value)?;
        } else if glued.is_some() {
            return Err(format!("option `{option}` takes no value"));
        }
    }
    Ok(args)
}

impl Args {
    /// Applies an option without a value; hands back one that needs a value.
    fn flag<'w>(&mut self, word: &'w str) -> Result<Option<&'w str>, String> {
        match word {
            "-h" | "--help" => self.action = Action::Help,
            "--list" if self.action == Action::Run => self.action = Action::List,
            // cargo says it of its own accord for some targets; there is nothing else we could be.
            "--list" | "--test" => {}
            "--nocapture" | "--no-capture" => self.capture = false,
            "--show-output" => self.show_output = true,
            "--exact" => self.exact = true,
            "-q" | "--quiet" => self.terse = true,
            "--ignored" => self.heed(Ignored::Only)?,
            "--include-ignored" => self.heed(Ignored::Include)?,
            "--skip" | "--test-threads" | "--color" | "--format" => return Ok(Some(word)),
            _ => return Err(format!("unknown option `{word}`; try --help")),
        }
        Ok(None)
    }

    fn heed(&mut self, ignored: Ignored) -> Result<(), String> {
        if self.ignored != Ignored::Skip && self.ignored != ignored {
            return Err("the options --include-ignored and --ignored are mutually exclusive".to_owned());
        }
        self.ignored = ignored;
        Ok(())
    }

    fn option(&mut self, option: &str, value: String) -> Result<(), String> {
        match (option, value.as_str()) {
            ("--skip", _) => self.skip.push(value),
            ("--test-threads", n) if n.parse().is_ok_and(|n: usize| n > 0) => {}
            ("--color", "auto") => self.color = Color::Auto,
            ("--color", "always") => self.color = Color::Always,
            ("--color", "never") => self.color = Color::Never,
            ("--format", "pretty") => self.terse = false,
            ("--format", "terse") => self.terse = true,
            _ => return Err(format!("`{value}` is not a value of option `{option}`; try --help")),
        }
        Ok(())
    }
}

/// The answer to `--help`.
pub(super) const HELP: &str = "\
Usage: [OPTIONS] [FILTERS...]

Runs the cases whose names contain any of FILTERS (all without), each in a process of its own.

    --list              say which cases there are, and run none
    --ignored           run only ignored cases
    --include-ignored   run ignored cases as well
    --exact             a filter is a whole name
    --skip FILTER       leave out the cases that match (may be repeated)
    --nocapture         let cases write straight to this output (also: --no-capture, RUST_TEST_NOCAPTURE=1)
    --show-output       show what cases that passed have written, too
    --format FORMAT     pretty (default) or terse
    --color WHEN        auto (default), always or never
    --test-threads N    accepted; cases run one at a time
-q, --quiet             like --format terse
-h, --help              this text

A case may take 60 seconds, or as many as PLEACH_TEST_LIMIT_S says, unless it has a limit of its own.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    fn good(line: &str) -> Args {
        read(line).expect("a correct command line")
    }

    #[test]
    fn nothing_said_runs_all_that_is_not_ignored() {
        let args = good("");
        assert_eq!((args.action, args.capture, args.terse), (Action::Run, true, false));
        assert!(args.chooses("a::b", false) && args.chooses("a::b", true));
        assert!(!args.runs_ignored());
    }

    #[test]
    fn a_filter_is_a_substring_and_any_of_several_suffices() {
        let args = good("one two");
        assert!(args.chooses("twenty_one", false) && args.chooses("two", false));
        assert!(!args.chooses("three", false));
    }

    #[test]
    fn exact_holds_for_filters_and_for_skip() {
        let args = good("one two --exact --skip two");
        assert!(args.chooses("one", false));
        assert!(!args.chooses("twenty_one", false) && !args.chooses("two", false));
        assert!(good("--exact --skip=one").chooses("twenty_one", false));
    }

    #[test]
    fn skip_wins_over_a_filter() {
        let args = good("one --skip twenty");
        assert!(args.chooses("one", false) && !args.chooses("twenty_one", false));
    }

    #[test]
    fn nextest_asks_for_the_list_twice() {
        let all = good("--list --format terse");
        assert_eq!((all.action, all.terse), (Action::List, true));
        assert!(all.chooses("a", false) && all.chooses("a", true));
        let ignored = good("--list --format terse --ignored");
        assert!(!ignored.chooses("a", false) && ignored.chooses("a", true));
    }

    #[test]
    fn nextest_runs_one_case_by_name() {
        let args = good("module::case --exact --nocapture --ignored");
        assert!(!args.capture && args.runs_ignored());
        assert!(args.chooses("module::case", true) && !args.chooses("module::case_2", true));
    }

    #[test]
    fn values_may_be_glued_or_follow() {
        assert_eq!(good("--color=always").color, Color::Always);
        assert_eq!(good("--color never").color, Color::Never);
        assert_eq!(good("--test-threads=3 --format=pretty"), good(""));
    }

    #[test]
    fn help_wins_over_list() {
        assert_eq!(good("--help --list").action, Action::Help);
        assert_eq!(good("--list -h").action, Action::Help);
    }

    #[test]
    fn after_two_dashes_everything_is_a_filter() {
        assert!(good("-- --list").chooses("x--list", false));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(read("--exacly").unwrap_err(), "unknown option `--exacly`; try --help");
        assert_eq!(read("-x").unwrap_err(), "unknown option `-x`; try --help");
        assert_eq!(read("--skip").unwrap_err(), "option `--skip` needs a value");
        assert_eq!(read("--exact=yes").unwrap_err(), "option `--exact` takes no value");
        assert!(read("--format json").unwrap_err().starts_with("`json` is not a value of option `--format`"));
        assert!(read("--test-threads 0").is_err() && read("--test-threads many").is_err());
        assert!(read("--ignored --include-ignored").unwrap_err().contains("mutually exclusive"));
    }
}

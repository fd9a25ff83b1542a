//! What the command line asks of a bench.
//!
//! ```text
//!   … -- [--bench] [--rounds N] [--only PART_OF_A_QUESTION'S_NAME] [--columns PART_OF_A_CONTENDER'S_NAME]
//! ```
//!
//! Rules: `cargo bench` passes `--bench`, which means the full size; anything else is a smoke run. Flags of libtest are
//! ignored, so that `cargo test --benches -- --nocapture` works.

/// The choices of one run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The full size, or just enough to show that it works.
    pub(crate) full: bool,
    rounds: Option<usize>,
    only: Vec<String>,
    columns: Vec<String>,
}

impl Options {
    /// The options of this process.
    ///
    /// # Panics
    ///
    /// If `--rounds` is not followed by a number above 0, or `--only` or `--columns` by nothing.
    pub(crate) fn from_args() -> Self {
        let mut options = Options { full: false, rounds: None, only: Vec::new(), columns: Vec::new() };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--bench" => options.full = true,
                "--rounds" => {
                    let rounds = args.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                    options.rounds = Some(rounds.expect("--rounds takes a number above 0"));
                }
                "--only" => options.only.push(args.next().expect("--only takes a part of a name")),
                "--columns" => options.columns.push(args.next().expect("--columns takes a part of a name")),
                _ => {}
            }
        }
        options
    }

    /// How many rounds: `--rounds`, else `full` of a full run, else 1.
    pub(crate) fn rounds(&self, full: usize) -> usize {
        self.rounds.unwrap_or(if self.full { full } else { 1 })
    }

    /// Is this question asked for? Each `--only` adds some.
    pub(crate) fn wants(&self, question: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| question.contains(part.as_str()))
    }

    /// Is this contender asked for? Each `--columns` adds some; ours always are.
    pub(crate) fn wants_column(&self, contender: &str) -> bool {
        self.columns.is_empty() || self.columns.iter().any(|part| contender.contains(part.as_str()))
    }
}

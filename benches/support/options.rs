//! What the command line asks of a bench.
//!
//! ```text
//!   … -- [--bench] [--json] [--rounds N] [--only PART_OF_A_ROW'S_NAME]
//! ```
//!
//! Rules: `cargo bench` passes `--bench`, which means the full size; anything else is a smoke run. Flags of libtest are
//! ignored, so that `cargo test --benches -- --nocapture` works.

/// The choices of one run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The full size, or just enough to show that it works.
    pub(crate) full: bool,
    /// One JSON object a line instead of tables.
    pub(crate) json: bool,
    rounds: Option<usize>,
    only: Option<String>,
}

impl Options {
    /// The options of this process.
    ///
    /// # Panics
    ///
    /// If `--rounds` is not followed by a number above 0, or `--only` by nothing.
    pub(crate) fn from_args() -> Self {
        let mut options = Options { full: false, json: false, rounds: None, only: None };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--bench" => options.full = true,
                "--json" => options.json = true,
                "--rounds" => {
                    let rounds = args.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                    options.rounds = Some(rounds.expect("--rounds takes a number above 0"));
                }
                "--only" => options.only = Some(args.next().expect("--only takes a part of a row's name")),
                _ => {}
            }
        }
        options
    }

    /// How many rounds: `--rounds`, else `full` of a full run, else 1.
    pub(crate) fn rounds(&self, full: usize) -> usize {
        self.rounds.unwrap_or(if self.full { full } else { 1 })
    }

    /// Is the row of this name asked for?
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.only.as_ref().is_none_or(|part| row.contains(part.as_str()))
    }
}

//! A test harness that gives every case a process of its own, and lets it leave nothing behind.
//!
//! ```text
//!   cargo test │ nextest ─argv→ args ◇ ─→ runner ─exec→ the same image ─→ case: inventory, your fn, inventory
//!                                           │  ↑                             │ exit status, receipt, output
//!                              subreaper,   │  └─────────────────────────────┘
//!                              time limit   └─facts→ verdict ◇ ─reasons→ report ◇ ─text→ stdout
//! ```
//!
//! Why not libtest: a test process there has a second thread and a foreign `main`, so it can neither fork nor be
//! the root of a tree of processes.
//!
//! Words: a *case* is one test; the *case process* runs it on its only thread; the *runner* is the process that was
//! started by cargo or nextest; a *stray* is a process that outlived its parent somewhere below a case.
//!
//! Rules:
//! * One case at a time, so that everything that is left behind belongs to the case that has just ended. (nextest
//!   starts one runner per case, and those do run side by side.)
//! * The runner's own threads move bytes and wait; only the case process runs the code under test.
//! * `args`, `verdict` and `report` are pure. `os` alone calls the layer that may use system calls.
//!
//! Not here: macros for assertions, fixtures, parametrised cases. Write functions.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

mod args;
mod case;
mod home;
mod inventory;
mod os;
mod processes;
mod report;
mod runner;
mod strays;
mod verdict;

pub use strays::{Stray, StraysLeft, adopt_strays, expect_strays_gone};

/// Declares the cases of a test target with `harness = false`, and its `main`.
///
/// A case is a function without arguments that returns `()` or a `Result<(), E>` with `E: Debug`; its path is its
/// name. Two attributes exist: `#[ignore]` (or `#[ignore = "why"]`), as in libtest, and `#[limit(seconds)]`, the
/// time after which the case counts as hung, where 60 seconds, or the number in `PLEACH_TEST_LIMIT_S`, will not do.
///
/// Every case runs in a process of its own that has one thread, this program's arguments and environment, and a
/// fresh directory as its `TMPDIR`. It fails if it panics, returns an error, dies, or exceeds its limit; and if at
/// its end there is a file descriptor, thread, child or other descendant, or a file or socket in `TMPDIR`, that
/// was not there at its beginning.
///
/// The binary answers the command line of libtest, so `cargo test` and `cargo nextest` both work.
///
/// ```no_run
/// fn adds() {
///     assert_eq!(1 + 1, 2);
/// }
///
/// mod files {
///     pub fn come_and_go() -> std::io::Result<()> {
///         let path = std::env::temp_dir().join("note");
///         std::fs::write(&path, "gone before the end")?;
///         std::fs::remove_file(path)
///     }
///     pub fn takes_its_time() {}
/// }
///
/// pleach::test_main!(
///     adds,
///     files::come_and_go,
///     #[ignore = "slow"]
///     #[limit(300)]
///     files::takes_its_time,
/// );
/// ```
///
/// With `program = path;` first, where `path` is a function that makes a [`Program`](crate::Program), cases can start its
/// endpoints: a process that is one of its actors becomes it before anything else happens.
///
/// ```no_run
/// use pleach::{Endpoint, Program, actors};
///
/// const DOUBLE: Endpoint<u64, u64> = Endpoint::new("double");
///
/// fn program() -> Program {
///     Program::new("root").endpoint(DOUBLE, async |_, n| Ok(2 * n))
/// }
///
/// fn doubles() {
///     let doubled = program().try_run(async |_| actors(async |an| an.call(DOUBLE, 21).await).await);
///     assert_eq!(doubled.unwrap(), 42);
/// }
///
/// pleach::test_main!(program = program; doubles);
/// ```
#[macro_export]
macro_rules! test_main {
    (@set $case:ident, ignore) => { $case.ignore("") };
    (@set $case:ident, ignore = $why:literal) => { $case.ignore($why) };
    (@set $case:ident, limit($seconds:literal)) => { $case.limit($seconds) };
    (program = $program:path; $($cases:tt)*) => {
        fn main() -> ::std::process::ExitCode {
            // Before anything else: an actor of the program under test runs this main as well.
            $crate::Program::divert(&$program());
            $crate::test_main!(@run $($cases)*)
        }
    };
    (@run $( $(#[$($setting:tt)*])* $case:path ),* $(,)?) => {
        $crate::test_main::run(&[$({
            let case = $crate::test_main::Case::new(
                ::core::stringify!($case),
                || $crate::test_main::Ending::reason($case()),
            );
            $( let case = $crate::test_main!(@set case, $($setting)*); )*
            case
        }),*])
    };
    ($($cases:tt)*) => {
        fn main() -> ::std::process::ExitCode {
            $crate::test_main!(@run $($cases)*)
        }
    };
}

/// One test and its settings; made by [`test_main!`](crate::test_main!).
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    body: fn() -> Option<String>,
    /// `Some("")` is ignored without a reason.
    ignored: Option<&'static str>,
    limit: Option<Duration>,
}

impl Case {
    /// A case that is run by default. `body` answers with the reason of its failure.
    #[must_use]
    pub const fn new(name: &'static str, body: fn() -> Option<String>) -> Self {
        Case { name, body, ignored: None, limit: None }
    }

    /// Runs this case only when asked to. An empty `why` is no reason.
    #[must_use]
    pub const fn ignore(mut self, why: &'static str) -> Self {
        self.ignored = Some(why);
        self
    }

    /// Gives this case a time limit of its own, in seconds.
    #[must_use]
    pub const fn limit(mut self, seconds: u64) -> Self {
        self.limit = Some(Duration::from_secs(seconds));
        self
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { name, body: _, ignored, limit } = self;
        f.debug_struct("Case").field("name", name).field("ignored", ignored).field("limit", limit).finish()
    }
}

/// What a case may return: nothing, or a `Result` whose error can be printed.
pub trait Ending {
    /// Why the case failed, if it did.
    fn reason(self) -> Option<String>;
}

impl Ending for () {
    fn reason(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Debug> Ending for Result<(), E> {
    fn reason(self) -> Option<String> {
        self.err().map(|e| format!("returned Err({e:?})"))
    }
}

/// The `main` of a test target; called by [`test_main!`](crate::test_main!).
///
/// Runs one case if this process is a case process. Otherwise does what the command line says: exit code 0, or 101 if
/// a case failed or the command line is wrong (both as libtest).
///
/// # Panics
///
/// If standard output is closed.
#[must_use]
pub fn run(cases: &[Case]) -> ExitCode {
    if let Some(code) = case::divert(cases) {
        return code;
    }
    match obey(cases) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILURE),
        Err(complaint) => {
            eprintln!("error: {complaint}");
            ExitCode::from(FAILURE)
        }
    }
}

/// The exit code of libtest, and of a panicking main thread.
const FAILURE: u8 = 101;

/// Whether all is well; an error is about the command line or the environment, not about a case.
fn obey(cases: &[Case]) -> Result<bool, String> {
    let words = std::env::args_os().skip(1).map(|w| w.to_string_lossy().into_owned());
    let args = args::parse(words)?;
    for (i, case) in cases.iter().enumerate() {
        if cases[..i].iter().any(|earlier| earlier.name == case.name) {
            return Err(format!("two cases are called `{}`", case.name));
        }
    }
    let chosen: Vec<Case> =
        cases.iter().filter(|c| args.chooses(c.name, c.ignored.is_some())).copied().collect();
    match args.action {
        args::Action::Help => print!("{}", args::HELP),
        args::Action::List => print!("{}", report::list(chosen.iter().map(|c| c.name), args.terse)),
        args::Action::Run => return runner::run_all(&chosen, cases.len() - chosen.len(), &args),
    }
    Ok(true)
}

//! The harness of `pleach::test_main!` tests itself: what must pass passes, what must fail fails for the right reason.
//!
//! ```text
//!   cargo test ─→ runner ─→ case `…_is_reported` ─exec→ a second runner of this binary ─→ ignored case `bad::…`
//!                                ↑──────────────── its exit code and its report ──────────────┘
//! ```
//!
//! Rules:
//! * The cases of module `bad` fail on purpose. They are ignored, and only ever run below another case.
//! * The second runner sees the environment of its case, so `PLEACH_TEST_LIMIT_S` must not reach it by chance.

use pleach::test_main::{StraysLeft, adopt_strays, expect_strays_gone};
use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, Read};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

#[path = "harness_selftest/bad.rs"]
mod bad;

pleach::test_main!(
    a_case_is_the_only_thread_of_its_process,
    a_case_sees_the_arguments_of_nextest_and_nothing_of_the_harness,
    a_case_may_return_ok,
    tmpdir_is_fresh_private_and_may_be_used,
    a_joined_thread_is_not_left_behind,
    adopted_strays_are_waited_for,
    strays_that_stay_are_named,
    passing::modules_are_part_of_the_name,
    a_panic_is_reported,
    an_error_is_reported,
    an_open_descriptor_is_reported,
    a_running_thread_is_reported,
    a_running_child_is_reported_and_killed,
    a_zombie_is_reported,
    an_orphan_is_reported_and_killed,
    files_and_sockets_are_reported_and_removed,
    a_hang_is_dumped_and_killed_with_all_below,
    the_environment_sets_the_limit_of_cases_without_their_own,
    a_tree_that_can_speak_is_asked_for_its_last_words,
    death_by_signal_is_reported,
    an_early_exit_is_reported,
    much_output_blocks_nobody_and_is_kept_on_failure,
    output_of_stdout_and_stderr_keeps_its_order,
    nocapture_shows_output_and_reasons,
    the_list_is_what_nextest_reads,
    filters_choose_cases,
    an_unknown_option_is_an_error,
    every_failure_counts,
    a_runner_with_children_refuses,
    #[ignore = "fails on purpose"]
    bad::panics,
    #[ignore = "fails on purpose"]
    bad::errs,
    #[ignore = "fails on purpose"]
    bad::leaks_a_descriptor,
    #[ignore = "fails on purpose"]
    bad::leaks_a_thread,
    #[ignore = "fails on purpose"]
    bad::leaks_a_child,
    #[ignore = "fails on purpose"]
    bad::leaks_a_zombie,
    #[ignore = "fails on purpose"]
    bad::leaks_an_orphan,
    #[ignore = "fails on purpose"]
    bad::leaks_files,
    #[ignore = "fails on purpose"]
    #[limit(1)]
    bad::hangs,
    #[ignore = "fails on purpose"]
    bad::hangs_without_a_limit_of_its_own,
    #[ignore = "fails on purpose"]
    #[limit(2)]
    bad::hangs_with_a_talker,
    #[ignore = "fails on purpose"]
    bad::dies_by_signal,
    #[ignore = "fails on purpose"]
    bad::exits_early,
    #[ignore = "fails on purpose"]
    bad::floods,
    #[ignore = "fails on purpose"]
    bad::alternates,
);

type Outcome = Result<(), Box<dyn Error>>;

/// Longer than any case here lives.
const LONG: &str = "600";
/// Against hangs only.
const GUARD: Duration = Duration::from_secs(10);

mod passing {
    pub(crate) fn modules_are_part_of_the_name() {
        let name = std::env::args().nth(1).expect("a case has arguments");
        assert_eq!(name, "passing::modules_are_part_of_the_name");
    }
}

fn a_case_is_the_only_thread_of_its_process() -> io::Result<()> {
    assert_eq!(fs::read_dir("/proc/self/task")?.count(), 1);
    Ok(())
}

fn a_case_sees_the_arguments_of_nextest_and_nothing_of_the_harness() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    assert_eq!(
        words,
        ["a_case_sees_the_arguments_of_nextest_and_nothing_of_the_harness", "--exact", "--nocapture"]
    );
    // The environment is the runner's, but for TMPDIR.
    let runner = fs::read(format!("/proc/{}/environ", std::os::unix::process::parent_id()))?;
    let mut theirs: Vec<String> = String::from_utf8_lossy(&runner).split('\0').map(str::to_owned).collect();
    theirs.retain(|line| !line.is_empty() && !line.starts_with("TMPDIR="));
    theirs.sort();
    let own = env::vars_os().map(|(k, v)| format!("{}={}", k.to_string_lossy(), v.to_string_lossy()));
    let mut own: Vec<String> = own.filter(|line| !line.starts_with("TMPDIR=")).collect();
    own.sort();
    assert_eq!(own, theirs);
    // Standard input is empty, so nothing can wait for a keyboard.
    assert_eq!(io::stdin().read(&mut [0])?, 0);
    Ok(())
}

fn a_case_may_return_ok() -> Result<(), String> {
    Ok(())
}

fn tmpdir_is_fresh_private_and_may_be_used() -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let home = env::temp_dir();
    assert_eq!(fs::metadata(&home)?.permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(&home)?.count(), 0);
    let socket = home.join("socket");
    drop(UnixListener::bind(&socket)?);
    fs::remove_file(socket)
}

fn a_joined_thread_is_not_left_behind() {
    // Often, as the kernel lists a joined thread for a moment.
    for _ in 0..200 {
        thread::spawn(|| ()).join().expect("the thread does nothing");
    }
}

/// A shell that starts a `sleep` in the background and says its pid.
fn shell_with_orphan(seconds: &str) -> io::Result<(Child, String)> {
    let script = format!("sleep {seconds} >/dev/null 2>&1 & echo $!; exec sleep {LONG}");
    let mut shell = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn()?;
    let mut pid = String::new();
    let mut out = shell.stdout.take().expect("its output is piped");
    while !pid.ends_with('\n') {
        let mut byte = [0];
        out.read_exact(&mut byte)?;
        pid.push(char::from(byte[0]));
    }
    Ok((shell, pid.trim().to_owned()))
}

fn adopted_strays_are_waited_for() -> Outcome {
    adopt_strays()?;
    let (mut root, orphan) = shell_with_orphan("0.2")?;
    root.kill()?;
    root.wait()?;
    let gone: Vec<String> = expect_strays_gone(GUARD)?.iter().map(|s| s.pid.to_string()).collect();
    assert_eq!(gone, [orphan]);
    Ok(())
}

fn strays_that_stay_are_named() -> Outcome {
    adopt_strays()?;
    let (mut root, orphan) = shell_with_orphan(LONG)?;
    root.kill()?;
    root.wait()?;
    let Err(StraysLeft::Running(left)) = expect_strays_gone(Duration::from_millis(20)) else {
        return Err("a sleeping process is not gone".into());
    };
    assert!(left.len() == 1 && left[0].starts_with(&format!("pid {orphan} ")), "{left:?}");
    assert!(Command::new("kill").args(["-KILL", &orphan]).status()?.success());
    expect_strays_gone(GUARD)?;
    Ok(())
}

/// What a second runner of this binary said.
struct Said {
    code: Option<i32>,
    text: String,
}

impl Said {
    #[track_caller]
    fn has(&self, part: &str) -> &Self {
        assert!(self.text.contains(part), "the report lacks `{part}`:\n{}", self.text);
        self
    }

    #[track_caller]
    fn lacks(&self, part: &str) -> &Self {
        assert!(!self.text.contains(part), "the report has `{part}`:\n{}", self.text);
        self
    }

    /// What stands after `word` up to the next blank.
    #[track_caller]
    fn after(&self, word: &str) -> &str {
        let rest = self.text.split_once(word).unwrap_or_else(|| panic!("no `{word}`:\n{}", self.text)).1;
        rest.split_whitespace().next().unwrap_or_default()
    }
}

/// Runs this binary with these arguments; its standard output and exit code.
fn run_self(args: &[&str]) -> io::Result<Said> {
    run_self_with_limit(None, args)
}

/// The same with a value for `PLEACH_TEST_LIMIT_S`.
fn run_self_with_limit(limit: Option<&str>, args: &[&str]) -> io::Result<Said> {
    let mut command = Command::new(env::current_exe()?);
    command
        .args(args)
        .env_remove("PLEACH_TEST_LIMIT_S")
        .env_remove("RUST_TEST_NOCAPTURE")
        .stdin(Stdio::null());
    command.envs(limit.map(|seconds| ("PLEACH_TEST_LIMIT_S", seconds)));
    let output = command.output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok(Said { code: output.status.code(), text: String::from_utf8_lossy(&text).into_owned() })
}

/// Runs one bad case with capture; it must be reported as failed, alone, for `reason`.
#[track_caller]
fn failing(case: &str, reason: &str) -> Said {
    let said = run_self(&[case, "--exact", "--ignored"]).expect("this binary can be run");
    said.has("running 1 test\n")
        .has(&format!("test {case} ... FAILED\n"))
        .has(&format!("---- {case} stdout ----\n"))
        .has(&format!("case failed: {reason}"))
        .has("test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; ");
    assert_eq!(said.code, Some(101));
    said
}

/// Whether a process of this number exists, dead or alive.
fn exists(pid: &str) -> bool {
    fs::exists(format!("/proc/{pid}")).expect("/proc can be read")
}

fn a_panic_is_reported() {
    failing("bad::panics", "panicked\n").has("deliberate panic").lacks("case failed: left");
}

fn an_error_is_reported() {
    failing("bad::errs", "returned Err(\"deliberate error\")\n");
}

/// Case S247.
fn an_open_descriptor_is_reported() {
    let said = failing("bad::leaks_a_descriptor", "left fd ");
    said.has(" open -> /etc/passwd\n");
    assert_eq!(said.text.matches("case failed: ").count(), 1, "{}", said.text);
}

fn a_running_thread_is_reported() {
    failing("bad::leaks_a_thread", "left thread ").has("`lingerer` running");
}

fn a_running_child_is_reported_and_killed() {
    let said = failing("bad::leaks_a_child", "left a child running: pid ");
    said.has("case failed: left a stray process, killed now: pid ").has("`sleep`");
    assert!(!exists(said.after("left a child running: pid ")));
}

fn a_zombie_is_reported() {
    failing("bad::leaks_a_zombie", "left a zombie, ended but never waited for: pid ").lacks("stray");
}

/// Case S247.
fn an_orphan_is_reported_and_killed() {
    let said = failing("bad::leaks_an_orphan", "left a stray process, killed now: pid ");
    said.lacks("left a child");
    let orphan = said.after("killed now: pid ");
    assert_eq!(orphan, said.after("the orphan is "));
    assert!(!exists(orphan));
}

/// Case S247.
fn files_and_sockets_are_reported_and_removed() {
    let said = failing("bad::leaks_files", "left behind in TMPDIR: directory d\n");
    said.has("case failed: left behind in TMPDIR: file d/f\n");
    said.has("case failed: left behind in TMPDIR: socket s\n");
    let home = said.after("the home is ");
    assert!(!fs::exists(home).expect("its parent can be read"), "{home}");
}

/// Case S212.
fn a_hang_is_dumped_and_killed_with_all_below() {
    let said = failing("bad::hangs", "hung: no end within 1 s; it and all below were killed\n");
    let child = said.after("the child is ");
    let line = format!("  pid {child} `sleep` (state ");
    said.has(&line)
        .has(": wchan ")
        .has(", syscall ")
        .has("    fd 0 -> /dev/null\n")
        .lacks("killed by signal");
    assert!(!exists(child));
}

fn the_environment_sets_the_limit_of_cases_without_their_own() -> Outcome {
    let said =
        run_self_with_limit(Some("1"), &["bad::hangs_without_a_limit_of_its_own", "--exact", "--ignored"])?;
    assert_eq!(said.code, Some(101));
    said.has("case failed: hung: no end within 1 s; ");
    let said = run_self_with_limit(Some("soon"), &["passing"])?;
    assert_eq!(said.code, Some(101));
    said.has("error: PLEACH_TEST_LIMIT_S must be whole seconds, not `soon`").lacks("running");
    Ok(())
}

fn a_tree_that_can_speak_is_asked_for_its_last_words() {
    failing("bad::hangs_with_a_talker", "hung: ").has("these are my last words\n");
}

fn death_by_signal_is_reported() {
    failing("bad::dies_by_signal", "killed by signal 6 (SIGABRT)\n").has("about to abort");
}

fn an_early_exit_is_reported() {
    let said =
        failing("bad::exits_early", "its process exited by itself with code 0 before the case returned\n");
    said.lacks("ok");
}

fn much_output_blocks_nobody_and_is_kept_on_failure() {
    let said = failing("bad::floods", "panicked\n");
    said.has("first line\n").has(" bytes left out …]\n").has("last line\n");
    assert!(said.text.len() < bad::FLOOD / 2, "{}", said.text.len());
}

fn output_of_stdout_and_stderr_keeps_its_order() {
    failing("bad::alternates", "panicked\n").has("out 0\nerr 0\nout 1\nerr 1\nout 2\nerr 2\n");
}

fn nocapture_shows_output_and_reasons() -> Outcome {
    let said = run_self(&["bad::panics", "--exact", "--nocapture", "--include-ignored"])?;
    assert_eq!(said.code, Some(101));
    said.has("deliberate panic").has("---- bad::panics stdout ----\ncase failed: panicked\n");
    Ok(())
}

fn the_list_is_what_nextest_reads() -> Outcome {
    let all = run_self(&["--list", "--format", "terse"])?;
    assert_eq!(all.code, Some(0));
    assert!(all.text.lines().all(|line| line.ends_with(": test")), "{}", all.text);
    all.has("the_list_is_what_nextest_reads: test\n").has("bad::hangs: test\n");
    let ignored = run_self(&["--list", "--format", "terse", "--ignored"])?;
    assert!(ignored.text.lines().all(|line| line.starts_with("bad::")), "{}", ignored.text);
    assert!(ignored.text.lines().count() > 10 && all.text.lines().count() > ignored.text.lines().count());
    Ok(())
}

fn filters_choose_cases() -> Outcome {
    let said = run_self(&["passing", "bad::panics", "--skip", "panics_not", "--color", "always"])?;
    assert_eq!(said.code, Some(0));
    said.has("running 2 tests\n")
        .has("test passing::modules_are_part_of_the_name ... \x1b[32mok\x1b[m\n")
        .has("test bad::panics ... \x1b[33mignored, fails on purpose\x1b[m\n")
        .has("1 passed; 0 failed; 1 ignored; 0 measured; ")
        .lacks("deliberate panic");
    let none = run_self(&["no such case"])?;
    assert_eq!(none.code, Some(0));
    none.has("running 0 tests\n").has("ok. 0 passed; ");
    Ok(())
}

fn an_unknown_option_is_an_error() -> Outcome {
    let said = run_self(&["--exacly", "a_panic_is_reported"])?;
    assert_eq!(said.code, Some(101));
    said.has("error: unknown option `--exacly`").lacks("running");
    Ok(())
}

fn every_failure_counts() -> Outcome {
    let said = run_self(&["bad::panics", "bad::errs", "passing", "--include-ignored", "-q"])?;
    assert_eq!(said.code, Some(101));
    said.has("running 3 tests\n.FF\n")
        .has("failures:\n    bad::panics\n    bad::errs\n")
        .has("1 passed; 2 failed;");
    Ok(())
}

fn a_runner_with_children_refuses() -> Outcome {
    // exec keeps the children of the shell, which are none of the runner's business.
    let script = format!("sleep {LONG} >/dev/null 2>&1 & echo $!; exec \"$0\" passing");
    let exe = env::current_exe()?;
    adopt_strays()?;
    let output = Command::new("sh").args(["-c", &script]).arg(exe).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(101), "{text}{complaint}");
    assert!(complaint.contains("already has children"), "{complaint}");
    assert!(Command::new("kill").args(["-KILL", text.trim()]).status()?.success(), "{text}");
    assert_eq!(expect_strays_gone(GUARD)?.len(), 1);
    Ok(())
}

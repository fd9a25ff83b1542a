//! Runs cases one after the other, each in a process of its own.
//!
//! ```text
//!   for each case:  Home (TMPDIR, ticket) ─exec→ case process ─┬─status──→ waiter thread ─┐
//!                                                              └─output──→ reader thread ─┴─Event→ watch
//!   then:           sweep (strays) ─→ Home::clear ─→ Facts ─→ verdict ─→ report ─→ stdout
//! ```
//!
//! Rules:
//! * The main thread alone decides; the two helpers of a case block in one system call each and end with it.
//! * Output is read all the time, so a case never blocks on a full pipe; beyond a bound only its beginning and end
//!   are kept.
//! * Every wait has a limit: the case's own, and a guard for what must follow a kill.

use super::args::{Args, Color};
use super::home::Home;
use super::report::{Outcome, Report};
use super::strays;
use super::verdict::{End, Facts};
use super::{Case, os, processes};
use std::collections::VecDeque;
use std::env;
use std::io::{self, IsTerminal, PipeReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// A case without a limit of its own may take so long, unless the environment says otherwise.
const LIMIT: Duration = Duration::from_secs(60);
const LIMIT_VARIABLE: &str = "PLEACH_TEST_LIMIT_S";
/// So long a hanging tree may take to print what it knows about itself.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// So long the kernel may take to report what must come after a kill.
const GUARD: Duration = Duration::from_secs(10);

/// Runs `cases` and prints the report; whether none failed.
pub(super) fn run_all(cases: &[Case], filtered_out: usize, args: &Args) -> Result<bool, String> {
    let setup = Setup::new(args)?;
    let color = match args.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => io::stdout().is_terminal(),
    };
    let started = os::now();
    let mut report = Report::new(args.terse, color, args.show_output, filtered_out);
    say(&report.opening(cases.len()));
    for case in cases {
        say(&report.begin(case.name));
        let (outcome, output) = match case.ignored {
            Some(why) if !args.runs_ignored() => (Outcome::Ignored(why), String::new()),
            _ => setup.judge(case),
        };
        say(&report.end(case.name, &outcome, &output));
    }
    say(&report.closing(os::now().saturating_duration_since(started)));
    Ok(report.good())
}

/// Prints at once: what is on the screen when a run is killed should be all there was.
fn say(text: &str) {
    print!("{text}");
    // As libtest and `print!`: without an output there is no point in going on.
    io::stdout().flush().expect("standard output takes the report");
}

/// What all cases of a run have in common.
struct Setup {
    image: std::path::PathBuf,
    limit: Duration,
    capture: bool,
}

impl Setup {
    fn new(args: &Args) -> Result<Setup, String> {
        let image = env::current_exe().map_err(|e| format!("this program's own path is not known: {e}"))?;
        // They came by exec, from a shell perhaps, and would be taken for strays.
        if !os::has_no_children() {
            return Err("this process already has children, which are not its own".to_owned());
        }
        os::become_subreaper().map_err(|e| format!("strays cannot be adopted: {e}"))?;
        let limit = match env::var(LIMIT_VARIABLE) {
            Ok(text) => Duration::from_secs(
                text.parse().map_err(|_| format!("{LIMIT_VARIABLE} must be whole seconds, not `{text}`"))?,
            ),
            Err(_) => LIMIT,
        };
        let wanted = env::var_os("RUST_TEST_NOCAPTURE").is_none_or(|v| v == "0");
        Ok(Setup { image, limit, capture: args.capture && wanted })
    }

    /// Runs one case to its end and past it; its outcome, and what it wrote if that was captured.
    fn judge(&self, case: &Case) -> (Outcome, String) {
        let mut output = Captured::default();
        let reasons = match self.run(case, &mut output) {
            Ok(facts) => facts.reasons(),
            Err(e) => vec![format!("the runner could not run it: {e}")],
        };
        let outcome = if reasons.is_empty() { Outcome::Passed } else { Outcome::Failed(reasons) };
        (outcome, output.into_text())
    }

    fn run(&self, case: &Case, output: &mut Captured) -> io::Result<Facts> {
        let home = Home::new(case.name)?;
        let (child, pipe) = self.start(case, &home)?;
        let mut watch = Watch::new(child, pipe, output);
        let end = watch.end(case.limit.unwrap_or(self.limit));
        // Even if that failed: nothing of this case may run on beside the next one.
        let swept = strays::sweep()?;
        let output_open = !watch.until(GUARD, |seen| seen.output_ended);
        let end = end?;
        let lines = |list: Vec<processes::Process>| list.iter().map(ToString::to_string).collect();
        let (strays, unkillable) = (lines(swept.strays), lines(swept.unkillable));
        Ok(Facts { end, remains: home.clear()?, strays, unkillable, output_open })
    }

    /// Starts the case process, which sees the arguments that nextest would give it.
    fn start(&self, case: &Case, home: &Home) -> io::Result<(Child, Option<PipeReader>)> {
        let mut command = Command::new(&self.image);
        if let Some(name) = env::args_os().next() {
            command.arg0(name);
        }
        command.args([case.name, "--exact", "--nocapture"]).env("TMPDIR", home.path()).stdin(Stdio::null());
        if !self.capture {
            return Ok((command.spawn()?, None));
        }
        // One pipe for both, so that the order of what was written is kept. The command owns our copies of its
        // writing end, and is dropped here: else the pipe would never end.
        let (reader, writer) = io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        Ok((command.spawn()?, Some(reader)))
    }
}

/// What the helper threads report.
enum Event {
    Output(Vec<u8>),
    OutputEnded,
    Ended(io::Result<ExitStatus>),
}

/// One case process being watched.
struct Watch<'a> {
    pid: processes::Pid,
    events: Receiver<Event>,
    seen: Seen,
    output: &'a mut Captured,
}

/// What has been reported so far.
#[derive(Default)]
struct Seen {
    status: Option<io::Result<ExitStatus>>,
    output_ended: bool,
}

impl<'a> Watch<'a> {
    fn new(child: Child, pipe: Option<PipeReader>, output: &'a mut Captured) -> Self {
        let pid = child.id();
        // Bounded: a case that writes faster than we look must not fill the memory.
        let (sender, events) = sync_channel(16);
        let seen = Seen { output_ended: pipe.is_none(), ..Seen::default() };
        if let Some(pipe) = pipe {
            let sender = sender.clone();
            thread::spawn(move || read_all(pipe, &sender));
        }
        // A closed channel means that the runner has given this case up.
        let mut child = child;
        thread::spawn(move || sender.send(Event::Ended(child.wait())));
        Watch { pid, events, seen, output }
    }

    /// Takes in events until `enough`; whether that was within the time.
    fn until(&mut self, within: Duration, enough: impl Fn(&Seen) -> bool) -> bool {
        let deadline = os::now() + within;
        while !enough(&self.seen) {
            match self.events.recv_timeout(deadline.saturating_duration_since(os::now())) {
                Ok(Event::Output(bytes)) => self.output.push(&bytes),
                Ok(Event::OutputEnded) => self.seen.output_ended = true,
                Ok(Event::Ended(status)) => self.seen.status = Some(status),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }

    /// Waits for the case process; if it exceeds its limit, kills it and all below.
    fn end(&mut self, limit: Duration) -> io::Result<End> {
        if !self.until(limit, |seen| seen.status.is_some()) {
            return Ok(End::Hung { limit, dump: self.stop_hanging() });
        }
        let status = self.seen.status.take().expect("`until` saw a status")?;
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => End::Code(code),
            (None, signal) => End::Signal(signal.unwrap_or_default()),
        })
    }

    /// Dumps the tree, lets it say its last words, and kills it; the dump.
    fn stop_hanging(&mut self) -> String {
        let tree = processes::below(std::process::id());
        let dump = processes::dump(&tree);
        // SIGUSR1 asks a runtime for its task tree. It would kill a process that does not expect it.
        let mut asked = false;
        for process in tree.iter().filter(|p| processes::catches(p.pid, os::SIGUSR1)) {
            // One that has ended meanwhile has nothing to say.
            asked |= os::signal(process.pid, os::SIGUSR1).is_ok();
        }
        if asked {
            // Its output comes in meanwhile; there is no sign for "that was all" but the end.
            self.until(LAST_WORDS, |seen| seen.status.is_some());
        }
        strays::kill_below(std::process::id());
        // The helper that waits for the case process must have its status before the sweep takes any child's.
        if !self.until(GUARD, |seen| seen.status.is_some()) {
            return format!("{dump}  pid {} did not die of SIGKILL", self.pid);
        }
        dump
    }
}

/// The life of the reader thread.
fn read_all(mut pipe: PipeReader, to: &SyncSender<Event>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) if to.send(Event::Output(buffer[..n].to_vec())).is_ok() => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // The runner has given this case up; or reading a pipe failed, and nothing more will come.
            Ok(_) | Err(_) => break,
        }
    }
    // As above.
    let _ = to.send(Event::OutputEnded);
}

/// The output of a case: all of it, or its beginning and its end.
#[derive(Debug, Default)]
struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: usize,
}

impl Captured {
    /// So many bytes of the beginning are kept, and as many of the end.
    const KEPT: usize = 1 << 20;

    fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(Self::KEPT - self.head.len()));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(Self::KEPT);
        self.tail.drain(..excess);
        self.dropped += excess;
    }

    fn into_text(self) -> String {
        let Captured { mut head, tail, dropped } = self;
        if dropped > 0 {
            head.extend_from_slice(format!("\n[… {dropped} bytes left out …]\n").as_bytes());
        }
        head.extend(tail);
        String::from_utf8_lossy(&head).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Captured;

    #[test]
    fn output_within_the_bound_is_kept_whole() {
        let mut output = Captured::default();
        for _ in 0..2 {
            output.push(&vec![b'a'; Captured::KEPT / 2 + 1]);
        }
        assert_eq!(output.into_text(), "a".repeat(Captured::KEPT + 2));
    }

    #[test]
    fn of_too_much_output_the_beginning_and_the_end_are_kept() {
        let mut output = Captured::default();
        output.push(b"first");
        output.push(&vec![b'x'; 3 * Captured::KEPT]);
        output.push(b"last");
        let left_out = Captured::KEPT + "first".len() + "last".len();
        let text = output.into_text();
        assert!(text.starts_with("firstx") && text.ends_with("xlast"));
        assert!(text.contains(&format!("\n[… {left_out} bytes left out …]\n")), "{}", text.len());
    }
}

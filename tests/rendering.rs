//! Promise: an error is printed in one way, the same for the same failure: who, where, why, by which signal, and whom it
//! took down; and it stays readable whatever is in it and however large it is.
//!
//! ```text
//!   ErrorTree, made here ───────────────┐
//!   a tree of actors, on each backend ──┼─► Report ─► text ─ pids masked ─► snapshots/rendering/NAME.txt, as it was read
//!   a program whose main fails ─stderr──┘
//! ```
//!
//! Rules:
//! * A snapshot is read by a person before it is kept. `PLEACH_SNAPSHOTS=write cargo test -p pleach-tests --test rendering`
//!   writes them anew for `git diff`; where `CI` is set, nothing is ever written.
//! * What two runs may differ in is masked: process ids, and nothing else.

use pleach::sync::Event as Flag;
use pleach::{
    Actor, Backend, BootPhase, Context, Endpoint, Error, ErrorKind, ErrorTree, Event, Fallen, LastWords,
    Origin, Program, Report, Start, Status, Step, actors, sleep_forever,
};
use pleach_spawn::{Signal, raise_default};
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

pleach::test_main!(
    program = program;
    a_lone_error,
    a_chain_of_sources,
    a_panic_and_its_place,
    a_signal_has_its_name,
    a_stopped_actor,
    a_death_in_boot_and_its_last_words,
    a_boot_that_took_too_long,
    a_process_that_was_not_made,
    groups_of_groups,
    members_that_were_cut,
    hostile_texts_stay_texts,
    ten_thousand_leaves,
    a_tree_far_too_deep_to_draw,
    a_killed_actor,
    one_failure_and_the_five_it_took_down,
    nobody_is_charged_with_what_another_did,
    main_fails,
    #[ignore = "fails; run by the one above"]
    fails_in_main,
    any_tree_is_readable_text,
);

// ---- one error

fn at(path: &str) -> Origin {
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    Origin { name, path: path.to_owned(), pid: 4711, incarnation: 1 }
}

fn failed(path: &str, text: &str) -> ErrorTree {
    ErrorTree::new(ErrorKind::Failed { type_name: "text".to_owned() }, text, at(path))
}

fn group(members: Vec<ErrorTree>) -> ErrorTree {
    let mut group =
        ErrorTree::new(ErrorKind::Group, format!("{} failures", members.len()), Origin::default());
    group.members = members;
    group
}

const KILLED: Status = Status::Signaled { signal: 9, core: false };

fn a_lone_error() {
    let e = Error::msg("out of cheese");
    assert_eq!(e.to_string(), "out of cheese", "what the root says of itself is said as it is");
    snapshot("lone_error", &Report::of(&failed("root/shop", "out of cheese")));
}

fn a_chain_of_sources() {
    let mut e = failed("root/shop", "cannot open the shop");
    e.source = vec!["the door is locked".to_owned(), "the key is:\nlost".to_owned()];
    snapshot("chain_of_sources", &Report::of(&e));
}

fn a_panic_and_its_place() {
    let kind = ErrorKind::Panicked { location: Some("src/shop.rs:12:34".to_owned()) };
    let text = "assertion `left == right` failed\n  left: 1\n right: 2";
    snapshot("panic", &Report::of(&ErrorTree::new(kind, text, at("root/shop"))));
}

fn a_signal_has_its_name() {
    let died = |path: &str, status: Status| {
        let text = format!("died without a last message: {status}");
        ErrorTree::new(ErrorKind::Died { pid: 4711, status }, text, at(path))
    };
    let all = [
        died("root/killed", KILLED),
        died("root/crashed", Status::Signaled { signal: 11, core: true }),
        died("root/unnamed", Status::Signaled { signal: 40, core: false }),
        died("root/left", Status::Exited(3)),
    ];
    snapshot("signals", &Report::of(&group(all.into())));
}

fn a_stopped_actor() {
    let text = "it was stopped by SIGSTOP, and was continued only to end";
    let kind = ErrorKind::Stopped { pid: 4711, signal: 19 };
    snapshot("stopped", &Report::of(&ErrorTree::new(kind, text, at("root/shop"))));
}

fn a_death_in_boot_and_its_last_words() {
    let status = Status::Exited(67);
    let words = LastWords { phase: Step::Fds.phase(), errno: 2, text: b"opening /dev/null".to_vec() };
    let kind = ErrorKind::DiedInBoot { phase: BootPhase::Hello, status, last_words: Some(words) };
    let text = format!("died before Hello: {status}");
    snapshot("died_in_boot", &Report::of(&ErrorTree::new(kind, text, at("root/shop"))));
}

fn a_boot_that_took_too_long() {
    let text = "not up in time (between Spec and Ready); it was stopped";
    let kind = ErrorKind::BootTimeout { phase: BootPhase::Ready };
    snapshot("boot_timeout", &Report::of(&ErrorTree::new(kind, text, at("root/shop"))));
}

fn a_process_that_was_not_made() {
    let kind = ErrorKind::Spawn { step: "fork".to_owned(), errno: Some(12) };
    snapshot("not_made", &Report::of(&ErrorTree::new(kind, "the system refused to fork", Origin::default())));
}

// ---- trees

fn groups_of_groups() {
    let mut because = failed("root/s0/s1/leaf0", "cannot open the shop");
    because.source.push("the door is locked".to_owned());
    let kind = ErrorKind::Panicked { location: Some("src/shop.rs:12:34".to_owned()) };
    let panicked = ErrorTree::new(kind, "two\nlines", at("root/s0/s1/leaf1"));
    let s0 = group(vec![failed("root/s0/s0/leaf1", "first"), group(vec![because, panicked])]);
    let s1 = group(vec![failed("root/s1/s0/leaf0", "fifth"), failed("root/s1/s0/leaf1", "last")]);
    snapshot("groups_of_groups", &Report::of(&group(vec![s0, failed("root/late", "fourth"), s1])));
}

fn members_that_were_cut() {
    let mut inner = group(vec![failed("root/s0/a", "first")]);
    inner.cut = 41;
    let mut gone = group(vec![]);
    (gone.message, gone.cut) = ("7 failures".to_owned(), 7);
    let mut outer = group(vec![inner, gone]);
    outer.cut = 1;
    snapshot("cut_members", &Report::of(&outer));
}

/// Case S193.
fn hostile_texts_stay_texts() {
    let text = "done\x1b[2J\x1b[H\r\n└─ root/forged (pid 1) failed: not really\n\ttab \u{202e}desrever\u{2028}x\u{7}";
    let mut e = failed("root/\x1b]0;title\x07\nx", text);
    e.source.push("b\0c\u{9b}31m".to_owned());
    let long = "word ".repeat(1000);
    let tall = "line\n".repeat(1000);
    let members = vec![e, failed("root/long", &long), failed("root/tall", &tall), failed("root/quiet", "")];
    snapshot("hostile_texts", &Report::of(&group(members)));
}

fn ten_thousand_leaves() {
    let leaf = |path: &str, i| failed(&format!("{path}/leaf{i}"), &format!("error {i}"));
    let half = |path: &str| group((0..4999).map(|i| leaf(path, i)).collect());
    let tree = group(vec![half("root/s0"), leaf("root", 0), half("root/s1"), leaf("root", 1)]);
    snapshot("ten_thousand_leaves", &Report::of(&tree));
}

fn a_tree_far_too_deep_to_draw() {
    let mut path = "root".to_owned();
    (0..20).for_each(|i| write!(path, "/s{i}").expect("a String takes all"));
    let mut tree = failed(&path, "deepest, and first");
    for i in (0..20).rev() {
        path.truncate(path.rfind('/').expect("there are as many"));
        tree = group(vec![tree, failed(&format!("{path}/late"), &format!("late at level {i}"))]);
    }
    snapshot("deep", &Report::of(&tree));
    // As deep as a local one may get without harm to others: only drawing it is ours.
    let mut tree = failed("root/deepest", "first");
    for _ in 0..2000 {
        tree = group(vec![tree]);
    }
    assert!(Report::of(&tree).to_string().ends_with("└─ root/deepest (pid 4711) failed: first"));
}

// ---- whom it took down

const FAIL: Endpoint<String, ()> = Endpoint::new("fail");
const NEST: Endpoint<(), ()> = Endpoint::new("nest");
const IDLE: Endpoint<(), ()> = Endpoint::new("idle");
const KILL: Endpoint<(), ()> = Endpoint::new("kill");

const BACKENDS: [Backend; 4] = [Backend::Fork, Backend::Exec, Backend::ForkServer, Backend::Auto];

fn program() -> Program {
    Program::new("root")
        .endpoint(FAIL, async |_, text| Err(Error::msg(text)))
        .endpoint(KILL, async |_, ()| raise_default(Signal::KILL))
        .endpoint(IDLE, async |context: Context, ()| idle(&context).await)
        .endpoint(NEST, async |context: Context, ()| {
            actors(async |an| {
                let _below = an.call(IDLE, ());
                idle(&context).await
            })
            .await
        })
}

/// Says that it is there, and waits to be cancelled.
async fn idle(context: &Context) -> Result<(), Error> {
    context.actor().note("idle");
    match sleep_forever().await? {}
}

/// Five actors on two levels wait; then a sixth fails.
async fn one_takes_down_five(root: &Actor, backend: Backend) -> Result<(), Error> {
    let here = Rc::new((Flag::new(), std::cell::Cell::new(0)));
    let hears = Rc::clone(&here);
    let _watching = root.observe(move |event| {
        if matches!(event, Event::Note { .. }) {
            hears.1.set(hears.1.get() + 1);
            if hears.1.get() == 5 {
                hears.0.set();
            }
        }
    });
    actors(async |an| {
        let start = |name: &str| Start::new(name).backend(backend).may_spawn(true);
        let _idle = ["w0", "w1", "w2"].map(|name| an.call_with(start(name), IDLE, ()));
        let _nest = an.call_with(start("w3"), NEST, ());
        here.0.wait().await?;
        an.call_with(start("shop"), FAIL, "out of cheese".to_owned()).await
    })
    .await
}

/// As [`a_signal_has_its_name`], but the system says it.
fn a_killed_actor() {
    for backend in BACKENDS {
        let outcome = program().try_run(async |_| {
            actors(async |an| an.call_with(Start::new("shop").backend(backend), KILL, ()).await).await
        });
        snapshot("killed", &outcome.expect_err("it dies"));
    }
}

fn one_failure_and_the_five_it_took_down() {
    for backend in BACKENDS {
        let fallen = Fallen::default();
        let hears = fallen.clone();
        let outcome = program().try_run(async move |root| {
            let _watching = root.observe(move |event| hears.hear(event));
            one_takes_down_five(&root, backend).await
        });
        let e = outcome.expect_err("one of them fails");
        println!("{backend:?}");
        snapshot("took_down_five", &Report::new(&e).with(&fallen));
        assert_eq!(Report::new(&e).to_string(), e.to_string());
    }
}

/// The same actors fell, but the error that is printed is not the one that took them down; and after another try
/// they are the new one's.
fn nobody_is_charged_with_what_another_did() {
    let fallen = Fallen::default();
    let hears = fallen.clone();
    let outcome = program().try_run(async move |root| {
        let _watching = root.observe(move |event| hears.hear(event));
        one_takes_down_five(&root, Backend::Exec).await.expect_err("one of them fails");
        one_takes_down_five(&root, Backend::Exec).await
    });
    let e = outcome.expect_err("one of them fails");
    snapshot("took_down_five", &Report::new(&e).with(&fallen));
    let other = Error::from(std::io::Error::other("all is lost"));
    assert_eq!(Report::new(&other).with(&fallen).to_string(), "all is lost");
}

fn main_fails() {
    let mut again = Command::new(std::env::current_exe().expect("a running program has a path"));
    again.args(["fails_in_main", "--exact", "--ignored", "--nocapture"]).stdin(Stdio::null());
    let ended = again.output().expect("it can be started");
    snapshot("main_fails", &String::from_utf8(ended.stderr).expect("a report is text").trim_end());
}

fn fails_in_main() {
    let _exit_code = program().run(async |root| one_takes_down_five(&root, Backend::Exec).await);
}

// ---- any tree

/// The numbers of a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        // xorshift64: enough to go everywhere.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("it is below a usize")
    }

    fn text(&mut self) -> String {
        const ODD: [char; 16] = [
            '\0', '\x1b', '\n', '\r', '\t', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2028}', '\u{2066}', '/', '│',
            '└', ' ', 'é', '語',
        ];
        let len = self.below(12);
        (0..len).map(|_| ODD[self.below(ODD.len())]).collect()
    }

    fn kind(&mut self) -> ErrorKind {
        let status = [Status::Exited(0), KILLED, Status::Unknown][self.below(3)];
        match self.below(8) {
            0 => ErrorKind::Panicked { location: Some(self.text()) },
            1 => ErrorKind::Died { pid: 1, status },
            2 => {
                let text = self.text().into_bytes();
                let words = LastWords { phase: self.below(256) as u8, errno: 5, text };
                ErrorKind::DiedInBoot { phase: BootPhase::Spec, status, last_words: Some(words) }
            }
            3 => ErrorKind::Spawn { step: self.text(), errno: Some(-1) },
            4 => ErrorKind::Group,
            _ => ErrorKind::Failed { type_name: self.text() },
        }
    }

    /// A tree of so many errors, each hung from one before it; each says its number first.
    fn tree(&mut self, size: usize) -> ErrorTree {
        // Half of them wide: everything hangs from the first few.
        let wide = self.below(2) == 0;
        let parents: Vec<usize> =
            (0..size).map(|i: usize| self.below(if wide { i.clamp(1, 5) } else { i.max(1) })).collect();
        let mut grown: Vec<ErrorTree> = (0..size)
            .map(|i| {
                let origin = if self.below(4) == 0 { Origin::default() } else { at(&self.text()) };
                let mut e = ErrorTree::new(self.kind(), format!("<{i}>{}", self.text()), origin);
                e.source = (0..self.below(3)).map(|_| self.text()).collect();
                e.cut = u32::try_from(self.below(3)).expect("it is small");
                e
            })
            .collect();
        while let Some(mut e) = grown.pop() {
            e.members.reverse();
            match grown.len() {
                0 => return e,
                i => grown[parents[i]].members.push(e),
            }
        }
        unreachable!("a tree has a root")
    }
}

/// Case S193.
fn any_tree_is_readable_text() {
    for seed in 1..=500 {
        let mut numbers = Numbers(seed);
        let size = 1 + numbers.below(300);
        let tree = numbers.tree(size);
        let text = Report::of(&tree).to_string();
        let odd =
            text.chars().find(|c| c.is_control() && *c != '\n' || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(odd, None, "seed {seed}: {text}");
        let mut said = Vec::new();
        tree.visit(|e| {
            if e.kind != ErrorKind::Group || e.members.is_empty() {
                let number = e.message.split_inclusive('>').next();
                said.push(number.expect("it begins with its number").to_owned());
            }
        });
        // Each at most once, the first for certain, and those that are not there are counted.
        let times: Vec<usize> = said.iter().map(|number| text.matches(number.as_str()).count()).collect();
        assert!(times[0] == 1 && times.iter().all(|n| *n <= 1), "seed {seed}: {times:?} in {text}");
        let (shown, elided) = (times.iter().sum::<usize>(), text.lines().filter_map(counted).sum::<usize>());
        assert_eq!(shown + elided, said.len(), "seed {seed}: {text}");
        assert!(shown <= 100, "seed {seed}: {text}");
        if said.len() <= 20 {
            assert_eq!(elided, 0, "seed {seed}: nothing has to be left out of a small tree: {text}");
        }
    }
}

/// The number in a line that stands for errors that are not shown.
fn counted(line: &str) -> Option<usize> {
    line.split_once("… ")?.1.strip_suffix(" more")?.parse().ok()
}

// ---- snapshots

/// Compares with the text that was read and kept.
#[track_caller]
fn snapshot(name: &str, report: &dyn std::fmt::Display) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("snapshots/rendering/{name}.txt"));
    let text = masked(&report.to_string()) + "\n";
    if std::env::var_os("PLEACH_SNAPSHOTS").is_some_and(|v| v == "write") && std::env::var_os("CI").is_none()
    {
        std::fs::write(&path, &text).expect("the directory of snapshots is there");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(kept == text, "{} says\n{kept}\nbut now it is\n{text}", path.display());
}

/// The same with `N` for each process id.
fn masked(text: &str) -> String {
    let mut parts = text.split("(pid ");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str("(pid N");
        masked.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    masked
}

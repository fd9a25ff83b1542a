//! Promise: whatever standard error is, and whatever the harness was told, the nested error tree comes home.
//!
//! ```text
//!   tty │ file │ drained pipe │ full pipe │ closed ─2─→ nested_errors [--all-fail] [--panic] ─→ case: as in nested_errors.rs
//!   a logger's descriptor, opened before the fork ───→ actors that write to it all the time ─→ case: values intact
//! ```
//!
//! Rules:
//! * A pipe that nobody reads is full from the beginning: the first byte that somebody writes blocks that process.
//! * `--panic` because what a panicking program says goes to standard error, if nobody sees to it.

mod support;

use pleach::{Actor, Error, actors, inventory, run};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::rc::Rc;
use support::{BACKEND, Run, assert_nothing_left, command, example, runs};

pleach::test_main!(
    #[limit(3600)]
    a_terminal,
    #[limit(3600)]
    a_file,
    #[limit(3600)]
    a_pipe_that_is_read,
    #[limit(3600)]
    a_full_pipe_that_nobody_reads,
    #[limit(3600)]
    closed,
    #[limit(3600)]
    an_inherited_logger_does_not_reach_the_wire,
    #[limit(3600)]
    an_inherited_logger_on_a_full_pipe_blocks_nobody,
    #[limit(3600)]
    a_setting_of_the_harness_changes_nothing,
    #[ignore = "run by the one above, with every setting"]
    #[limit(60)]
    a_tree_of_panics_in_this_process,
);

/// All ways to fail, on a tree of the shape that `--breadth 2 --depth 3` has and on a flat one.
fn each_way(start: impl Fn(&str) -> Run) {
    let runs = runs(10);
    for shape in [(2, 1), (2, 3)] {
        for way in ["", "--all-fail", "--panic", "--all-fail --panic"] {
            let (breadth, depth) = shape;
            let args = format!("--breadth {breadth} --depth {depth} --runs {runs} --json {way}");
            support::comes_home(start(&args), shape, way.contains("--all-fail"), runs);
            assert_nothing_left();
        }
    }
}

/// script(1) runs it with a terminal for all three.
fn a_terminal() {
    each_way(|args| {
        let mut script = Command::new("script");
        let line =
            format!("test -t 2 && exec '{}' --backend {BACKEND} {args}", example("nested_errors").display());
        script.args(["-q", "-e", "-c", &line, "/dev/null"]);
        script.stdin(Stdio::null()).stderr(Stdio::piped());
        Run::start(script)
    });
}

fn a_file() {
    let path = std::env::temp_dir().join("stderr");
    each_way(|args| {
        let mut command = command("nested_errors", args);
        command.stderr(File::create(&path).expect("the directory of a case is its own"));
        Run::start(command)
    });
    assert_eq!(fs::read_to_string(&path).expect("it was written"), "", "an actor wrote to standard error");
    fs::remove_file(path).expect("it is there");
}

fn a_pipe_that_is_read() {
    each_way(|args| Run::start(command("nested_errors", args)));
}

fn a_full_pipe_that_nobody_reads() {
    let (_reader, writer) = full_pipe().expect("there are descriptors left");
    each_way(|args| {
        let mut command = command("nested_errors", args);
        command.stderr(writer.try_clone().expect("there are descriptors left"));
        Run::start(command)
    });
}

fn closed() {
    each_way(|args| {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#"exec "$0" "$@" 2>&-"#])
            .arg(example("nested_errors"))
            .args(["--backend", BACKEND])
            .args(args.split_whitespace());
        shell.stdin(Stdio::null());
        Run::start(shell)
    });
}

/// A pipe into which not one byte more goes. A write blocks.
fn full_pipe() -> io::Result<(PipeReader, PipeWriter)> {
    /// The value that Linux gives it on all but a few old architectures.
    const O_NONBLOCK: i32 = 0o4000;
    let (reader, writer) = io::pipe()?;
    // An open file description of its own, so that the writer stays one that blocks.
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut filler = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path)?;
    // A page at a time while that goes, then byte by byte.
    for chunk in [&[b'.'; 4096][..], b"."] {
        loop {
            match filler.write(chunk) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
    }
    Ok((reader, writer))
}

// ---- a logger that was opened before the fork

/// Starts actors that log all the time, and whose actors log as well, while frames of all sizes go over the wire.
fn log_and_talk<L: 'static>(logger: &Rc<L>, log: fn(&L, &str)) -> Result<(), Error> {
    run(actors(async |an| {
        let mut handles = Vec::new();
        for i in 0..4_u32 {
            let logger = Rc::clone(logger);
            handles.push(an.fork(format!("talker{i}"), (), async move |actor: Actor, ()| {
                let mut values = Vec::new();
                for n in 0..500 {
                    log(&logger, &format!("talker{i} line {n}\n"));
                    if n % 50 == 0 {
                        actor.note(format!("note {n}"));
                    }
                    values.push(i * 1000 + n);
                }
                let below = Rc::clone(&logger);
                let more = actors(async |an| {
                    let handle = an.fork("below", (), async move |_, ()| {
                        for n in 0..500 {
                            log(&below, &format!("below talker{i} line {n}\n"));
                        }
                        Ok(vec![i; 10_000])
                    });
                    handle.result().await
                })
                .await?;
                log(&logger, "the last line of a child\n");
                Ok((values, more))
            }));
        }
        for (i, handle) in (0..4_u32).zip(handles) {
            let (values, more) = handle.result().await?;
            assert_eq!(values, Vec::from_iter((0..500).map(|n| i * 1000 + n)));
            assert_eq!(more, vec![i; 10_000]);
        }
        Ok(())
    }))
}

fn an_inherited_logger_does_not_reach_the_wire() -> Result<(), Error> {
    let path = std::env::temp_dir().join("log");
    let file = Rc::new(File::create(&path)?);
    let before = inventory::open_fds()?;
    for _ in 0..runs(5) {
        log_and_talk(&file, |mut file: &File, line| {
            file.write_all(line.as_bytes()).expect("a log takes lines")
        })?;
    }
    (&*file).write_all(b"the parent's own line\n")?;
    assert_eq!(inventory::open_fds()?, before);
    // The descriptor was not granted: in a child its number leads to /dev/null.
    assert_eq!(fs::read_to_string(&path)?, "the parent's own line\n");
    fs::remove_file(path)?;
    Ok(())
}

fn an_inherited_logger_on_a_full_pipe_blocks_nobody() -> Result<(), Error> {
    let (_reader, writer) = full_pipe()?;
    let writer = Rc::new(writer);
    for _ in 0..runs(5) {
        log_and_talk(&writer, |mut pipe: &PipeWriter, line| {
            pipe.write_all(line.as_bytes()).expect("a log takes lines")
        })?;
    }
    Ok(())
}

// ---- the harness

fn a_tree_of_panics_in_this_process() {
    for _ in 0..5 {
        let outcome: Result<(), Error> = run(actors(async |an| {
            for name in ["a", "b"] {
                let _running = an.fork(name, (), async move |_, ()| {
                    actors(async |an| {
                        for name in ["c", "d"] {
                            let _running =
                                an.fork(name, (), async move |actor: Actor, ()| -> Result<(), Error> {
                                    panic!("{} panics on purpose", actor.id().path());
                                });
                        }
                        Ok(())
                    })
                    .await
                });
            }
            Ok(())
        }));
        let errors = outcome.expect_err("every leaf panics");
        let leaves = errors.leaves();
        assert!(!leaves.is_empty());
        for leaf in leaves {
            assert_eq!(leaf.message, format!("{} panics on purpose", leaf.origin.path));
        }
        assert_nothing_left();
    }
}

fn a_setting_of_the_harness_changes_nothing() {
    let plain: [&[&str]; 5] =
        [&[], &["--nocapture"], &["--show-output"], &["--test-threads=1"], &["--quiet"]];
    let variables = [("RUST_TEST_NOCAPTURE", "1"), ("RUST_BACKTRACE", "full"), ("RUST_TEST_THREADS", "1")];
    let (_reader, full) = full_pipe().expect("there are descriptors left");
    for flags in plain {
        for variable in [None].into_iter().chain(variables.map(Some)) {
            for full_stderr in [false, true] {
                let mut again = Command::new(std::env::current_exe().expect("a running program has a path"));
                again.args(["a_tree_of_panics_in_this_process", "--exact", "--ignored"]).args(flags);
                again.envs(variable).stdin(Stdio::null());
                if full_stderr {
                    again.stderr(full.try_clone().expect("there are descriptors left"));
                } else {
                    again.stderr(Stdio::piped());
                }
                let ended = Run::start(again).finish();
                let what = format!("{flags:?} {variable:?} {full_stderr}: {ended:?}");
                assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""), "{what}");
                assert!(
                    ended.lines.iter().any(|line| line.starts_with("test result: ok. 1 passed")),
                    "{what}"
                );
                assert_nothing_left();
            }
        }
    }
}

//! The promises of the reactor, one test each.

use super::*;
use crate::run;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// A reactor of its own, which the loop does not see.
fn with_reactor(test: impl FnOnce(&mut Reactor)) {
    run(async { test(&mut Reactor::new().unwrap()) });
}

/// Asks as one who is about to wait for epoll's word, and parks if it has not come.
fn ready(r: &mut Reactor, source: &Source, direction: Direction) -> PollReady {
    match source.poll_ready(direction, Asks::WhetherReady, Waker::noop()) {
        PollReady::Park => {
            if !source.is_told_of(direction) {
                r.tell_of_room(source).unwrap();
            }
            drop(source.park(direction, Waker::noop().clone()));
            PollReady::Parked
        }
        told => told,
    }
}

fn to_try(source: &Source, direction: Direction) -> PollReady {
    source.poll_ready(direction, Asks::WhetherToTry, Waker::noop())
}

/// Both ends non-blocking.
fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

fn fill(mut s: &UnixStream) {
    while s.write(&[0; 4096]).is_ok() {}
}

fn empty(mut s: &UnixStream) {
    while s.read(&mut [0; 4096]).is_ok() {}
}

fn turn(r: &mut Reactor) -> (usize, usize) {
    let mut woken = 0;
    r.wait(Some(Duration::ZERO)).unwrap();
    let seen = r.take_in(|_| woken += 1);
    (seen, woken)
}

#[test]
fn readiness_is_remembered_until_it_is_said_to_be_used_up() {
    with_reactor(|r| {
        let (a, mut b) = UnixStream::pair().unwrap();
        let source = r.register(a.as_raw_fd(), true).unwrap();
        assert_eq!(ready(r, &source, Direction::Read), PollReady::Parked);
        b.write_all(b"x").unwrap();
        assert_eq!(turn(r), (1, 1));
        assert_eq!(turn(r), (0, 0), "an edge comes once");
        assert_eq!(ready(r, &source, Direction::Read), PollReady::Ready);
        assert_eq!(to_try(&source, Direction::Write), PollReady::Ready);
        source.clear(Direction::Read);
        assert_eq!(ready(r, &source, Direction::Read), PollReady::Parked);
        assert_eq!(ready(r, &source, Direction::Write), PollReady::Ready);
    });
}

#[test]
fn a_hang_up_wakes_both_directions() {
    with_reactor(|r| {
        let (a, b) = UnixStream::pair().unwrap();
        let source = r.register(a.as_raw_fd(), true).unwrap();
        turn(r);
        source.clear(Direction::Write);
        assert_eq!(ready(r, &source, Direction::Read), PollReady::Parked);
        assert_eq!(ready(r, &source, Direction::Write), PollReady::Parked);
        drop(b);
        assert_eq!(turn(r), (1, 2));
    });
}

#[test]
fn an_error_wakes_the_writer_of_a_pipe() {
    with_reactor(|r| {
        let (reader, writer) = io::pipe().unwrap();
        let source = r.register(writer.as_raw_fd(), true).unwrap();
        turn(r);
        source.clear(Direction::Write);
        assert_eq!(ready(r, &source, Direction::Write), PollReady::Parked);
        drop(reader);
        assert_eq!(turn(r), (1, 1));
    });
}

#[test]
fn a_token_of_a_descriptor_that_is_gone_reaches_no_stranger() {
    with_reactor(|r| {
        let (a, b) = UnixStream::pair().unwrap();
        let old = r.register(a.as_raw_fd(), true).unwrap();
        r.deregister(&old);
        let new = r.register(b.as_raw_fd(), true).unwrap();
        assert_eq!(index_of(old.token()), index_of(new.token()), "the place is used again");
        assert_eq!(ready(r, &old, Direction::Read), PollReady::Gone);
        r.deregister(&old);
        assert_eq!(to_try(&new, Direction::Write), PollReady::Ready);
        old.clear(Direction::Write);
        assert_eq!(to_try(&new, Direction::Write), PollReady::Ready);
        assert_eq!(r.registrations(), 1);
    });
}

#[test]
fn an_event_that_outlived_its_registration_wakes_nobody() {
    with_reactor(|r| {
        let (a, b) = UnixStream::pair().unwrap();
        let old = r.register(a.as_raw_fd(), true).unwrap();
        // The kernel keeps the registration as long as a duplicate lives, and reports it under the old token.
        let _duplicate = a.try_clone().unwrap();
        let stale = r.sources.remove(index_of(old.token()));
        let new = r.register(b.as_raw_fd(), true).unwrap();
        turn(r);
        new.clear(Direction::Write);
        (&b).write_all(b"x").unwrap();
        let (seen, _) = turn(r);
        assert!(seen >= 1);
        assert_eq!(
            ready(r, &new, Direction::Read),
            PollReady::Parked,
            "the stale event was of {}",
            stale.fd()
        );
    });
}

#[test]
fn a_waiter_may_change_its_waker_and_leaves_with_it() {
    struct Other;
    impl std::task::Wake for Other {
        fn wake(self: Arc<Self>) {}
    }
    with_reactor(|r| {
        let (a, _b) = UnixStream::pair().unwrap();
        let source = r.register(a.as_raw_fd(), true).unwrap();
        assert_eq!(ready(r, &source, Direction::Read), PollReady::Parked);
        let other = Waker::from(Arc::new(Other));
        assert_eq!(source.poll_ready(Direction::Read, Asks::WhetherReady, &other), PollReady::Park);
        assert!(source.park(Direction::Read, other.clone()).is_some());
        assert!(source.leave(Direction::Read).unwrap().will_wake(&other));
        assert!(source.leave(Direction::Read).is_none());
    });
}

#[test]
fn a_peer_that_reads_is_not_heard_of_before_somebody_has_waited_for_room() {
    with_reactor(|r| {
        let (a, b) = pair();
        let source = r.register(a.as_raw_fd(), true).unwrap();
        assert_eq!(turn(r), (0, 0), "nobody asked whether there is room");
        fill(&a);
        empty(&b);
        assert_eq!(turn(r), (0, 0));
        assert_eq!(to_try(&source, Direction::Write), PollReady::Ready);
    });
}

#[test]
fn room_that_came_between_the_failed_write_and_the_question_is_told() {
    with_reactor(|r| {
        let (a, b) = pair();
        let source = r.register(a.as_raw_fd(), true).unwrap();
        fill(&a);
        source.clear(Direction::Write);
        empty(&b);
        assert_eq!(turn(r), (0, 0), "the edge is over");
        assert_eq!(ready(r, &source, Direction::Write), PollReady::Parked);
        assert_eq!(turn(r), (1, 1));
    });
}

#[test]
fn to_ask_again_about_reading_and_writing_loses_neither() {
    with_reactor(|r| {
        let (a, mut b) = pair();
        let source = r.register(a.as_raw_fd(), true).unwrap();
        fill(&a);
        source.clear(Direction::Write);
        assert_eq!(ready(r, &source, Direction::Read), PollReady::Parked);
        b.write_all(b"x").unwrap();
        // Both are so before epoll is asked about both.
        empty(&b);
        assert_eq!(ready(r, &source, Direction::Write), PollReady::Parked);
        assert_eq!(turn(r), (1, 2));
    });
}

#[test]
fn the_question_about_room_stays_while_somebody_waits_and_goes_with_an_event_nobody_needed() {
    with_reactor(|r| {
        let (a, b) = pair();
        let source = r.register(a.as_raw_fd(), true).unwrap();
        let changes = crate::stats().reactor_changes;
        for _ in 0..3 {
            fill(&a);
            source.clear(Direction::Write);
            assert_eq!(ready(r, &source, Direction::Write), PollReady::Parked);
            empty(&b);
            assert_eq!(turn(r), (1, 1));
        }
        assert_eq!(crate::stats().reactor_changes, changes + 1, "asked once");
        fill(&a);
        empty(&b);
        assert_eq!(turn(r), (1, 0));
        assert_eq!(crate::stats().reactor_changes, changes + 2, "withdrawn");
        fill(&a);
        empty(&b);
        assert_eq!(turn(r), (0, 0));
        assert_eq!(to_try(&source, Direction::Write), PollReady::Ready);
    });
}

#[test]
fn a_number_closed_by_somebody_else_is_the_waiters_error() {
    with_reactor(|r| {
        // Whoever opens something meanwhile, in another test of this process, gets one of these numbers and not that of `a`.
        let lower: Vec<_> = (0..64).map(|_| UnixStream::pair().unwrap()).collect();
        let (a, b) = pair();
        drop(lower);
        let number = a.as_raw_fd();
        let source = r.register(number, true).unwrap();
        fill(&a);
        source.clear(Direction::Write);
        drop(a);
        assert_eq!(r.tell_of_room(&source).unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert!(!source.is_told_of(Direction::Write));
        assert_eq!(turn(r), (0, 0));
        drop(b);
    });
}

#[test]
fn names_its_own_descriptors_and_the_owned_ones_and_no_others() {
    with_reactor(|r| {
        let (a, b) = UnixStream::pair().unwrap();
        r.register(a.as_raw_fd(), true).unwrap();
        r.register(b.as_raw_fd(), false).unwrap();
        let expected = [r.poll.as_raw_fd(), r.bell.as_raw_fd(), a.as_raw_fd()];
        assert_eq!(r.owned_fds(), expected);
    });
}

#[test]
fn a_ring_ends_a_wait_each_time() {
    with_reactor(|r| {
        let inbox = Inbox::new();
        r.hang_bell(&inbox);
        for word in 0..3 {
            assert!(inbox.sleep());
            inbox.push(word);
            r.wait(None).unwrap();
            let seen = r.take_in(|_| {});
            assert_eq!((seen, inbox.has_mail()), (1, true));
            let mut got = Vec::new();
            inbox.drain(&mut got);
            assert_eq!((got, inbox.has_mail()), (vec![word], false));
        }
    });
}

#[test]
fn nobody_rings_for_an_owner_that_is_awake() {
    with_reactor(|r| {
        let inbox = Inbox::new();
        r.hang_bell(&inbox);
        inbox.push(1);
        assert_eq!(turn(r).0, 0);
        assert!(!inbox.sleep(), "there is mail: it is not to wait");
        inbox.drain(&mut Vec::new());
        assert!(inbox.sleep());
        inbox.awake();
        inbox.push(2);
        assert_eq!(turn(r).0, 0);
    });
}

#[test]
fn words_of_another_thread_arrive_in_order() {
    with_reactor(|r| {
        let inbox = Arc::new(Inbox::new());
        r.hang_bell(&inbox);
        let pusher = {
            let inbox = Arc::clone(&inbox);
            std::thread::spawn(move || (0..10_000).for_each(|word| inbox.push(word)))
        };
        let mut got = Vec::new();
        while got.len() < 10_000 {
            if !inbox.has_mail() && inbox.sleep() {
                r.wait(None).unwrap();
                inbox.awake();
            }
            inbox.drain(&mut got);
        }
        pusher.join().unwrap();
        assert!(got.into_iter().eq(0..10_000));
    });
}

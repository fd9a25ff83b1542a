//! The promises of the reactor, one test each.

use super::*;
use crate::run;
use std::io::Write;
use std::os::unix::net::UnixStream;

/// A reactor of its own, which the loop does not see.
fn with_reactor(test: impl FnOnce(&mut Reactor)) {
    run(async { test(&mut Reactor::new().unwrap()) });
}

fn ready(r: &mut Reactor, token: Token, direction: Direction) -> PollReady {
    r.poll_ready(token, direction, 0, Waker::noop()).0
}

fn turn(r: &mut Reactor) -> (usize, usize) {
    let mut woken = Vec::new();
    let seen = r.turn(Some(Duration::ZERO), &mut woken).unwrap();
    (seen, woken.len())
}

#[test]
fn readiness_is_remembered_until_it_is_said_to_be_used_up() {
    with_reactor(|r| {
        let (a, mut b) = UnixStream::pair().unwrap();
        let token = r.register(a.as_raw_fd(), true).unwrap();
        assert_eq!(ready(r, token, Direction::Read), PollReady::Pending);
        b.write_all(b"x").unwrap();
        assert_eq!(turn(r), (1, 1));
        assert_eq!(turn(r), (0, 0), "an edge comes once");
        assert_eq!(ready(r, token, Direction::Read), PollReady::Ready);
        assert_eq!(ready(r, token, Direction::Write), PollReady::Ready);
        r.clear_ready(token, Direction::Read);
        assert_eq!(ready(r, token, Direction::Read), PollReady::Pending);
        assert_eq!(ready(r, token, Direction::Write), PollReady::Ready);
    });
}

#[test]
fn a_hang_up_wakes_both_directions() {
    with_reactor(|r| {
        let (a, b) = UnixStream::pair().unwrap();
        let token = r.register(a.as_raw_fd(), true).unwrap();
        turn(r);
        r.clear_ready(token, Direction::Write);
        assert_eq!(ready(r, token, Direction::Read), PollReady::Pending);
        assert_eq!(ready(r, token, Direction::Write), PollReady::Pending);
        drop(b);
        assert_eq!(turn(r), (1, 2));
    });
}

#[test]
fn an_error_wakes_the_writer_of_a_pipe() {
    with_reactor(|r| {
        let (reader, writer) = io::pipe().unwrap();
        let token = r.register(writer.as_raw_fd(), true).unwrap();
        turn(r);
        r.clear_ready(token, Direction::Write);
        assert_eq!(ready(r, token, Direction::Write), PollReady::Pending);
        drop(reader);
        assert_eq!(turn(r), (1, 1));
    });
}

#[test]
fn a_token_of_a_descriptor_that_is_gone_reaches_no_stranger() {
    with_reactor(|r| {
        let (a, b) = UnixStream::pair().unwrap();
        let old = r.register(a.as_raw_fd(), true).unwrap();
        r.deregister(old);
        let new = r.register(b.as_raw_fd(), true).unwrap();
        assert_eq!(old.index, new.index, "the place is used again");
        assert_eq!(ready(r, old, Direction::Read), PollReady::Gone);
        r.deregister(old);
        turn(r);
        assert_eq!(ready(r, new, Direction::Write), PollReady::Ready);
        r.clear_ready(old, Direction::Write);
        assert_eq!(ready(r, new, Direction::Write), PollReady::Ready);
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
        let stale = r.sources.remove(old.index as usize);
        let new = r.register(b.as_raw_fd(), true).unwrap();
        turn(r);
        r.clear_ready(new, Direction::Write);
        (&b).write_all(b"x").unwrap();
        let (seen, _) = turn(r);
        assert!(seen >= 1);
        assert_eq!(ready(r, new, Direction::Read), PollReady::Pending, "the stale event was of {}", stale.fd);
    });
}

#[test]
fn one_waiter_for_each_direction_and_it_may_change_its_waker() {
    with_reactor(|r| {
        let (a, _b) = UnixStream::pair().unwrap();
        let token = r.register(a.as_raw_fd(), true).unwrap();
        let poll = |r: &mut Reactor, wait| r.poll_ready(token, Direction::Read, wait, Waker::noop()).0;
        assert_eq!(poll(r, 1), PollReady::Pending);
        assert_eq!(poll(r, 2), PollReady::Busy);
        assert_eq!(poll(r, 1), PollReady::Pending);
        assert!(r.leave(token, Direction::Read, 2).is_none());
        assert!(r.leave(token, Direction::Read, 1).is_some());
        assert_eq!(poll(r, 2), PollReady::Pending);
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
            let seen = r.turn(None, &mut Vec::new()).unwrap();
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
        assert_eq!(r.turn(Some(Duration::ZERO), &mut Vec::new()).unwrap(), 0);
        assert!(!inbox.sleep(), "there is mail: it is not to wait");
        inbox.drain(&mut Vec::new());
        assert!(inbox.sleep());
        inbox.awake();
        inbox.push(2);
        assert_eq!(r.turn(Some(Duration::ZERO), &mut Vec::new()).unwrap(), 0);
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
                r.turn(None, &mut Vec::new()).unwrap();
                inbox.awake();
            }
            inbox.drain(&mut got);
        }
        pusher.join().unwrap();
        assert!(got.into_iter().eq(0..10_000));
    });
}

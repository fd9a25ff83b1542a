//! Arbitrary messages for the tests of the protocol.
//!
//! ```text
//!   proptest ─► text, cause, error tree, ledger ─► message ─► vocabulary.rs, errors.rs, handshake.rs
//! ```

#![allow(dead_code, reason = "every test file uses a part of it")]

use pleach_ipc::proto::{
    Backend, BootPhase, Cancel, FrameLen, Hello, LastWords, Ledger, Limits, Message, Origin, PROTOCOL,
    Payload, Reaped, Role, Spec, Started, Why, WireCause, WireEnding, WireError, WireErrorKind, WireStatus,
    encoder,
};
use proptest::prelude::*;

pub(crate) fn frame(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoder::frame(message, &Limits::default(), &mut bytes).expect("within the limits");
    bytes
}

pub(crate) fn hello() -> Hello {
    Hello {
        protocol: PROTOCOL,
        build: 0xfeed,
        name: "leaf".into(),
        path: "root/leaf".into(),
        pid: 4711,
        start_time: 99,
        backend: Backend::Fork,
        fds: 4,
        threads: 1,
    }
}

pub(crate) fn spec() -> Spec {
    Spec {
        path: "root/leaf".into(),
        orphan_grace_ns: 500_000_000,
        cancel_ns: 5_000_000_000,
        boot_ns: 10_000_000_000,
        unkillable_ns: 10_000_000_000,
        terminate_percent: 60,
        handshake_ns: 5_000_000_000,
        ready_by_ns: None,
        limits: Limits::default(),
        may_spawn: true,
        role: Role::Closure,
        incarnation: 1,
    }
}

pub(crate) fn error(message: &str) -> WireError {
    let kind = WireErrorKind::Failed { type_name: "Disk".into() };
    WireError::new(
        kind,
        message,
        Origin { name: "leaf".into(), path: "root/leaf".into(), pid: 7, incarnation: 1 },
    )
}

/// A chain of errors, each the only member of the one above; built without recursion.
pub(crate) fn chain(levels: usize) -> WireError {
    let mut e = error("the innermost");
    for i in (1..levels).rev() {
        let mut above = WireError::new(WireErrorKind::Group, format!("level {i}"), Origin::default());
        above.members.push(e);
        e = above;
    }
    e
}

fn text() -> BoxedStrategy<String> {
    prop_oneof![3 => ".{0,12}", 1 => "[a-zé]{0,300}"].boxed()
}

pub(crate) fn ledger() -> impl Strategy<Value = Ledger> {
    any::<[u32; 5]>().prop_map(|[started, reaped, term, kill, adopted]| Ledger {
        started,
        reaped,
        term,
        kill,
        adopted,
    })
}

pub(crate) fn status() -> impl Strategy<Value = WireStatus> {
    prop_oneof![
        any::<i32>().prop_map(WireStatus::Exited),
        any::<(i32, bool)>().prop_map(|(signal, core)| WireStatus::Signaled { signal, core }),
        Just(WireStatus::Unknown),
    ]
}

pub(crate) fn cause() -> impl Strategy<Value = WireCause> {
    let why = prop_oneof![
        Just(Why::Requested),
        Just(Why::Deadline),
        (text(), text()).prop_map(|(origin, summary)| Why::SiblingFailed { origin, summary }),
        Just(Why::ParentLost),
        Just(Why::Interrupt),
        Just(Why::Shutdown),
        text().prop_map(Why::Other),
    ];
    (text(), why).prop_map(|(by, why)| WireCause { by, why })
}

pub(crate) fn words() -> impl Strategy<Value = LastWords> {
    (any::<u8>(), any::<i32>(), any::<Vec<u8>>()).prop_map(|(phase, errno, text)| LastWords {
        phase,
        errno,
        text,
    })
}

fn phase() -> impl Strategy<Value = BootPhase> {
    prop_oneof![Just(BootPhase::Hello), Just(BootPhase::Spec), Just(BootPhase::Ready)]
}

fn kind() -> impl Strategy<Value = WireErrorKind> {
    use WireErrorKind as K;
    prop_oneof![
        text().prop_map(|type_name| K::Failed { type_name }),
        proptest::option::of(text()).prop_map(|location| K::Panicked { location }),
        (any::<u32>(), status()).prop_map(|(pid, status)| K::Died { pid, status }),
        (phase(), status(), proptest::option::of(words()))
            .prop_map(|(phase, status, last_words)| K::DiedInBoot { phase, status, last_words }),
        phase().prop_map(|phase| K::BootTimeout { phase }),
        (any::<u32>(), any::<i32>()).prop_map(|(pid, signal)| K::Stopped { pid, signal }),
        Just(K::ChannelLost),
        cause().prop_map(|cause| K::Cancelled { cause }),
        Just(K::Group),
        (text(), proptest::option::of(any::<i32>())).prop_map(|(step, errno)| K::Spawn { step, errno }),
        Just(K::Protocol),
        any::<u32>().prop_map(|pid| K::Unkillable { pid }),
        Just(K::StaleHandle),
        Just(K::NotSingleThreaded),
        text().prop_map(|endpoint| K::NoEndpoint { endpoint }),
        text().prop_map(|endpoint| K::Decode { endpoint, what: Payload::Value }),
        Just(K::NotStarted),
        Just(K::Gone),
        Just(K::Other),
    ]
}

pub(crate) fn tree() -> impl Strategy<Value = WireError> {
    let origin = (text(), text(), any::<u32>(), any::<u32>())
        .prop_map(|(name, path, pid, incarnation)| Origin { name, path, pid, incarnation });
    let node = (
        kind(),
        text(),
        origin,
        proptest::option::of(text()),
        proptest::collection::vec(text(), 0..4),
        0..9_u32,
    );
    let leaf = node.prop_map(|(kind, message, origin, backtrace, source, cut)| WireError {
        kind,
        message,
        origin,
        backtrace,
        source,
        members: vec![],
        cut,
    });
    let leaf = leaf.boxed();
    leaf.clone().prop_recursive(6, 60, 6, move |inner| {
        (leaf.clone(), proptest::collection::vec(inner, 0..6)).prop_map(|(mut e, members)| {
            e.members = members;
            e
        })
    })
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Closure), Just(Role::Once), Just(Role::Serve)]
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    let ending = prop_oneof![
        Just(WireEnding::Returned),
        Just(WireEnding::Failed),
        cause().prop_map(WireEnding::Cancelled),
        Just(WireEnding::Died),
    ];
    let named = (any::<u32>(), any::<u64>(), text(), text());
    prop_oneof![
        (named.clone(), any::<(u16, u64, u32, u32)>()).prop_map(|((pid, start_time, path, name), x)| {
            let (protocol, build, fds, threads) = x;
            Message::Hello(Hello {
                protocol,
                build,
                name,
                path,
                pid,
                start_time,
                backend: Backend::Exec,
                fds,
                threads,
            })
        }),
        (text(), any::<(u64, u64, u64, u64, Option<u64>, bool, u8, u64)>(), any::<(u32, u32, u32)>(), role())
            .prop_map(|(path, x, (a, b, dialogs), role)| {
                let (
                    orphan_grace_ns,
                    cancel_ns,
                    boot_ns,
                    unkillable_ns,
                    ready_by_ns,
                    may_spawn,
                    percent,
                    hello,
                ) = x;
                let limits = Limits { frame: FrameLen::new(a), in_flight: FrameLen::new(b), dialogs };
                Message::Spec(Spec {
                    path,
                    orphan_grace_ns,
                    cancel_ns,
                    boot_ns,
                    unkillable_ns,
                    terminate_percent: percent,
                    handshake_ns: hello,
                    ready_by_ns,
                    limits,
                    may_spawn,
                    role,
                    incarnation: dialogs.rotate_left(5),
                })
            }),
        Just(Message::Ready),
        named.clone().prop_map(|(pid, start_time, path, name)| Message::Started(Started {
            pid,
            start_time,
            path,
            name,
            incarnation: pid.rotate_left(5),
        })),
        (named, status(), ending).prop_map(|((pid, start_time, path, name), status, ending)| {
            let incarnation = pid.rotate_left(5);
            Message::Reaped(Reaped { pid, start_time, path, name, status, ending, incarnation })
        }),
        (text(), text()).prop_map(|(path, text)| Message::Progress { path, text }),
        (any::<u64>(), cause(), any::<Option<u64>>(), any::<u64>()).prop_map(
            |(request, cause, deadline_ns, left_ns)| {
                Message::Cancel(Cancel { request, cause, deadline_ns, left_ns })
            }
        ),
        (any::<u64>(), ledger()).prop_map(|(request, ledger)| Message::CancelAck { request, ledger }),
        (any::<Vec<u8>>(), ledger()).prop_map(|(value, ledger)| Message::Return { value, ledger }),
        (tree(), ledger()).prop_map(|(error, ledger)| Message::Failed { error, ledger }),
        Just(Message::Goodbye),
        words().prop_map(Message::LastWords),
        (any::<u64>(), text(), any::<Vec<u8>>()).prop_map(|(dialog, endpoint, args)| Message::Call {
            dialog,
            endpoint,
            args
        }),
        any::<(u64, Vec<u8>)>().prop_map(|(dialog, value)| Message::CallReturned { dialog, value }),
        (any::<u64>(), tree()).prop_map(|(dialog, error)| Message::CallFailed { dialog, error }),
        (any::<u64>(), cause()).prop_map(|(dialog, cause)| Message::CallCancel { dialog, cause }),
        any::<u64>().prop_map(|dialog| Message::CallCancelled { dialog }),
    ]
}

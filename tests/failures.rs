//! Promise: every failure in a group can be reached, however deep, and a group can be taken apart without losing one.
//!
//! ```text
//!   nurseries in nurseries, all of which fail ─► {a {b c}} ─┬─ leaves ─► a b c
//!                                                           └─ split  ─► {a b} │ c: branches that are left empty go,
//!                                                                        and what is left alone is no group any more
//! ```

#[path = "support/fault.rs"]
mod fault;

use fault::{Fault, Run, shape};
use pleach_executor::{CancelScope, Cancelled, Failure, Failures, In, Nursery, checkpoint, run};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::pin::Pin;

type AnyError = Box<dyn Error + Send + Sync>;

/// What is to fail: one child, or a nursery of several.
#[derive(Clone, Debug)]
enum Plan {
    Leaf(&'static str),
    Group(Vec<Plan>),
}

/// Fails as planned, in real nurseries, with an error that `leaf` makes.
fn fail<'a, E: Failure + 'static>(
    plan: &'a Plan,
    leaf: &'a dyn Fn(&'static str) -> E,
) -> Pin<Box<dyn Future<Output = Result<(), E>> + 'a>> {
    Box::pin(async move {
        match plan {
            Plan::Leaf(name) => Err(leaf(name)),
            Plan::Group(members) => {
                In::<E>::nursery(async |n: &Nursery<'_, '_, E>| {
                    members.iter().for_each(|member| n.spawn(fail(member, leaf)));
                    Ok(())
                })
                .await
            }
        }
    })
}

fn failed(plan: &Plan) -> Fault {
    run(fail(plan, &Fault::Named)).expect_err("all of it fails")
}

// ---- the model

/// Every tree over these leaves, in this order, whose groups have two members or more.
fn trees(leaves: &[&'static str]) -> Vec<Plan> {
    match leaves {
        [leaf] => vec![Plan::Leaf(leaf)],
        _ => (1..leaves.len()).flat_map(|first| beginning(leaves, first)).map(Plan::Group).collect(),
    }
}

/// Every row of one branch or more over these leaves.
fn rows(leaves: &[&'static str]) -> Vec<Vec<Plan>> {
    let whole = trees(leaves).into_iter().map(|tree| vec![tree]);
    whole.chain((1..leaves.len()).flat_map(|first| beginning(leaves, first))).collect()
}

/// Those whose first branch has the first so many leaves, and which have others.
fn beginning(leaves: &[&'static str], first: usize) -> Vec<Vec<Plan>> {
    let rests = rows(&leaves[first..]);
    let with = |head: Plan| rests.clone().into_iter().map(move |rest| [vec![head.clone()], rest].concat());
    trees(&leaves[..first]).into_iter().flat_map(with).collect()
}

impl Plan {
    /// What is left of it with these leaves alone.
    fn pruned(&self, keeps: &dyn Fn(&str) -> bool) -> Option<Plan> {
        match self {
            Plan::Leaf(name) => keeps(name).then(|| self.clone()),
            Plan::Group(members) => {
                let mut left: Vec<_> = members.iter().filter_map(|member| member.pruned(keeps)).collect();
                if left.len() > 1 { Some(Plan::Group(left)) } else { left.pop() }
            }
        }
    }

    fn shape(&self) -> String {
        match self {
            Plan::Leaf(name) => (*name).into(),
            Plan::Group(members) => {
                let mut shapes: Vec<_> = members.iter().map(Plan::shape).collect();
                shapes.sort();
                format!("{{{}}}", shapes.join(" "))
            }
        }
    }
}

// ---- any tree, any half

#[test]
fn both_halves_of_a_split_keep_the_shape_of_the_whole() {
    const LEAVES: [&str; 5] = ["a", "b", "c", "d", "e"];
    let all: Vec<_> = (1..=LEAVES.len()).flat_map(|n| trees(&LEAVES[..n])).collect();
    assert_eq!(all.len(), 1 + 1 + 3 + 11 + 45, "none is left out");
    for plan in &all {
        for subset in 0..1_u32 << LEAVES.len() {
            let is_in =
                |name: &str| subset & 1 << LEAVES.iter().position(|l| *l == name).expect("a leaf") != 0;
            let mut asked = Vec::new();
            let (these, others) = failed(plan).split(|e| {
                asked.push(e.shape());
                is_in(&e.shape())
            });
            let shapes = [these, others].map(|half| half.map(|e| e.shape()));
            let model = [plan.pruned(&is_in), plan.pruned(&|name| !is_in(name))];
            assert_eq!(shapes, model.map(|half| half.map(|plan| plan.shape())), "{plan:?} by {subset:b}");
            asked.sort();
            let leaves: Vec<_> = LEAVES.into_iter().filter(|l| plan.shape().contains(l)).collect();
            assert_eq!(asked, leaves, "each leaf is asked once, and no group");
        }
    }
}

#[test]
fn every_leaf_is_reached_in_the_order_of_the_groups() {
    for plan in trees(&["a", "b", "c", "d", "e", "f"]) {
        let e = failed(&plan);
        // The order of members is that of their failures, so it is read off the groups themselves.
        fn by_hand(e: &Fault, leaves: &mut Vec<String>) {
            match e.as_group() {
                Some(group) => group.iter().for_each(|member| by_hand(member, leaves)),
                None => leaves.push(e.shape()),
            }
        }
        let mut expected = Vec::new();
        by_hand(&e, &mut expected);
        assert_eq!(e.leaves().map(Fault::shape).collect::<Vec<_>>(), expected, "{plan:?}");
        expected.sort();
        assert_eq!(expected, ["a", "b", "c", "d", "e", "f"]);
    }
}

// ---- a failure that is no group

#[test]
fn a_single_failure_is_its_own_only_leaf() {
    let e = failed(&Plan::Leaf("a"));
    assert!(e.as_group().is_none());
    assert_eq!(e.leaves().map(Fault::shape).collect::<Vec<_>>(), ["a"]);
    let Err(e) = e.into_group() else { panic!("it is no group") };
    let (these, others) = e.split(|_| true);
    assert_eq!((these.map(|e| e.shape()), others.map(|e| e.shape())), (Some("a".into()), None));
}

#[test]
fn a_bare_cancelled_goes_with_the_rest_to_its_scope() {
    let r = run(async {
        let body = async |scope: &CancelScope| {
            scope.cancel();
            let e = checkpoint().await.map_err(Fault::from).expect_err("cancelled");
            let (handled, rest) = e.split(|e| matches!(e, Fault::Named(_)));
            assert!(handled.is_none());
            rest.map_or(Ok(()), Err)
        };
        CancelScope::new().run(body).await
    });
    assert!(matches!(r, Ok(None)), "{}", shape(&r));
}

// ---- types of errors

/// A group in a group, of an error type that is nobody's own.
fn opaque<E: Failure + 'static>(leaf: &dyn Fn(&'static str) -> E) -> E {
    let inner = Plan::Group(vec![Plan::Leaf("b"), Plan::Leaf("c")]);
    let plan = Plan::Group(vec![Plan::Leaf("a"), inner]);
    run(fail(&plan, leaf)).expect_err("all of it fails")
}

fn texts<E: Failure + ToString>(e: Option<&E>) -> Vec<String> {
    let mut texts: Vec<_> = e.into_iter().flat_map(Failure::leaves).map(ToString::to_string).collect();
    texts.sort();
    texts
}

#[test]
fn groups_of_io_errors_and_of_boxed_ones_are_taken_apart() {
    let e = opaque::<io::Error>(&|name| io::Error::other(name));
    assert_eq!(texts(Some(&e)), ["a", "b", "c"]);
    let (these, others) = e.split(|e| e.to_string() == "b");
    assert_eq!(
        (texts(these.as_ref()), texts(others.as_ref())),
        (vec!["b".into()], vec!["a".into(), "c".into()])
    );
    assert_eq!(others.as_ref().and_then(Failure::as_group).map(Failures::len), Some(2));

    let e = opaque::<AnyError>(&|name| name.into());
    assert_eq!(texts(Some(&e)), ["a", "b", "c"]);
    let (these, others) = e.split(|e| e.to_string() != "b");
    assert_eq!(
        (texts(these.as_ref()), texts(others.as_ref())),
        (vec!["a".into(), "c".into()], vec!["b".into()])
    );
}

#[test]
fn an_error_of_the_system_and_one_of_another_type_are_no_groups() {
    for e in [io::Error::from(ErrorKind::NotFound), io::Error::from_raw_os_error(2), io::Error::other("text")]
    {
        let text = e.to_string();
        assert!(e.as_group().is_none() && e.leaves().count() == 1);
        assert_eq!(e.into_group().expect_err("none").to_string(), text, "it comes back as it was");
    }
    let e: AnyError = io::Error::other("text").into();
    assert!(e.as_group().is_none());
    assert!(e.into_group().is_err_and(|e| e.is::<io::Error>()));
}

/// An error type that merges and does not say which of its values are groups.
#[derive(Debug)]
enum Silent {
    Cancelled(#[expect(dead_code, reason = "carried, not looked at")] Cancelled),
    Many(Vec<Silent>),
    One,
}

impl From<Cancelled> for Silent {
    fn from(c: Cancelled) -> Self {
        Silent::Cancelled(c)
    }
}

impl Failure for Silent {
    fn is_cancelled(&self) -> bool {
        matches!(self, Silent::Cancelled(_))
    }
    fn merge(all: Failures<Self>) -> Self {
        Silent::Many(all.into_iter().collect())
    }
}

#[test]
fn a_type_without_groups_of_its_own_loses_nothing_in_a_split() {
    let (these, others) = opaque(&|_| Silent::One).split(|e| matches!(e, Silent::One));
    assert!(these.is_none(), "the group is a leaf");
    let Some(Silent::Many(members)) = others else { panic!("{others:?}") };
    assert!(matches!(&members[..], [Silent::One, Silent::Many(inner)] if inner.len() == 2), "{members:?}");
}

#[test]
fn a_group_itself_is_split_as_the_error_around_it_is() {
    let plan = Plan::Group(vec![Plan::Leaf("a"), Plan::Group(vec![Plan::Leaf("b"), Plan::Leaf("c")])]);
    let Fault::Many(group) = failed(&plan) else { panic!("a group") };
    assert_eq!((group.len(), group.leaves().count()), (2, 3));
    let (these, others) = group.split(|e| e.shape() == "c");
    assert_eq!(
        (these.map(|e| e.shape()), others.map(|e| e.shape())),
        (Some("c".into()), Some("{a b}".into()))
    );
}

#[test]
fn what_was_handled_goes_and_the_rest_goes_on() {
    let r: Result<(), Fault> = run(async {
        let of_two = Run::nursery(async |n| {
            n.spawn(async { Err(Fault::Named("expected")) });
            n.spawn(async { Err(Fault::Named("unexpected")) });
            Ok(())
        });
        let Err(e) = of_two.await else { return Ok(()) };
        let (_expected, rest) = e.split(|e| matches!(e, Fault::Named("expected")));
        rest.map_or(Ok(()), Err)
    });
    assert_eq!(shape(&r), "unexpected");
}

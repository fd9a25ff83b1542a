//! The promises of the timers, next to a model and by single cases.

use super::*;
use std::collections::BTreeMap;

fn at(n: u64) -> Instant {
    Instant::from_nanos(n)
}

#[test]
fn equal_deadlines_come_out_in_the_order_they_went_in() {
    let mut d = Deadlines::new();
    for i in 0..50 {
        d.insert(at(7), at(0), i);
    }
    assert_eq!((0..50).map(|_| d.pop_due(at(7)).unwrap()).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    assert!(d.pop_due(Instant::MAX).is_none());
}

#[test]
fn a_stale_key_removes_nothing() {
    let mut d = Deadlines::new();
    let old = d.insert(at(1), at(0), "old");
    assert_eq!(d.pop_due(at(1)), Some("old"));
    let new = d.insert(at(2), at(0), "new");
    assert_eq!(d.remove(old), None);
    assert_eq!(d.remove(new), Some("new"));
}

#[test]
fn an_updated_timer_fires_at_its_new_moment_after_those_already_there() {
    let mut d = Deadlines::new();
    let (late, _) = (d.insert(at(9), at(0), "late"), d.insert(at(5), at(0), "five"));
    assert!(d.update(late, at(5)));
    assert_eq!((d.pop_due(at(5)), d.pop_due(at(5))), (Some("five"), Some("late")));
    assert!(!d.update(late, at(1)));
    assert_eq!(d.next(), None);
}

/// Whatever the distances, from nanoseconds to centuries; the model's key is (moment, order of arming), and an update arms
/// anew.
#[test]
fn agrees_with_a_sorted_map_on_random_operations() {
    for scale in [0, 4, 10, 14, 20, 24, 30, 40, 48] {
        for looks_in in [1, 7, 100] {
            agree(scale, 4, looks_in);
        }
    }
    // Mostly armed, so that slots are full; mostly fired, so that they are sparse.
    for looks_in in [1, 7, 100] {
        agree(24, 6, looks_in);
        agree(24, 2, looks_in);
    }
}

/// `share` of eight operations arm. Somebody looks for who is next once in `looks_in` operations, so that timers are fresh
/// for a while; time stands still as often as it passes, and now and then it leaps, like a clock that is virtual.
fn agree(scale: u32, share: u64, looks_in: u64) {
    let (mut d, mut model) = (Deadlines::new(), BTreeMap::new());
    let (mut keys, mut x, mut n) = (BTreeMap::new(), 88172645463325252u64, 0u64);
    let mut passed = 0;
    for step in 0..10_000u64 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        passed += match (x >> 55) % 64 {
            0 => ((x >> 24) % 500) << scale >> ((x >> 34) % 16),
            1..32 => 1 << scale,
            _ => 0,
        };
        let now = at(passed);
        // Some near, most far, a few that have passed, and moments that many share.
        let distance = ((x >> 16) % 1000) << scale >> ((x >> 40) % 24);
        let when = at((passed + distance).saturating_sub((x >> 50) % 3));
        match x % 8 {
            op if op < share => {
                n += 1;
                keys.insert(n, (d.insert(when, now, n), when, n));
                model.insert((when, n), n);
            }
            6 => {
                if let Some((&id, &(key, when, order))) = keys.range((x >> 8) % (n + 1)..).next() {
                    assert_eq!(d.remove(key), model.remove(&(when, order)));
                    assert_eq!(d.remove(key), None);
                    keys.remove(&id);
                }
            }
            7 => {
                n += 1;
                if let Some((&id, place)) = keys.range_mut((x >> 8) % (n + 1)..).next() {
                    assert!(d.update(place.0, when));
                    model.remove(&(place.1, place.2));
                    model.insert((when, n), id);
                    *place = (place.0, when, n);
                }
            }
            _ => {
                let first = model.first_key_value().map(|(k, v)| (*k, *v));
                let due = first.filter(|((when, _), _)| *when <= now);
                assert_eq!(d.pop_due(now), due.map(|(_, v)| v), "scale {scale}, step {step}");
                if let Some((k, v)) = due {
                    model.remove(&k);
                    keys.remove(&v);
                }
            }
        }
        assert_eq!(d.len(), model.len());
        if x / 8 % looks_in != 0 {
            continue;
        }
        let first = model.first_key_value().map(|(k, _)| k.0);
        assert_eq!(d.next(), first);
        let again = d.look_again_at();
        assert_eq!(again.is_some(), first.is_some());
        assert!(again <= first, "never too late: {again:?} for {first:?}");
        if model.len() <= LOOK_AT {
            assert_eq!(again, first, "exact with few timers");
        }
    }
    assert!(n > 2000, "the run was worth its name");
}

/// To look early is only worth it if it gets on: each look moves timers to a finer slot, so there are few of them.
#[test]
fn a_crowd_far_away_is_looked_at_a_few_times_before_it_is_due() {
    let mut d = Deadlines::new();
    let hour = 3600 * 1_000_000_000u64;
    for i in 0..100 {
        d.insert(at(hour + i), at(0), i);
    }
    let (mut looks, mut fired) = (0, 0);
    while let Some(again) = d.look_again_at() {
        looks += 1;
        assert!(again <= at(hour + fired), "never too late");
        while let Some(i) = d.pop_due(again) {
            assert_eq!(i, fired);
            fired += 1;
        }
    }
    assert_eq!(fired, 100);
    assert!(looks - 100 <= 4, "{looks} looks for 100 moments");
}

/// Whoever gets the number of one that was given up is in the list once, and gets a place once.
#[test]
fn timers_that_are_given_up_before_anybody_looks_get_no_place() {
    let mut d = Deadlines::new();
    for i in 0..1000 {
        let key = d.insert(at(1 << 30), at(0), i);
        assert_eq!(d.remove(key), Some(i));
    }
    assert_eq!((d.fresh.len(), d.placed, d.len()), (1, 0, 0));
    let key = d.insert(at(7), at(0), 1000);
    assert!(d.update(key, at(9)));
    assert_eq!((d.fresh.len(), d.placed, d.len()), (1, 0, 1));
    assert_eq!((d.next(), d.fresh.len(), d.placed), (Some(at(9)), 0, 1));
    assert!(d.update(key, at(8)));
    assert_eq!((d.pop_due(at(8)), d.placed, d.len()), (Some(1000), 0, 0));
}

#[test]
fn all_can_be_disarmed_wherever_they_are() {
    let mut d = Deadlines::new();
    let near: Vec<_> = (0..10).map(|i| d.insert(at(i), at(0), i)).collect();
    assert_eq!(d.pop_due(at(0)), Some(0));
    let far: Vec<_> = (10..20).map(|i| d.insert(at(i << 30), at(0), i)).collect();
    assert_eq!(d.next(), Some(at(1)), "all have their places");
    let fresh = d.insert(at(5), at(0), 20);
    let mut all = d.remove_all();
    all.sort_unstable();
    assert_eq!(all, (1..=20).collect::<Vec<_>>());
    assert!(d.is_empty() && d.placed == 0 && d.next().is_none());
    assert!(near.into_iter().chain(far).chain([fresh]).all(|key| d.remove(key).is_none()));
    let key = d.insert(at(7), at(0), 21);
    assert_eq!((d.next(), d.remove(key)), (Some(at(7)), Some(21)));
}

/// Arming and disarming touch the timer, its neighbours and a slot, whatever else is armed.
#[test]
fn a_timer_that_is_sooner_than_a_crowd_is_not_sorted_into_it() {
    let mut d = Deadlines::new();
    for i in 0..1000 {
        d.insert(at((1 << 40) + i), at(0), i);
    }
    let key = d.insert(at(1 << 30), at(0), 1000);
    assert_eq!(d.next(), Some(at(1 << 30)));
    assert!(d.heap.first().is_none(), "nobody is sorted before the tick has come");
    assert_eq!(d.remove(key), Some(1000));
    assert_eq!(d.next(), Some(at(1 << 40)));
}

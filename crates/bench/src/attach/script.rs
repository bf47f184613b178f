//! What a performer is told to do: one script per thread, a step of a script being one ADD or DEL of one slot. Pure.

use super::case::Turn;
use crate::chance::Chance;
use crate::plugin::Operation;

/// One step: what, and to which slot.
pub(super) type Step = (Operation, u32);
/// Steps that follow each other.
pub(super) type Script = Vec<Step>;
/// Scripts that run at once, none of which touches a slot of another.
pub(super) type Order = Vec<Script>;

/// What one turn of a contender comes to. Afterwards its slots are as they were before.
#[derive(Debug)]
pub(super) struct Plot {
    /// What is measured, one after the other.
    pub(super) acts: Vec<Order>,
    /// What takes away the rest.
    pub(super) epilogue: Order,
}

impl Plot {
    /// `turn` with the slots from `first` on.
    pub(super) fn of(turn: Turn, first: u32, chance: &mut Chance) -> Self {
        if turn.mixed {
            return Self::mixed(turn, first, chance);
        }
        let slots = first..first + turn.steps;
        let acts = [Operation::Add, Operation::Del].map(|operation| deal(operation, slots.clone(), turn.at_once));
        Self { acts: acts.into(), epilogue: Order::new() }
    }

    /// Every script has slots of its own and goes from one to another by chance: what is there goes, what is not comes.
    fn mixed(turn: Turn, first: u32, chance: &mut Chance) -> Self {
        let (steps, slots) = (turn.steps / turn.at_once, turn.slots() / turn.at_once);
        let (mut order, mut epilogue) = (Order::new(), Order::new());
        for script in 0..turn.at_once {
            let mut present = vec![false; slots as usize];
            let slot = |place: usize| first + script * slots + place as u32;
            let step = |_| {
                let place = chance.below(present.len());
                present[place] = !present[place];
                (if present[place] { Operation::Add } else { Operation::Del }, slot(place))
            };
            order.push((0..steps).map(step).collect());
            let left = present.iter().enumerate().filter(|(_, present)| **present);
            epilogue.push(left.map(|(place, _)| (Operation::Del, slot(place))).collect());
        }
        Self { acts: vec![order], epilogue }
    }
}

/// The same operation on each of `slots`, by `at_once` scripts.
pub(super) fn deal(operation: Operation, slots: std::ops::Range<u32>, at_once: u32) -> Order {
    let mut order = vec![Script::new(); at_once.min(slots.end - slots.start) as usize];
    let scripts = order.len();
    for (place, slot) in slots.enumerate() {
        order[place % scripts].push((operation, slot));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn slots_are_dealt_out_evenly() {
        let order = deal(Operation::Add, 10..15, 2);
        let slots: Vec<Vec<u32>> = order.iter().map(|script| script.iter().map(|step| step.1).collect()).collect();
        assert_eq!(slots, [vec![10, 12, 14], vec![11, 13]]);
        assert_eq!(deal(Operation::Del, 0..3, 64).len(), 3);
    }

    #[test]
    fn a_mixed_turn_leaves_nothing_and_no_script_touches_the_slots_of_another() {
        for at_once in [1, 8] {
            let turn = Turn { at_once, steps: 200, mixed: true };
            let plot = Plot::of(turn, 1000, &mut Chance::seeded(3));
            assert_eq!(plot.acts[0].iter().map(Vec::len).sum::<usize>(), 200);
            let mut owners = BTreeSet::new();
            for (script, rest) in plot.acts[0].iter().zip(&plot.epilogue) {
                let mut present = BTreeSet::new();
                for (operation, slot) in script.iter().chain(rest) {
                    assert!((1000..1000 + turn.slots()).contains(slot));
                    let changed = match operation {
                        Operation::Add => present.insert(*slot),
                        Operation::Del => present.remove(slot),
                    };
                    assert!(changed, "{operation:?} of slot {slot}");
                }
                assert!(present.is_empty());
                assert!(
                    script.iter().map(|step| step.1).collect::<BTreeSet<_>>().iter().all(|slot| owners.insert(*slot))
                );
            }
        }
    }
}

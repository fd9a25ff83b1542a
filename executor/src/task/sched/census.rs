//! Who is there, for those who look: tasks, nurseries, and whose they are. Nothing changes here.

use super::{HubIndex, Sched};
use crate::task::TaskId;
use crate::task::nodes::{Kind, Node};
use crate::task::tree::{NurseryId, NurseryInfo, Owner, TaskInfo, TaskState};
use crate::task::word::Word;
use std::collections::HashSet;

/// The body of a nursery is no task of its own.
fn is_task(node: &Node) -> bool {
    !matches!(node.kind(), Kind::Free | Kind::Body)
}

impl Sched {
    /// Every task, in no order; `running` is the one that is being polled.
    pub(crate) fn tasks(&self, running: Option<TaskId>) -> Vec<TaskInfo> {
        let live = self.nodes.iter().filter(|(_, n)| is_task(n)).map(|(index, n)| {
            let id = TaskId(self.word(index));
            let state = match n.is_queued() {
                _ if running == Some(id) => TaskState::Running,
                true => TaskState::Ready,
                false => TaskState::Waiting,
            };
            let swallowed = self.swallowed(index);
            TaskInfo { id, owner: self.owner(index, n), state, spawned_at: n.at, swallowed }
        });
        live.collect()
    }

    fn owner(&self, index: u32, node: &Node) -> Owner {
        // One that is doomed: its nursery was dropped from its own poll.
        let hub = match node.kind() {
            Kind::Main => return Owner::Run,
            _ if node.is_doomed() => return Owner::Nobody,
            _ => self.hubs.get(node.hub as usize),
        };
        match (hub, self.known.starter(index)) {
            (None, _) => Owner::Nobody,
            (Some(hub), None) => Owner::InNursery(hub.nursery),
            (Some(hub), Some(starter)) => Owner::Starter { starter, nursery: hub.nursery },
        }
    }

    /// How many tasks are in a list of those that are ready, `running` apart.
    pub(crate) fn runnable(&self, running: Option<TaskId>) -> usize {
        let counts = |index: &u32| {
            let n = self.nodes.get(*index);
            is_task(n) && n.is_queued() && running != Some(TaskId(self.word(*index)))
        };
        self.run.iter().chain(self.hubs.iter().flat_map(|hub| hub.ready.iter())).filter(counts).count()
    }

    /// The task whose code this word is: itself, or the opener of the nursery whose body it is.
    pub(crate) fn task_of(&self, word: Word) -> Option<TaskId> {
        let n = self.nodes.of_word(word).filter(|_| word.executor() == self.executor)?;
        match n.kind() {
            Kind::Body => self.hubs[n.hub as usize].opener,
            _ => Some(TaskId(word)),
        }
    }

    /// The nursery of a hub.
    pub(crate) fn nursery(&self, hub: HubIndex) -> NurseryId {
        self.hubs[hub as usize].nursery
    }

    /// Every open nursery, in no order.
    pub(crate) fn nurseries(&self) -> Vec<NurseryInfo> {
        let free: HashSet<u32> = self.free_hubs.iter().copied().collect();
        let open = self.hubs.iter().enumerate().filter(|(index, _)| !free.contains(&(*index as u32)));
        open.map(|(_, hub)| NurseryInfo { id: hub.nursery, opener: hub.opener, opened_at: hub.at }).collect()
    }
}

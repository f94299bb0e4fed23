//! A run's tasks: which slices each of them reads, and what each may ask of the source.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Which of a run's tasks this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    pub index: usize,
    pub count: usize,
}

impl Default for Task {
    fn default() -> Task {
        Task::ALONE
    }
}

impl Task {
    pub const ALONE: Task = Task { index: 0, count: 1 };

    /// The places of this task's slices, given how much there is to read of each.
    ///
    /// All tasks and their retries come to the same. Where sizes are known the largest are
    /// dealt first, each to the task that has the least; slices without one go round.
    pub fn slices(self, sizes: &[Option<u64>]) -> Vec<usize> {
        let dealt = match sizes.iter().any(Option::is_some) {
            true => dealt(sizes, self.count),
            false => (0..sizes.len()).map(|slice| slice % self.count).collect(),
        };
        let mine = |slice: &usize| dealt[*slice] == self.index;
        (0..sizes.len()).filter(mine).collect()
    }

    /// This task's part of what all may do at once, at least one.
    pub fn part_of(self, whole: usize) -> usize {
        self.part(whole as u64).max(1) as usize
    }

    /// This task's part of `limit` calls in an interval, and how many intervals it has to last:
    /// more than one where there are fewer calls than tasks.
    pub fn calls(self, limit: u64) -> (u64, u64) {
        match self.part(limit) {
            _ if limit < self.count as u64 => (1, (self.count as u64).div_ceil(limit.max(1))),
            part => (part, 1),
        }
    }

    /// The parts of all tasks make the whole.
    pub fn part(self, whole: u64) -> u64 {
        let (index, count) = (self.index as u64, self.count as u64);
        whole / count + u64::from(index < whole % count)
    }
}

/// The task of each slice.
fn dealt(sizes: &[Option<u64>], tasks: usize) -> Vec<usize> {
    let known: Vec<u64> = sizes.iter().flatten().copied().collect();
    // What is unknown is taken for as large as the others are.
    let usual = known.iter().sum::<u64>() / known.len().max(1) as u64;
    let size = |slice: usize| sizes[slice].unwrap_or(usual).max(1);
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|slice| Reverse(size(*slice)));
    let mut tasks: BinaryHeap<_> = (0..tasks).map(|task| Reverse((0, task))).collect();
    let mut dealt = vec![0; sizes.len()];
    for slice in order {
        let Some(Reverse((load, task))) = tasks.pop() else {
            break;
        };
        dealt[slice] = task;
        tasks.push(Reverse((load + size(slice), task)));
    }
    dealt
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(count: usize) -> impl Iterator<Item = Task> {
        (0..count).map(move |index| Task { index, count })
    }

    #[test]
    fn slices_without_sizes_go_round() {
        let mine: Vec<_> = all(2).map(|task| task.slices(&[None; 5])).collect();
        assert_eq!(mine, [vec![0, 2, 4], vec![1, 3]]);
    }

    #[test]
    fn a_large_slice_is_worth_many_small_ones() {
        let sizes = [Some(10), Some(10), Some(100), Some(10), None];
        let mine: Vec<_> = all(2).map(|task| task.slices(&sizes)).collect();
        assert_eq!(mine, [vec![2], vec![0, 1, 3, 4]]);
    }

    #[test]
    fn fewer_calls_than_tasks_are_made_to_last() {
        let task = Task { index: 7, count: 8 };
        assert_eq!(task.calls(120), (15, 1));
        assert_eq!(task.calls(2), (1, 4));
        assert_eq!(task.calls(0), (1, 8));
        assert_eq!(Task::ALONE.calls(60), (60, 1));
        assert_eq!(task.part_of(5), 1);
    }

    proptest! {
        #[test]
        fn each_slice_has_one_task(
            sizes in prop::collection::vec(prop::option::of(0..1000u64), 0..60),
            count in 1..10usize,
        ) {
            let mut mine: Vec<usize> = all(count).flat_map(|task| task.slices(&sizes)).collect();
            mine.sort_unstable();
            prop_assert_eq!(mine, (0..sizes.len()).collect::<Vec<_>>());
        }

        #[test]
        fn no_task_has_more_than_a_slice_more_than_another(
            sizes in prop::collection::vec((1..1000u64).prop_map(Some), 0..60),
            count in 1..10usize,
        ) {
            let load = |task: Task| -> u64 {
                let mine = task.slices(&sizes).into_iter();
                mine.filter_map(|slice| sizes[slice]).sum()
            };
            let loads: Vec<u64> = all(count).map(load).collect();
            let largest = sizes.iter().flatten().max().copied().unwrap_or(0);
            let spread = loads.iter().max().unwrap() - loads.iter().min().unwrap();
            prop_assert!(spread <= largest, "{:?}", loads);
        }

        #[test]
        fn the_tasks_together_call_no_more_than_allowed(limit in 1..500u64, count in 1..40usize) {
            // In calls an interval, times an interval that all of theirs divide.
            let rates: f64 = all(count).map(|task| {
                let (calls, intervals) = task.calls(limit);
                calls as f64 / intervals as f64
            }).sum();
            prop_assert!(rates <= limit as f64 + 1e-9, "{}", rates);
        }
    }
}

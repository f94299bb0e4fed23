//! Which of a plan's slices a commit takes.

use std::collections::HashSet;

use crate::state::{Checkpoint, Plan, SliceManifest, Stored};
use crate::stream::SliceDone;

/// The finished slices that may be committed now, of a plan of `planned`.
///
/// All of them if all are in. Before that only where rows are added (`adds`) and the state
/// can say so, and then without a gap: a state past a slice that is missing would
/// lose it.
pub fn committable(finished: &[SliceManifest], planned: usize, adds: bool) -> &[SliceManifest] {
    let gapless = finished
        .iter()
        .enumerate()
        .take_while(|(at, slice)| slice.slice == *at)
        .count();
    if gapless == planned || adds {
        &finished[..gapless]
    } else {
        &[]
    }
}

/// What this commit adds: slices that are not in the checkpoint of the same run.
pub fn uncommitted<'a>(
    slices: &'a [SliceManifest],
    run: &str,
    checkpoint: Option<&Checkpoint>,
) -> Vec<&'a SliceManifest> {
    let committed = checkpoint.filter(|checkpoint| checkpoint.run == run);
    let committed = committed.map(|checkpoint| &checkpoint.slices);
    let committed: HashSet<usize> = committed.into_iter().flatten().copied().collect();
    slices
        .iter()
        .filter(|manifest| !committed.contains(&manifest.slice))
        .collect()
}

/// As many slices as one load takes files, at least one.
pub fn one_load(slices: Vec<&SliceManifest>, most_files: usize) -> Vec<&SliceManifest> {
    let mut files = 0;
    let mut taken = 0;
    for slice in &slices {
        files += slice.parts.len();
        if taken > 0 && files > most_files {
            break;
        }
        taken += 1;
    }
    slices.into_iter().take(taken).collect()
}

/// Whether another run has moved the state since `plan` was made from it: what the plan
/// reads may be in the table already.
pub fn is_overtaken(plan: &Plan, checkpoint: Option<&Stored<Checkpoint>>) -> bool {
    match checkpoint {
        Some(stored) => stored.value.run != plan.run && stored.generation != plan.replaces,
        None => plan.replaces != 0,
    }
}

/// Those of the finished slices that are in the table, in the form the source takes
/// them and in the plan's order.
pub fn done(finished: &[SliceManifest], loaded: &[usize]) -> Vec<SliceDone> {
    let loaded: HashSet<usize> = loaded.iter().copied().collect();
    finished
        .iter()
        .filter(|manifest| loaded.contains(&manifest.slice))
        .map(|manifest| manifest.done.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Mode;
    use crate::state::PartFile;

    fn checkpoint(commit: &str, generation: i64) -> Stored<Checkpoint> {
        Stored {
            value: Checkpoint {
                commit: commit.into(),
                ..Checkpoint::default()
            },
            generation,
        }
    }

    #[test]
    fn slices_with_a_gap_before_them_wait() {
        let finished: Vec<_> = [0, 1, 3].into_iter().map(manifest).collect();
        assert_eq!(committable(&finished, 4, true).len(), 2);
        assert_eq!(committable(&finished, 4, false).len(), 0);
    }

    #[test]
    fn a_load_takes_no_more_files_than_bigquery_does() {
        let part = PartFile {
            name: String::new(),
            rows: 1,
            bytes: 1,
            generation: 1,
        };
        let of_two = |slice| SliceManifest {
            parts: vec![part.clone(); 2],
            ..manifest(slice)
        };
        let slices: Vec<_> = (0..5).map(of_two).collect();
        assert_eq!(one_load(slices.iter().collect(), 5).len(), 2);
        assert_eq!(one_load(slices.iter().collect(), 1).len(), 1);
        assert_eq!(one_load(slices.iter().collect(), 10).len(), 5);
    }

    #[test]
    fn a_plan_is_overtaken_by_another_runs_checkpoint_only() {
        let plan = Plan {
            run: "r1".into(),
            mode: Mode::Append,
            extracted_at: 0,
            state: serde_json::Value::Null,
            replaces: 7,
            refresh: false,
            range: None,
            replay: Vec::new(),
            slices: Vec::new(),
        };
        let mut stored = checkpoint("c", 7);
        stored.value.run = "r0".into();
        assert!(!is_overtaken(&plan, Some(&stored)));
        stored.generation = 8;
        assert!(is_overtaken(&plan, Some(&stored)));
        stored.value.run = "r1".into();
        assert!(!is_overtaken(&plan, Some(&stored)));
    }

    fn manifest(slice: usize) -> SliceManifest {
        let done = SliceDone::now(crate::stream::Slice::default(), None);
        SliceManifest {
            slice,
            done,
            rows: 0,
            pages: 0,
            parts: Vec::new(),
            touched: None,
            raw: None,
        }
    }
}

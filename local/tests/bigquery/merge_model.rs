//! MERGE against a model of it: rows in a list, clauses tried one by one.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::common::{Cloud, cloud};
use super::{API, done, query, rows};

type Row = (Option<i64>, i64);

#[derive(Debug, Clone, Copy)]
enum Act {
    Update,
    Delete,
}

/// One WHEN: for rows whose number is above `above`.
#[derive(Debug, Clone)]
struct Case {
    target: Vec<Row>,
    source: Vec<Row>,
    matched: Vec<(i64, Act)>,
    inserted: Vec<i64>,
    unmatched: Vec<(i64, Act)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let row = || (prop::option::weighted(0.9, 0i64..8), 0i64..10);
    let act = || prop_oneof![Just(Act::Update), Just(Act::Delete)];
    let clauses = || prop::collection::vec((-1i64..10, act()), 0..3);
    (
        prop::collection::vec(row(), 0..8),
        prop::collection::vec(row(), 0..5),
        clauses(),
        prop::collection::vec(-1i64..10, 1..3),
        clauses(),
    )
        .prop_map(|(target, source, matched, inserted, unmatched)| Case {
            target,
            source,
            matched,
            inserted,
            unmatched,
        })
}

impl Case {
    fn sql(&self) -> String {
        let mut sql = "MERGE d.t T USING d.s S ON T.k = S.k".to_owned();
        for (above, act) in &self.matched {
            let then = match act {
                Act::Update => "UPDATE SET n = T.n + S.n",
                Act::Delete => "DELETE",
            };
            sql += &format!(" WHEN MATCHED AND S.n > {above} THEN {then}");
        }
        for above in &self.inserted {
            sql += &format!(
                " WHEN NOT MATCHED AND n > {above} THEN INSERT (k, n) VALUES (k, n + {above})"
            );
        }
        for (above, act) in &self.unmatched {
            let then = match act {
                Act::Update => "UPDATE SET n = n + 100",
                Act::Delete => "DELETE",
            };
            sql += &format!(" WHEN NOT MATCHED BY SOURCE AND n > {above} THEN {then}");
        }
        sql
    }

    /// The table's rows after it, sorted, and how many changed; `None` where it is refused.
    fn expected(&self) -> Option<(Vec<Row>, usize)> {
        let (mut rows, mut changed) = (Vec::new(), 0);
        let joins = |a: &Row, b: &Row| a.0.is_some() && a.0 == b.0;
        for target in &self.target {
            let partners: Vec<&Row> = self
                .source
                .iter()
                .filter(|source| joins(target, source))
                .collect();
            let acts: Vec<(Act, i64)> = match partners.is_empty() {
                true => {
                    let clause = self.unmatched.iter().find(|(above, _)| target.1 > *above);
                    clause
                        .map(|(_, act)| (*act, target.1 + 100))
                        .into_iter()
                        .collect()
                }
                false => partners
                    .iter()
                    .filter_map(|source| {
                        let clause = self.matched.iter().find(|(above, _)| source.1 > *above)?;
                        Some((clause.1, target.1 + source.1))
                    })
                    .collect(),
            };
            match acts.as_slice() {
                [] => rows.push(*target),
                [(Act::Update, n)] => rows.push((target.0, *n)),
                [(Act::Delete, _)] => {}
                _ => return None,
            }
            changed += acts.len();
        }
        for source in &self.source {
            let alone = !self.target.iter().any(|target| joins(target, source));
            let clause = self.inserted.iter().find(|above| source.1 > **above);
            if let (true, Some(above)) = (alone, clause) {
                rows.push((source.0, source.1 + above));
                changed += 1;
            }
        }
        rows.sort_unstable();
        Some((rows, changed))
    }
}

async fn fill(cloud: &Cloud, name: &str, rows: &[Row]) {
    done(cloud, &format!("TRUNCATE TABLE d.{name}")).await;
    // Several files, so that some are rewritten and some are not.
    for part in rows.chunks(3) {
        let values: Vec<String> = part
            .iter()
            .map(|(k, n)| format!("({}, {n})", k.map_or("NULL".to_owned(), |k| k.to_string())))
            .collect();
        done(
            cloud,
            &format!("INSERT INTO d.{name} (k, n) VALUES {}", values.join(", ")),
        )
        .await;
    }
}

fn number(value: &Value) -> Option<i64> {
    value.as_str()?.parse().ok()
}

#[tokio::test]
async fn a_merge_does_what_its_clauses_say_row_by_row() {
    let cloud = cloud(&["bigquery"]).await;
    let dataset = json!({"datasetReference": {"datasetId": "d"}, "location": "US"});
    cloud.post(&format!("{API}/datasets"), dataset).await;
    done(&cloud, "CREATE TABLE d.t (k INT64, n INT64)").await;
    done(&cloud, "CREATE TABLE d.s (k INT64, n INT64)").await;
    let mut runner = TestRunner::deterministic();
    for _ in 0..24 {
        let case = cases().new_tree(&mut runner).unwrap().current();
        fill(&cloud, "t", &case.target).await;
        fill(&cloud, "s", &case.source).await;
        let (status, reply) = query(&cloud, &case.sql()).await;
        let found = rows(&cloud, "SELECT k, n FROM d.t ORDER BY k, n").await;
        let found: Vec<Row> = found
            .iter()
            .map(|row| (number(&row[0]), number(&row[1]).unwrap()))
            .collect();
        match case.expected() {
            Some((expected, changed)) => {
                assert_eq!(status, 200, "{case:?}\n{reply}");
                assert_eq!(found, expected, "{case:?}");
                assert_eq!(reply["numDmlAffectedRows"], changed.to_string(), "{case:?}");
            }
            None => {
                let mut before = case.target.clone();
                before.sort_unstable();
                assert_eq!((status, found), (400, before), "{case:?}\n{reply}");
            }
        }
    }
}

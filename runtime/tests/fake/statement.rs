//! As much SQL as a load speaks: `MERGE` by `id`, and `ALTER COLUMN`.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::World;

/// Runs a statement and gives the statistics of its job.
pub fn run(world: &mut World, query: &Json) -> Json {
    assert_eq!(query["useLegacySql"], json!(false));
    let sql = query["query"].as_str().unwrap();
    match sql.split(' ').next() {
        Some("MERGE") => merge(world, sql),
        Some("ALTER") => alter(world, sql),
        _ => panic!("{sql}"),
    }
}

/// The names in backticks.
fn names(sql: &str) -> Vec<&str> {
    sql.split('`').skip(1).step_by(2).collect()
}

fn table(name: &str) -> &str {
    name.rsplit('.').next().unwrap()
}

fn merge(world: &mut World, sql: &str) -> Json {
    let target = table(names(sql)[0]).to_owned();
    let source = sql.split(" FROM `").nth(1).unwrap();
    let source = table(source.split('`').next().unwrap());
    let staged = &world.tables[source];
    let expires: i64 = staged.resource["expirationTime"]
        .as_str()
        .map_or(0, |text| text.parse().unwrap());
    let day = jiff::Timestamp::now().as_millisecond() + 86_400_000;
    assert!((1..=day).contains(&expires), "{:?}", staged.resource);
    let fields = |resource: &Json| resource["schema"]["fields"].as_array().unwrap().len();
    let staged_fields = fields(&staged.resource);
    let staged: BTreeSet<i64> = staged.ids.iter().copied().collect();
    let target = world.tables.get_mut(&target).unwrap();
    assert_eq!(fields(&target.resource), staged_fields);
    let before: BTreeSet<i64> = target.ids.iter().copied().collect();
    assert_eq!(before.len(), target.ids.len(), "a key is there twice");
    let (updated, inserted): (Vec<i64>, Vec<i64>) =
        staged.iter().copied().partition(|id| before.contains(id));
    target.ids.extend(&inserted);
    let kept = target.ids.len();
    if sql.contains("NOT MATCHED BY SOURCE THEN DELETE") {
        target.ids.retain(|id| staged.contains(id));
    }
    json!({"dmlStats": {
        "insertedRowCount": inserted.len().to_string(),
        "updatedRowCount": updated.len().to_string(),
        "deletedRowCount": (kept - target.ids.len()).to_string(),
    }})
}

fn alter(world: &mut World, sql: &str) -> Json {
    let names = names(sql);
    let table = world.tables.get_mut(table(names[0])).unwrap();
    let kind = sql.rsplit(' ').next().unwrap();
    let fields = table.resource["schema"]["fields"].as_array_mut().unwrap();
    let field = fields.iter_mut().find(|field| field["name"] == names[1]);
    field.unwrap()["type"] = kind.into();
    table.etag += 1;
    json!({"statementType": "ALTER_TABLE"})
}

//! A v2 resource, as v2 shows it, in the form of v1.

use serde_json::{Map, Value, json};

use super::{CLIENT, CLIENT_VERSION, ENVIRONMENT, LOCATION, STAGE, UPDATED};

/// A job; `namespace` is its project.
pub fn job(v2: &Value, namespace: &str) -> Value {
    let mut metadata = metadata(v2, namespace);
    note(&mut metadata, STAGE, &v2["launchStage"]);
    metadata["labels"][UPDATED] = v2["updateTime"].clone();
    let template = json!({
        "metadata": {"labels": v2["template"]["labels"], "annotations": annotations(&v2["template"])},
        "spec": execution_spec(&v2["template"]),
    });
    let latest = &v2["latestCreatedExecution"];
    let latest = json!({
        "name": latest["name"], "creationTimestamp": latest["createTime"],
        "completionTimestamp": latest["completionTime"], "completionStatus": latest["completionStatus"],
    });
    let mut conditions = vec![condition(&v2["terminalCondition"])];
    conditions.extend(
        v2["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(condition),
    );
    said(json!({
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"template": template},
        "status": {
            "observedGeneration": number(&v2["observedGeneration"]),
            "conditions": conditions,
            "executionCount": v2["executionCount"],
            "latestCreatedExecution": latest,
        },
    }))
}

/// An execution.
pub fn execution(v2: &Value, namespace: &str) -> Value {
    let spec = json!({
        "parallelism": v2["parallelism"], "taskCount": v2["taskCount"],
        "template": {"spec": task_spec(&v2["template"])},
    });
    let mut metadata = metadata(v2, namespace);
    metadata["labels"]["run.googleapis.com/job"] = v2["job"].clone();
    let conditions = v2["conditions"].as_array().into_iter().flatten();
    said(json!({
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Execution",
        "metadata": metadata,
        "spec": spec,
        "status": {
            "observedGeneration": 1,
            "conditions": conditions.map(condition).collect::<Vec<_>>(),
            "startTime": v2["startTime"], "completionTime": v2["completionTime"],
            "runningCount": v2["runningCount"], "succeededCount": v2["succeededCount"],
            "failedCount": v2["failedCount"], "cancelledCount": v2["cancelledCount"],
            "retriedCount": v2["retriedCount"], "logUri": v2["logUri"],
        },
    }))
}

/// A task.
pub fn task(v2: &Value, namespace: &str) -> Value {
    let mut metadata = metadata(v2, namespace);
    metadata["labels"]["run.googleapis.com/job"] = v2["job"].clone();
    metadata["labels"]["run.googleapis.com/execution"] = v2["execution"].clone();
    let conditions = v2["conditions"].as_array().into_iter().flatten();
    let last = &v2["lastAttemptResult"];
    said(json!({
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Task",
        "metadata": metadata,
        "spec": task_spec(v2),
        "status": {
            "observedGeneration": 1,
            "conditions": conditions.map(condition).collect::<Vec<_>>(),
            "index": v2["index"],
            "retried": v2["retried"],
            "startTime": v2["startTime"], "completionTime": v2["completionTime"],
            "lastAttemptResult": {"status": last["status"], "exitCode": last["exitCode"]},
        },
    }))
}

/// A list of such objects.
pub fn list(kind: &str, items: &[Value]) -> Value {
    json!({"apiVersion": "run.googleapis.com/v1", "kind": kind, "metadata": {}, "items": items})
}

fn metadata(v2: &Value, namespace: &str) -> Value {
    let name = v2["name"].as_str().unwrap_or_default();
    let parts: Vec<&str> = name.split('/').collect();
    let mut labels = v2["labels"].as_object().cloned().unwrap_or_default();
    if let Some(location) = parts.get(3) {
        labels.insert(LOCATION.to_owned(), (*location).into());
    }
    let mut metadata = json!({
        "name": parts.last(),
        "namespace": namespace,
        "uid": v2["uid"],
        "generation": number(&v2["generation"]),
        "resourceVersion": v2["etag"],
        "creationTimestamp": v2["createTime"],
        "labels": labels,
        "annotations": annotations(v2),
    });
    note(&mut metadata, "run.googleapis.com/creator", &v2["creator"]);
    note(
        &mut metadata,
        "run.googleapis.com/lastModifier",
        &v2["lastModifier"],
    );
    metadata
}

fn annotations(v2: &Value) -> Value {
    let mut metadata =
        json!({"annotations": v2["annotations"].as_object().cloned().unwrap_or_default()});
    note(&mut metadata, CLIENT, &v2["client"]);
    note(&mut metadata, CLIENT_VERSION, &v2["clientVersion"]);
    let environment = v2["template"]["executionEnvironment"]
        .as_str()
        .unwrap_or_default();
    if let Some(short) = environment.strip_prefix("EXECUTION_ENVIRONMENT_GEN") {
        note(&mut metadata, ENVIRONMENT, &format!("gen{short}").into());
    }
    metadata["annotations"].take()
}

/// An annotation, where there is something to note.
fn note(metadata: &mut Value, name: &str, value: &Value) {
    if value.as_str().is_some_and(|text| !text.is_empty()) {
        metadata["annotations"][name] = value.clone();
    }
}

fn execution_spec(template: &Value) -> Value {
    json!({
        "parallelism": template["parallelism"],
        "taskCount": template["taskCount"],
        "template": {"spec": task_spec(&template["template"])},
    })
}

fn task_spec(task: &Value) -> Value {
    let seconds = task["timeout"]
        .as_str()
        .and_then(|text| text.strip_suffix('s'));
    let containers = task["containers"].as_array().into_iter().flatten();
    json!({
        "containers": containers.map(container).collect::<Vec<_>>(),
        "maxRetries": task["maxRetries"],
        "timeoutSeconds": seconds,
        "serviceAccountName": task["serviceAccount"],
    })
}

fn container(v2: &Value) -> Value {
    let mut container = v2.clone();
    for variable in container["env"].as_array_mut().into_iter().flatten() {
        let Some(source) = variable
            .as_object_mut()
            .and_then(|it| it.remove("valueSource"))
        else {
            continue;
        };
        let secret = &source["secretKeyRef"];
        variable["valueFrom"] =
            json!({"secretKeyRef": {"name": secret["secret"], "key": secret["version"]}});
    }
    let limits = v2["resources"]["limits"].clone();
    container["resources"] = json!({"limits": limits});
    container
}

fn condition(v2: &Value) -> Value {
    let state = v2["state"].as_str().unwrap_or_default();
    let status = match state {
        "CONDITION_SUCCEEDED" => "True",
        "CONDITION_FAILED" => "False",
        _ => "Unknown",
    };
    let reason = v2.get("reason").or_else(|| v2.get("executionReason"));
    json!({
        "type": v2["type"], "status": status, "message": v2["message"], "reason": reason,
        "lastTransitionTime": v2["lastTransitionTime"],
    })
}

/// v2 has 64-bit numbers, which are text; v1 has small ones.
fn number(text: &Value) -> Option<u64> {
    text.as_str()?.parse().ok()
}

/// Without what has no value, as Google leaves it out.
fn said(value: Value) -> Value {
    let is_said = |value: &Value| match value {
        Value::Null => false,
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, said(value)));
            Value::Object(
                fields
                    .filter(|(_, value)| is_said(value))
                    .collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => items.into_iter().map(said).collect(),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::knative::read;

    #[test]
    fn what_is_shown_reads_back_as_what_it_was() {
        let v2 = json!({
            "labels": {"a": "b"}, "annotations": {"mine": "x"}, "client": "gcloud", "clientVersion": "1",
            "launchStage": "GA", "etag": "\"e\"",
            "template": {"labels": {"c": "d"}, "annotations": {}, "parallelism": 1, "taskCount": 2, "template": {
                "containers": [{"image": "i", "resources": {"limits": {"cpu": "1"}}, "env": [
                    {"name": "B", "valueSource": {"secretKeyRef": {"secret": "x", "version": "latest"}}}]}],
                "maxRetries": 0, "timeout": "600s", "serviceAccount": "s",
                "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
            }},
        });
        let mut shown = v2.clone();
        shown["name"] = "projects/p/locations/l/jobs/j".into();
        shown["terminalCondition"] = json!({"type": "Ready", "state": "CONDITION_SUCCEEDED"});
        let shown = job(&shown, "1");
        assert_eq!(shown["metadata"]["labels"][LOCATION], "l");
        assert_eq!(shown["status"]["conditions"][0]["status"], "True");
        assert_eq!(Value::Object(read::job(shown)), v2);
    }
}

//! A v1 job as the body of a v2 call. What is not known here keeps its name, and v2 refuses it.

use serde_json::{Map, Value, json};

use super::{CLIENT, CLIENT_VERSION, ENVIRONMENT, STAGE};

/// The body of a v2 job.
pub fn job(mut body: Value) -> Map<String, Value> {
    let metadata = body["metadata"].take();
    let template = body["spec"]["template"].take();
    let mut job = owned(&metadata);
    if let Some(stage) = metadata["annotations"][STAGE].as_str() {
        job.insert("launchStage".to_owned(), stage.into());
    }
    if let Some(version) = metadata["resourceVersion"].as_str() {
        job.insert("etag".to_owned(), version.into());
    }
    job.insert("template".to_owned(), execution(template));
    job
}

fn execution(mut template: Value) -> Value {
    let metadata = template["metadata"].take();
    let mut execution = owned(&metadata);
    let mut spec = object(template["spec"].take());
    let mut task = task(spec.remove("template").unwrap_or_default());
    if let Some(environment) = metadata["annotations"][ENVIRONMENT].as_str() {
        let name = format!("EXECUTION_ENVIRONMENT_{}", environment.to_uppercase());
        task["executionEnvironment"] = name.into();
    }
    execution.extend(spec);
    execution.insert("template".to_owned(), task);
    Value::Object(execution)
}

fn task(mut template: Value) -> Value {
    let mut task = object(template["spec"].take());
    rename(&mut task, "serviceAccountName", "serviceAccount");
    if let Some(seconds) = task.remove("timeoutSeconds") {
        let seconds = seconds
            .as_str()
            .map_or_else(|| seconds.to_string(), str::to_owned);
        task.insert("timeout".to_owned(), format!("{seconds}s").into());
    }
    for container in task
        .get_mut("containers")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let variables = container.get_mut("env").and_then(Value::as_array_mut);
        variables.into_iter().flatten().for_each(env);
        let resources = container
            .get_mut("resources")
            .and_then(Value::as_object_mut);
        if let Some(resources) = resources {
            // What gcloud asks for beside a limit, or sends empty; v2 knows limits alone.
            resources.remove("requests");
        }
    }
    Value::Object(task)
}

/// `{name, valueFrom: {secretKeyRef: {name, key}}}` to `{name, valueSource: {secretKeyRef: {secret, version}}}`.
fn env(variable: &mut Value) {
    let Some(variable) = variable.as_object_mut() else {
        return;
    };
    let Some(from) = variable.remove("valueFrom") else {
        return;
    };
    let secret = &from["secretKeyRef"];
    let source = json!({"secretKeyRef": {"secret": secret["name"], "version": secret["key"]}});
    variable.insert("valueSource".to_owned(), source);
}

/// The body of a v2 `:run`.
pub fn overrides(mut body: Value) -> Map<String, Value> {
    let mut overrides = object(body["overrides"].take());
    if let Some(seconds) = overrides.remove("timeoutSeconds") {
        overrides.insert("timeout".to_owned(), format!("{seconds}s").into());
    }
    Map::from_iter([("overrides".to_owned(), Value::Object(overrides))])
}

/// Labels, annotations and the client of a v1 object; Google's own are none of the user's.
fn owned(metadata: &Value) -> Map<String, Value> {
    let mut owned = Map::new();
    for field in ["labels", "annotations"] {
        let all = object(metadata[field].clone()).into_iter();
        let users: Map<_, _> = all.filter(|(name, _)| !is_googles(name)).collect();
        owned.insert(field.to_owned(), Value::Object(users));
    }
    for (annotation, field) in [(CLIENT, "client"), (CLIENT_VERSION, "clientVersion")] {
        if let Some(value) = metadata["annotations"].get(annotation) {
            owned.insert(field.to_owned(), value.clone());
        }
    }
    owned
}

fn is_googles(name: &str) -> bool {
    let domain = name.split_once('/').map_or("", |(domain, _)| domain);
    domain.ends_with("googleapis.com") || domain.ends_with("knative.dev")
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knative_job_is_one_of_v2() {
        let sent = json!({
            "apiVersion": "run.googleapis.com/v1", "kind": "Job",
            "metadata": {"name": "j", "labels": {"a": "b", "cloud.googleapis.com/location": "l"},
                "annotations": {"run.googleapis.com/client-name": "gcloud", "mine": "x"}},
            "spec": {"template": {
                "metadata": {"annotations": {"run.googleapis.com/execution-environment": "gen2"}},
                "spec": {"taskCount": 2, "template": {"spec": {
                    "timeoutSeconds": "600", "serviceAccountName": "s", "maxRetries": 1,
                    "containers": [{"image": "i", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}, "env": [
                        {"name": "A", "value": "1"},
                        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "x", "key": "latest"}}},
                    ]}],
                }}},
            }},
        });
        let wanted = json!({
            "labels": {"a": "b"}, "annotations": {"mine": "x"}, "client": "gcloud",
            "template": {"labels": {}, "annotations": {}, "taskCount": 2, "template": {
                "maxRetries": 1, "serviceAccount": "s", "timeout": "600s",
                "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
                "containers": [{"image": "i", "resources": {"limits": {"cpu": "2"}}, "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueSource": {"secretKeyRef": {"secret": "x", "version": "latest"}}},
                ]}],
            }},
        });
        assert_eq!(Value::Object(job(sent)), wanted);
    }

    #[test]
    fn what_gcloud_leaves_empty_is_not_there() {
        let container =
            json!({"image": "i", "resources": {"limits": {"cpu": "2"}, "requests": {}}});
        let spec = json!({"template": {"spec": {"containers": [container]}}});
        let read = job(json!({"spec": {"template": {"spec": spec}}}));
        let wanted = json!({"image": "i", "resources": {"limits": {"cpu": "2"}}});
        assert_eq!(read["template"]["template"]["containers"], json!([wanted]));
    }
}

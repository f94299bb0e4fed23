//! What a user says of a job: the shapes of Cloud Run's Admin API v2 that are served.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::forms;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct JobSpec {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_version: String,
    pub launch_stage: String,
    pub template: ExecutionTemplate,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExecutionTemplate {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Zero means as many at once as there is room for.
    #[serde(skip_serializing_if = "is_zero")]
    pub parallelism: u32,
    pub task_count: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_version: String,
    pub template: TaskTemplate,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TaskTemplate {
    pub containers: Vec<Container>,
    pub max_retries: Option<u32>,
    pub timeout: String,
    pub service_account: String,
    pub execution_environment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_access: Option<VpcAccess>,
}

/// Kept and checked; tasks run on this machine's network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VpcAccess {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub connector: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub egress: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_interfaces: Vec<NetworkInterface>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkInterface {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subnetwork: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl VpcAccess {
    fn check(&self) -> Result<(), ApiError> {
        let one_way = self.connector.is_empty() != self.network_interfaces.is_empty();
        if !one_way || self.network_interfaces.len() > 1 {
            return Err(ApiError::invalid(
                "vpc_access: either a connector or one network interface",
            ));
        }
        if !self.egress.is_empty() && !EGRESS.contains(&self.egress.as_str()) {
            return Err(ApiError::invalid("vpc_access.egress is no way out"));
        }
        let interfaces = self.network_interfaces.iter();
        match interfaces
            .filter(|it| it.network.is_empty() && it.subnetwork.is_empty())
            .count()
        {
            0 => Ok(()),
            _ => Err(ApiError::invalid(
                "vpc_access.network_interfaces: a network or a subnetwork is required",
            )),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Container {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub image: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    pub resources: Resources,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Resources {
    pub limits: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cpu_idle: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub startup_cpu_boost: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvVar {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_source: Option<ValueSource>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValueSource {
    pub secret_key_ref: SecretRef,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    pub secret: String,
    #[serde(default = "latest")]
    pub version: String,
}

fn latest() -> String {
    "latest".to_owned()
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl SecretRef {
    /// `projects/P/secrets/S`: a bare name is one of the job's own project.
    pub fn secret_name(&self, project: &str) -> String {
        match self.secret.starts_with("projects/") {
            true => self.secret.clone(),
            false => format!("projects/{project}/secrets/{}", self.secret),
        }
    }

    pub fn version_name(&self, project: &str) -> String {
        format!("{}/versions/{}", self.secret_name(project), self.version)
    }
}

/// What `:run` may change for one execution.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Overrides {
    pub container_overrides: Vec<ContainerOverride>,
    pub task_count: u32,
    pub timeout: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ContainerOverride {
    pub name: String,
    pub args: Vec<String>,
    pub env: Vec<EnvVar>,
    pub clear_args: bool,
}

impl ExecutionTemplate {
    /// The one container: a job has no others here.
    pub fn container(&self) -> Option<&Container> {
        self.template.containers.first()
    }

    /// This template with an execution's overrides: args replace, env is merged.
    pub fn overridden(&self, overrides: Overrides) -> ExecutionTemplate {
        let mut template = self.clone();
        if overrides.task_count > 0 {
            template.task_count = overrides.task_count;
        }
        if !overrides.timeout.is_empty() {
            template.template.timeout = overrides.timeout;
        }
        for change in overrides.container_overrides {
            if let Some(container) = template.template.containers.first_mut() {
                container.change(change);
            }
        }
        template
    }
}

impl Container {
    fn change(&mut self, change: ContainerOverride) {
        if change.clear_args {
            self.args.clear();
        }
        if !change.args.is_empty() {
            self.args = change.args;
        }
        for var in change.env {
            self.env.retain(|present| present.name != var.name);
            self.env.push(var);
        }
    }
}

/// Fields only the service writes; clients send back what they read.
const OUTPUT_ONLY: &[&str] = &[
    "name",
    "uid",
    "generation",
    "createTime",
    "updateTime",
    "deleteTime",
    "expireTime",
    "creator",
    "lastModifier",
    "observedGeneration",
    "terminalCondition",
    "conditions",
    "executionCount",
    "latestCreatedExecution",
    "reconciling",
    "satisfiesPzs",
    "etag",
];

/// Fields of the API that this cloud has nothing to do with: by the object that holds them.
const UNSERVED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "binaryAuthorization",
            "startExecutionToken",
            "runExecutionToken",
            "functionalType",
        ],
    ),
    ("/template", &["delayExecution"]),
    (
        "/template/template",
        &[
            "volumes",
            "encryptionKey",
            "nodeSelector",
            "gpuZonalRedundancyDisabled",
            "sandboxes",
            "workloadIdentityConfig",
        ],
    ),
    (
        "/template/template/containers/0",
        &[
            "ports",
            "volumeMounts",
            "livenessProbe",
            "startupProbe",
            "readinessProbe",
            "dependsOn",
            "baseImageUri",
            "buildConfig",
            "buildInfo",
            "sandboxLauncher",
            "sourceCode",
        ],
    ),
];

const STAGES: &[&str] = &[
    "LAUNCH_STAGE_UNSPECIFIED",
    "EARLY_ACCESS",
    "ALPHA",
    "BETA",
    "GA",
    "DEPRECATED",
    "UNIMPLEMENTED",
    "PRELAUNCH",
];
const EGRESS: &[&str] = &[
    "VPC_EGRESS_UNSPECIFIED",
    "ALL_TRAFFIC",
    "PRIVATE_RANGES_ONLY",
];
const ENVIRONMENTS: &[&str] = &[
    "EXECUTION_ENVIRONMENT_UNSPECIFIED",
    "EXECUTION_ENVIRONMENT_GEN1",
    "EXECUTION_ENVIRONMENT_GEN2",
];

impl JobSpec {
    /// Reads the body of a create or update.
    pub fn parse(mut body: Map<String, Value>) -> Result<JobSpec, ApiError> {
        for key in OUTPUT_ONLY {
            body.remove(*key);
        }
        forms::name_enum(&mut body, "launchStage", STAGES);
        let mut body = Value::Object(body);
        refuse_unserved(&mut body)?;
        if let Some(Value::Object(task)) = body.pointer_mut("/template/template") {
            forms::name_enum(task, "executionEnvironment", ENVIRONMENTS);
            if let Some(Value::Object(vpc)) = task.get_mut("vpcAccess") {
                forms::name_enum(vpc, "egress", EGRESS);
            }
        }
        match body {
            Value::Object(body) => {
                let spec: JobSpec = forms::read(body)?;
                let vpc = spec.template.template.vpc_access.as_ref();
                vpc.map_or(Ok(()), VpcAccess::check)?;
                Ok(spec)
            }
            _ => Err(ApiError::invalid("a job is a JSON object")),
        }
    }
}

/// Empty values pass: they mean that nothing was asked for.
fn refuse_unserved(body: &mut Value) -> Result<(), ApiError> {
    for (pointer, keys) in UNSERVED {
        let Some(Value::Object(object)) = body.pointer_mut(pointer) else {
            continue;
        };
        for key in *keys {
            if object.remove(*key).is_some_and(|value| !is_empty(&value)) {
                return Err(ApiError::unimplemented(format!(
                    "the local cloud does not serve `{key}` of a job"
                )));
            }
        }
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(body: Value) -> Result<JobSpec, ApiError> {
        let Value::Object(body) = body else { panic!() };
        JobSpec::parse(body)
    }

    #[test]
    fn output_only_fields_are_passed_over() {
        let spec = parse(json!({"name": "x", "uid": "u", "launchStage": 4})).unwrap();
        assert_eq!(spec.launch_stage, "GA");
    }

    #[test]
    fn unknown_and_unserved_fields_are_told_apart() {
        let unknown = parse(json!({"colour": 1})).unwrap_err();
        assert_eq!(unknown.code, 400);
        let volumes = json!({"template": {"template": {"volumes": [{"name": "v"}]}}});
        assert_eq!(parse(volumes).unwrap_err().code, 501);
        assert!(parse(json!({"template": {"template": {"volumes": []}}})).is_ok());
    }

    #[test]
    fn overrides_replace_args_and_merge_env() {
        let template: ExecutionTemplate = serde_json::from_value(json!({
            "taskCount": 1,
            "template": {"containers": [{"image": "i", "args": ["run"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]},
        }))
        .unwrap();
        let overrides: Overrides = serde_json::from_value(json!({
            "taskCount": 4,
            "containerOverrides": [{"args": ["check"], "env": [{"name": "B", "value": "3"}]}],
        }))
        .unwrap();
        let changed = template.overridden(overrides);
        let container = changed.container().unwrap();
        assert_eq!(
            (changed.task_count, container.args.as_slice()),
            (4, &["check".to_owned()][..])
        );
        let env: Vec<_> = container
            .env
            .iter()
            .map(|var| (var.name.as_str(), var.value.as_deref()))
            .collect();
        assert_eq!(env, [("A", Some("1")), ("B", Some("3"))]);
    }

    #[test]
    fn a_bare_secret_is_of_the_jobs_project() {
        let secret: SecretRef = serde_json::from_value(json!({"secret": "s"})).unwrap();
        assert_eq!(
            secret.version_name("p"),
            "projects/p/secrets/s/versions/latest"
        );
    }
}

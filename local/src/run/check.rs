//! The rules Cloud Run has for a job, and the defaults it fills in.
//!
//! Only what the job says is looked at; whether its image, account and secrets
//! exist is for `access`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::spec::{Container, EnvVar, ExecutionTemplate, JobSpec};
use crate::error::ApiError;
use crate::forms;

/// Set by Cloud Run itself in every task (container runtime contract).
const RESERVED: &[&str] = &[
    "CLOUD_RUN_JOB",
    "CLOUD_RUN_EXECUTION",
    "CLOUD_RUN_TASK_INDEX",
    "CLOUD_RUN_TASK_COUNT",
    "CLOUD_RUN_TASK_ATTEMPT",
];

const RESERVED_ANNOTATIONS: &[&str] = &[
    "run.googleapis.com",
    "cloud.googleapis.com",
    "serving.knative.dev",
    "autoscaling.knative.dev",
];

const LONGEST_TIMEOUT: Duration = Duration::from_secs(168 * 3600);
const MOST_RETRIES: u32 = 10;
const MOST_TASKS: u32 = 10_000;
const MOST_ENV: usize = 1000;
const LONGEST_VALUE: usize = 32 * 1024;
const GIB: u64 = 1 << 30;

/// More memory than the first takes at least that many CPUs (Cloud Run, memory limits of jobs).
const CPU_FOR_MEMORY: &[(u64, u64)] = &[(24 * GIB, 8), (16 * GIB, 6), (8 * GIB, 4), (4 * GIB, 2)];

/// Fills what was left out.
pub fn with_defaults(mut spec: JobSpec) -> JobSpec {
    fill(&mut spec.launch_stage, "LAUNCH_STAGE_UNSPECIFIED", "GA");
    let template = &mut spec.template;
    template.task_count = template.task_count.max(1);
    let task = &mut template.template;
    task.max_retries = task.max_retries.or(Some(3));
    fill(&mut task.timeout, "0s", "600s");
    fill(
        &mut task.execution_environment,
        "EXECUTION_ENVIRONMENT_UNSPECIFIED",
        "EXECUTION_ENVIRONMENT_GEN2",
    );
    for container in &mut task.containers {
        let limits = &mut container.resources.limits;
        limits.entry("cpu".into()).or_insert_with(|| "1000m".into());
        limits
            .entry("memory".into())
            .or_insert_with(|| "512Mi".into());
    }
    spec
}

fn fill(field: &mut String, unspecified: &str, default: &str) {
    if field.is_empty() || field == unspecified {
        default.clone_into(field);
    }
}

/// Refuses a name Cloud Run would.
pub fn check_name(name: &str) -> Result<(), ApiError> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && !name.ends_with('-') && name.len() <= 63 && name.chars().all(good) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "job_id `{name}` is invalid: at most 63 lower-case letters, digits and `-`, starting with \
         a letter and not ending in `-`"
    )))
}

/// Refuses a job Cloud Run would; defaults are filled in already.
pub fn check(spec: &JobSpec) -> Result<(), ApiError> {
    forms::check_labels(&spec.labels)?;
    forms::check_labels(&spec.template.labels)?;
    check_annotations(&spec.annotations)?;
    check_annotations(&spec.template.annotations)?;
    check_template(&spec.template)
}

fn check_annotations(annotations: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let reserved = |key: &&String| {
        RESERVED_ANNOTATIONS.iter().any(|domain| {
            key.split_once('/')
                .is_some_and(|(prefix, _)| prefix == *domain)
        })
    };
    match annotations.keys().find(reserved) {
        Some(key) => Err(ApiError::invalid(format!(
            "annotation `{key}` is in a namespace that belongs to the service"
        ))),
        None => Ok(()),
    }
}

/// Refuses a template that cannot be run; also for one with overrides.
pub fn check_template(template: &ExecutionTemplate) -> Result<(), ApiError> {
    let task = &template.template;
    if template.task_count > MOST_TASKS {
        return Err(ApiError::invalid(format!(
            "template.task_count is at most {MOST_TASKS}"
        )));
    }
    if task
        .max_retries
        .is_some_and(|retries| retries > MOST_RETRIES)
    {
        return Err(ApiError::invalid(format!(
            "template.template.max_retries is at most {MOST_RETRIES}"
        )));
    }
    match forms::duration(&task.timeout) {
        Some(timeout) if timeout > Duration::ZERO && timeout <= LONGEST_TIMEOUT => {}
        _ => {
            return Err(ApiError::invalid(format!(
                "template.template.timeout `{}` is invalid: more than 0s, at most 604800s",
                task.timeout
            )));
        }
    }
    match task.containers.as_slice() {
        [container] => check_container(container),
        [] => Err(ApiError::invalid(
            "template.template.containers: a job has a container",
        )),
        _ => Err(ApiError::unimplemented(
            "the local cloud runs one container a task",
        )),
    }
}

fn check_container(container: &Container) -> Result<(), ApiError> {
    if container.image.is_empty() {
        return Err(ApiError::invalid("containers[0].image is required"));
    }
    if container.env.len() > MOST_ENV || container.args.len() > MOST_ENV {
        return Err(ApiError::invalid(format!(
            "a container has at most {MOST_ENV} variables and {MOST_ENV} arguments"
        )));
    }
    container.env.iter().try_for_each(check_env)?;
    check_limits(&container.resources.limits)
}

fn check_env(var: &EnvVar) -> Result<(), ApiError> {
    let name = &var.name;
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(ApiError::invalid(format!(
            "containers[0].env: `{name}` is no name of a variable"
        )));
    }
    if RESERVED.contains(&name.as_str()) {
        return Err(ApiError::invalid(format!(
            "The following reserved env names were provided: {name}. These values are \
             automatically set by the system."
        )));
    }
    match (&var.value, &var.value_source) {
        (Some(value), None) if value.len() > LONGEST_VALUE || value.contains('\0') => {
            Err(ApiError::invalid(format!(
                "containers[0].env: the value of `{name}` is longer than 32 KiB or holds a NUL"
            )))
        }
        (Some(value), Some(_)) if !value.is_empty() => Err(ApiError::invalid(format!(
            "containers[0].env: `{name}` has both value and value_source"
        ))),
        _ => Ok(()),
    }
}

fn check_limits(limits: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if let Some(key) = limits
        .keys()
        .find(|key| !matches!(key.as_str(), "cpu" | "memory"))
    {
        return Err(ApiError::unimplemented(format!(
            "the local cloud knows limits of cpu and memory, not of `{key}`"
        )));
    }
    let limit = |key: &str, read: fn(&str) -> Option<u64>| {
        let text = limits.get(key).map_or("", String::as_str);
        read(text).ok_or_else(|| {
            ApiError::invalid(format!("resources.limits.{key}: invalid value `{text}`"))
        })
    };
    let (cpu, memory) = (limit("cpu", millicpus)?, limit("memory", bytes)?);
    if !matches!(cpu, 1000 | 2000 | 4000 | 6000 | 8000) {
        return Err(ApiError::invalid(
            "resources.limits.cpu: a job has 1, 2, 4, 6 or 8 CPUs",
        ));
    }
    if memory < 512 << 20 || memory > 32 * GIB {
        return Err(ApiError::invalid(
            "resources.limits.memory: a job has at least 512Mi and at most 32Gi",
        ));
    }
    let least = CPU_FOR_MEMORY.iter().find(|(above, _)| memory > *above);
    match least {
        Some((_, cpus)) if cpu < cpus * 1000 => Err(ApiError::invalid(format!(
            "resources.limits: that much memory takes at least {cpus} CPUs"
        ))),
        _ => Ok(()),
    }
}

/// A CPU quantity of Kubernetes (`1`, `0.5`, `1000m`) in thousandths.
fn millicpus(text: &str) -> Option<u64> {
    match text.strip_suffix('m') {
        Some(milli) => milli.parse().ok(),
        None => text.parse::<u64>().ok()?.checked_mul(1000),
    }
}

/// A memory quantity of Kubernetes (`512Mi`, `1G`, `1024`) in bytes.
fn bytes(text: &str) -> Option<u64> {
    const UNITS: &[(&str, u64)] = &[
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
    ];
    let unit = UNITS
        .iter()
        .find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (number, size) = unit.unwrap_or((text, 1));
    number.parse::<u64>().ok()?.checked_mul(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(container: Value) -> JobSpec {
        let job = json!({"launchStage": "", "template": {"template": {"containers": [container]}}});
        with_defaults(serde_json::from_value(job).unwrap())
    }

    fn checked(container: Value) -> Result<(), ApiError> {
        check(&spec(container))
    }

    #[test]
    fn what_is_left_out_gets_clouds_defaults() {
        let spec = spec(json!({"image": "i"}));
        insta::assert_json_snapshot!(spec.template.template, @r#"
        {
          "containers": [
            {
              "image": "i",
              "resources": {
                "limits": {
                  "cpu": "1000m",
                  "memory": "512Mi"
                }
              }
            }
          ],
          "maxRetries": 3,
          "timeout": "600s",
          "serviceAccount": "",
          "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2"
        }
        "#);
        assert_eq!(
            (spec.template.task_count, spec.launch_stage.as_str()),
            (1, "GA")
        );
    }

    #[test]
    fn reserved_names_are_refused() {
        let refused =
            checked(json!({"image": "i", "env": [{"name": "CLOUD_RUN_JOB", "value": "x"}]}));
        assert!(refused.unwrap_err().message.contains("CLOUD_RUN_JOB"));
    }

    #[test]
    fn memory_needs_cpus() {
        let limits = |cpu: &str, memory: &str| {
            checked(json!({"image": "i", "resources": {"limits": {"cpu": cpu, "memory": memory}}}))
        };
        assert!(limits("1", "4Gi").is_ok());
        assert!(limits("1", "5Gi").is_err());
        assert!(limits("2", "8Gi").is_ok());
        assert!(limits("4", "17Gi").is_err());
        assert!(limits("8", "32Gi").is_ok());
        assert!(limits("8", "33Gi").is_err());
        assert!(limits("1", "256Mi").is_err());
        assert!(limits("3", "1Gi").is_err());
        assert!(limits("one", "1Gi").is_err());
    }

    #[test]
    fn retries_and_timeouts_have_bounds() {
        let mut spec = spec(json!({"image": "i"}));
        spec.template.template.max_retries = Some(11);
        assert!(check(&spec).is_err());
        spec.template.template.max_retries = Some(0);
        assert!(check(&spec).is_ok());
        spec.template.template.timeout = "604801s".into();
        assert!(check(&spec).is_err());
    }

    #[test]
    fn names_are_lower_case_and_end_well() {
        assert!(check_name("acme-xero").is_ok());
        for name in ["", "Acme", "1a", "a-", &"a".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn googles_annotations_are_googles() {
        let mut spec = spec(json!({"image": "i"}));
        spec.annotations
            .insert("run.googleapis.com/x".into(), "y".into());
        assert!(check(&spec).is_err());
    }
}

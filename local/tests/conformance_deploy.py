"""Google's own Python clients against the local cloud: what deploys and runs a job.

    python conformance_deploy.py http://127.0.0.1:PORT

Service Usage, IAM, Resource Manager, Artifact Registry, Run, Scheduler and Logging. The clients of
IAM and Logging are gRPC only: those two are called by `googleapiclient` from Google's discovery
documents. Uses the project `conformance-deploy`; every check ends the run when it fails.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
import time

import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import artifactregistry_v1, resourcemanager_v3, run_v2, scheduler_v1, service_usage_v1
from google.iam.v1 import iam_policy_pb2, policy_pb2
from googleapiclient import discovery
from googleapiclient.errors import HttpError
from googleapiclient.http import build_http

PROJECT = "conformance-deploy"
REGION = "australia-southeast1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
ACCOUNT = f"runner@{PROJECT}.iam.gserviceaccount.com"


def made(url, client):
    return client(
        credentials=AnonymousCredentials(), transport="rest", client_options={"api_endpoint": url}
    )


def from_document(url, name, version):
    return discovery.build(
        name, version, http=build_http(), static_discovery=True, client_options={"api_endpoint": url}
    )


def refused(error, call):
    """The call fails with this error and no other."""
    try:
        call()
    except error as found:
        return found
    raise AssertionError(f"expected {error.__name__}")


def check_services(url):
    client = made(url, service_usage_v1.ServiceUsageClient)
    apis = ["artifactregistry", "cloudresourcemanager", "cloudscheduler", "iam", "run"]
    names = [f"{api}.googleapis.com" for api in apis]
    request = service_usage_v1.BatchEnableServicesRequest(parent=f"projects/{PROJECT}", service_ids=names)
    enabled = client.batch_enable_services(request=request).result(timeout=20)
    assert {service.config.name for service in enabled.services} >= set(names), enabled
    request = service_usage_v1.ListServicesRequest(parent=f"projects/{PROJECT}", filter="state:ENABLED")
    assert set(names) <= {service.config.name for service in client.list_services(request=request)}


def check_accounts(url):
    accounts = from_document(url, "iam", "v1").projects().serviceAccounts()
    body = {"accountId": "runner", "serviceAccount": {"displayName": "Runner"}}
    account = accounts.create(name=f"projects/{PROJECT}", body=body).execute()
    assert account["email"] == ACCOUNT, account
    again = refused(HttpError, accounts.create(name=f"projects/{PROJECT}", body=body).execute)
    assert again.resp.status == 409
    patch = {"serviceAccount": {"description": "runs"}, "updateMask": "description"}
    changed = accounts.patch(name=account["name"], body=patch).execute()
    assert (changed["description"], changed["displayName"]) == ("runs", "Runner"), changed
    listed = accounts.list(name=f"projects/{PROJECT}").execute()
    assert [it["email"] for it in listed["accounts"]] == [ACCOUNT]
    policy = accounts.getIamPolicy(resource=account["name"], options_requestedPolicyVersion=3).execute()
    policy["bindings"] = [{"role": "roles/iam.serviceAccountUser", "members": [f"serviceAccount:{ACCOUNT}"]}]
    policy = accounts.setIamPolicy(resource=account["name"], body={"policy": policy}).execute()
    assert policy["bindings"][0]["role"] == "roles/iam.serviceAccountUser", policy
    return accounts, account["name"]


def check_project(url):
    client = made(url, resourcemanager_v3.ProjectsClient)
    project = client.get_project(name=f"projects/{PROJECT}")
    assert project.project_id == PROJECT and project.name.split("/")[1].isdigit(), project
    policy = client.get_iam_policy(request=iam_policy_pb2.GetIamPolicyRequest(resource=f"projects/{PROJECT}"))
    policy.bindings.append(
        policy_pb2.Binding(role="roles/bigquery.jobUser", members=[f"serviceAccount:{ACCOUNT}"])
    )
    request = iam_policy_pb2.SetIamPolicyRequest(resource=f"projects/{PROJECT}", policy=policy)
    policy = client.set_iam_policy(request=request)
    stale = iam_policy_pb2.SetIamPolicyRequest(
        resource=f"projects/{PROJECT}", policy=policy_pb2.Policy(etag=b"stale", bindings=policy.bindings)
    )
    refused(exceptions.Conflict, lambda: client.set_iam_policy(request=stale, retry=None))
    wanted = ["bigquery.jobs.create"]
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=f"projects/{PROJECT}", permissions=wanted)
    assert list(client.test_iam_permissions(request=request).permissions) == wanted


def push(url, repository):
    """An image that prints a line, pushed as `docker push` does."""
    program = b"#!/bin/sh\necho '{\"severity\": \"WARNING\", \"message\": \"hello from '$CLOUD_RUN_TASK_INDEX'\"}'\n"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("app/hello")
        member.size, member.mode = len(program), 0o755
        tar.addfile(member, io.BytesIO(program))
    layer = packed.getvalue()
    squeezed = gzip.compress(layer, mtime=0)
    digest = lambda data: "sha256:" + hashlib.sha256(data).hexdigest()
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/app/hello"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    }).encode()
    base = f"{url}/v2/{PROJECT}/{repository}/hello"
    http = requests.Session()
    http.auth = ("oauth2accesstoken", "local-user")
    for blob in (config, squeezed):
        reply = http.post(f"{base}/blobs/uploads/")
        assert reply.status_code == 202, reply.text
        place = requests.compat.urljoin(url, reply.headers["location"])
        mark = "&" if "?" in place else "?"
        reply = http.put(f"{place}{mark}digest={digest(blob)}", data=blob)
        assert reply.status_code == 201, reply.text
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": kind,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config), "digest": digest(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": len(squeezed), "digest": digest(squeezed)}],
    }).encode()
    reply = http.put(f"{base}/manifests/{digest(manifest)}", data=manifest, headers={"content-type": kind})
    assert reply.status_code == 201, reply.text
    return f"{REGION}-docker.pkg.dev/{PROJECT}/{repository}/hello@{digest(manifest)}"


def check_repositories(url):
    client = made(url, artifactregistry_v1.ArtifactRegistryClient)
    docker = artifactregistry_v1.Repository.Format.DOCKER
    repository = artifactregistry_v1.Repository(format_=docker, labels={"managed-by": "xetl"})
    create = dict(parent=PARENT, repository=repository, repository_id="images")
    repository = client.create_repository(**create).result(timeout=20)
    assert repository.name == f"{PARENT}/repositories/images" and repository.labels == {"managed-by": "xetl"}
    refused(exceptions.Conflict, lambda: client.create_repository(**create))
    repository.description = "ours"
    changed = client.update_repository(repository=repository, update_mask={"paths": ["description"]})
    assert changed.description == "ours" and changed.labels == {"managed-by": "xetl"}, changed
    image = push(url, "images")
    assert [found.uri for found in client.list_docker_images(parent=repository.name)] == [image]
    return client, repository.name, image


def job_of(image):
    container = run_v2.Container(image=image, env=[run_v2.EnvVar(name="A", value="1")])
    task = run_v2.TaskTemplate(containers=[container], service_account=ACCOUNT, max_retries=0, timeout="60s")
    return run_v2.Job(
        labels={"managed-by": "xetl"}, template=run_v2.ExecutionTemplate(task_count=2, template=task)
    )


def check_jobs(url, image):
    client = made(url, run_v2.JobsClient)
    create = dict(parent=PARENT, job=job_of(image), job_id="hello")
    job = client.create_job(**create).result(timeout=20)
    assert job.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED, job
    refused(exceptions.Conflict, lambda: client.create_job(**create))
    job.template.parallelism = 1
    changed = client.update_job(job=job).result(timeout=20)
    assert (changed.generation, changed.template.parallelism) == (2, 1), changed
    refused(exceptions.Conflict, lambda: client.update_job(job=job))
    assert [found.name for found in client.list_jobs(parent=PARENT)] == [f"{PARENT}/jobs/hello"]
    execution = client.run_job(name=job.name).result(timeout=60)
    assert (execution.succeeded_count, execution.failed_count) == (2, 0), execution
    executions = made(url, run_v2.ExecutionsClient)
    assert [found.name for found in executions.list_executions(parent=job.name)] == [execution.name]
    tasks = list(made(url, run_v2.TasksClient).list_tasks(parent=execution.name))
    assert [task.index for task in tasks] == [0, 1] and tasks[0].last_attempt_result.exit_code == 0, tasks
    return client, executions, changed.name, execution.name


def check_schedules(url, job):
    client = made(url, scheduler_v1.CloudSchedulerClient)
    target = scheduler_v1.HttpTarget(
        uri=f"https://run.googleapis.com/v2/{job}:run",
        http_method=scheduler_v1.HttpMethod.POST,
        oauth_token=scheduler_v1.OAuthToken(service_account_email=ACCOUNT),
    )
    wanted = scheduler_v1.Job(
        name=f"{PARENT}/jobs/nightly", schedule="0 2 * * *", time_zone="Pacific/Auckland", http_target=target
    )
    schedule = client.create_job(parent=PARENT, job=wanted)
    assert schedule.state == scheduler_v1.Job.State.ENABLED and schedule.schedule_time, schedule
    refused(exceptions.Conflict, lambda: client.create_job(parent=PARENT, job=wanted))
    schedule = client.update_job(
        job=scheduler_v1.Job(name=schedule.name, schedule="0 3 * * *"), update_mask={"paths": ["schedule"]}
    )
    assert (schedule.schedule, schedule.time_zone) == ("0 3 * * *", "Pacific/Auckland"), schedule
    assert client.pause_job(name=schedule.name).state == scheduler_v1.Job.State.PAUSED
    assert client.resume_job(name=schedule.name).state == scheduler_v1.Job.State.ENABLED
    bad = scheduler_v1.Job(name=f"{PARENT}/jobs/bad", schedule="61 * * * *", http_target=target)
    refused(exceptions.BadRequest, lambda: client.create_job(parent=PARENT, job=bad))
    # Without run.invoker the account may not start the job: the schedule says so.
    client.run_job(name=schedule.name)
    for _ in range(100):
        status = client.get_job(name=schedule.name).status
        if status.code:
            break
        time.sleep(0.1)
    assert status.code == 7 and "run.jobs.run" in status.message, status
    return client, schedule.name


def check_logs(url, execution):
    entries = from_document(url, "logging", "v2").entries()
    body = {
        "resourceNames": [f"projects/{PROJECT}"],
        "filter": f'resource.type="cloud_run_job" AND labels."run.googleapis.com/execution_name"="{execution.split("/")[-1]}"',
        "orderBy": "timestamp asc",
    }
    found = entries.list(body=body).execute()["entries"]
    lines = sorted(it["jsonPayload"]["message"] for it in found if "jsonPayload" in it)
    assert lines == ["hello from 0", "hello from 1"], found
    assert {it["severity"] for it in found if "jsonPayload" in it} == {"WARNING"}, found


def main():
    url = sys.argv[1]
    check_services(url)
    accounts, account = check_accounts(url)
    check_project(url)
    repositories, repository, image = check_repositories(url)
    jobs, executions, job, execution = check_jobs(url, image)
    schedules, schedule = check_schedules(url, job)
    check_logs(url, execution)
    schedules.delete_job(name=schedule)
    executions.delete_execution(name=execution).result(timeout=20)
    jobs.delete_job(name=job).result(timeout=20)
    refused(exceptions.NotFound, lambda: jobs.get_job(name=job))
    repositories.delete_repository(name=repository).result(timeout=20)
    accounts.delete(name=account).execute()


if __name__ == "__main__":
    main()

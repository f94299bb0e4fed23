"""Reads back, with Google's own Python clients, what xetl made on the local cloud.

Usage: read_back.py ENDPOINT PROJECT REGION CLIENT PIPELINE
Prints one JSON object of what was found; a client that cannot read its resource raises.
"""

import json
import sys

from google.api_core.client_options import ClientOptions
from google.auth.credentials import Credentials
from google.cloud import artifactregistry_v1, bigquery, run_v2, scheduler_v1, secretmanager_v1, storage


class LocalUser(Credentials):
    """The token the CLI uses with `target: local`."""

    def __init__(self):
        super().__init__()
        self.token = "local-user"

    def refresh(self, request):
        pass

    @property
    def expired(self):
        return False


def main(endpoint, project, region, client, pipeline):
    credentials = LocalUser()
    options = ClientOptions(api_endpoint=endpoint)
    location = f"projects/{project}/locations/{region}"
    job = f"{client}-{pipeline}"

    def rest(client_class):
        return client_class(credentials=credentials, transport="rest", client_options=options)

    found = {}
    buckets = storage.Client(project=project, credentials=credentials, client_options=options)
    bucket = buckets.get_bucket(f"{project}-xetl-{client}", retry=None)
    objects = [blob.name for blob in buckets.list_blobs(bucket, retry=None)]
    bundle = next(name for name in objects if name.startswith(f"{pipeline}/bundle/"))
    policy = bucket.get_iam_policy(requested_policy_version=3, retry=None)
    found["bucket"] = {
        "labels": bucket.labels,
        "uniform_access": bucket.iam_configuration.uniform_bucket_level_access_enabled,
        "roles": sorted({binding["role"] for binding in policy.bindings}),
        "parquet_parts": sum(name.endswith(".parquet") for name in objects),
        "bundle_client": json.loads(bucket.blob(bundle).download_as_bytes(retry=None))["client"],
    }

    secrets = rest(secretmanager_v1.SecretManagerServiceClient)
    found["secrets"] = {
        secret.name.split("/")[-1]: len(list(secrets.list_secret_versions(parent=secret.name)))
        for secret in secrets.list_secrets(parent=f"projects/{project}")
    }

    registry = rest(artifactregistry_v1.ArtifactRegistryClient)
    found["repositories"] = [r.name.split("/")[-1] for r in registry.list_repositories(parent=location)]

    jobs = rest(run_v2.JobsClient)
    made = jobs.get_job(name=f"{location}/jobs/{job}")
    container = made.template.template.containers[0]
    executions = rest(run_v2.ExecutionsClient)
    found["job"] = {
        "pinned": "@sha256:" in container.image,
        "args": list(container.args),
        "secret_env": sorted(env.name for env in container.env if env.value_source.secret_key_ref.secret),
        "max_retries": made.template.template.max_retries,
        "executions": sorted(e.succeeded_count for e in executions.list_executions(parent=made.name)),
    }

    schedules = rest(scheduler_v1.CloudSchedulerClient)
    schedule = schedules.get_job(name=f"{location}/jobs/{job}")
    found["schedule"] = {
        "cron": schedule.schedule,
        "state": schedule.state.name,
        "runs_the_job": schedule.http_target.uri.endswith(f"/jobs/{job}:run"),
    }

    warehouse = bigquery.Client(project=project, credentials=credentials, client_options=options)
    dataset = f"{client.replace('-', '_')}_{pipeline}"
    tables = [t.table_id for t in warehouse.list_tables(f"{project}.{dataset}", retry=None)]
    invoices = warehouse.get_table(f"{project}.{dataset}.invoices", retry=None)
    rows = warehouse.query_and_wait(
        f"SELECT status, COUNT(*) n, SUM(total) total FROM `{project}.{dataset}.invoices_latest` GROUP BY 1 ORDER BY 1",
        retry=None,
        job_retry=None,
    )
    found["warehouse"] = {
        "tables": sorted(tables),
        "total_type": next(f.field_type for f in invoices.schema if f.name.lower() == "total"),
        "line_items_mode": next(f.mode for f in invoices.schema if f.name.lower() == "lineitems"),
        "invoices": {row["status"]: [row["n"], str(row["total"])] for row in rows},
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])

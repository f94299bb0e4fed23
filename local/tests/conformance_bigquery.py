"""Google's own BigQuery client against the local cloud: DML, copies, extracts, schemas,
results by pages, and who may ask.

    python conformance_bigquery.py http://127.0.0.1:PORT

Needs google-cloud-bigquery and google-cloud-storage; uses the project
`conformance-check` and leaves nothing in it. Every check ends the run when it fails.
"""

import base64
import datetime
import decimal
import json
import sys

import requests
from google.api_core import exceptions
from google.auth import exceptions as auth_exceptions
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import Request
from google.cloud import bigquery, storage
from google.oauth2 import credentials as oauth2_credentials
from google.oauth2 import service_account

PROJECT = "conformance-check"
DATASET = f"{PROJECT}.warehouse"
BUCKET = f"{PROJECT}-extracts"

FIELDS = [
    bigquery.SchemaField("id", "STRING", mode="REQUIRED"),
    bigquery.SchemaField("total", "NUMERIC"),
    bigquery.SchemaField("day", "DATE"),
    bigquery.SchemaField(
        "lines", "RECORD", mode="REPEATED", fields=[bigquery.SchemaField("sku", "STRING")]
    ),
]


def refused(error, call):
    """The call fails with this error and no other."""
    try:
        call()
    except error as found:
        return found
    raise AssertionError(f"expected {error.__name__}")


def enable(url):
    reply = requests.post(
        f"{url}/v1/projects/{PROJECT}/services:batchEnable",
        json={"serviceIds": [f"{api}.googleapis.com" for api in ("bigquery", "cloudresourcemanager", "iam")]},
    )
    assert reply.ok, reply.text


def run(client, sql, **config):
    """The finished job of a statement."""
    job = client.query(
        sql, job_config=bigquery.QueryJobConfig(**config), location="US", retry=None, job_retry=None
    )
    job.result(retry=None)
    return job


def rows(client, sql):
    return [tuple(row.values()) for row in run(client, sql).result(retry=None)]


def make(client, name):
    table = bigquery.Table(f"{DATASET}.{name}", schema=FIELDS)
    table.time_partitioning = bigquery.TimePartitioning(field="day")
    table.clustering_fields = ["id"]
    return client.create_table(table, retry=None)


def check_merge(client):
    make(client, "target")
    make(client, "staging")
    run(
        client,
        f"INSERT INTO `{DATASET}.target` (id, total, day, lines) VALUES "
        "('a', 1, '2024-01-01', [STRUCT('x' AS sku)]), ('b', 2, '2024-01-02', [])",
    )
    run(
        client,
        f"INSERT INTO `{DATASET}.staging` (id, total, day, lines) VALUES "
        "('b', 2.5, '2024-01-02', [STRUCT('y' AS sku)]), ('c', 3, '2024-01-03', [])",
    )
    merge = (
        f"MERGE `{DATASET}.target` T USING (SELECT * FROM `{DATASET}.staging` QUALIFY ROW_NUMBER() "
        "OVER (PARTITION BY id ORDER BY total DESC) = 1) S ON T.id = S.id "
        "WHEN MATCHED THEN UPDATE SET total = S.total, lines = S.lines "
        "WHEN NOT MATCHED THEN INSERT ROW"
    )
    job = run(client, merge)
    assert job.statement_type == "MERGE", job.statement_type
    assert job.num_dml_affected_rows == 2
    stats = job.dml_stats
    counts = (stats.inserted_row_count, stats.updated_row_count, stats.deleted_row_count)
    assert counts == (1, 1, 0), counts
    found = rows(client, f"SELECT * FROM `{DATASET}.target` ORDER BY id")
    assert found[1] == (
        "b",
        decimal.Decimal("2.5"),
        datetime.date(2024, 1, 2),
        [{"sku": "y"}],
    ), found
    assert [row[0] for row in found] == ["a", "b", "c"]

    run(client, f"INSERT INTO `{DATASET}.staging` (id) VALUES ('b')")
    twice = merge.replace("QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY total DESC) = 1", "")
    error = refused(exceptions.BadRequest, lambda: run(client, twice))
    assert "must match at most one source row" in error.message, error

    # The same job id twice is one job.
    config = bigquery.QueryJobConfig()
    client.query("SELECT 1", job_id="once", job_config=config, location="US", job_retry=None)
    refused(
        exceptions.Conflict,
        lambda: client.query("SELECT 1", job_id="once", location="US", retry=None, job_retry=None),
    )


def check_update(client):
    job = run(client, f"UPDATE `{DATASET}.target` SET total = total + 1 WHERE id = 'a'")
    assert job.dml_stats.updated_row_count == 1
    job = run(client, f"DELETE FROM `{DATASET}.target` WHERE id = 'c'")
    assert job.dml_stats.deleted_row_count == 1
    total = rows(client, f"SELECT SUM(total) FROM `{DATASET}.target`")
    assert total == [(decimal.Decimal("4.5"),)], total


def check_schema(client):
    table = client.get_table(f"{DATASET}.target", retry=None)
    assert table.time_partitioning.field == "day"
    lines = bigquery.SchemaField(
        "lines",
        "RECORD",
        mode="REPEATED",
        fields=[bigquery.SchemaField("sku", "STRING"), bigquery.SchemaField("n", "INTEGER")],
    )
    relaxed = bigquery.SchemaField("id", "STRING")
    table.schema = [relaxed, *FIELDS[1:3], lines, bigquery.SchemaField("note", "STRING")]
    table = client.update_table(table, ["schema"], retry=None)
    assert [field.name for field in table.schema][-1] == "note"
    table.schema = table.schema[:-1]
    refused(exceptions.BadRequest, lambda: client.update_table(table, ["schema"], retry=None))
    run(client, f"ALTER TABLE `{DATASET}.target` ALTER COLUMN total SET DATA TYPE BIGNUMERIC")
    run(client, f"ALTER TABLE `{DATASET}.target` ADD COLUMN IF NOT EXISTS note STRING, ADD COLUMN n INT64")
    table = client.get_table(f"{DATASET}.target", retry=None)
    kinds = {field.name: field.field_type for field in table.schema}
    assert (kinds["total"], kinds["n"]) == ("BIGNUMERIC", "INTEGER"), kinds
    found = rows(client, f"SELECT total, note, lines[OFFSET(0)].n FROM `{DATASET}.target` WHERE id = 'b'")
    assert found == [(decimal.Decimal("2.5"), None, None)], found
    narrow = f"ALTER TABLE `{DATASET}.target` ALTER COLUMN total SET DATA TYPE INT64"
    refused(exceptions.BadRequest, lambda: run(client, narrow))
    table.time_partitioning = bigquery.TimePartitioning(field="day", type_="MONTH")
    refused(
        exceptions.BadRequest,
        lambda: client.update_table(table, ["time_partitioning"], retry=None),
    )


def check_copy(client):
    config = bigquery.CopyJobConfig(write_disposition="WRITE_EMPTY")
    sources = [f"{DATASET}.staging", f"{DATASET}.staging"]
    job = client.copy_table(
        sources, f"{DATASET}.copied", job_config=config, location="US", retry=None
    )
    job.result(retry=None)
    staged = client.get_table(f"{DATASET}.staging", retry=None)
    copied = client.get_table(f"{DATASET}.copied", retry=None)
    assert copied.num_rows == 2 * staged.num_rows
    assert copied.time_partitioning == staged.time_partitioning
    again = client.copy_table(
        sources[0], f"{DATASET}.copied", job_config=config, location="US", retry=None
    )
    refused(exceptions.Conflict, lambda: again.result(retry=None))
    config = bigquery.CopyJobConfig(write_disposition="WRITE_TRUNCATE")
    client.copy_table(
        sources[0], f"{DATASET}.copied", job_config=config, location="US", retry=None
    ).result(retry=None)
    copied = client.get_table(f"{DATASET}.copied", retry=None)
    assert copied.num_rows == staged.num_rows


def check_extract(client, buckets):
    bucket = buckets.create_bucket(BUCKET, location="US")
    config = bigquery.ExtractJobConfig(destination_format="NEWLINE_DELIMITED_JSON")
    job = client.extract_table(
        f"{DATASET}.copied", f"gs://{BUCKET}/rows-*.json", job_config=config, location="US", retry=None
    )
    job.result(retry=None)
    assert job.destination_uri_file_counts == [1]
    lines = bucket.blob("rows-000000000000.json").download_as_text().splitlines()
    found = sorted((json.loads(line) for line in lines), key=lambda row: row["id"])
    assert found[-1] == {"id": "c", "total": "3", "day": "2024-01-03", "lines": []}, found

    config = bigquery.ExtractJobConfig(destination_format="PARQUET", compression="ZSTD")
    client.extract_table(
        f"{DATASET}.copied", f"gs://{BUCKET}/rows.parquet", job_config=config, location="US", retry=None
    ).result(retry=None)
    options = bigquery.ParquetOptions()
    options.enable_list_inference = True
    config = bigquery.LoadJobConfig(source_format="PARQUET")
    config.parquet_options = options
    loaded = client.load_table_from_uri(
        f"gs://{BUCKET}/rows.parquet", f"{DATASET}.loaded", job_config=config, location="US", retry=None
    )
    loaded.result(retry=None)
    assert loaded.output_rows == len(found)
    for blob in buckets.list_blobs(BUCKET):
        blob.delete()
    bucket.delete()


def check_partitions(client, buckets):
    bucket = buckets.create_bucket(BUCKET, location="US")
    run(client, f"CREATE TABLE `{DATASET}.day` AS SELECT 'z' AS id, NUMERIC '9' AS total, DATE '2024-01-02' AS day")
    config = bigquery.ExtractJobConfig(destination_format="PARQUET")
    uri = f"gs://{BUCKET}/day.parquet"
    client.extract_table(f"{DATASET}.day", uri, job_config=config, location="US", retry=None).result(
        retry=None
    )
    config = bigquery.LoadJobConfig(
        source_format="PARQUET",
        write_disposition="WRITE_TRUNCATE",
        schema_update_options=["ALLOW_FIELD_RELAXATION"],
    )
    before = rows(client, f"SELECT id FROM `{DATASET}.copied` WHERE day <> '2024-01-02' ORDER BY id")
    client.load_table_from_uri(
        uri, f"{DATASET}.copied$20240102", job_config=config, location="US", retry=None
    ).result(retry=None)
    after = rows(client, f"SELECT id FROM `{DATASET}.copied` WHERE day <> '2024-01-02' ORDER BY id")
    assert after == before
    found = rows(client, f"SELECT id, total FROM `{DATASET}.copied` WHERE day = '2024-01-02'")
    assert found == [("z", decimal.Decimal(9))], found
    wrong = client.load_table_from_uri(
        uri, f"{DATASET}.copied$20240103", job_config=config, location="US", retry=None
    )
    error = refused(exceptions.BadRequest, lambda: wrong.result(retry=None))
    assert "different partitions" in error.message, error

    definition = bigquery.ExternalConfig("PARQUET")
    definition.source_uris = [uri]
    job = run(client, "SELECT total FROM staged", table_definitions={"staged": definition})
    assert [tuple(row.values()) for row in job.result(retry=None)] == [(decimal.Decimal(9),)]
    bucket.blob("day.parquet").delete()
    bucket.delete()


def check_faults(client, url):
    fault = {"kind": "QUERY", "reason": "backendError"}
    assert requests.post(f"{url}/_local/bigquery/faults", json=fault).ok
    job = client.query("SELECT 1", location="US", job_retry=None)
    refused(exceptions.GoogleAPICallError, lambda: job.result(retry=None))
    # The client sends a job that failed for such a reason again, with a new id.
    assert requests.post(f"{url}/_local/bigquery/faults", json=fault).ok
    assert [tuple(row) for row in client.query("SELECT 1", location="US").result()] == [(1,)]
    # And finds the job whose reply was lost.
    before = rows(client, f"SELECT COUNT(*) FROM `{DATASET}.copied`")[0][0]
    fault = {"method": "POST", "path": f"/bigquery/v2/projects/{PROJECT}/jobs", "at": "after", "status": 503}
    assert requests.post(f"{url}/_local/faults", json=fault).ok
    client.query(f"INSERT INTO `{DATASET}.copied` (id) VALUES ('once')", location="US").result()
    assert rows(client, f"SELECT COUNT(*) FROM `{DATASET}.copied`")[0][0] == before + 1
    assert requests.get(f"{url}/_local/faults").json() == {"faults": []}


def check_expiration(client):
    table = bigquery.Table(f"{DATASET}.brief", schema=FIELDS)
    table.expires = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    client.create_table(table, retry=None)
    refused(exceptions.NotFound, lambda: client.get_table(f"{DATASET}.brief", retry=None))


def key_of(url, email):
    """A new key of the account, as Google's clients read one."""
    accounts = f"{url}/v1/projects/{PROJECT}/serviceAccounts"
    made = requests.post(f"{accounts}/{email}/keys", json={})
    assert made.ok, made.text
    return json.loads(base64.b64decode(made.json()["privateKeyData"]))


def account(url, name):
    body = {"accountId": name, "serviceAccount": {"displayName": name}}
    made = requests.post(f"{url}/v1/projects/{PROJECT}/serviceAccounts", json=body)
    assert made.ok, made.text
    return made.json()["email"]


def may_query(url, *emails):
    """BigQuery checks accounts: one without a role is refused."""
    nobody = client_as(url, oauth2_credentials.Credentials(token_of(url, emails[0])))
    refused(exceptions.Forbidden, lambda: run(nobody, "SELECT 1 AS n"))
    members = [f"serviceAccount:{email}" for email in emails]
    policy = {"policy": {"bindings": [{"role": "roles/bigquery.jobUser", "members": members}]}}
    granted = requests.post(f"{url}/v3/projects/{PROJECT}:setIamPolicy", json=policy)
    assert granted.ok, granted.text


def token_of(url, email):
    made = requests.post(
        f"{url}/v1/projects/-/serviceAccounts/{email}:generateAccessToken", json={"scope": ["x"]}
    )
    assert made.ok, made.text
    return made.json()["accessToken"]


def client_as(url, credentials):
    return bigquery.Client(
        project=PROJECT, credentials=credentials, client_options={"api_endpoint": url}
    )


def check_identities(url):
    """A key signs in by exchange and by itself; impersonation needs a role."""
    reader, signer = account(url, "reader"), account(url, "signer")
    may_query(url, reader, signer)
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    key = key_of(url, signer)
    by_key = service_account.Credentials.from_service_account_info(key, scopes=scopes)
    job = run(client_as(url, by_key), "SELECT 1 AS n")
    assert job.user_email == signer, job.user_email
    alone = service_account.Credentials.from_service_account_info(key, scopes=scopes)
    alone = alone.with_always_use_jwt_access(True)
    assert run(client_as(url, alone), "SELECT 1 AS n").user_email == signer

    target = impersonated_credentials.Credentials(
        by_key, reader, scopes, iam_endpoint_override=f"{url}/v1/projects/-/serviceAccounts/{reader}:generateAccessToken"
    )
    refused(auth_exceptions.RefreshError, lambda: target.refresh(Request()))
    policy = {"policy": {"bindings": [
        {"role": "roles/iam.serviceAccountTokenCreator", "members": [f"serviceAccount:{signer}"]}]}}
    granted = requests.post(
        f"{url}/v1/projects/{PROJECT}/serviceAccounts/{reader}:setIamPolicy", json=policy
    )
    assert granted.ok, granted.text
    assert run(client_as(url, target), "SELECT 1 AS n").user_email == reader

    forged = dict(key, client_email=reader)
    credentials = service_account.Credentials.from_service_account_info(forged, scopes=scopes)
    refused(auth_exceptions.RefreshError, lambda: credentials.refresh(Request()))
    for email in (reader, signer):
        requests.delete(f"{url}/v1/projects/{PROJECT}/serviceAccounts/{email}")


def check_result_pages(client, url):
    """A query's result is read by pages from any row on, and stays as it was."""
    make(client, "paged")
    values = ", ".join(f"('{n:02}', {n}, '2024-01-01', [])" for n in range(25))
    run(client, f"INSERT INTO `{DATASET}.paged` (id, total, day, lines) VALUES {values}")
    job = run(client, f"SELECT * FROM `{DATASET}.paged` ORDER BY id")
    run(client, f"DELETE FROM `{DATASET}.paged` WHERE TRUE")
    job.result(retry=None)
    kept = bigquery.Table(job.destination, schema=FIELDS)
    ids = [row["id"] for row in client.list_rows(kept, page_size=10, start_index=5, retry=None)]
    assert ids == [f"{n:02}" for n in range(5, 25)], ids
    results = f"{url}/bigquery/v2/projects/{PROJECT}/queries/{job.job_id}"
    page = requests.get(results, params={"startIndex": 20, "maxResults": 10, "location": "US"}).json()
    assert [row["f"][0]["v"] for row in page["rows"]] == [f"{n:02}" for n in range(20, 25)], page
    assert page["totalRows"] == "25", page
    assert job.result(max_results=0, retry=None).total_rows == 25
    client.delete_table(f"{DATASET}.paged", retry=None)


def main(url):
    enable(url)
    options = {"credentials": AnonymousCredentials(), "client_options": {"api_endpoint": url}}
    client = bigquery.Client(project=PROJECT, **options)
    buckets = storage.Client(project=PROJECT, **options)
    dataset = bigquery.Dataset(DATASET)
    dataset.location = "US"
    client.create_dataset(dataset, retry=None)
    check_merge(client)
    check_update(client)
    check_schema(client)
    check_copy(client)
    check_extract(client, buckets)
    check_partitions(client, buckets)
    check_faults(client, url)
    check_expiration(client)
    check_result_pages(client, url)
    check_identities(url)
    client.delete_dataset(DATASET, delete_contents=True, retry=None)
    print("bigquery: all checks passed")


if __name__ == "__main__":
    main(sys.argv[1])

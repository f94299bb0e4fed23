"""Google's own Python clients against the local cloud: storage, secrets.

    python conformance_storage_secrets.py http://127.0.0.1:PORT

Needs google-cloud-storage and google-cloud-secret-manager; uses the project
`conformance-check` and leaves nothing in it. Every check ends the run when it fails.
"""

import base64
import hashlib
import io
import os
import sys

import google_crc32c
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import secretmanager_v1, storage

PROJECT = "conformance-check"
BUCKET = f"{PROJECT}-data"
SECRET = f"projects/{PROJECT}/secrets/token"


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
        json={"serviceIds": ["secretmanager.googleapis.com", "iam.googleapis.com"]},
    )
    assert reply.ok, reply.text


def check_bucket(client):
    bucket = client.bucket(BUCKET)
    bucket.labels = {"managed-by": "xetl"}
    bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    bucket.add_lifecycle_delete_rule(age=30)
    bucket.soft_delete_policy.retention_duration_seconds = 0
    bucket = client.create_bucket(bucket, location="australia-southeast1")
    bucket.reload()
    assert bucket.location == "AUSTRALIA-SOUTHEAST1"
    assert bucket.labels == {"managed-by": "xetl"}
    assert bucket.soft_delete_policy.retention_duration_seconds == 0
    assert [rule["condition"] for rule in bucket.lifecycle_rules] == [{"age": 30}]
    refused(exceptions.Conflict, lambda: client.create_bucket(BUCKET))
    assert [found.name for found in client.list_buckets(prefix=BUCKET)] == [BUCKET]
    return bucket


def check_policy(bucket):
    policy = bucket.get_iam_policy(requested_policy_version=3)
    policy.bindings.append({"role": "roles/storage.objectUser", "members": {"user:a@example.com"}})
    bucket.set_iam_policy(policy)
    refused(exceptions.PreconditionFailed, lambda: bucket.set_iam_policy(policy))
    assert bucket.test_iam_permissions(["storage.objects.get"]) == ["storage.objects.get"]


def check_small_object(bucket):
    blob = bucket.blob("folder/a b/ü.txt")
    blob.metadata = {"run": "7"}
    blob.upload_from_string("hello world", content_type="text/plain", checksum="crc32c")
    first = blob.generation
    assert blob.crc32c == "yZRlqg==" and blob.metadata == {"run": "7"}
    assert blob.download_as_bytes() == b"hello world"
    assert blob.download_as_bytes(start=2, end=4) == b"llo"
    refused(
        exceptions.PreconditionFailed,
        lambda: blob.upload_from_string("x", if_generation_match=0),
    )
    blob.upload_from_string("second", if_generation_match=first)
    assert blob.generation != first
    refused(exceptions.NotFound, lambda: bucket.blob("nothing").download_as_bytes())


def check_large_objects(bucket):
    data = os.urandom(3 * 1024 * 1024 + 17)
    chunked = bucket.blob("chunked", chunk_size=1024 * 1024)
    chunked.upload_from_file(io.BytesIO(data))
    chunked.reload()
    assert chunked.md5_hash == base64.b64encode(hashlib.md5(data).digest()).decode()
    assert chunked.download_as_bytes() == data
    unsized = bucket.blob("unsized", chunk_size=256 * 1024)
    with unsized.open("wb") as file:
        file.write(data)
    assert unsized.download_as_bytes() == data
    empty = bucket.blob("empty", chunk_size=256 * 1024)
    empty.upload_from_file(io.BytesIO(b""))
    assert empty.download_as_bytes() == b""
    composed = bucket.blob("composed")
    composed.compose([chunked, unsized])
    composed.reload()
    assert composed.size == 2 * len(data) and composed.md5_hash is None
    copied = bucket.copy_blob(chunked, bucket, "copies/one")
    assert copied.md5_hash == chunked.md5_hash
    assert bucket.blob("copies/two").rewrite(chunked)[0] is None


def check_listing(client, bucket):
    listing = client.list_blobs(bucket, delimiter="/", page_size=2)
    assert [blob.name for blob in listing] == ["chunked", "composed", "empty", "unsized"]
    assert sorted(listing.prefixes) == ["copies/", "folder/"]


def check_storage(url):
    client = storage.Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": url},
    )
    bucket = check_bucket(client)
    check_policy(bucket)
    check_small_object(bucket)
    check_large_objects(bucket)
    check_listing(client, bucket)
    refused(exceptions.Conflict, bucket.delete)
    for blob in client.list_blobs(bucket):
        blob.delete()
    bucket.delete()
    refused(exceptions.NotFound, lambda: client.get_bucket(BUCKET))


def check_versions(client):
    data = {"data": b"one", "data_crc32c": google_crc32c.value(b"one")}
    assert client.add_secret_version(parent=SECRET, payload=data).name.endswith("/versions/1")
    damaged = {"data": b"one", "data_crc32c": 1}
    refused(
        exceptions.BadRequest,
        lambda: client.add_secret_version(parent=SECRET, payload=damaged),
    )
    client.add_secret_version(parent=SECRET, payload={"data": b"two"})
    latest = f"{SECRET}/versions/latest"
    assert client.access_secret_version(name=latest).payload.data == b"two"
    client.disable_secret_version(name=f"{SECRET}/versions/2")
    refused(exceptions.BadRequest, lambda: client.access_secret_version(name=latest))
    client.enable_secret_version(name=f"{SECRET}/versions/2")
    client.destroy_secret_version(name=f"{SECRET}/versions/1")
    states = [version.state.name for version in client.list_secret_versions(parent=SECRET)]
    assert states == ["ENABLED", "DESTROYED"]


def check_secret_policy(client):
    policy = client.get_iam_policy(request={"resource": SECRET})
    policy.bindings.add(
        role="roles/secretmanager.secretAccessor",
        members=[f"serviceAccount:missing@{PROJECT}.iam.gserviceaccount.com"],
    )
    request = {"resource": SECRET, "policy": policy}
    error = refused(exceptions.BadRequest, lambda: client.set_iam_policy(request=request))
    assert "does not exist" in str(error)


def check_secrets(url):
    client = secretmanager_v1.SecretManagerServiceClient(
        credentials=AnonymousCredentials(),
        transport="rest",
        client_options={"api_endpoint": url},
    )
    parent = f"projects/{PROJECT}"
    secret = {"replication": {"automatic": {}}, "labels": {"managed-by": "xetl"}}
    create = {"parent": parent, "secret_id": "token", "secret": secret}
    client.create_secret(request=create)
    refused(exceptions.Conflict, lambda: client.create_secret(request=create))
    check_versions(client)
    check_secret_policy(client)
    found = client.list_secrets(request={"parent": parent, "filter": "labels.managed-by=xetl"})
    assert [secret.name.rsplit("/", 1)[-1] for secret in found] == ["token"]
    client.delete_secret(name=SECRET)
    refused(exceptions.NotFound, lambda: client.get_secret(name=SECRET))


if __name__ == "__main__":
    endpoint = sys.argv[1].rstrip("/")
    enable(endpoint)
    check_storage(endpoint)
    check_secrets(endpoint)
    print("storage and secrets: as Google's clients expect")

"""Reads sources/isams.yaml with airbyte-cdk from a sandbox iSAMS and judges what comes.

    python tests/reference/isams.py http://127.0.0.1:PORT

Reads every stream with the one JSON document for a secret, and with separate fields, and compares with the
sandbox's own truth. Prints one JSON summary; exit code 1 when anything differs.
"""

import json
import sys

import yaml
from judge import SOURCES, Judge, Sync, call, configured, discovered, finish, reference, undeclared

MANIFEST = SOURCES / "isams.yaml"
# Streams of which a path has one list for each parent.
PER_PARENT = {
    "divisions": "/api/school/yeargroups/",
    "student_contacts": "/api/students/",
    "applicant_contacts": "/api/admissions/applicants/",
    "reward_categories": "/api/rewardsAndConduct/moduleTypes/",
}
ADDED = [
    {
        "name": "houses_again",
        "url": "/api/school/houses",
        "object": "houses",
        "pages": "single",
        "schema": {"id": "INTEGER", "code": "STRING", "name": "STRING"},
    },
    {
        "name": "schools_again",
        "url": "api/otherschools",
        "object": "otherSchools",
        "pages": "multi",
        "primary_key": ["id"],
        "schema": {"id": "INTEGER", "name": "STRING"},
    },
]
PATHS = {"houses_again": "/api/school/houses", "schools_again": "/api/otherschools"}


def document(url: str) -> dict:
    fields = {
        "CLIENT_ID": "sandbox",
        "CLIENT_SECRET": "sandbox-secret",
        "TOKEN_URL": f"{url}/auth/connect/token",
        "API_BASE_URL": f"{url}/",
    }
    return {"credentials": {"auth_type": "document", "document": json.dumps(fields)}, "endpoints": ADDED}


def fields(url: str) -> dict:
    credentials = {
        "auth_type": "fields",
        "client_id": "sandbox",
        "client_secret": "sandbox-secret",
        "token_url": f"{url}/auth/connect/token",
        "base_url": url,
    }
    return {"credentials": credentials, "endpoints": []}


def path_of(stream: str) -> str:
    """Where a stream reads, as its manifest says."""
    return PATHS.get(stream) or yaml.safe_load(MANIFEST.read_text())["definitions"][stream]["$parameters"]["path"]


def wanted(counts: dict, streams: dict) -> dict:
    """How many records there are of each stream that has some."""
    found = {name: counts[path_of(name)] for name in streams if name not in PER_PARENT}
    for name, beginning in PER_PARENT.items():
        end = "/" + {"divisions": "divisions", "reward_categories": "categories"}.get(name, "contacts")
        found[name] = sum(n for path, n in counts.items() if path.startswith(beginning) and path.endswith(end))
    return {name: count for name, count in sorted(found.items()) if count}


def judge_sync(judge: Judge, what: str, url: str, settings: dict, streams: dict) -> dict:
    sync = Sync(reference(MANIFEST, "read", settings, configured(list(streams.values()))))
    judge.expect(f"errors with {what}", sync.errors, [])
    judge.expect(f"records with {what}", sync.counts(), wanted(call(url, "/_sandbox/truth")["paths"], streams))
    strange = set()
    for name, records in sync.records.items():
        for record in records:
            undeclared(record, streams[name]["json_schema"], name, strange)
    judge.expect(f"fields without a schema, with {what}", sorted(strange), [])
    return sync.counts()


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    url, summary = sys.argv[1].rstrip("/"), {}
    judge = Judge(url)
    for what, settings in {"a document": document(url), "fields": fields(url)}.items():
        streams = discovered(MANIFEST, settings)
        summary[what] = judge_sync(judge, what, url, settings, streams)
    return finish(judge, summary)


if __name__ == "__main__":
    sys.exit(main())

"""Reads sources/close.yaml with airbyte-cdk from a sandbox Close and judges what comes.

    python tests/reference/close.py http://127.0.0.1:PORT

Reads every stream, lets five days pass, reads again and compares with the sandbox's own truth.
Prints one JSON summary; exit code 1 when anything differs.
"""

import sys

from judge import SOURCES, Judge, Sync, call, configured, discovered, finish, reference, undeclared

MANIFEST = SOURCES / "close.yaml"
KEY, RESTRICTED = "api_sandbox", "api_sandbox_restricted"
# The organisation's plan does not have it.
CLOSED = {"send_as"}
DAYS = 5


def config(url: str, key: str = KEY) -> dict:
    return {"api_key": key, "api_url": url, "start_date": "2023-06-01"}


def records(url: str, stream: str) -> dict:
    return call(url, f"/_sandbox/truth?stream={stream}")["records"]


def judge_first(judge: Judge, sync: Sync, url: str, streams: dict) -> None:
    truth = call(url, "/_sandbox/truth")["streams"]
    judge.expect("streams", sorted(streams), sorted(truth))
    wanted = {name: of["count"] for name, of in sorted(truth.items()) if name not in CLOSED}
    judge.expect("errors of the first sync", sync.errors, [])
    judge.expect("first sync", sync.counts(), wanted)
    fields = set()
    for name, found in sync.records.items():
        for record in found:
            undeclared(record, streams[name]["json_schema"], name, fields)
    judge.expect("fields without a schema", sorted(fields), [])
    custom = [lead for lead in sync.records["leads"] if lead["custom_fields"]]
    judge.expect("leads with custom fields", bool(custom), True)
    members = [group for group in sync.records["groups"] if group.get("members")]
    judge.expect("groups have members", len(members), wanted["groups"])


def judge_second(judge: Judge, first: Sync, second: Sync, url: str) -> None:
    """All there is must be there in its newest form, but for what no list tells."""
    judge.expect("errors of the second sync", second.errors, [])
    for name in ["leads", "contacts", "opportunities", "tasks"]:
        judge.expect(f"newest {name}", outdated(url, name, first, second), [])
    for name in ["activity_call", "activity_email", "activity_lead_merge", "activity_meeting"]:
        missing = set(records(url, name)) - versions(name, first, second).keys()
        judge.expect(f"missing {name}", sorted(missing), [])
    # Notes edited long after are seen in the event log only.
    missed = outdated(url, "activity_note", first, second)
    edited = {
        event["object_id"]
        for event in first.records["events"] + second.records["events"]
        if (event["object_type"], event["action"]) == ("activity.note", "updated")
    }
    moved = set(records(url, "activity_note")) & {note for note in missed} - edited
    truth = records(url, "activity_note")
    late = [note for note in moved if truth[note]["created"] >= "2025-06-27"]
    judge.expect("late edits of notes that were missed", late, [])
    judge.expect("very late edits of notes in the log", bool(set(missed) & edited), True)
    judge.expect("leads that went", len(gone(second) - gone(first)), 2 * DAYS)


def gone(sync: Sync) -> set:
    events = sync.records["events"]
    return {event["object_id"] for event in events if event["action"] in ("deleted", "merged")}


def versions(name: str, *syncs: Sync) -> dict:
    newest = {}
    for sync in syncs:
        for record in sync.records[name]:
            newest[record["id"]] = max(newest.get(record["id"], ""), record["date_updated"])
    return newest


def outdated(url: str, name: str, *syncs: Sync) -> list:
    known = versions(name, *syncs)
    return sorted(id for id, dates in records(url, name).items() if known.get(id) != dates["updated"])


def judge_roles(judge: Judge, url: str) -> None:
    """What a role may not read is left out; a key that is none is an error."""
    settings = config(url, RESTRICTED)
    streams = discovered(MANIFEST, settings)
    catalog = configured([streams["dialers"], streams["users"]])
    sync = Sync(reference(MANIFEST, "read", settings, catalog))
    judge.expect("dialers of a restricted role", (sorted(sync.counts()), sync.errors), (["users"], []))
    replies = reference(MANIFEST, "check", config(url, "api_nobody"))
    status = next(message for message in replies if message["type"] == "CONNECTION_STATUS")
    judge.expect("check of an unknown key", status["connectionStatus"]["status"], "FAILED")


def judge_faults(judge: Judge, url: str) -> None:
    settings = config(url)
    streams = discovered(MANIFEST, settings)
    for fault in [{"status": 429, "retry_after": 1}, {"status": 503}, {"status": 429, "headers": {"RateLimit": "soon"}}]:
        call(url, "/_sandbox/fail", {"path": "/api/v1/user/", **fault})
        sync = Sync(reference(MANIFEST, "read", settings, configured([streams["users"]])))
        wanted = call(url, "/_sandbox/truth")["streams"]["users"]["count"]
        judge.expect(f"users after {fault}", (sync.counts(), sync.errors), ({"users": wanted}, []))


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    url, summary = sys.argv[1].rstrip("/"), {}
    judge, settings = Judge(url), config(url)
    judge_roles(judge, url)
    judge_faults(judge, url)
    streams = discovered(MANIFEST, settings)
    catalog = configured(list(streams.values()))
    first = Sync(reference(MANIFEST, "read", settings, catalog))
    summary["first"] = first.counts()
    judge_first(judge, first, url, streams)
    call(url, "/_sandbox/advance", {"days": DAYS})
    second = Sync(reference(MANIFEST, "read", settings, catalog, list(first.states.values())))
    summary["second"] = second.counts()
    judge_second(judge, first, second, url)
    return finish(judge, summary)


if __name__ == "__main__":
    sys.exit(main())

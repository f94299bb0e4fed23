"""Reads sources/xero.yaml with airbyte-cdk from a sandbox Xero and judges what comes.

    python tests/reference/xero.py http://127.0.0.1:PORT

Signs in both ways, reads every stream twice, before and after a day passes, and compares
with the sandbox's own truth. Prints one JSON summary; exit code 1 when anything differs.
"""

import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from decimal import Decimal

import judge as judging
from judge import SOURCES, Judge, Sync, call, configured, finish, undeclared

MANIFEST = SOURCES / "xero.yaml"
CLIENT = {"client_id": "sandbox", "client_secret": "sandbox-secret"}
TENANT = "70784a63-d24b-46a9-a4db-0e70a274b056"
REFRESH_TOKEN = "sandbox-refresh-0"


def config(url: str, credentials: dict, **extra) -> dict:
    return {
        "credentials": {**CLIENT, **credentials},
        "start_date": "2000-01-01",
        "api_url": url,
        "identity_url": url,
        "calls_per_minute": 100000,
        **extra,
    }


def connection(url: str) -> dict:
    scopes = " ".join(
        f"accounting.{area}.read"
        for area in ["settings", "contacts", "invoices", "payments", "banktransactions", "manualjournals", "journals"]
    )
    return config(url, {"auth_type": "custom_connection"}, scopes=scopes)


def reference(*arguments) -> list:
    return judging.reference(MANIFEST, *arguments)


def unconverted(value, path: str, found: set) -> None:
    """Collects the paths of fields that still are a .NET date; free text may mention one."""
    if isinstance(value, list):
        for element in value:
            unconverted(element, path + "[]", found)
    elif isinstance(value, dict):
        for name, inner in value.items():
            unconverted(inner, f"{path}.{name}", found)
    elif isinstance(value, str) and value.startswith("/Date("):
        found.add(path)


def judge_records(judge: Judge, sync: Sync, streams: dict) -> None:
    fields, dates = set(), set()
    for name, records in sync.records.items():
        for record in records:
            undeclared(record, streams[name]["json_schema"], name, fields)
            unconverted(record, name, dates)
    judge.expect("fields without a schema", sorted(fields), [])
    judge.expect("dates left as they came", sorted(dates), [])


def judge_invoices(judge: Judge, invoices: list, truth: dict) -> None:
    """Compares counts and exact sums by status, the newest version of each invoice."""
    latest = {}
    for invoice in invoices:
        known = latest.get(invoice["InvoiceID"])
        if known is None or known["UpdatedDateUTC"] <= invoice["UpdatedDateUTC"]:
            latest[invoice["InvoiceID"]] = invoice
    counts, sums = Counter(), defaultdict(Decimal)
    for invoice in latest.values():
        counts[invoice["Status"]] += 1
        sums[invoice["Status"]] += Decimal(str(invoice["Total"]))
    wanted = truth["by_status"]
    judge.expect("invoices by status", dict(sorted(counts.items())), {status: of["count"] for status, of in wanted.items()})
    totals = {status: f"{total:.2f}" for status, total in sorted(sums.items())}
    judge.expect("totals by status", totals, {status: of["total"] for status, of in wanted.items()})


def judge_syncs(judge: Judge, url: str, summary: dict) -> None:
    settings = connection(url)
    status = next(message for message in reference("check", settings) if message["type"] == "CONNECTION_STATUS")
    judge.expect("check", status["connectionStatus"]["status"], "SUCCEEDED")
    found = next(message for message in reference("discover", settings) if message["type"] == "CATALOG")
    streams = {stream["name"]: stream for stream in found["catalog"]["streams"]}
    catalog = configured(list(streams.values()))

    before = call(url, "/_sandbox/truth")
    judge.expect("streams", sorted(streams), sorted(before["streams"]))
    first = Sync(reference("read", settings, catalog))
    summary["first"] = first.counts()
    judge.expect("errors of the first sync", first.errors, [])
    judge.expect("first sync", first.counts(), {name: of["count"] for name, of in sorted(before["streams"].items())})
    judge_records(judge, first, streams)
    judge_invoices(judge, first.records["invoices"], before["invoices"])

    call(url, "/_sandbox/advance", {"days": 1})
    after = call(url, "/_sandbox/truth")
    second = Sync(reference("read", settings, catalog, list(first.states.values())))
    summary["second"] = second.counts()
    judge.expect("errors of the second sync", second.errors, [])
    judge_invoices(judge, first.records["invoices"] + second.records["invoices"], after["invoices"])
    judge.expect("second sync", second.counts(), expected_changes(url, first, after))


def expected_changes(url: str, first: Sync, after: dict) -> dict:
    """How many records each stream must bring again: all, or those since its cursor less five seconds."""
    expected = {}
    for name, truth in sorted(after["streams"].items()):
        cursor = first.states[name]["stream"].get("stream_state", {}) if name in first.states else {}
        since = cursor.get("UpdatedDateUTC") or cursor.get("CreatedDateUTC")
        changed = truth["count"]
        if since:
            changed = call(url, f"/_sandbox/truth?since={five_seconds_before(since)}")["streams"][name]["changed"]
        if changed:
            expected[name] = changed
    return expected


def five_seconds_before(moment: str) -> str:
    return (datetime.fromisoformat(moment) - timedelta(seconds=5)).isoformat()


def judge_refresh_tokens(judge: Judge, url: str, summary: dict) -> None:
    """Signs in with a token that works once, twice over, as two runs would."""
    credentials = {"auth_type": "refresh_token", "refresh_token": REFRESH_TOKEN, "tenant_id": TENANT}
    settings = config(url, credentials)
    found = next(message for message in reference("discover", settings) if message["type"] == "CATALOG")
    users = configured([stream for stream in found["catalog"]["streams"] if stream["name"] == "users"])
    tokens = [REFRESH_TOKEN]
    for _ in range(2):
        sync = Sync(reference("read", settings, users))
        judge.expect("errors with a refresh token", sync.errors, [])
        judge.expect("users with a refresh token", sync.counts(), {"users": 7})
        if sync.config is None:
            judge.expect("a new refresh token", None, "a control message")
            return
        settings = {key: value for key, value in sync.config.items() if not key.startswith("__")}
        settings["credentials"].pop("access_token")
        settings["credentials"].pop("token_expiry_date")
        tokens.append(settings["credentials"]["refresh_token"])
    judge.expect("different refresh tokens", len(set(tokens)), 3)
    summary["refresh_tokens"] = len(set(tokens))


def judge_refusals(judge: Judge, url: str) -> None:
    """Journals an app has no right to are left out; another's organisation is an error that names it."""
    settings = config(url, {"auth_type": "custom_connection"})
    found = next(message for message in reference("discover", settings) if message["type"] == "CATALOG")
    journals = configured([stream for stream in found["catalog"]["streams"] if stream["name"] == "journals"])
    sync = Sync(reference("read", settings, journals))
    judge.expect("journals without the right", (sync.counts(), sync.errors), ({}, []))

    foreign = "11111111-1111-4111-8111-111111111111"
    settings = config(url, {"auth_type": "custom_connection", "tenant_id": foreign})
    status = next(message for message in reference("check", settings) if message["type"] == "CONNECTION_STATUS")
    judge.expect("check of a foreign organisation", status["connectionStatus"]["status"], "FAILED")
    judge.expect("it is named", foreign in status["connectionStatus"]["message"], True)


def judge_faults(judge: Judge, url: str) -> None:
    """A limit and an outage are waited out."""
    settings = connection(url)
    found = next(message for message in reference("discover", settings) if message["type"] == "CATALOG")
    accounts = configured([stream for stream in found["catalog"]["streams"] if stream["name"] == "accounts"])
    for fault in [{"status": 429, "retry_after": 1, "problem": "minute"}, {"status": 503}]:
        call(url, "/_sandbox/fail", {"path": "/api.xro/2.0/Accounts", **fault})
        sync = Sync(reference("read", settings, accounts))
        truth = call(url, "/_sandbox/truth")["streams"]["accounts"]["count"]
        judge.expect(f"accounts after {fault['status']}", (sync.counts(), sync.errors), ({"accounts": truth}, []))


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    judge, summary = Judge(sys.argv[1].rstrip("/")), {}
    judge_refresh_tokens(judge, judge.url, summary)
    judge_refusals(judge, judge.url)
    judge_faults(judge, judge.url)
    judge_syncs(judge, judge.url, summary)
    return finish(judge, summary)


if __name__ == "__main__":
    sys.exit(main())

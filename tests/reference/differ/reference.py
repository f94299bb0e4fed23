"""A case read by airbyte-cdk, in this process, which reads no other case after it."""

import json
import logging
import os
import sys
import time
from pathlib import Path

from .outcome import SOURCE, Outcome

REALLY_SLEEP = time.sleep
NAP = 0.01


def load() -> None:
    """Imports what takes seconds, so that a fork has it, and makes waiting short."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    # The manifests may name xetl's own components.
    os.environ["AIRBYTE_ENABLE_UNSAFE_CODE"] = "true"
    import airbyte_cdk.cli.source_declarative_manifest._run  # noqa: F401
    import airbyte_cdk.sources.declarative.retrievers.file_uploader  # noqa: F401

    time.sleep = lambda seconds: REALLY_SLEEP(min(seconds, NAP))
    logging.disable(logging.CRITICAL)


def read(manifest: Path, config: Path, state: Path, streams, between, folder: Path) -> Outcome:
    """Discovers, calls `between`, then reads every stream, or those in `streams`."""
    common = ["--config", str(config), "--manifest-path", str(manifest)]
    outcome, before = Outcome(), json.loads(config.read_text())
    catalog = folder / "catalog.json"
    try:
        found = discovered(common)
        catalog.write_text(json.dumps(configured(found, streams)))
        between()
        for message in messages(["read", *common, "--catalog", str(catalog), "--state", str(state)]):
            take(outcome, message)
    except (Exception, SystemExit) as error:
        outcome.errors.append(f"{type(error).__name__}: {error}"[:2000])
        if not outcome.failed:
            outcome.failed.add(SOURCE)
    after = json.loads(config.read_text())
    if outcome.config is None and after != before:
        outcome.config = after
    return outcome


def check(manifest: Path, config: Path) -> Outcome:
    """Tries the config; the source fails where the check does."""
    outcome = Outcome()
    try:
        for message in messages(["check", "--config", str(config), "--manifest-path", str(manifest)]):
            take(outcome, message)
    except (Exception, SystemExit) as error:
        outcome.errors.append(f"{type(error).__name__}: {error}"[:2000])
        outcome.failed.add(SOURCE)
    return outcome


def messages(arguments: list):
    from airbyte_cdk.cli.source_declarative_manifest._run import create_declarative_source
    from airbyte_cdk.entrypoint import AirbyteEntrypoint

    source = create_declarative_source(arguments)
    for line in AirbyteEntrypoint(source).run(AirbyteEntrypoint.parse_args(arguments)):
        yield json.loads(line)


def discovered(common: list) -> list:
    return [
        stream
        for message in messages(["discover", *common])
        if message["type"] == "CATALOG"
        for stream in message["catalog"]["streams"]
    ]


def configured(found: list, chosen) -> dict:
    return {
        "streams": [
            {
                "stream": stream,
                "sync_mode": "incremental" if "incremental" in stream["supported_sync_modes"] else "full_refresh",
                "destination_sync_mode": "append",
            }
            for stream in found
            if chosen is None or stream["name"] in chosen
        ]
    }


def take(outcome: Outcome, message: dict) -> None:
    match message["type"]:
        case "RECORD":
            record = message["record"]
            outcome.records.setdefault(record["stream"], []).append(record["data"])
        case "STATE":
            stream = message["state"]["stream"]
            outcome.states[stream["stream_descriptor"]["name"]] = stream.get("stream_state")
        case "TRACE" if message["trace"]["type"] == "ERROR":
            error = message["trace"]["error"]
            outcome.errors.append(error.get("internal_message") or error["message"])
        case "TRACE" if message["trace"]["type"] == "STREAM_STATUS":
            status = message["trace"]["stream_status"]
            name = status["stream_descriptor"]["name"]
            if status["status"] == "INCOMPLETE":
                outcome.failed.add(name)
        case "CONNECTION_STATUS" if message["connectionStatus"]["status"] == "FAILED":
            outcome.failed.add(SOURCE)
            outcome.errors.append(message["connectionStatus"]["message"])
        case "CONTROL":
            outcome.config = message["control"]["connectorConfig"]["config"]

"""What the judges of built-in sources share: a run of airbyte-cdk, and what came of it."""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections import defaultdict
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent.parent / "sources"


class Judge:
    def __init__(self, url: str):
        self.url = url
        self.failures = []

    def expect(self, what: str, got, wanted) -> None:
        if got != wanted:
            self.failures.append({"what": what, "got": got, "wanted": wanted})


def call(url: str, path: str, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, data=data)) as reply:
        return json.load(reply)


def reference(source: Path, command: str, settings: dict, catalog=None, state=None) -> list:
    """Runs airbyte-cdk in its own process and returns its messages."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = yaml.safe_load(source.read_text())
        files = {"config": {**settings, "__injected_declarative_manifest": manifest}, "catalog": catalog, "state": state}
        args = [command]
        for name, content in files.items():
            if content is not None:
                path = Path(folder) / f"{name}.json"
                path.write_text(json.dumps(content))
                args += [f"--{name}", str(path)]
        program = "from airbyte_cdk.cli.source_declarative_manifest import run; run()"
        environment = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
            # The manifest names xetl's own components.
            "AIRBYTE_ENABLE_UNSAFE_CODE": "true",
        }
        done = subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True, env=environment)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 and command != "read":
        raise SystemExit(f"{command} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return messages


def configured(streams: list) -> dict:
    return {
        "streams": [
            {
                "stream": stream,
                "sync_mode": "incremental" if "incremental" in stream["supported_sync_modes"] else "full_refresh",
                "destination_sync_mode": "append",
            }
            for stream in streams
        ]
    }


def discovered(source: Path, settings: dict) -> dict:
    """The source's streams by name."""
    found = next(message for message in reference(source, "discover", settings) if message["type"] == "CATALOG")
    return {stream["name"]: stream for stream in found["catalog"]["streams"]}


class Sync:
    """The outcome of one read."""

    def __init__(self, messages: list):
        self.records = defaultdict(list)
        self.states = {}
        self.errors = []
        self.config = None
        for message in messages:
            self.take(message)

    def take(self, message: dict) -> None:
        match message["type"]:
            case "RECORD":
                self.records[message["record"]["stream"]].append(message["record"]["data"])
            case "STATE":
                state = message["state"]
                self.states[state["stream"]["stream_descriptor"]["name"]] = {"type": "STREAM", "stream": state["stream"]}
            case "TRACE" if message["trace"]["type"] == "ERROR":
                self.errors.append(message["trace"]["error"]["message"])
            case "CONTROL":
                self.config = message["control"]["connectorConfig"]["config"]

    def counts(self) -> dict:
        return {stream: len(records) for stream, records in sorted(self.records.items())}

    def cursor(self, stream: str):
        return next(iter(self.states[stream]["stream"]["stream_state"].values()))


def undeclared(value, schema: dict, path: str, found: set) -> None:
    """Collects the paths of fields that the stream's schema does not declare."""
    if schema.get("xetl_type") == "JSON":
        return
    if isinstance(value, list):
        for element in value:
            undeclared(element, schema.get("items", {}), path + "[]", found)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in schema.get("properties", {}):
                found.add(f"{path}.{name}")
            else:
                undeclared(inner, schema["properties"][name], f"{path}.{name}", found)


def finish(judge: Judge, summary: dict) -> int:
    print(json.dumps({"ok": not judge.failures, **summary, "failures": judge.failures}, ensure_ascii=False))
    return 1 if judge.failures else 0

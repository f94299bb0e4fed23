"""A case read by `xetl-runtime read`."""

import json
import re
import subprocess
from pathlib import Path

from .outcome import SOURCE, Outcome

PATIENCE = 60
FAILED = re.compile(r"\d+ of \d+ streams failed: (.*)$")


def read(binary: Path, manifest: Path, config: Path, state: Path, streams, folder: Path) -> Outcome:
    before = json.loads(config.read_text())
    written = folder / "state-out.json"
    command = [binary, "read", "--source", manifest, "--config", config, "--state", state, "--state-out", written]
    for stream in streams or []:
        command += ["--stream", stream]
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return Outcome(failed={SOURCE}, errors=[f"still running after {PATIENCE}s"])
    outcome = Outcome(errors=said(done.stderr))
    for line in done.stdout.splitlines():
        line = json.loads(line)
        outcome.records.setdefault(line["stream"], []).append(line["record"])
    if written.exists():
        for entry in json.loads(written.read_text()):
            stream = entry["stream"]
            outcome.states[stream["stream_descriptor"]["name"]] = stream.get("stream_state")
    if done.returncode != 0:
        outcome.failed = failed(outcome.errors)
    after = json.loads(config.read_text())
    outcome.config = after if after != before else None
    return outcome


def check(binary: Path, manifest: Path, config: Path) -> Outcome:
    """Tries the config; the source fails where the check does."""
    command = [str(part) for part in (binary, "check", "--source", manifest, "--config", config)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return Outcome(failed={SOURCE}, errors=[f"still running after {PATIENCE}s"])
    status = json.loads(done.stdout)["status"] if done.stdout else "no status"
    return Outcome(failed=set() if status == "SUCCEEDED" else {SOURCE}, errors=[done.stdout, *said(done.stderr)])


def said(stderr: str) -> list:
    """The messages of the log's warnings and errors, and lines that are not of the log."""
    messages = []
    for line in stderr.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            messages.append(line)
            continue
        if entry.get("severity") in ("WARNING", "ERROR", "CRITICAL"):
            messages.append(entry.get("message", line))
    return messages


def failed(errors: list) -> set:
    for message in errors:
        if match := FAILED.search(message):
            return set(match[1].split(", "))
    return {SOURCE}

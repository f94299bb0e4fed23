"""A case: one small manifest, and the server that answers both readers.

Knows nothing of how the manifest is read.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import yaml

KEYS = {"about", "command", "manifest", "config", "state", "streams", "server", "unmatched", "requests", "records", "differs"}
ROUTE_KEYS = {"match", "times", "reply"}
MATCH_KEYS = {"method", "path", "query", "headers", "body"}
REPLY_KEYS = {"status", "headers", "json", "text", "base64", "pack", "truncate"}


class Text(yaml.CSafeLoader):
    """YAML in which a date is text, as it is to someone who writes JSON."""


Text.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class BadCase(Exception):
    """A case that says what no case can say."""


@dataclass
class Case:
    name: str
    about: str
    manifest: Any
    config: dict
    state: list
    server: list
    streams: Optional[list] = None
    # Or `check`: only what the manifest's check does.
    command: str = "read"
    unmatched: bool = False
    # What the reference is known to do: the case itself is wrong when it does something else.
    requests: Optional[int] = None
    records: Optional[int] = None
    differs: dict = field(default_factory=dict)

    @staticmethod
    def load(path: Path, name: str) -> "Case":
        content = yaml.load(path.read_text(), Loader=Text)
        check_keys(name, content, KEYS)
        for route in content["server"]:
            check_keys(name, route, ROUTE_KEYS)
            check_keys(name, route.get("match", {}), MATCH_KEYS)
            check_keys(name, route["reply"], REPLY_KEYS)
        check_keys(name, content.get("differs", {}), {"requests", "records", "state", "failed", "config"})
        content["manifest"] = completed(content["manifest"])
        content["config"] = content.get("config") or {}
        content["state"] = content.get("state") or []
        return Case(name=name, **content)


def completed(manifest: Any) -> Any:
    """The manifest with what every manifest has; one given as text stays as it is."""
    if not isinstance(manifest, dict):
        return manifest
    first = [stream.get("name", "") for stream in manifest.get("streams", [])][:1]
    return {
        "version": "7.39.1",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": first},
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "additionalProperties": True}},
        **manifest,
    }


def check_keys(name: str, mapping: dict, known: set) -> None:
    unknown = set(mapping) - known
    if unknown:
        raise BadCase(f"{name}: unknown keys {sorted(unknown)}; known: {sorted(known)}")


def filled(value: Any, names: dict) -> Any:
    """`value` with `$SERVER` and the like replaced in every text."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(name, text)
        return value
    if isinstance(value, list):
        return [filled(element, names) for element in value]
    if isinstance(value, dict):
        return {filled(key, names): filled(inner, names) for key, inner in value.items()}
    return value


def find(folder: Path, glob: str) -> list:
    """The paths and names (`pagination/offset`) of the cases that match `glob`."""
    found = []
    for path in sorted(folder.rglob("*.yaml")):
        name = str(path.relative_to(folder).with_suffix(""))
        if Path(name).match(glob) or Path("/" + name).match("/" + glob):
            found.append((path, name))
    return found

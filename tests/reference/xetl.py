"""xetl's own components of the declarative language, for the reference implementation.

The runtime has them in Rust; here they are in Python, so that airbyte-cdk can read the
same manifests and the two can be compared.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, List

from airbyte_cdk.sources.declarative.transformations import RecordTransformation

DOT_NET = re.compile(r"^/Date\((-?\d+)([+-]\d{4})?\)/$")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass
class DotNetDates(RecordTransformation):
    """Turns `/Date(ms+0000)/` in the named fields into ISO timestamps and dates."""

    timestamps: List[str] = field(default_factory=list)
    dates: List[str] = field(default_factory=list)

    def transform(self, record, config=None, stream_state=None, stream_slice=None) -> None:
        for path in self.timestamps:
            change(record, path.split("."), as_timestamp)
        for path in self.dates:
            change(record, path.split("."), as_date)


@dataclass
class FoldFields(RecordTransformation):
    """Gathers fields whose names begin with `prefix` in one list of ids and values."""

    prefix: str
    into: str

    def transform(self, record, config=None, stream_state=None, stream_slice=None) -> None:
        names = [name for name in record if name.startswith(self.prefix)]
        record[self.into] = [{"id": name[len(self.prefix) :], "value": as_text(record.pop(name))} for name in names]


@dataclass
class DeclaredTypes(RecordTransformation):
    """Leaves values as they came: the reference gives no schema to a transformation."""

    time_zone: str = "UTC"

    def transform(self, record, config=None, stream_state=None, stream_slice=None) -> None:
        pass


def as_text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def change(value: Any, path: List[str], convert: Callable[[datetime], str]) -> None:
    """Converts what `path` leads to; `*` goes through the elements of an array."""
    name, rest = path[0], path[1:]
    if name == "*":
        for element in value if isinstance(value, list) else []:
            change(element, rest, convert)
    elif isinstance(value, dict) and name in value:
        if rest:
            change(value[name], rest, convert)
        else:
            value[name] = converted(value[name], convert)


def converted(value: Any, convert: Callable[[datetime], str]) -> Any:
    match = DOT_NET.match(value) if isinstance(value, str) else None
    # The offset is of no account: the milliseconds are UTC.
    return convert(EPOCH + timedelta(milliseconds=int(match[1]))) if match else value


def as_timestamp(moment: datetime) -> str:
    millis = f".{moment.microsecond // 1000:03}" if moment.microsecond else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{millis}Z"


def as_date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"

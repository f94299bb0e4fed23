"""What one reading of a case came to."""

from dataclasses import dataclass, field
from typing import Any, Optional

# Stands for the whole source where it fails before any stream is read.
SOURCE = "(the source)"


@dataclass
class Outcome:
    records: dict = field(default_factory=dict)
    states: dict = field(default_factory=dict)
    failed: set = field(default_factory=set)
    # What it said when something failed: to read, not to compare.
    errors: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    # The config it left behind, where it changed it.
    config: Optional[Any] = None

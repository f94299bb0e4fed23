"""Reads the same cases with airbyte-cdk and with xetl-runtime, and says where they differ.

    python tests/reference/differential.py --runtime target/debug/xetl-runtime [--case GLOB] [-v] [--show]

README.md tells how a case is written. Exit code 1 on any difference.
"""

import argparse
import json
import os
import pickle
import selectors
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from differ import reference, runtime
from differ.case import BadCase, Case, filled, find
from differ.compare import differences, of_request, text
from differ.outcome import Outcome
from differ.server import Script, serve

CASES = Path(__file__).resolve().parent / "cases"
# Of one case, on a busy machine.
PATIENCE = 120


@dataclass
class Verdict:
    name: str
    lines: list = field(default_factory=list)
    shown: list = field(default_factory=list)
    seconds: float = 0.0


def judge(path: Path, name: str, options) -> Verdict:
    """Reads one case with both; runs in a process of its own."""
    case = Case.load(path, name)
    script, names = serve(lambda names: Script(case.server, names))
    with tempfile.TemporaryDirectory() as folder:
        by_reference = attempt(case, names, Path(folder) / "reference", script, reference_reads)
        lines = wrong_case(case, by_reference)
        by_runtime = None
        if options.runtime:
            script.restart()
            by_runtime = attempt(case, names, Path(folder) / "runtime", script, runtime_reads(options.runtime))
            lines += differences(by_reference, by_runtime, case.differs)
    return Verdict(name, lines, shown(case, by_reference, by_runtime) if options.show else [])


def attempt(case: Case, names: dict, folder: Path, script: Script, read) -> Outcome:
    folder.mkdir()
    contents = {"manifest.yaml": case.manifest, "config.json": case.config, "state.json": case.state}
    files = []
    for file, content in contents.items():
        content = filled(content, names)
        files.append(folder / file)
        files[-1].write_text(content if isinstance(content, str) else json.dumps(content))
    outcome = read(case, files, folder, script)
    outcome.requests = list(script.requests)
    return outcome


def reference_reads(case: Case, files: list, folder: Path, script: Script) -> Outcome:
    if case.command == "check":
        return reference.check(*files[:2])
    # Discovery asks the server too, but that is not the reading.
    return reference.read(*files, case.streams, script.restart, folder)


def runtime_reads(binary: Path):
    def read(case: Case, files: list, folder: Path, script: Script) -> Outcome:
        if case.command == "check":
            return runtime.check(binary, *files[:2])
        return runtime.read(binary, *files, case.streams, folder)

    return read


def wrong_case(case: Case, outcome: Outcome) -> list:
    """Where the reference does not do what the case is meant to show."""
    lines = []
    if any(request.unmatched for request in outcome.requests) and not case.unmatched:
        lines += [f"no route: {of_request(request)}" for request in outcome.requests if request.unmatched]
    records = sum(map(len, outcome.records.values()))
    for what, wanted, got in [("requests", case.requests, len(outcome.requests)), ("records", case.records, records)]:
        if wanted is not None and wanted != got:
            lines.append(f"the reference made {got} {what}, the case says {wanted}")
    return [f"CASE {line}" for line in lines]


def shown(case: Case, by_reference: Outcome, by_runtime) -> list:
    lines = [f"# {case.about}"]
    for who, outcome in [("reference", by_reference), ("runtime", by_runtime)]:
        if outcome is None:
            continue
        lines.append(f"[{who}]")
        lines += [f"  {of_request(request)}" for request in outcome.requests]
        lines += [f"  {stream}: {text(record)}" for stream, records in outcome.records.items() for record in records]
        lines += [f"  state of {stream}: {text(state)}" for stream, state in outcome.states.items()]
        lines += [f"  failed: {sorted(outcome.failed)}"] if outcome.failed else []
        lines += [f"  said: {error[:600]}" for error in outcome.errors]
        lines += [f"  config left: {text(outcome.config)}"] if outcome.config is not None else []
    return lines


def in_child(path: Path, name: str, options, pipe: int) -> None:
    """A fork starts with the reference loaded and leaves nothing behind for the next case."""
    signal.alarm(PATIENCE)
    began = time.monotonic()
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    try:
        verdict = judge(path, name, options)
    except BadCase as error:
        verdict = Verdict(name, [str(error)])
    except Exception:
        verdict = Verdict(name, traceback.format_exc().splitlines())
    verdict.seconds = time.monotonic() - began
    with os.fdopen(pipe, "wb") as out:
        pickle.dump(verdict, out)
    # Threads of a reading that failed may still wait for something.
    os._exit(0)


def judged(cases: list, options):
    """The verdicts, as they come."""
    waiting, running = list(reversed(cases)), selectors.DefaultSelector()
    while waiting or running.get_map():
        while waiting and len(running.get_map()) < options.jobs:
            path, name = waiting.pop()
            out, into = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(out)
                in_child(path, name, options, into)
            os.close(into)
            running.register(out, selectors.EVENT_READ, (child, name, []))
        for key, _ in running.select():
            child, name, parts = key.data
            part = os.read(key.fd, 1 << 20)
            parts.append(part)
            if not part:
                running.unregister(key.fd)
                os.close(key.fd)
                os.waitpid(child, 0)
                content = b"".join(parts)
                yield pickle.loads(content) if content else Verdict(name, [f"no verdict within {PATIENCE}s"])


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", type=Path, help="xetl-runtime; without it only the reference reads")
    parser.add_argument("--case", default="**", help="only cases whose name (area/name) matches", metavar="GLOB")
    parser.add_argument("--cases", type=Path, default=CASES, help="folder of the cases", metavar="DIR")
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1, help="cases at once")
    parser.add_argument("--show", action="store_true", help="print what each reader did")
    parser.add_argument("-v", "--verbose", action="store_true", help="also name the cases that pass, and their time")
    return parser.parse_args()


def main() -> int:
    chosen = options()
    cases = find(chosen.cases, chosen.case)
    if not cases:
        raise SystemExit(f"no case matches {chosen.case}")
    reference.load()
    began, failing = time.monotonic(), 0
    for verdict in judged(cases, chosen):
        failing += bool(verdict.lines)
        if verdict.lines or chosen.verbose or chosen.show:
            print(f"{'FAIL' if verdict.lines else 'ok  '} {verdict.name}  {verdict.seconds:.1f}s")
        print("".join(f"     {line}\n" for line in verdict.shown + verdict.lines), end="", flush=True)
    print(f"{len(cases)} cases, {failing} fail, {time.monotonic() - began:.0f}s")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())

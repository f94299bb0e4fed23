"""Loads invoices over loopback with the floor, xetl-runtime, dlt and airbyte-cdk, in turn, in one go.

    python bench/load.py --runtime bin/xetl-runtime --floor FLOOR [--dlt PYTHON] [--airbyte PYTHON]
                         [--records 100000] [--rounds 3] [--encodings gzip zstd br] [--scale 10000 100000 1000000]

Then xetl-runtime alone: from packed replies, and a scale series. How to read it: bench/README.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from manifest import manifest
from pages import PAGE

HERE = Path(__file__).parent
# What the image sets for xetl's allocator, which is the floor's too; the others have their own.
IMAGE = {"MIMALLOC_PURGE_DELAY": "0", "MIMALLOC_ARENA_EAGER_COMMIT": "0"}
AIRBYTE = "from airbyte_cdk.cli.source_declarative_manifest import run; run()"


@contextmanager
def served(records: int, render_first: bool, encoding: str = "", python: str = sys.executable):
    """A server of so many records in a process of its own: its port, the bytes of a page, its process id."""
    command = [python, HERE / "pages.py", "--records", str(records)]
    command += ["--render-first"] if render_first else []
    command += ["--encoding", encoding] if encoding else []
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        port, size = map(int, process.stdout.readline().split())
        yield port, size, process.pid
    finally:
        process.stdin.close()
        process.wait()


def commands(folder: Path, port: int, options: argparse.Namespace) -> dict:
    """What each reader is started with; those not given are left out."""
    url = f"http://127.0.0.1:{port}"
    stream = {"name": "invoices", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
    catalog = {"streams": [{"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}]}
    source = manifest(url)
    files = {"manifest": source, "config": {}, "injected": {"__injected_declarative_manifest": source}, "catalog": catalog}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    at = {name: folder / f"{name}.json" for name in files}
    out = ["--output", f"parquet:{folder}/xetl"]
    airbyte = ["-c", AIRBYTE, "read", "--config", at["injected"], "--catalog", at["catalog"]]
    all_of_them = {
        "floor": options.floor and [options.floor, f"127.0.0.1:{port}", folder / "floor.parquet"],
        "xetl": [options.runtime, "read", "--source", at["manifest"], "--config", at["config"], *out],
        "dlt": options.dlt and [options.dlt, HERE / "dlt_load.py", url, folder],
        "airbyte-cdk": options.airbyte and [options.airbyte, *airbyte],
    }
    return {name: command for name, command in all_of_them.items() if command}


def measured(command: list, server: int) -> dict:
    """Wall and processor seconds, the most memory held, and the processor seconds the server took for it."""
    served_before, began = processor(server), time.monotonic()
    errors = tempfile.TemporaryFile()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=errors, env=os.environ | IMAGE)
    peaks: dict = {}
    ended = threading.Event()
    watch = threading.Thread(target=watch_memory, args=(process.pid, peaks, ended))
    watch.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    ended.set()
    watch.join()
    if process.returncode != 0:
        errors.seek(0)
        raise SystemExit(f"{command[0]} failed:\n{errors.read().decode(errors='replace')[-2000:]}")
    return {
        "seconds": seconds,
        "processor": usage.ru_utime + usage.ru_stime,
        "memory": sum(peaks.values()) / 1024,
        "server": processor(server) - served_before,
    }


def processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watch_memory(pid: int, peaks: dict, ended: threading.Event) -> None:
    """Keeps the kernel's high-water mark, in kB, of the process and of each it started; their sum is the peak."""
    while not ended.wait(0.02):
        for member in family(pid):
            try:
                status = Path(f"/proc/{member}/status").read_text().splitlines()
            except OSError:
                continue
            held = [int(line.split()[1]) for line in status if line.startswith("VmHWM")]
            peaks[member] = max([peaks.get(member, 0), *held])


def family(pid: int) -> list:
    try:
        children = [int(it) for task in Path(f"/proc/{pid}/task").iterdir() for it in (task / "children").read_text().split()]
    except OSError:
        children = []
    return [pid, *(it for child in children for it in family(child))]


def compare(options: argparse.Namespace) -> None:
    with served(options.records, True) as (port, size, server):
        pages = options.records // PAGE
        megabytes = pages * size / 1e6
        print(f"{options.records} invoices, {megabytes:.0f} MB, {pages} pages; best of {options.rounds}")
        rounds: dict = {}
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                curl = ["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{port}/invoices?page=[1-{pages}]"]
                for name, command in {"curl": curl, **commands(Path(folder), port, options)}.items():
                    rounds.setdefault(name, []).append(measured(command, server))
    best = {name: min(its, key=lambda it: it["seconds"]) for name, its in rounds.items()}
    for name, it in best.items():
        show(name, options.records, megabytes, it)
    ratios(best)


def show(name: str, records: int, megabytes: float, it: dict) -> None:
    print(
        f"{name:12} {it['seconds']:7.2f} s {records / it['seconds']:9.0f} rows/s {megabytes / it['seconds']:7.1f} MB/s"
        f" {it['memory']:6.0f} MB {it['processor']:7.2f} s processor, server {it['server']:.2f} s",
        flush=True,
    )


def ratios(best: dict) -> None:
    ours = best["xetl"]
    for name in [it for it in best if it not in ("curl", "xetl")]:
        wall, processor = (best[name][it] / ours[it] for it in ["seconds", "processor"])
        if name == "floor":
            print(f"xetl to the floor: {1 / wall:.2f} of its time (goal: at most 1.7), {1 / processor:.2f} of its processor time")
        else:
            goal = " (goal: at least 12)" if name == "dlt" else ""
            print(f"xetl to {name}: {wall:.1f} times the throughput{goal}, 1/{processor:.1f} of its processor time")
    print(f"xetl peak memory: {ours['memory']:.0f} MB (goal: under 128)")


def encodings(options: argparse.Namespace) -> None:
    print("packed replies, xetl alone; the server refuses who does not ask for them")
    for encoding in options.encodings:
        # zstd and brotli are packages of the environment dlt is in.
        server = served(options.records, True, encoding, options.dlt or sys.executable)
        with server as (port, size, pid), tempfile.TemporaryDirectory() as folder:
            command = commands(Path(folder), port, options)["xetl"]
            rounds = [measured(command, pid) for _ in range(options.rounds)]
            best = min(rounds, key=lambda it: it["seconds"])
            show(encoding, options.records, options.records // PAGE * size / 1e6, best)


def scale(options: argparse.Namespace) -> None:
    print("scale, xetl alone; pages rendered as they are asked for")
    peaks = []
    for records in options.scale:
        with served(records, False) as (port, size, server), tempfile.TemporaryDirectory() as folder:
            it = measured(commands(Path(folder), port, options)["xetl"], server)
            show(str(records), records, records // PAGE * size / 1e6, it)
            peaks.append(it["memory"])
    print(f"peak memory, last to first: {peaks[-1] / peaks[0]:.2f}; the most {max(peaks):.0f} MB (goal: under 128)")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--runtime", required=True)
    arguments.add_argument("--floor")
    arguments.add_argument("--dlt", help="a Python that has bench/requirements.txt")
    arguments.add_argument("--airbyte", help="a Python that has airbyte-cdk")
    arguments.add_argument("--records", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--encodings", nargs="*", default=["gzip", "zstd", "br"])
    arguments.add_argument("--scale", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    options = arguments.parse_args()
    compare(options)
    if options.encodings:
        encodings(options)
    if options.scale:
        scale(options)


if __name__ == "__main__":
    main()

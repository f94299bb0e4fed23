"""Reads 100,000 records of 1.5 kB over loopback and prints them, with xetl-runtime and with airbyte-cdk.

    python bench/read.py --runtime bin/xetl-runtime [--records 100000] [--rounds 3]

Both read the same manifest from one server, in turn, in one go; pages are rendered before anybody asks.
Prints seconds, records a second and peak memory of each, their ratios, and how long xetl-runtime takes
from its start to its first request. How to read it: bench/README.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PAGE = 1000


def record(number: int) -> dict:
    """An invoice of about 1.5 kB with nested lines."""
    line = {"item": "Consulting, by the hour", "quantity": 1.5, "unit_amount": 120.0, "account": "200", "tax": "OUTPUT2"}
    return {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "number": f"INV-{number:07}",
        "status": ["DRAFT", "AUTHORISED", "PAID"][number % 3],
        "contact": {"id": f"c-{number % 500}", "name": f"Customer {number % 500} Limited", "email": "accounts@example.test"},
        "total": number % 10_000 + 0.25,
        "updated_at": f"2024-0{number % 9 + 1}-11T10:20:30Z",
        "reference": "as agreed " * 20,
        "lines": [{**line, "description": f"line {index} of invoice {number}"} for index in range(6)],
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.first = self.server.first or time.monotonic()
        page = int(parse_qs(urlsplit(self.path).query).get("page", ["1"])[0])
        body = self.server.pages[page - 1] if page <= len(self.server.pages) else b'{"data": []}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def manifest(url: str) -> dict:
    requester = {"type": "HttpRequester", "url": f"{url}/invoices", "http_method": "GET"}
    paginator = {
        "type": "DefaultPaginator",
        "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "page"},
        "page_size_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "size"},
        "pagination_strategy": {"type": "PageIncrement", "start_from_page": 1, "page_size": PAGE},
    }
    stream = {
        "type": "DeclarativeStream",
        "name": "invoices",
        "primary_key": ["id"],
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": {}}},
        "retriever": {
            "type": "SimpleRetriever",
            "requester": requester,
            "paginator": paginator,
            "record_selector": {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["data"]}},
        },
    }
    return {
        "version": "7.39.1",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["invoices"]},
        "streams": [stream],
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    }


def measured(command: list, server) -> dict:
    """Wall time, peak memory, lines printed, and the time to the first request."""
    server.first = None
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    peak = [0.0]
    watch = threading.Thread(target=watch_memory, args=(process.pid, peak))
    watch.start()
    lines = sum(block.count(b"\n") for block in iter(lambda: process.stdout.read(1 << 20), b""))
    if process.wait() != 0:
        raise SystemExit(f"{command[0]} failed")
    seconds = time.monotonic() - began
    watch.join()
    first = (server.first or began) - began
    return {"seconds": seconds, "memory": peak[0], "lines": lines, "first": first}


def watch_memory(pid: int, peak: list) -> None:
    """Keeps the most memory the process held, in MB; the kernel counts it until the process ends."""
    while True:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return
        held = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        if not held:
            return
        peak[0] = max(peak[0], int(held[0]) / 1024)
        time.sleep(0.02)


def best(rounds: list) -> dict:
    return min(rounds, key=lambda it: it["seconds"])


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--runtime", required=True)
    arguments.add_argument("--records", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    numbers = range(options.records)
    server.pages = [
        json.dumps({"data": [record(number) for number in numbers[start : start + PAGE]]}).encode()
        for start in range(0, options.records, PAGE)
    ]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        xetl, reference = commands(Path(folder), manifest(f"http://127.0.0.1:{server.server_port}"), options.runtime)
        rounds = [(measured(xetl, server), measured(reference, server)) for _ in range(options.rounds)]
    show(options.records, server.pages, best([ours for ours, _ in rounds]), best([theirs for _, theirs in rounds]))
    starts = sorted(ours["first"] for ours, _ in rounds)
    print(f"xetl-runtime: first request {starts[0] * 1000:.0f} to {starts[-1] * 1000:.0f} ms after its start")


def commands(folder: Path, manifest: dict, runtime: str) -> tuple:
    stream = {"name": "invoices", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
    catalog = {"streams": [{"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}]}
    files = {
        "manifest": manifest,
        "config": {},
        "injected": {"__injected_declarative_manifest": manifest},
        "catalog": catalog,
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    program = "from airbyte_cdk.cli.source_declarative_manifest import run; run()"
    read = ["read", "--config", str(folder / "injected.json"), "--catalog", str(folder / "catalog.json")]
    return (
        [runtime, "read", "--source", str(folder / "manifest.json"), "--config", str(folder / "config.json")],
        [sys.executable, "-c", program, *read],
    )


def show(records: int, pages: list, ours: dict, theirs: dict) -> None:
    size = sum(map(len, pages)) / 1e6
    print(f"{records} records, {size:.0f} MB")
    for name, it in [("xetl-runtime", ours), ("airbyte-cdk", theirs)]:
        speed = records / it["seconds"]
        print(f"{name:13} {it['seconds']:6.2f} s {speed:9.0f} records/s {size / it['seconds']:6.0f} MB/s {it['memory']:6.0f} MB")
    print(f"ratio: {theirs['seconds'] / ours['seconds']:.1f} times the throughput, {ours['memory'] / theirs['memory']:.2f} of the memory")


if __name__ == "__main__":
    main()

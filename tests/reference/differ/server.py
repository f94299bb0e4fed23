"""The scripted server that both readers read from; it remembers what it was asked."""

import base64
import gzip
import io
import json
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from .case import filled


@dataclass
class Request:
    method: str
    path: str
    query: list
    headers: dict
    body: bytes
    unmatched: bool = False


@dataclass
class Script:
    """Routes, how often each has answered, and what was asked."""

    routes: list
    names: dict
    lock: threading.Lock = field(default_factory=threading.Lock)
    spent: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)

    def restart(self) -> None:
        with self.lock:
            self.spent, self.requests = {}, []

    def answer(self, request: Request) -> tuple:
        with self.lock:
            self.requests.append(request)
            for index, route in enumerate(self.routes):
                used = self.spent.get(index, 0)
                if used < route.get("times", float("inf")) and matches(route.get("match", {}), request, self.names):
                    self.spent[index] = used + 1
                    return reply(route["reply"], self.names)
            request.unmatched = True
            return 404, {"Content-Type": "application/json"}, b'{"error": "no route"}', None


def matches(wanted: dict, request: Request, names: dict) -> bool:
    wanted = filled(wanted, names)
    query = {}
    for key, value in request.query:
        query.setdefault(key, []).append(value)
    headers = {name.lower(): value for name, value in request.headers.items()}
    return (
        wanted.get("method", request.method) == request.method
        and wanted.get("path", unquote(request.path)) == unquote(request.path)
        and all(str(value) in query.get(str(key), []) for key, value in wanted.get("query", {}).items())
        and all(headers.get(key.lower()) == str(value) for key, value in wanted.get("headers", {}).items())
        and ("body" not in wanted or within(wanted["body"], decoded(request)))
    )


def decoded(request: Request):
    """The body as a value: JSON, form fields, or text."""
    text = request.body.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        fields = dict(parse_qsl(text, keep_blank_values=True))
        return fields or text


def within(wanted, got) -> bool:
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(key in got and within(inner, got[key]) for key, inner in wanted.items())
    return wanted == got


def reply(script: dict, names: dict) -> tuple:
    headers = {name: str(value) for name, value in filled(script.get("headers", {}), names).items()}
    if "json" in script:
        headers.setdefault("Content-Type", "application/json")
        body = json.dumps(filled(script["json"], names)).encode()
    elif "base64" in script:
        body = base64.b64decode(script["base64"])
    else:
        body = filled(script.get("text", ""), names).encode()
    return script.get("status", 200), headers, packed(body, script.get("pack")), script.get("truncate")


def packed(body: bytes, how) -> bytes:
    """`gzip`, `zip` (one member), or a list of those from the inside out."""
    for step in [how] if isinstance(how, str) else how or []:
        if step == "gzip":
            body = gzip.compress(body, mtime=0)
        elif step == "zip":
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("data", body)
            body = file.getvalue()
        else:
            raise ValueError(f"pack: {step}")
    return body


def serve(script_of) -> tuple:
    """Starts a server; `script_of(names)` makes its script. Returns the script and the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler())
    server.daemon_threads = True
    port = server.server_address[1]
    # The same server under another name, for replies that lead to another host.
    names = {"$SERVER": f"http://127.0.0.1:{port}", "$OTHER": f"http://localhost:{port}"}
    server.script = script_of(names)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.script, names


def handler() -> type:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def answer(self) -> None:
            parts = urlsplit(self.path)
            request = Request(
                method=self.command,
                path=parts.path,
                query=parse_qsl(parts.query, keep_blank_values=True),
                headers=dict(self.headers.items()),
                body=self.body(),
            )
            status, headers, body, truncate = self.server.script.answer(request)
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body if truncate is None else body[:truncate])
            if truncate is not None:
                self.close_connection = True

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                chunks = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    chunks += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return chunks
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer

        def log_message(self, *_) -> None:
            pass

    return Handler

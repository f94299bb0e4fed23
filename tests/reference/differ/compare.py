"""Two outcomes of one case, compared: what one has and the other has not."""

import base64
import json
import re
from collections import Counter
from urllib.parse import parse_qsl, unquote

from .outcome import Outcome

# Of the connection or the client, not of what is asked.
IGNORED_HEADERS = {"user-agent", "connection", "accept-encoding", "content-length", "host", "transfer-encoding"}
SIGNED_TOKEN = re.compile(r"(eyJ[\w-]+)\.(eyJ[\w-]+)\.[\w-]+")


def differences(reference: Outcome, runtime: Outcome, allowed: dict) -> list:
    """Lines that a person can read; none where the two agree."""
    found = {
        "requests": of_multisets(map(of_request, reference.requests), map(of_request, runtime.requests)),
        "records": of_records(reference.records, runtime.records),
        "state": of_states(reference.states, runtime.states),
        "failed": of_failures(reference, runtime),
        "config": [] if reference.config == runtime.config else pair("", reference.config, runtime.config),
    }
    lines = [f"{what}: {line}" for what, lines in found.items() if what not in allowed for line in lines]
    healed = [what for what in allowed if not found[what]]
    return lines + [f"{what}: the case says they differ, and they do not" for what in healed]


def text(value) -> str:
    """One text for equal values; 1 and 1.0 are not."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def of_multisets(reference, runtime) -> list:
    wanted, got = Counter(reference), Counter(runtime)
    return [f"missing {n}x  {what}" for what, n in sorted((wanted - got).items())] + [
        f"extra   {n}x  {what}" for what, n in sorted((got - wanted).items())
    ]


def of_records(reference: dict, runtime: dict) -> list:
    return [
        f"{stream}: {line}"
        for stream in sorted(set(reference) | set(runtime))
        for line in of_multisets(map(of_record, reference.get(stream, [])), map(of_record, runtime.get(stream, [])))
    ]


def of_record(record: dict) -> str:
    """The reference prints no field of a record that is null; deeper ones it does."""
    return text({name: value for name, value in record.items() if value is not None})


def of_states(reference: dict, runtime: dict) -> list:
    return [
        line
        for stream in sorted(set(reference) | set(runtime))
        if text(untimed(reference.get(stream))) != text(untimed(runtime.get(stream)))
        for line in pair(f"{stream}: ", reference.get(stream), runtime.get(stream))
    ]


def untimed(state):
    """Partitions' state says for how many seconds the reading went on."""
    took = state.get("lookback_window") if isinstance(state, dict) else None
    return {**state, "lookback_window": "seconds"} if took in range(1, 120) else state


def of_failures(reference: Outcome, runtime: Outcome) -> list:
    if reference.failed == runtime.failed:
        return []
    lines = pair("", sorted(reference.failed), sorted(runtime.failed))
    return lines + [f"the reference said: {said}" for said in reference.errors[:3]] + [
        f"the runtime said:   {said}" for said in runtime.errors[:3]
    ]


def pair(what: str, reference, runtime) -> list:
    return [f"{what}reference {text(reference)}", f"{what}runtime   {text(runtime)}"]


def of_request(request) -> str:
    """What matters of a request, in one line."""
    path = "/".join(unquote(segment).replace("/", "%2F") for segment in request.path.split("/"))
    query = " ".join(f"{key}={value}" for key, value in sorted(request.query))
    headers = {name.lower(): undated(value) for name, value in request.headers.items()}
    if headers.get("accept") == "*/*":
        del headers["accept"]
    kept = {name: value for name, value in sorted(headers.items()) if name not in IGNORED_HEADERS}
    line = f"{request.method} {path} ? {query}" if query else f"{request.method} {path}"
    return f"{line}  {text(kept)}" + (f"  {body(request, headers)}" if request.body else "")


def body(request, headers: dict) -> str:
    content = request.body.decode("utf-8", "backslashreplace")
    kind = headers.get("content-type", "").split(";")[0]
    if kind == "application/x-www-form-urlencoded":
        return text(sorted((key, undated(value)) for key, value in parse_qsl(content, keep_blank_values=True)))
    try:
        return text(json.loads(content))
    except ValueError:
        return content


def undated(value: str) -> str:
    """`value` with a signed token shown as what it says, and its times relative to its issue."""
    return SIGNED_TOKEN.sub(lambda token: claims(token[1], token[2]), value)


def claims(header: str, payload: str) -> str:
    try:
        header, payload = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, payload))
    except ValueError:
        return "(not a token)"
    issued = payload.get("iat", payload.get("nbf", 0))
    for name in ("exp", "nbf", "iat"):
        if isinstance(payload.get(name), (int, float)):
            payload[name] -= issued
    return f"token({text(header)}, {text(payload)})"

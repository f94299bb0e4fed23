"""Serves Xero-shaped invoices in pages of 1,000 over loopback, at as little cost as Python allows.

    python bench/pages.py --records 100000 [--render-first] [--encoding gzip|br|zstd]

Prints its port and the bytes of a page, then answers `GET /invoices?page=N` until its input closes. A page is one
template of bytes in which the page's number is filled in, so a million records take no more memory than a thousand;
`--render-first` renders all pages before the port is printed. A page goes out in one system call, as far as the
kernel takes it. With `--encoding` pages go out packed, and who does not say that it takes them so is refused (406).
"""

import argparse
import gzip
import json
import re
import socket
import sys
import threading

PAGE = 1000
# Stands for the page's number; four digits wide, as is its mark, so that filling it in moves nothing.
MARK = "@@@@"
EMPTY = b'{"Invoices": []}'
ASKED = re.compile(rb"[?&]page=(\d+)")
TAKES = re.compile(rb"\r\naccept-encoding:([^\r]*)", re.IGNORECASE)
REFUSAL = b"HTTP/1.1 406 Not Acceptable\r\nContent-Length: 0\r\n\r\n"


def invoice(index: int) -> dict:
    """An invoice of about 1.5 kB; `index` tells it from the others of its page, the mark from those of other pages."""
    customer = index % 500
    lines = [line(index, number) for number in range(3)]
    return {
        "Type": "ACCREC",
        "InvoiceID": f"{index:08x}-{MARK}-4000-8000-7a1f00c0ffee",
        "InvoiceNumber": f"INV-{MARK}{index:03}",
        "Reference": f"Order {index * 7919 % 100_000}, as agreed with accounts on the telephone",
        "Contact": {
            "ContactID": f"c0c0c0c0-0000-4000-8000-{customer:012}",
            "Name": f"Customer {customer} Limited",
            "EmailAddress": f"accounts{customer}@example.test",
            "HasValidationErrors": False,
        },
        "DateString": f"2024-{index % 12 + 1:02}-11T00:00:00",
        "DueDateString": f"2024-{index % 12 + 1:02}-25T00:00:00",
        "Status": ["DRAFT", "AUTHORISED", "PAID"][index % 3],
        "LineAmountTypes": "Exclusive",
        "LineItems": lines,
        "SubTotal": amount(index, 1),
        "TotalTax": amount(index, 2),
        "Total": amount(index, 3),
        "AmountDue": amount(index, 4),
        "AmountPaid": 0.0,
        "AmountCredited": 0.0,
        "CurrencyCode": "GBP",
        "CurrencyRate": 1.0,
        "HasAttachments": index % 5 == 0,
        "IsDiscounted": False,
        "SentToContact": index % 2 == 0,
        "BrandingThemeID": "7889a0ac-262a-40e3-8a63-9a769b1a18af",
        "UpdatedDateUTC": f"2024-{index % 12 + 1:02}-12T{index % 24:02}:{index % 60:02}:30Z",
    }


def line(index: int, number: int) -> dict:
    return {
        "LineItemID": f"{index:08x}-{MARK}-4000-9000-00000000000{number}",
        "Description": f"Consulting by the hour, line {number} of invoice {MARK}{index:03}",
        "Quantity": 1.5 + number,
        "UnitAmount": amount(index, number),
        "LineAmount": amount(index, number + 3),
        "AccountCode": f"{200 + index % 30}",
        "TaxType": "OUTPUT2",
        "TaxAmount": amount(index, number + 6),
    }


def amount(index: int, salt: int) -> str:
    """A number that differs by page: quoted here, for the mark is no digit yet; `template` takes the quotes off."""
    return f"#{index * (salt + 1) % 9 + 1}{MARK}.{(index * 31 + salt) % 100:02}#"


def template() -> bytes:
    text = json.dumps({"Invoices": [invoice(index) for index in range(PAGE)]}, separators=(",", ":"))
    return text.replace('"#', "").replace('#"', "").encode()


def packed(body: bytes, encoding: str | None) -> bytes:
    """The body as servers commonly pack it while they send it: at a low level."""
    if encoding == "gzip":
        return gzip.compress(body, 6)
    if encoding == "br":
        import brotli

        return brotli.compress(body, quality=4)
    if encoding == "zstd":
        import zstandard

        return zstandard.compress(body, 3)
    return body


class Pages:
    """The pages of so many records, from 1; past the last, an empty one."""

    def __init__(self, records: int, render_first: bool, encoding: str | None):
        self.count = -(-records // PAGE)
        self.encoding = encoding
        self.template = template()
        self.rendered = [self.render(page) for page in range(1, self.count + 1)] if render_first else []

    def render(self, page: int) -> bytes:
        return packed(self.template.replace(MARK.encode(), b"%04d" % page), self.encoding)

    def page(self, page: int) -> bytes:
        if page > self.count:
            return packed(EMPTY, self.encoding)
        return self.rendered[page - 1] if self.rendered else self.render(page)


def answer(connection: socket.socket, pages: Pages) -> None:
    """Answers the requests of one connection, until the other side closes it."""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b""
        while block := connection.recv(65536):
            head += block
            if b"\r\n\r\n" not in head:
                continue
            asked = ASKED.search(head.split(b"\r\n", 1)[0])
            takes = TAKES.search(head)
            head = b""
            if pages.encoding and pages.encoding.encode() not in (takes[1] if takes else b""):
                connection.sendall(REFUSAL)
                continue
            send(connection, pages.page(int(asked[1]) if asked else 1), pages.encoding)


def send(connection: socket.socket, body: bytes, encoding: str | None) -> None:
    packing = f"Content-Encoding: {encoding}\r\n" if encoding else ""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{packing}Content-Length: {len(body)}\r\n\r\n".encode()
    sent = connection.sendmsg([head, body]) - len(head)
    if sent < len(body):
        connection.sendall(memoryview(body)[sent:])


def serve(listener: socket.socket, pages: Pages) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection, pages), daemon=True).start()


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--records", type=int, required=True)
    arguments.add_argument("--render-first", action="store_true")
    arguments.add_argument("--encoding", choices=["gzip", "br", "zstd"])
    options = arguments.parse_args()
    pages = Pages(options.records, options.render_first, options.encoding)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener, pages), daemon=True).start()
    print(listener.getsockname()[1], len(pages.template), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

"""The bare limit: the same bytes by plain HTTP, with nothing between this process and the service.

Sockets without an HTTP library, because http.client takes longer over a small request than the service does. Requests carry an
account SAS, which is signed once; nothing is signed, parsed or copied that need not be. `Connection.receive` reads bodies into a
buffer that is there already. Sockets release Python's lock while the kernel copies, so a few threads keep a service of two cores
busy; how busy they are themselves is measured and printed (see `main.py`).
"""

import base64
import hashlib
import hmac
import itertools
import socket
import threading
import time
from urllib.parse import quote, urlencode

ACCOUNT = "devstoreaccount1"
# Public and fixed: the key that every emulator knows.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2021-12-02"
# As long as a run can take, and the clock of the service is this one.
LIFETIME = 24 * 3600


class Refused(Exception):
    """The service answered with a status that the caller did not ask for."""


def account_sas():
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + LIFETIME))
    fields = {"sp": "racwdl", "ss": "b", "srt": "sco", "st": "", "se": until, "sip": "", "spr": "", "sv": VERSION, "ses": ""}
    text = ACCOUNT + "\n" + "".join(value + "\n" for value in fields.values())
    signature = hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)
    fields = {name: value for name, value in fields.items() if value}
    return urlencode(fields | {"sig": base64.b64encode(signature).decode()})


class Connection:
    """One kept-alive connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def close(self):
        self.socket.close()

    def ask(self, head, body=b"", into=None):
        """Sends a request; status, headers and body. A body that fits `into` is received there and its length returned."""
        if len(body) > 65536:
            self.socket.sendall(head)
            self.socket.sendall(body)
        else:
            self.socket.sendall(head + body)
        return self.receive(head.startswith(b"HEAD "), into)

    def receive(self, bodiless, into):
        buffer = self.rest
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the service closed the connection")
            buffer += more
        lines = buffer[:end].decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        rest = buffer[end + 4 :]
        if bodiless or status in (204, 304):
            self.rest = rest
            return status, headers, b""
        if headers.get("transfer-encoding") == "chunked":
            return status, headers, self.chunks(rest)
        length = int(headers.get("content-length", 0))
        self.rest = rest[length:]
        rest = rest[:length]
        view = memoryview(into if into is not None and length <= len(into) else bytearray(length))
        view[: len(rest)] = rest
        done = len(rest)
        while done < length:
            got = self.socket.recv_into(view[done:length])
            if not got:
                raise ConnectionError("the service closed the connection in the middle of an answer")
            done += got
        return status, headers, length if into is not None and length <= len(into) else bytes(view)

    def chunks(self, rest):
        def more():
            got = self.socket.recv(65536)
            if not got:
                raise ConnectionError("the service closed the connection in the middle of an answer")
            return got

        body = b""
        while True:
            while (end := rest.find(b"\r\n")) < 0:
                rest += more()
            length = int(rest[:end], 16)
            while len(rest) < end + 2 + length + 2:
                rest += more()
            body += rest[end + 2 : end + 2 + length]
            rest = rest[end + 2 + length + 2 :]
            if length == 0:
                self.rest = rest
                return body


class Service:
    """A client of one server. `parallel` of its methods run at once, each on a connection of its own."""

    def __init__(self, port):
        self.port = port
        self.sas = account_sas()
        self.idle = []

    def head(self, method, path, query="", headers=(), length=0):
        """A request up to its body. `path` is below the account and need not be escaped."""
        query = f"{query}&{self.sas}" if query else self.sas
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return (
            f"{method} /{ACCOUNT}/{quote(path)}?{query} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
            f"x-ms-version: {VERSION}\r\ncontent-length: {length}\r\n{lines}\r\n"
        ).encode()

    def all(self, requests, parallel, into=0):
        """Sends the requests, each (head, body), `parallel` at once; `into` is the size of a buffer for answers. Their bytes."""
        numbers = itertools.count()
        received = [0] * parallel
        failed = []

        def work(worker):
            connection = Connection(self.port)
            buffer = bytearray(into)
            try:
                while not failed and (number := next(numbers)) < len(requests):
                    status, headers, body = connection.ask(*requests[number], into=buffer)
                    if status >= 300:
                        head = requests[number][0].split(b"?")[0].decode()
                        raise Refused(f"{head}: {status} {headers.get('x-ms-error-code', '')}")
                    received[worker] += body if isinstance(body, int) else len(body)
            except Exception as error:
                failed.append(error)
            finally:
                connection.close()

        parallel = min(parallel, len(requests))
        if parallel <= 1:
            work(0)
        else:
            threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in range(parallel)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if failed:
            raise failed[0]
        return sum(received)

    def one(self, head, body=b""):
        """One request on a connection of its own: headers and body, whatever the status."""
        connection = Connection(self.port)
        try:
            return connection.ask(head, body)
        finally:
            connection.close()

    # Requests, ready to be sent.

    def create_container(self, name):
        return self.head("PUT", name, "restype=container"), b""

    def delete_container(self, name):
        return self.head("DELETE", name, "restype=container"), b""

    def delete(self, path):
        return self.head("DELETE", path), b""

    def properties(self, path):
        return self.head("HEAD", path), b""

    def get(self, path, start, end):
        return self.head("GET", path, headers=[("x-ms-range", f"bytes={start}-{end - 1}")]), b""

    def put(self, path, data):
        return self.head("PUT", path, headers=[("x-ms-blob-type", "BlockBlob")], length=len(data)), data

    def put_block(self, path, number, data, hashed=False):
        headers = [("content-md5", base64.b64encode(hashlib.md5(data).digest()).decode())] if hashed else []
        return self.head("PUT", path, f"comp=block&blockid={quote(block_id(number))}", headers, length=len(data)), data

    def put_block_list(self, path, ids):
        body = "<BlockList>" + "".join(f"<Latest>{id}</Latest>" for id in ids) + "</BlockList>"
        body = f'<?xml version="1.0" encoding="utf-8"?>{body}'.encode()
        return self.head("PUT", path, "comp=blocklist", length=len(body)), body

    def block_list(self, path):
        return self.head("GET", path, "comp=blocklist&blocklisttype=committed"), b""

    def copy(self, source, path):
        url = f"http://127.0.0.1:{self.port}/{ACCOUNT}/{quote(source)}?{self.sas}"
        return self.head("PUT", path, headers=[("x-ms-copy-source", url)]), b""

    def list(self, container, prefix="", delimiter="/", marker=""):
        query = f"restype=container&comp=list&prefix={quote(prefix, safe='')}&include=metadata"
        if delimiter:
            query += f"&delimiter={quote(delimiter, safe='')}"
        if marker:
            query += f"&marker={quote(marker, safe='')}"
        return self.head("GET", container, query), b""

    # Several requests that belong together.

    def list_all(self, container, prefix="", delimiter="/"):
        """All pages of a listing, their XML not looked into but for the marker."""
        connection = Connection(self.port)
        try:
            pages, marker = [], ""
            while True:
                status, _, body = connection.ask(*self.list(container, prefix, delimiter, marker))
                if status >= 300:
                    raise Refused(f"List {container}: {status}")
                pages.append(body)
                _, found, rest = body.partition(b"<NextMarker>")
                marker = rest.partition(b"</NextMarker>")[0].decode() if found else ""
                if not marker:
                    return pages
        finally:
            connection.close()

    def count_all(self, container, prefix):
        """How many blobs there are below a prefix."""
        return sum(page.count(b"<Blob>") for page in self.list_all(container, prefix, delimiter=""))

    def upload(self, path, size, data, block, parallel):
        """A blob of `size` bytes, `data` over and over."""
        blocks = []
        for start in range(0, size, block):
            blocks.append(memoryview(data)[: min(block, size - start)])
        self.all([self.put_block(path, number, body) for number, body in enumerate(blocks)], parallel)
        self.all([self.put_block_list(path, [block_id(number) for number in range(len(blocks))])], 1)


def block_id(number):
    # As long as rclone's: all ids of a blob have one length, and rclone does not look before it writes to a blob again.
    return base64.b64encode(f"{number:016}".encode()).decode()

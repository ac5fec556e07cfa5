"""A hub on loopback: the model listing and the file routes of Hugging Face's, with ranges, redirects and faults to order."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """repos: name -> {file: bytes}. Large files (64 KiB and more) are listed with their SHA-256, small ones with git's name.

    cut: file -> bytes after which a connection breaks, once each. whole_only: no ranges. wrong: files whose listed digest lies.
    asked: (file, first byte) of every download, and the Authorization header it came with in `tokens`.
    """

    def __init__(self, repos: dict[str, dict[str, bytes]]) -> None:
        self.repos = repos
        self.cut: dict[str, list[int]] = {}
        self.whole_only = False
        self.wrong: set[str] = set()
        self.gated: set[str] = set()
        self.elsewhere: str | None = None
        self.requested: list[tuple[str, int]] = []
        self.tokens: list[str | None] = []
        self.url = ""

    def siblings(self, repo: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for name, data in self.repos[repo].items():
            entry: dict[str, object] = {"rfilename": name, "size": len(data)}
            reported = data + b"!" if name in self.wrong else data
            if len(data) >= 1 << 16:
                entry["blobId"] = "0" * 40
                entry["lfs"] = {"sha256": hashlib.sha256(reported).hexdigest(), "size": len(data), "pointerSize": 130}
            else:
                entry["blobId"] = hashlib.sha1(
                    b"blob %d\0" % len(reported) + reported, usedforsecurity=False
                ).hexdigest()
            found.append(entry)
        return found


class Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.0"  # a broken answer ends its connection

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        listing = re.match(r"^/api/models/([^/?]+/[^/?]+)", self.path)
        resolve = re.match(rf"^/(?:cdn/)?([^/]+/[^/]+)/resolve/{COMMIT}/(.+)$", self.path)
        data = self.hub.repos.get(resolve[1], {}).get(resolve[2]) if resolve else None
        if listing:
            self.listing(listing[1])
        elif resolve is None or data is None:
            self.refuse(404, "EntryNotFound")
        elif self.hub.elsewhere and not self.path.startswith("/cdn/"):
            self.send_response(302)
            self.send_header("Location", f"{self.hub.elsewhere}/cdn{self.path}")
            self.end_headers()
        else:
            self.file(resolve[2], data)

    def refuse(self, code: int, kind: str) -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", kind)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def listing(self, repo: str) -> None:
        if repo in self.hub.gated:
            return self.refuse(403, "GatedRepo")
        if repo not in self.hub.repos:
            return self.refuse(404, "RepoNotFound")
        body = json.dumps({"id": repo, "modelId": repo, "sha": COMMIT, "siblings": self.hub.siblings(repo)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def file(self, name: str, data: bytes) -> None:
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(wanted[1]) if wanted and not self.hub.whole_only else 0
        self.hub.requested.append((name, start))
        self.hub.tokens.append(self.headers.get("Authorization"))
        if start >= len(data) > 0:
            return self.refuse(416, "RangeNotSatisfiable")
        rest = data[start:]
        self.send_response(206 if wanted and not self.hub.whole_only else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        cuts = self.hub.cut.get(name)
        self.wfile.write(rest[: cuts.pop(0)] if cuts else rest)
        return None


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub at `hub.url` until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A metadata service on loopback that speaks as AWS's (IMDSv2) and Google Cloud's do."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Metadata(ThreadingHTTPServer):
    """Says nothing until `take` is called; `asked` are the requests it had."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.ends: dt.datetime | None = None
        self.tokens: set[str] = set()
        self.asked: list[str] = []
        self.failures = 0  # that many next requests are answered with an error

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, seconds: float) -> None:
        self.ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)


class Answers(BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self) -> None:
        if self.path != "/latest/api/token" or not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
            return self.say(400, "")
        token = secrets.token_hex(8)
        self.server.tokens.add(token)
        self.say(200, token)

    def do_GET(self) -> None:
        if self.path == "/latest/meta-data/spot/instance-action":
            if self.headers.get("X-aws-ec2-metadata-token") not in self.server.tokens:
                return self.say(401, "")  # IMDSv1 is off
            if self.server.ends is None:
                return self.say(404, "")
            return self.say(200, json.dumps({"action": "terminate", "time": f"{self.server.ends:%Y-%m-%dT%H:%M:%SZ}"}))
        if self.path == "/computeMetadata/v1/instance/preempted":
            if self.headers.get("Metadata-Flavor") != "Google":
                return self.say(403, "")
            return self.say(200, "TRUE" if self.server.ends else "FALSE")
        self.say(404, "")

    def say(self, code: int, text: str) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        if self.server.failures:
            self.server.failures -= 1
            code, text = 503, "busy"
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Nothing: pytest's output is not a web server's log."""


@contextmanager
def metadata() -> Iterator[Metadata]:
    with Metadata() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

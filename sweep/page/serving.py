"""The page, served while a sweep runs: ``python -m sweep.report RUN [RUN...] --live``.

On the loopback address only, and only to a browser that asks for it by a loopback name: a page of another site whose name
was made to point here (DNS rebinding) is refused. Nothing is read or made unless a browser asks, and a page is not made
again sooner than ten times as long after the last as that took: the sweep keeps its cores.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from sweep.errors import UsageError
from sweep.page.contents import SCRIPTS, contents
from sweep.page.figures import front_figure, png_bytes
from sweep.page.render import render
from sweep.reading.durations import duration
from sweep.reading.progress import progress
from sweep.reading.sweep import read_sweep
from sweep.records import TABLES, NothingRecorded, now, read_json, run_folder

EVERY_S = 5  # a page asks so often
_REST = 10  # times as long as making it took, a page is left as it is
_NAMES = ("127.0.0.1", "localhost", "[::1]")
_PORT = re.compile(r":\d+$")
_ENDED = ("finished", "failed", "interrupted")


class Served(NamedTuple):
    """A page, what is new in it by its version, and whether it has all that there will be."""

    version: str
    page: str
    parts: str
    final: bool


class Pages:
    """The page and its parts as of the last change of the records; made again when asked for, by one thread at a time."""

    def __init__(self, runs: Iterable[str]) -> None:
        self.runs = [run_folder(run) for run in runs]
        self._lock = threading.Lock()
        self._seen: tuple[object, ...] = ()
        self._made_at = self._took = 0.0
        self._page = self._parts = ""
        self._progress: list[str] = []  # of each run, as of the last change
        self.version = ""

    def get(self) -> Served:
        """As of now, or of a moment ago. Raises NothingRecorded before the first trial, as `read_sweep` does."""
        with self._lock:
            ended = self.ended()  # asked first: what a run recorded before it said so is in what is read now
            seen = tuple(_state(run) for run in self.runs)
            rested = time.monotonic() - self._made_at >= _REST * self._took
            if seen != self._seen and (rested or not self.version or ended):
                began = time.monotonic()
                sweeps = [read_sweep(run) for run in self.runs]
                self._progress = [str(progress(sweep)) for sweep in sweeps]
                context = contents(sweeps, [png_bytes(front_figure(sweep)) for sweep in sweeps])
                version = str(int(self.version or 0) + 1)
                live = {"every": EVERY_S, "version": version, "state": self.state_line(ended)}
                self._page = render("report.html.j2", context | {"live": live}, (*SCRIPTS, "live.js"))
                self._parts = render("report.html.j2", context | {"live": live}, whole=False)
                self.version, self._seen, self._made_at = version, seen, time.monotonic()
                self._took = self._made_at - began
            return Served(self.version, self._page, self._parts, ended and seen == self._seen)

    def ended(self) -> bool:
        """Whether no run goes on; one whose driver was killed is still called running."""
        return all(_status(run).get("state") in _ENDED for run in self.runs)

    def state_line(self, final: bool) -> str:
        """What the page says of itself, in a line; `final`: it has all that there will be."""
        states = [str(_status(run).get("state", "not begun")) for run in self.runs]
        states_of_runs = ", ".join(f"{run.name} {state}" for run, state in zip(self.runs, states, strict=True))
        if final:
            return f"Live page: {states_of_runs}. Nothing more will come; this page stays as it is."
        newest = max((p.stat().st_mtime for run in self.runs for p in _places(run)), default=time.time())
        quiet = duration(time.time() - newest)
        far = f" ({'; '.join(self._progress)})" if self._progress else ""
        return f"Live page: {states_of_runs}{far}; last record {quiet} ago, asked at {now():%H:%M:%S} UTC, every {EVERY_S} s."


def _places(run: Path) -> list[Path]:
    return [p for p in (run / "status.json", *(run / "records" / t for t in TABLES)) if p.exists()]


def _state(run: Path) -> tuple[object, ...]:
    """What changes whenever something is recorded: a rename into a folder changes the folder's own time."""
    return tuple((p.name, p.stat().st_mtime_ns, p.stat().st_ino) for p in _places(run))


def _status(run: Path) -> dict[str, object]:
    return dict(read_json(run / "status.json")) if (run / "status.json").is_file() else {}


class Handler(BaseHTTPRequestHandler):
    """GET / is the page; GET /parts what is new in it: 204 where nothing is."""

    pages: Pages
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self._is_ours():
            return self._answer(HTTPStatus.FORBIDDEN, "this page answers to 127.0.0.1 and localhost only")
        asked = urlsplit(self.path)
        if asked.path not in ("/", "/parts"):
            return self._answer(HTTPStatus.NOT_FOUND, "there is / and /parts")
        try:
            version, page, parts, final = self.pages.get()
        except NothingRecorded as error:
            ended = self.pages.ended()
            if asked.path == "/":
                waiting = _waiting(str(error), self.pages.state_line(ended))
                return self._answer(HTTPStatus.OK, waiting, "text/html", ended)
            return self._answer(HTTPStatus.NO_CONTENT, final=ended)
        except UsageError as error:
            return self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        if asked.path == "/":
            return self._answer(HTTPStatus.OK, page, "text/html", final)
        if parse_qs(asked.query).get("version") == [version]:
            return self._answer(HTTPStatus.NO_CONTENT, final=final)
        return self._answer(HTTPStatus.OK, parts, "text/html", final)

    def _is_ours(self) -> bool:
        """By its Host: a rebound name of another site is sent as it is. A port forwarded by SSH may be another one."""
        return _PORT.sub("", (self.headers.get("Host") or "").lower()) in _NAMES

    def _answer(self, status: HTTPStatus, text: str = "", kind: str = "text/plain", final: bool = False) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        if status in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
            printable = "".join(
                c if " " <= c <= "~" else "?" for c in self.pages.state_line(final)
            )  # a folder's name may be any text
            self.send_header("X-Sweep-State", printable)
            if final:
                self.send_header("X-Sweep-Ended", "yes")
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The terminal has one line, the page's address."""


def _waiting(why: str, state: str) -> str:
    """A page for the time before the first record; it asks again by itself, and is never reloaded for nothing."""
    return render("waiting.html.j2", {"why": why, "state": state, "every": EVERY_S}, ("waiting.js",), charts=False)


def server(runs: Sequence[str], port: int = 0) -> ThreadingHTTPServer:
    """A server on the loopback address, not yet serving. UsageError where a run is no run folder or the port is taken."""
    pages = Pages(runs)
    try:
        page_server = ThreadingHTTPServer(("127.0.0.1", port), type("OurHandler", (Handler,), {"pages": pages}))
    except (OSError, OverflowError) as error:
        raise UsageError(f"--port {port}: {error}; leave it out for a free one") from None
    page_server.daemon_threads = True
    return page_server


def serve(runs: Sequence[str], port: int = 0) -> int:
    """Serve until Ctrl-C; prints the page's address."""
    with server(runs, port) as listening:
        print(f"http://127.0.0.1:{listening.server_address[1]}/  (Ctrl-C ends)", flush=True)
        try:
            listening.serve_forever()
        except KeyboardInterrupt:
            print(file=sys.stderr)
    return 0

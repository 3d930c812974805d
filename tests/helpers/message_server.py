"""A service on the loopback address that takes messages as apprise's `json://` sends them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["SECRET", "MessageServer", "message_server"]

SECRET = "s3cr3t-t0ken"  # what must not be seen anywhere


class MessageServer:
    """The messages that arrived. Clear `answers` to let the service hang."""

    def __init__(self, port: int) -> None:
        self.messages: list[dict[str, Any]] = []
        self.requests = 0
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        self._arrived = threading.Condition()
        self.url = f"json://user:{SECRET}@127.0.0.1:{port}/{SECRET}"

    def take(self, message: dict[str, Any]) -> None:
        with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()

    def kinds(self) -> list[str]:
        """Return the titles, without the name of the run."""
        return [message["title"].partition(": ")[2] for message in self.messages]

    def wait(self, title: str) -> dict[str, Any]:
        """Return the first message with a title, once it is there."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: title in self.kinds(), 60), self.kinds()
            return self.messages[self.kinds().index(title)]


@contextmanager
def message_server() -> Iterator[MessageServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.requests += 1
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not found.answers.wait(60):
                return
            if found.status == 200:
                found.take(content)
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = MessageServer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.answers.set()
        server.shutdown()
        server.server_close()
        thread.join()

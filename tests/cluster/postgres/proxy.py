"""A proxy before an MLflow server, as a team has one for its login, that can break off answers."""

import base64
import http.client
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_OF_ONE_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "content-length", "host"})


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    method: str
    path: str
    body: bytes
    authorization: str | None


@dataclass(frozen=True)
class Page:
    """An answer of the proxy itself, in place of the server's."""

    status: int
    text: str = "<html>a proxy's page</html>"


class CutOff:
    """The server answers the request, and the connection is reset before the client has heard of it."""


Fault = Callable[[Request], "Page | CutOff | None"]


class Proxy:
    """Hands requests on to the server at ``upstream``. Use as a context manager.

    login: ``user:password``, without which it answers 401. fault: asked of each request, from many threads.
    """

    def __init__(self, upstream: str, login: str | None = None, fault: Fault | None = None) -> None:
        self.fault, self.requests = fault, list[Request]()
        self._login = None if login is None else f"Basic {base64.b64encode(login.encode()).decode()}"
        self._upstream = urlsplit(upstream)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """``HOST:PORT``, without a login."""
        return f"127.0.0.1:{self._http.server_address[1]}"

    @property
    def uri(self) -> str:
        """Its address, without a login."""
        return f"http://{self.address}"

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, request: Request, headers: dict[str, str]) -> "Page | CutOff | http.client.HTTPResponse":
        """Return the answer to a request."""
        self.requests.append(request)
        if self._login is not None and request.authorization != self._login:
            return Page(401, "<html>401 Authorization Required</html>")
        fault = None if self.fault is None else self.fault(request)
        if isinstance(fault, Page):
            return fault
        connection = http.client.HTTPConnection(str(self._upstream.hostname), self._upstream.port, timeout=60)
        try:
            connection.request(request.method, request.path, request.body, headers)
            response = connection.getresponse()
        except OSError:
            return Page(502)
        return response if fault is None else fault

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self.command, self.path, body, self.headers.get("Authorization"))
                headers = {key: value for key, value in self.headers.items() if key.lower() not in _OF_ONE_HOP}
                answer = proxy.answer(request, headers)
                if isinstance(answer, CutOff):
                    # Zero seconds to linger: a reset, as of a server that was killed, and no orderly end.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    self.connection.close()
                    self.close_connection = True
                    return
                status, text, more = (
                    (answer.status, answer.text.encode(), {"Content-Type": "text/html"})
                    if isinstance(answer, Page)
                    else (answer.status, answer.read(), dict(answer.headers.items()))
                )
                self.send_response(status)
                for key, value in more.items():
                    if key.lower() not in _OF_ONE_HOP:
                        self.send_header(key, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_any  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

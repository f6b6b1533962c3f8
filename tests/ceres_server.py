"""A web server on the loopback interface that behaves as the CERES archive and NASA's login do.

It stands in for all hosts at once, over TLS, each under its own name: what the program does with
names, redirects, cookies and credentials is then what it does with the real ones. Pages are in the
format of Apache's ``mod_autoindex``, files come with their length, and who is not logged in is sent to
the login host, which gives a code to be exchanged for a cookie, as OAuth does.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import urllib3.connection
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ARCHIVE_HOST = "asdc.larc.nasa.gov"
LOGIN_HOST = "urs.earthdata.nasa.gov"
FOREIGN_HOST = "mirror.example.org"
HOSTS = (ARCHIVE_HOST, LOGIN_HOST, FOREIGN_HOST)

USER, PASSWORD, TOKEN = "someone", "their password", "a-token"
_BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
_BEARER = f"Bearer {TOKEN}"
_CODE, _COOKIE = "one-time-code", "session=logged-in"


@dataclass
class Request:
    """What was asked for, and what it was shown."""

    method: str
    host: str
    path: str
    authorization: str | None
    cookie: str | None


@dataclass
class CeresServer:
    """What the server does, and what it was asked.

    Attributes
    ----------
    folder
        Is served below ``base``.
    needs_login
        ``None``; ``"redirect"`` to the login host; or ``"401"``.
    takes_tokens
        Whether the archive accepts a token, besides the cookie of its own login.
    failures
        Statuses to answer with first, by path.
    cut
        How many bytes of a file come before the connection ends, for this many requests, by path.
    moved
        Where paths are redirected to.
    says_length
        Whether files come with their length.
    changed
        When all files were changed, as pages show it; empty where they do not.
    headers
        That files come with besides.
    refuses_heads
        Whether requests for headers alone are answered with 405.
    requests
        In order.
    """

    folder: Path
    base: str = "/data/CERES/GEO/Edition4"
    needs_login: str | None = None
    takes_tokens: bool = True
    failures: dict[str, list[int]] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    says_length: bool = True
    changed: str = "2021-03-04 05:06"
    headers: dict[str, str] = field(default_factory=dict)
    refuses_heads: bool = False
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Of the archive."""
        return f"https://{ARCHIVE_HOST}{self.base}"

    def asked(self, host: str, method: str = "GET") -> list[str]:
        """Paths that a host was asked for."""
        return [request.path for request in self.requests if (request.host, request.method) == (host, method)]

    def shown(self, host: str) -> set[str | None]:
        """All that a host was shown of credentials."""
        return {request.authorization for request in self.requests if request.host == host}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer("POST")

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def _answer(self, method: str) -> None:
        state = self.server.state
        host = self.headers["Host"].partition(":")[0]
        authorization, cookie = self.headers.get("Authorization"), self.headers.get("Cookie")
        state.requests.append(Request(method, host, self.path, authorization, cookie))
        if host == LOGIN_HOST:
            self._login(method, authorization)
        elif self.path in state.moved:
            self._send(302, headers={"Location": state.moved[self.path]})
        elif host == ARCHIVE_HOST and self.path.startswith("/oauth"):
            query = parse_qs(urlsplit(self.path).query)
            good = query.get("code") == [_CODE]
            self._send(302, headers={"Location": query["state"][0]} | ({"Set-Cookie": _COOKIE} if good else {}))
        elif host == ARCHIVE_HOST and state.needs_login and not self._logged_in(authorization, cookie):
            back = quote(self.path, safe="")
            redirect = {"Location": f"https://{LOGIN_HOST}/oauth/authorize?state={back}"}
            self._send(302, headers=redirect) if state.needs_login == "redirect" else self._send(401)
        elif method == "HEAD" and state.refuses_heads:
            self._send(405)
        elif state.failures.get(self.path):
            self._send(state.failures[self.path].pop(0))
        else:
            self._serve()

    def _logged_in(self, authorization: str | None, cookie: str | None) -> bool:
        return (self.server.state.takes_tokens and authorization == _BEARER) or cookie == _COOKIE

    def _login(self, method: str, authorization: str | None) -> None:
        path, known = urlsplit(self.path).path, authorization == _BASIC
        if path == "/api/users/find_or_create_token" and method == "POST":
            token = {"access_token": TOKEN, "token_type": "Bearer", "expiration_date": "12/31/2099"}
            self._send(200, json.dumps(token).encode()) if known else self._send(401, b"invalid_credentials")
        elif path == "/oauth/authorize" and known:
            back = parse_qs(urlsplit(self.path).query)["state"][0]
            location = f"https://{ARCHIVE_HOST}/oauth?code={_CODE}&state={quote(back, safe='')}"
            self._send(302, headers={"Location": location})
        else:
            self._send(200, b"<html><title>Earthdata Login</title><a href='/users/new'>Register</a></html>")

    def _serve(self) -> None:
        state = self.server.state
        path = urlsplit(self.path).path
        target = state.folder / path.removeprefix(state.base).strip("/")
        if not path.startswith(state.base) or not target.exists():
            self._send(404, b"Not Found")
        elif target.is_dir():
            if path.endswith("/"):
                self._send(
                    200, index_page(target, path, state.changed).encode(), {"Content-Type": "text/html;charset=UTF-8"}
                )
            else:
                self._send(301, headers={"Location": f"{path}/"})
        else:
            content = target.read_bytes()
            remaining = state.cut.get(self.path)
            self._send(
                200, content, state.headers, cut=remaining.pop(0) if remaining else None, says_length=state.says_length
            )

    def _send(
        self,
        status: int,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        cut: int | None = None,
        says_length: bool = True,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if says_length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
        if cut is not None or not says_length:
            self.close_connection = True


def index_page(folder: Path, path: str, changed: str) -> str:
    """A folder as Apache shows it with ``IndexOptions FancyIndexing HTMLTable``."""
    cell = '<td class="index{}">{}</td>'.format
    rows = []
    for number, entry in enumerate(sorted(folder.iterdir())):
        target = quote(entry.name) + "/" * entry.is_dir()
        cells = (
            cell("colicon", '<img src="/icons/f.gif" alt="[ ]">'),
            cell("colname", f'<a href="{target}">{entry.name[:25]}..&gt;</a>'),
            cell("collastmod", f"{changed}  "),
            cell("colsize", " 31M"),
        )
        rows.append(f'<tr class="{"even" if number % 2 else "odd"}">{"".join(cells)}</tr>')
    above = path.rstrip("/").rpartition("/")[0]
    return "\n".join(
        (
            '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN"><html><head><title>Index</title></head><body>',
            f'<a href="https://earthdata.nasa.gov/">Earthdata</a><h1>Index of {path}</h1><table id="indexlist">',
            '<tr class="indexhead"><th class="indexcolname"><a href="?C=N;O=D">Name</a></th></tr>',
            f'<tr><td class="indexcolname"><a href="{above}/">Parent Directory</a></td></tr>',
            *rows,
            "</table></body></html>",
        )
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    state: CeresServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up


def make_certificate(path: Path) -> None:
    """Write a key and a certificate for all hosts, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests of convml-data")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(host) for host in HOSTS] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))


@contextmanager
def ceres_server(folder: Path, certificate: Path, patch: pytest.MonkeyPatch) -> Iterator[CeresServer]:
    """Serve a folder as the archive of CERES; while it lasts, every host's name leads here and nowhere else.

    Parameters
    ----------
    folder
        In the archive's layout.
    certificate
        As :func:`make_certificate` writes it.
    patch
        Undoes what this does to environment and network.
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    server.state = CeresServer(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)

    def connect(address: tuple[str, int], *_: Any, **options: Any) -> socket.socket:
        assert address[0] in HOSTS, f"a connection to {address} was tried"
        return socket.create_connection(server.server_address[:2], timeout=10)

    patch.setattr(urllib3.connection.connection, "create_connection", connect)
    patch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    for variable in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        patch.delenv(variable, raising=False)
        patch.delenv(variable.lower(), raising=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

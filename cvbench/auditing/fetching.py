"""Getting evidence from a stranger's address: https only, public hosts only, a limit of bytes and of time."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import IO, Any
from urllib import request
from urllib.parse import urlsplit

from cvbench import __version__
from cvbench.public_words import checked_url

CHUNK = 1 << 16


class EvidenceError(ValueError):
    """Evidence that is not there, or not what the record says."""


@dataclass(frozen=True)
class Fetch:
    """Downloads with limits. most_bytes: of a file. silence_seconds: without any answer. seconds: for the whole file.

    on_loopback: http from 127.0.0.1 too, for tests; nothing on the command line sets it.
    """

    most_bytes: int = 50_000_000
    silence_seconds: float = 20.0
    seconds: float = 300.0
    on_loopback: bool = False

    def __call__(self, url: str, size: int) -> bytes:
        """The file at `url`, of `size` bytes. Raises EvidenceError for whatever keeps it from being had."""
        self.check_size(size)
        end = time.monotonic() + self.seconds
        try:
            self.check_address(url)
            asked = request.Request(url, headers={"User-Agent": f"cvbench/{__version__}"})
            with self._opener().open(asked, timeout=self.silence_seconds) as response:
                said = response.headers.get("Content-Length")
                if said is not None and said != str(size):
                    raise EvidenceError(f"{url}: Expected {size} bytes, but the server offers {said!a:.40}")
                data = self._read(response, size, end, url)
        except (OSError, http.client.HTTPException) as error:  # URLError and time-outs are OSErrors
            raise EvidenceError(f"{url}: could not be had ({str(error)!a:.200})") from None
        if len(data) != size:
            raise EvidenceError(f"{url}: Expected {size} bytes, but got {len(data)}: cut off on the way")
        return data

    def check_size(self, size: int) -> None:
        """Raises EvidenceError for more bytes than are read."""
        if size > self.most_bytes:
            rule = f"Expected at most {self.most_bytes} bytes (--limit), but the record says {size}"
            raise EvidenceError(f"{rule}; save it smaller, or raise the limit")

    def check_address(self, url: str) -> None:
        """Raises EvidenceError for another scheme than https, and for a host that is not on the public internet."""
        try:
            parts = urlsplit(checked_url(url))
        except ValueError as error:
            raise EvidenceError(str(error)) from None
        host = parts.hostname or ""
        if self.on_loopback and (parts.scheme, host) == ("http", "127.0.0.1"):
            return
        if parts.scheme != "https":
            raise EvidenceError(f"{url}: Expected https, but got {parts.scheme}")
        if request.getproxies().get("https"):  # names are resolved there
            return
        for *_, address in socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM):
            if not ipaddress.ip_address(address[0]).is_global:
                raise EvidenceError(f"{url}: Expected a public host, but {host} is {address[0]}")

    def _opener(self) -> request.OpenerDirector:
        # built by hand: the usual one also opens file: and ftp:
        opener = request.OpenerDirector()
        handlers: list[request.BaseHandler] = [request.ProxyHandler(), request.UnknownHandler(), request.HTTPSHandler(),
                    request.HTTPDefaultErrorHandler(), request.HTTPErrorProcessor(), _Redirect(self)]  # fmt: skip
        for handler in [*handlers, *([request.HTTPHandler()] if self.on_loopback else [])]:
            opener.add_handler(handler)
        return opener

    def _read(self, response: http.client.HTTPResponse, size: int, end: float, url: str) -> bytes:
        parts, got = [], 0
        while chunk := response.read1(CHUNK):
            got += len(chunk)
            if got > size:
                raise EvidenceError(f"{url}: Expected {size} bytes, but more came")
            if time.monotonic() > end:
                raise EvidenceError(f"{url}: Expected {size} bytes in {self.seconds:g} s, but only {got} came")
            parts.append(chunk)
        return b"".join(parts)


class _Redirect(request.HTTPRedirectHandler):
    max_redirections = 5

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def redirect_request(
        self, req: request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> request.Request | None:
        self._fetch.check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)

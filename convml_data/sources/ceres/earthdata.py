"""Reading a web archive, with a NASA Earthdata login where the archive asks for one.

Credentials are the user's own: in the environment or in ``.netrc``, found and exchanged for a token
by the earthaccess library, and kept in memory only. What is sent to a host is decided for every
request anew, redirected or not, so that nobody but NASA is ever shown them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.util import Retry

from convml_data.errors import ArchiveError, ArchiveUnreachableError, SceneError
from convml_data.sources.outages import PASSING_STATUSES

#: Where people log in, and the domains of the data centres that take its tokens.
LOGIN_HOST = "urs.earthdata.nasa.gov"
_EARTHDATA_DOMAINS = (".earthdata.nasa.gov", ".larc.nasa.gov")

HOW_TO_LOG_IN = (
    f"Register at https://{LOGIN_HOST}, then set EARTHDATA_TOKEN, or EARTHDATA_USERNAME and EARTHDATA_PASSWORD, "
    f"or write `machine {LOGIN_HOST} login <name> password <password>` into ~/.netrc"
)

_CONNECT_AND_READ_TIMEOUT_S = (10, 60)
_DOWNLOAD_ATTEMPTS = 3
_CHUNK = 1 << 20

#: What servers answer that do not give headers without the body.
_NO_HEADS = (405, 501)

#: What a busy or restarting server answers; the same request may succeed a moment later.
_RETRIES = Retry(
    total=3,
    backoff_factor=0.2,
    status_forcelist=PASSING_STATUSES,
    allowed_methods=("GET", "HEAD"),
    raise_on_status=False,
    respect_retry_after_header=False,
)


@dataclass(frozen=True)
class Login:
    """An Earthdata login: a token for data, and the name and password where those are what was given."""

    token: str = field(repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)


class WebArchive:
    """Pages and files of an archive on the web.

    It logs in when the archive asks for it, and not before.
    """

    def __init__(self) -> None:
        self._session = _Session()

    def page(self, url: str) -> tuple[str, str] | None:
        """Text of a page and the URL it came from in the end; None where there is no such page.

        Raises
        ------
        ArchiveError
            The archive cannot be reached, answers with an error, or wants a login that there is not.
        """
        try:
            with self._answer("GET", url) as response:
                return None if response.status_code == 404 else (response.text, response.url)
        except requests.RequestException as error:
            raise _unreachable(url, error) from error

    def version(self, url: str) -> str | None:
        """What a file's headers say that changes with its content; None where they say nothing.

        Raises
        ------
        ArchiveError
            As :meth:`page`.
        """
        try:
            with self._answer("HEAD", url, bad=(404, *_NO_HEADS)) as response:
                # Servers that share the load may have different tags for one file.
                return response.headers.get("Last-Modified") or response.headers.get("ETag") if response.ok else None
        except requests.RequestException as error:
            raise _unreachable(url, error) from error

    def download(self, url: str, path: Path) -> int:
        """Fetch a whole file.

        Parameters
        ----------
        url
            Of the file.
        path
            Gets its bytes; what was there before is lost.

        Returns
        -------
        int
            Bytes of the file.

        Raises
        ------
        ArchiveError
            As :meth:`page`, or the file keeps ending early.
        SceneError
            The file is not there any more, or is empty.
        """
        for attempt in range(1, _DOWNLOAD_ATTEMPTS + 1):
            try:
                with self._answer("GET", url) as response:
                    if response.status_code == 404:
                        raise SceneError(
                            "the file is no longer there",
                            where=url,
                            remedy="Run `convml-data scene-ids` again to list what the archive holds now",
                        )
                    received = _save(response, path)
            except requests.RequestException as error:  # among them a body shorter than announced
                if attempt == _DOWNLOAD_ATTEMPTS:
                    raise _unreachable(url, error) from error
                continue
            if received == 0:
                raise SceneError("the file is empty (0 bytes)", where=url, remedy="Leave this scene out")
            return received
        raise AssertionError  # the last attempt has returned or raised

    def _answer(self, method: str, url: str, bad: Collection[int] = (404,)) -> requests.Response:
        """An answer, of which only the head has been read; ``bad`` statuses are for the caller to judge."""
        response = self._session.fetch(method, url)
        if _wants_login(response):
            response.close()
            if self._session.login is None:
                self._session.login = _log_in_for(url)
                response = self._session.fetch(method, url)
            if _wants_login(response):
                response.close()
                _LOGINS.clear()
                raise ArchiveError("the archive does not accept the Earthdata login", where=url, remedy=HOW_TO_LOG_IN)
        if response.status_code == 403 and self._session.login is not None:
            response.close()
            raise ArchiveError(
                "the Earthdata login has no permission to read this (403)",
                where=url,
                remedy=f"Log in at https://{LOGIN_HOST} and approve the application of the data centre (ASDC)",
            )
        if not response.ok and response.status_code not in bad:
            response.close()
            kind = ArchiveUnreachableError if response.status_code in PASSING_STATUSES else ArchiveError
            raise kind(
                f"the archive answers {response.status_code} {response.reason or ''}".rstrip(),
                where=url,
                remedy="Try again later; check `archive:` in meta.yaml where it goes on",
            )
        return response


class _Session(requests.Session):
    """Shows a login to the hosts that it is for, and nothing to any other."""

    def __init__(self) -> None:
        super().__init__()
        self.login: Login | None = None
        self.auth = self._authorized  # its being set keeps requests from sending what .netrc has
        for scheme in ("https://", "http://"):
            self.mount(scheme, HTTPAdapter(max_retries=_RETRIES))

    def fetch(self, method: str, url: str) -> requests.Response:
        # Encoded bodies have another length than the file.
        headers = {"Accept-Encoding": "identity"}
        return self.request(method, url, stream=True, timeout=_CONNECT_AND_READ_TIMEOUT_S, headers=headers)

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Decide about a redirected request as about any other."""
        prepared_request.headers.pop("Authorization", None)
        self._authorized(prepared_request)

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        login, url = self.login, urlsplit(request.url or "")
        host = url.hostname or ""
        if login is None or not is_earthdata(url.scheme, host):
            return request
        if host != LOGIN_HOST:
            request.headers["Authorization"] = f"Bearer {login.token}"
        elif login.username and login.password:
            HTTPBasicAuth(login.username, login.password)(request)
        return request


def is_earthdata(scheme: str, host: str) -> bool:
    """Whether a host may be shown an Earthdata login: one of NASA's, over an encrypted connection."""
    return scheme == "https" and f".{host}".endswith(_EARTHDATA_DOMAINS)


def _wants_login(response: requests.Response) -> bool:
    return response.status_code == 401 or urlsplit(response.url).hostname == LOGIN_HOST


_LOGINS: list[Login] = []
_LOGGING_IN = threading.Lock()


def _log_in_for(url: str) -> Login:
    """The login of this process, made when it is first asked for."""
    parts = urlsplit(url)
    if not is_earthdata(parts.scheme, parts.hostname or ""):
        raise ArchiveError(
            "the archive asks for a login, and an Earthdata login is sent to NASA's own hosts over https only",
            where=url,
            remedy="Use an archive that needs no login, a https:// URL of NASA, or a local copy, as `archive:`",
        )
    with _LOGGING_IN:
        if not _LOGINS:
            _LOGINS.append(_log_in(url))
        return _LOGINS[0]


def _log_in(url: str) -> Login:
    try:
        import earthaccess
        from earthaccess.exceptions import LoginAttemptFailure, LoginStrategyUnavailable
    except ImportError as error:
        raise ArchiveError(
            "the archive asks for an Earthdata login, for which the package earthaccess is not installed",
            where=url,
            remedy="Install it with `pip install 'convml-data[ceres]'`",
        ) from error
    environment = os.environ.get("EARTHDATA_TOKEN") or (
        os.environ.get("EARTHDATA_USERNAME") and os.environ.get("EARTHDATA_PASSWORD")
    )
    auth = earthaccess.Auth()
    try:
        auth.login(strategy="environment" if environment else "netrc")
    except LoginStrategyUnavailable as error:
        raise ArchiveError(
            "the archive asks for an Earthdata login, and there is none in the environment or in .netrc",
            where=url,
            remedy=HOW_TO_LOG_IN,
        ) from error
    except LoginAttemptFailure as error:
        raise ArchiveError(
            f"Earthdata Login refuses the name or the password in {'the environment' if environment else '.netrc'}",
            where=url,
            remedy=HOW_TO_LOG_IN,
        ) from error
    except requests.RequestException as error:
        raise _unreachable(f"https://{LOGIN_HOST}", error) from error
    assert auth.token is not None  # or the login had failed
    return Login(auth.token["access_token"], auth.username, auth.password)


def _save(response: requests.Response, path: Path) -> int:
    received = 0
    with path.open("wb") as file:
        for chunk in response.iter_content(_CHUNK):
            file.write(chunk)
            received += len(chunk)
    announced = response.headers.get("Content-Length")
    if announced is None and response.headers.get("Transfer-Encoding") != "chunked":
        raise ArchiveError(
            "the archive does not say how long the file is, so an incomplete one would go unnoticed",
            where=response.url,
            remedy="Fetch the archive's files by other means and name the folder as `archive:` in meta.yaml",
        )
    if announced is not None and int(announced) != received:
        raise requests.ConnectionError(f"{received} bytes came of {announced}")
    return received


def _unreachable(url: str, error: Exception) -> ArchiveUnreachableError:
    return ArchiveUnreachableError(
        f"the archive cannot be read ({type(error).__name__}: {error})",
        where=url,
        remedy="Check the network and `archive:` in meta.yaml, and run it again",
    )

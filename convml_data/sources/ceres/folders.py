"""What lies in the folders of an archive, on the web or on a file system, and fetching files from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from convml_data.errors import ArchiveError, SceneError
from convml_data.scenes.ledger import SourceFile
from convml_data.sources.goes.archive import open_filesystem
from convml_data.sources.outages import archive_error

if TYPE_CHECKING:
    import fsspec

    from convml_data.sources.ceres.earthdata import WebArchive

#: Size of a file whose folder does not give it exactly, as pages do not: it is known once the file is fetched.
UNKNOWN_SIZE = -1


#: What file systems call the tag or the time that changes with the content of a file.
_VERSION_KEYS = ("ETag", "etag", "LastModified", "last_modified", "updated", "mtime", "created")

#: Times of pages, as Apache and nginx write them.
_DATE = re.compile(r"\b(?:\d{4}-\d\d-\d\d|\d{1,2}-[A-Z][a-z]{2}-\d{4})[ T]\d\d:\d\d(?::\d\d)?")


class Folders(Protocol):
    """An archive of files in folders."""

    def list(self, folder: str) -> Mapping[str, SourceFile] | None:
        """Files and folders directly in a folder, given by its URL, by name; None where there is no such folder.

        They have a version where the listing tells one.

        Raises
        ------
        ArchiveError
            The archive cannot be reached or refuses to list.
        """

    def with_version(self, file: SourceFile) -> SourceFile:
        """A listed file with a version, if there is any way to one.

        Raises
        ------
        ArchiveError
            The archive cannot be reached.
        """

    def fetch(self, file: SourceFile, path: Path) -> int:
        """Copy a file to a path of this machine; gives its size in bytes.

        Raises
        ------
        ArchiveError
            The archive cannot be reached, or the file does not come whole.
        SceneError
            The file is no longer there, or is empty.
        """


def open_folders(url: str) -> Folders:
    """The archive that holds the folder or file of a URL.

    Raises
    ------
    ArchiveError
        The URL is of no known kind, or the package that reads its kind is not installed.
    """
    if is_web(url):
        try:
            from convml_data.sources.ceres.earthdata import WebArchive
        except ImportError as error:
            raise ArchiveError(
                f"archives on the web cannot be read ({error})",
                where=url,
                remedy="Install what it takes with `pip install 'convml-data[ceres]'`",
            ) from error
        return WebFolders(WebArchive())
    return FileFolders(open_filesystem(url)[0])


def is_web(url: str) -> bool:
    """Whether a URL is read over HTTP."""
    return urlsplit(url).scheme in ("http", "https")


class WebFolders:
    """Folders that a web server shows as pages of links."""

    def __init__(self, archive: WebArchive) -> None:
        self._archive = archive

    def list(self, folder: str) -> Mapping[str, SourceFile] | None:
        """What the folder's page links to."""
        page = self._archive.page(f"{folder}/")
        if page is None:
            return None
        return links_into(*page)

    def with_version(self, file: SourceFile) -> SourceFile:
        """By the page, at no cost, or else by asking for the file's headers."""
        return file if file.version else replace(file, version=self._archive.version(file.url))

    def fetch(self, file: SourceFile, path: Path) -> int:
        """Download it whole."""
        return self._archive.download(file.url, path)


class FileFolders:
    """Folders of a file system that fsspec knows."""

    def __init__(self, filesystem: fsspec.AbstractFileSystem) -> None:
        self._filesystem = filesystem

    def list(self, folder: str) -> Mapping[str, SourceFile] | None:
        """What the file system lists."""
        try:
            entries = self._filesystem.ls(self._filesystem._strip_protocol(folder), detail=True)
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever the client library of the file system raises
            raise archive_error(error)(
                f"the archive cannot be listed ({type(error).__name__}: {error})",
                where=folder,
                remedy="Check `archive:` in meta.yaml, the network and the permission to list",
            ) from error
        return {
            entry["name"].rstrip("/").rpartition("/")[2]: SourceFile(
                str(self._filesystem.unstrip_protocol(entry["name"])),
                int(entry["size"] or 0),
                next((str(entry[key]) for key in _VERSION_KEYS if entry.get(key) is not None), None),
            )
            for entry in entries
        }

    def with_version(self, file: SourceFile) -> SourceFile:
        """As it was listed."""
        return file

    def fetch(self, file: SourceFile, path: Path) -> int:
        """Copy it, and see that as much has come as was listed."""
        try:
            self._filesystem.get_file(self._filesystem._strip_protocol(file.url), str(path))
        except FileNotFoundError:
            raise SceneError(
                "the file is no longer there",
                where=file.url,
                remedy="Run `convml-data scene-ids` again to list what the archive holds now",
            ) from None
        except Exception as error:  # whatever the client library of the file system raises
            raise archive_error(error)(
                f"the file cannot be read ({type(error).__name__}: {error})",
                where=file.url,
                remedy="Check the network and the permission to read, and run it again",
            ) from error
        received = path.stat().st_size
        if file.size not in (received, UNKNOWN_SIZE):
            raise ArchiveError(
                f"{received} bytes came of a file that is listed with {file.size}",
                where=file.url,
                remedy="Run `convml-data scene-ids` again if the archive has replaced the file since",
            )
        return received


def links_into(page: str, url: str) -> dict[str, SourceFile]:
    """The links of a folder's page that lead into the folder itself, by file or folder name.

    Their version is the time of the last change that the page shows after a link. Whatever else a page
    has is passed over: headings that sort it, the folder above, other places.

    Parameters
    ----------
    page
        HTML.
    url
        Of the page, whose path ends with a slash.
    """
    parts = urlsplit(url)
    folder = urlunsplit((parts.scheme, parts.netloc, parts.path.rpartition("/")[0] + "/", "", ""))
    found: dict[str, SourceFile] = {}
    parser = _Links()
    parser.feed(page)
    for target, after in parser.links:
        link = urljoin(url, target)
        name = link.removeprefix(folder).removesuffix("/") if link.startswith(folder) else ""
        if name and not set(name) & set("/?#"):
            date = _DATE.search(after)
            known = found.get(unquote(name))  # of a link by its picture
            version = date[0] if date else known.version if known else None
            found[unquote(name)] = SourceFile(link, UNKNOWN_SIZE, version)
    return found


class _Links(HTMLParser):
    """Targets of all links, in order, each with the text from its end to the next."""

    def __init__(self) -> None:
        super().__init__()
        self._links: list[tuple[str, list[str]]] = []
        self._inside = False

    @property
    def links(self) -> list[tuple[str, str]]:
        return [(target, "".join(text)) for target, text in self._links]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target:
            self._links.append((target.strip(), []))
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._links and not self._inside:
            self._links[-1][1].append(data)

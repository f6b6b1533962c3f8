"""What lies in the folders of an archive, on the web or on a file system, and fetching files from it."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from convml_data.errors import ArchiveError, SceneError
from convml_data.scenes.ledger import SourceFile
from convml_data.sources.goes.archive import open_filesystem

if TYPE_CHECKING:
    import fsspec

    from convml_data.sources.ceres.earthdata import WebArchive

#: Size of a file whose folder does not give it exactly, as pages do not: it is known once the file is fetched.
UNKNOWN_SIZE = -1


class Folders(Protocol):
    """An archive of files in folders."""

    def list(self, folder: str) -> Mapping[str, SourceFile] | None:
        """Files and folders directly in a folder, given by its URL, by name; None where there is no such folder.

        Raises
        ------
        ArchiveError
            The archive cannot be reached or refuses to list.
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
        return {name: SourceFile(url, UNKNOWN_SIZE) for name, url in links_into(*page).items()}

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
            raise ArchiveError(
                f"the archive cannot be listed ({type(error).__name__}: {error})",
                where=folder,
                remedy="Check `archive:` in meta.yaml, the network and the permission to list",
            ) from error
        return {
            entry["name"].rstrip("/").rpartition("/")[2]: SourceFile(
                str(self._filesystem.unstrip_protocol(entry["name"])), int(entry["size"] or 0)
            )
            for entry in entries
        }

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
            raise ArchiveError(
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


def links_into(page: str, url: str) -> dict[str, str]:
    """The links of a folder's page that lead into the folder itself: URLs by file or folder name.

    Whatever else a page has is passed over: headings that sort it, the folder above, other places.

    Parameters
    ----------
    page
        HTML.
    url
        Of the page, whose path ends with a slash.
    """
    parts = urlsplit(url)
    folder = urlunsplit((parts.scheme, parts.netloc, parts.path.rpartition("/")[0] + "/", "", ""))
    found: dict[str, str] = {}
    parser = _Links()
    parser.feed(page)
    for target in parser.targets:
        link = urljoin(url, target)
        name = link.removeprefix(folder).removesuffix("/") if link.startswith(folder) else ""
        if name and not set(name) & set("/?#"):
            found[unquote(name)] = link
    return found


class _Links(HTMLParser):
    """Targets of all links, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target:
            self.targets.append(target.strip())

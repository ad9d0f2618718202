"""Where data sets lie, what to say when one is missing, and a download that is whole or not there.

The root folder is WORKED_DATA, else ~/.cache/worked; inside it torchvision's own layout (MNIST/raw/...).
Nothing here downloads by itself: ``python -m worked.data download NAME`` does.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from tqdm import tqdm

CHUNK = 1 << 20
_open = partial(urlopen, timeout=60)  # seconds without a byte


@dataclass(frozen=True)
class Card:
    """What a data set is and where it comes from; the book's page of data is written from these."""

    name: str
    what: str
    source: str
    licence: str
    bundled: bool  # lies in a library that the package depends on; nothing to download
    size: str


class MissingData(FileNotFoundError):
    """A data set is not where it should be; the message says what, how big, where from, where to put it."""


class ChecksumError(ValueError):
    """A file's bytes are not those that its name promises."""


def root() -> Path:
    """The folder with the data sets: WORKED_DATA if set, else ~/.cache/worked."""
    chosen = os.environ.get("WORKED_DATA")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "worked"


def missing(card: Card, where: Path) -> MissingData:
    """The error for a data set that is not at ``where``."""
    return MissingData(
        f"{card.name} is not in {where}\n"
        f"  what:    {card.what}, {card.size}\n"
        f"  source:  {card.source}\n"
        f"  get it:  python -m worked.data download {card.name}\n"
        f"  or set WORKED_DATA to a folder that has it in torchvision's layout (now: {root()})"
    )


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Known value: an empty file has e3b0c442...b855."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, expected: str) -> Path:
    """The path again, if the file has the expected SHA-256; ChecksumError otherwise."""
    if (got := sha256(path)) != expected:
        raise ChecksumError(f"{path} is not the file it should be: sha256 {got}, want {expected}; remove it")
    return path


def fetch(
    url: str, path: Path, *, sha256: str, size: int, open_url: Callable[[Request], Any] = _open
) -> Path:
    """Download one file over https; at ``path`` it is whole and checked, or it is not there at all.

    The bytes go to ``path`` + ".part", which a later call continues if the server can, and discards if it
    does not fit. Raises ConnectionError when the transfer stops early (the .part stays), ChecksumError when
    the whole file is not the expected one (the .part goes). ``open_url`` turns a Request into a response.
    """
    if urlparse(url).scheme != "https":
        raise ValueError(f"downloads are https only, got {url}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    resumed = part.exists() and part.stat().st_size > 0
    if not resumed or part.stat().st_size < size:
        _receive(url, part, size, open_url)
    try:
        verify(part, sha256)
    except ChecksumError:
        part.unlink()
        if resumed:  # what lay there before may be to blame: once more, from nothing
            return fetch(url, path, sha256=sha256, size=size, open_url=open_url)
        raise
    os.replace(part, path)
    return path


def _receive(url: str, part: Path, size: int, open_url: Callable[[Request], Any]) -> None:
    """Append to ``part`` what is still missing, or start over if the server sends all of the file."""
    have = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = open_url(request)
    except HTTPError as error:
        if not (have and error.code == 416):  # 416: the server has no such range
            raise
        response, have = open_url(Request(url)), 0
    with response:
        continues = response.status == 206 and str(response.headers["Content-Range"]).startswith(
            f"bytes {have}-"
        )
        if not continues:
            have = 0
        bar = tqdm(total=size, initial=have, unit="B", unit_scale=True, desc=part.stem, leave=False)
        with open(part, "ab" if continues else "wb") as file, bar:
            while have <= size and (chunk := response.read(CHUNK)):
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
    if have < size:
        raise ConnectionError(
            f"{url} stopped at {have} of {size} bytes; the same command continues from there"
        )

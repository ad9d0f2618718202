"""A download is whole and checked, or it is not there: against a server on this machine that misbehaves."""

import hashlib
import io
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from worked.data.store import Card, ChecksumError, MissingData, fetch, missing, root, sha256, verify

CONTENT = bytes(range(256)) * 40
SHA = hashlib.sha256(CONTENT).hexdigest()
URL = "https://data.example/file.bin"


class Server:
    """Serves CONTENT; ``breaks_at`` closes the connection early, ``ranges`` says whether it can resume."""

    def __init__(self):
        self.content, self.breaks_at, self.ranges, self.refuses = CONTENT, None, True, False
        self.asked = []  # the Range header of each request
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked = self.headers["Range"]
                outer.asked.append(asked)
                if asked and outer.refuses:
                    return self.send_error(416)
                start = int(re.search(r"\d+", asked)[0]) if asked and outer.ranges else 0
                body = outer.content[start:]
                self.send_response(206 if start else 200)
                if start:
                    total = len(outer.content)
                    self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if outer.breaks_at is None else body[: outer.breaks_at])

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def open(self, request: Request):
        """Stands in for urlopen: the same request, to this server."""
        here = f"http://127.0.0.1:{self.http.server_port}/file.bin"
        return urlopen(Request(here, headers=dict(request.header_items())), timeout=10)


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def get(server, path, **changes):
    return fetch(URL, path, **{"sha256": SHA, "size": len(CONTENT), "open_url": server.open, **changes})


def test_a_file_arrives_whole(server, tmp_path):
    path = tmp_path / "folder" / "file.bin"
    assert get(server, path) == path
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


def test_an_interrupted_download_leaves_only_the_part_and_is_resumed(server, tmp_path):
    path, part = tmp_path / "file.bin", tmp_path / "file.bin.part"
    server.breaks_at = 1000
    with pytest.raises(ConnectionError, match=f"stopped at 1000 of {len(CONTENT)} bytes"):
        get(server, path)
    assert not path.exists()
    assert part.read_bytes() == CONTENT[:1000]
    server.breaks_at = None
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert not part.exists()
    assert server.asked == [None, "bytes=1000-"]


def test_a_keyboard_interrupt_leaves_only_the_part(server, tmp_path):
    class Stopping:
        def __init__(self, response):
            self.response, self.reads = response, 0
            self.status, self.headers = response.status, response.headers

        def read(self, _):
            self.reads += 1
            if self.reads > 2:
                raise KeyboardInterrupt
            return self.response.read(100)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.response.close()

    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path / "file.bin", open_url=lambda request: Stopping(server.open(request)))
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin.part"]
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=200-"


@pytest.mark.parametrize("refuses", [False, True])
def test_a_server_that_cannot_resume_sends_all_again(server, tmp_path, refuses):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    server.ranges, server.refuses = False, refuses
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-", None][: 1 + refuses]


@pytest.mark.parametrize("left", [b"x" * 1000, CONTENT + b"x", b"x" * len(CONTENT)])
def test_a_part_that_does_not_fit_is_discarded(server, tmp_path, left):
    (tmp_path / "file.bin.part").write_bytes(left)
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_complete_part_needs_no_server(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    get(server, tmp_path / "file.bin")
    assert server.asked == []


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT + b"x"])
def test_a_wrong_file_is_refused_and_leaves_nothing(server, tmp_path, content):
    server.content = content
    with pytest.raises(ChecksumError, match=f"want {SHA}"):
        get(server, tmp_path / "file.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_end_is_cut_off(tmp_path):
    class Endless(io.BytesIO):
        status, headers, reads = 200, {}, 0

        def read(self, _):
            self.reads += 1
            assert self.reads < 10
            return CONTENT[: len(CONTENT) // 3]

    with pytest.raises(ChecksumError):
        fetch(URL, tmp_path / "file.bin", sha256=SHA, size=len(CONTENT), open_url=lambda _: Endless())
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_keeps_the_file_that_is_there(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"older")
    server.content = b"x" * len(CONTENT)
    with pytest.raises(ChecksumError):
        get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == b"older"


def test_a_missing_address_is_an_error(tmp_path):
    def gone(request):
        raise HTTPError(request.full_url, 404, "Not Found", None, None)

    with pytest.raises(HTTPError, match="404"):
        fetch(URL, tmp_path / "file.bin", sha256=SHA, size=5, open_url=gone)


@pytest.mark.parametrize("url", ["http://data.example/file.bin", "file:///etc/hosts", "ftp://data.example/x"])
def test_only_https(url, tmp_path):
    with pytest.raises(ValueError, match="https only"):
        fetch(url, tmp_path / "file.bin", sha256=SHA, size=5)


def test_sha256_by_hand(tmp_path):
    path = tmp_path / "empty"
    path.touch()
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256(path) == empty
    assert verify(path, empty) == path
    with pytest.raises(ChecksumError, match=f"sha256 {empty}, want 00"):
        verify(path, "00")


def test_root_is_read_at_each_call(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKED_DATA", str(tmp_path))
    assert root() == tmp_path
    monkeypatch.delenv("WORKED_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert root() == tmp_path / ".cache" / "worked"


def test_missing_says_all_that_is_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKED_DATA", str(tmp_path))
    card = Card(name="stars", what="9 stars", source="the sky", licence="-", bundled=False, size="3 GB")
    with pytest.raises(FileNotFoundError) as caught:
        raise missing(card, tmp_path / "stars" / "a")
    assert isinstance(caught.value, MissingData)
    message = str(caught.value)
    for part in ("9 stars", "3 GB", "the sky", str(tmp_path / "stars"), "data download stars", "WORKED_DATA"):
        assert part in message

"""The link checker finds the addresses of the book, and tells a dead one from a network that is not there."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from book.press.links import addresses, check
from groundwork.errors import InputError

STATUS = {"/there": 200, "/gone": 404, "/robots": 403, "/broken": 500, "/Gr%C3%B6%C3%9Fe": 200}


@pytest.fixture
def host():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(STATUS[self.path])
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_dead_address_is_told_with_its_status_and_a_live_one_is_not(host):
    found = dict(check([host + path for path in STATUS]))
    assert found == {host + "/gone": "status 404", host + "/broken": "status 500"}


def test_one_silent_host_among_others_is_a_fault_and_silence_everywhere_is_the_network(host):
    silent = "http://127.0.0.1:9"  # the port of discard: nobody listens
    assert list(dict(check([host + "/there", silent]))) == [silent]
    with pytest.raises(InputError, match="connect to a network"):
        list(check([silent, silent + "/other"]))


def test_addresses_come_from_prose_and_bibliography_without_the_punctuation_around_them(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "README.md").write_text("See (https://example.org/a), or [b](https://example.org/b).")
    (tmp_path / "book/references.bib").write_text("url = {https://example.org/a}")
    assert addresses(tmp_path) == {"https://example.org/a": ["README.md", "book/references.bib"], "https://example.org/b": ["README.md"]}


def test_the_book_cites_addresses():
    assert len(addresses()) > 20

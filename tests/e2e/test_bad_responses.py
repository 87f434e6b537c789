# SPDX-License-Identifier: Apache-2.0
"""Services that misbehave: malformed answers become 502, silent services 504, and a body that was cut
is never handed on as a whole one (ROBUSTNESS F21, F23, F25)."""
import time
import types

import pytest

import fl

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def site(shared_fairlead, shared_origins):
    o, port = shared_origins("o1"), fl.free_port()
    f = shared_fairlead(fl.web(port, o.addr, pool="response-timeout 1s\n retries 1"))
    return types.SimpleNamespace(f=f, o=o, port=port)


BAD = [
    ("cl-and-te", OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("two-cl-differ", OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    ("two-cl-same", OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    ("cl-list", OK + b"Content-Length: 5, 5\r\n\r\nhello"),
    ("cl-sign", OK + b"Content-Length: +5\r\n\r\nhello"),
    ("cl-minus", OK + b"Content-Length: -5\r\n\r\nhello"),
    ("cl-hex", OK + b"Content-Length: 0x5\r\n\r\nhello"),
    ("cl-empty", OK + b"Content-Length:\r\n\r\nhello"),
    ("cl-huge", OK + b"Content-Length: 9223372036854775808\r\n\r\nhello"),
    ("te-unknown", OK + b"Transfer-Encoding: gzip\r\n\r\nhello"),
    ("te-not-last", OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    ("te-twice", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("te-in-1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("space-colon", OK + b"Content-Length : 5\r\n\r\nhello"),
    ("no-name", OK + b": x\r\n\r\n"),
    ("no-colon", OK + b"X-A\r\n\r\n"),
    ("obs-fold", OK + b"X-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n"),
    ("nul-in-value", OK + b"X-A: \x00\r\nContent-Length: 0\r\n\r\n"),
    ("bare-lf", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    ("bare-cr", OK + b"X-A: 1\r2\r\nContent-Length: 0\r\n\r\n"),
    ("status-not-number", b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n"),
    ("status-two-digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    ("status-four-digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    ("status-099", b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
    ("status-600", b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n"),
    ("version-2", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("version-0.9", b"hello, this is HTTP/0.9\r\n\r\n"),
    ("binary", bytes(range(256)) * 4),
    ("tls-alert", b"\x15\x03\x01\x00\x02\x02\x46"),
    ("101-unasked", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello"),
    ("too-long-field", OK + b"X-A: " + b"a" * 100000 + b"\r\nContent-Length: 0\r\n\r\n"),
    ("too-many-fields", OK + b"".join(b"X-%d: 1\r\n" % i for i in range(5000)) + b"Content-Length: 0\r\n\r\n"),
    ("head-without-end", OK + b"X-A: 1\r\n" * 100000),
    ("empty-and-close", b""),
    ("half-a-status-line", b"HTTP/1.1 20"),
    ("half-a-head", OK + b"Content-Length: 5\r\n"),
    ("interim-without-end", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10000),
    ("interim-with-body", b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello"),
    ("first-chunk-bad", OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n"),
]


@pytest.mark.parametrize("name,raw", BAD, ids=[row[0] for row in BAD])
def test_malformed_answer_is_502_or_cut(site, name, raw):
    """Before anything of the answer went to the client: 502. When the head was good and gone: never a whole response."""
    site.o.raw = raw
    with fl.Client(site.port) as c:
        c.send("GET /raw HTTP/1.1\r\nHost: t\r\n\r\n")
        if name == "first-chunk-bad":
            try:
                assert c.response().status == 502
            except EOFError:
                pass
            except ConnectionResetError:
                pass
            return
        r = c.response()
        assert r.status == 502, r.raw_head
        assert r.body and len(r.interim) <= 100
        # the client's connection goes on, the service's does not
        assert c.get("/after").body == b"o1 /after\n"
    site.f.wait_stat("vserver", "web", lambda row: row["requests_active"] == 0)


def whole(port, path="/raw", fields="", version="1.1"):
    """The response when the client can take it for a whole one, else None."""
    try:
        with fl.Client(port) as c:
            c.send(f"GET {path} HTTP/{version}\r\nHost: t\r\n{fields}\r\n")
            raw = b""
            while True:
                try:
                    data = c.sock.recv(65536)
                except ConnectionResetError:
                    return None
                if not data:
                    break
                raw += data
                c.buf = raw
                try:
                    r = peek(c)
                except EOFError:
                    continue
                if r:
                    return r
            return None
    except EOFError:
        return None


class Buffer(fl.Client):
    def __init__(self, data):
        self.buf = data

    def _more(self):
        raise EOFError

    def read_exact(self, n):
        if len(self.buf) < n:
            raise EOFError
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def read_to_end(self):
        raise EOFError              # only the end of the connection would tell


def peek(c):
    return Buffer(c.buf).response()


BODIES = [
    ("length", OK + b"X-A: 1\r\nContent-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz"),
    ("chunked", OK + b"Transfer-Encoding: chunked\r\n\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n"),
    ("trailers", OK + b"Transfer-Encoding: chunked\r\n\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-T: 1\r\n\r\n"),
]


@pytest.mark.parametrize("name,raw", BODIES, ids=[row[0] for row in BODIES])
def test_cut_at_every_offset_never_looks_whole(site, name, raw):
    for n in range(len(raw)):
        site.o.raw = raw[:n]
        r = whole(site.port)
        assert r is None or r.status == 502, f"cut after {n}: {r.raw_head} {r.body!r}"
        if n < raw.index(b"\r\n\r\n") + 4:
            assert r is not None and r.status == 502, f"cut in the head after {n}: no 502"
    site.o.raw = raw
    assert whole(site.port).body == b"abcdefghijklmnopqrstuvwxyz"


def test_cut_by_reset_in_a_close_delimited_body(site):
    """The end of such a body is the end of the connection: only a reset can say that it is not whole."""
    def hook(conn, q):
        if q.path != "/rst":
            return None
        conn.send(OK + b"\r\n" + b"x" * 1000)
        fl.wait_for("the client has some", lambda: got, 5)
        conn.sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")    # SO_LINGER 0: RST
        conn.sock.close()
        return False
    for version in ("1.1", "1.0"):
        got = []
        site.o.hook = hook
        with fl.Client(site.port) as c:
            c.send(f"GET /rst HTTP/{version}\r\nHost: t\r\n\r\n")
            r = c.head()
            chunked = r.get("Transfer-Encoding") == "chunked"
            assert chunked == (version == "1.1")
            c.read_exact(100)
            got.append(1)
            with pytest.raises((EOFError, ConnectionResetError)):
                while True:
                    c._more()
                    assert b"\r\n0\r\n\r\n" not in c.buf
                    if not chunked and not c.buf:
                        break
    site.o.hook = None


def test_cut_inside_a_large_body(site):
    """Beyond what is spliced."""
    for head, n in ((b"Content-Length: 8000000", 5000000), (b"Content-Length: 8000000", 7999999)):
        site.o.raw = OK + head + b"\r\n\r\n" + b"x" * n
        with fl.Client(site.port) as c, pytest.raises((EOFError, ConnectionResetError)):
            c.get("/raw")


def test_more_bytes_than_the_length_are_not_the_next_answer(site):
    """R21: a connection with bytes left over is not used again."""
    def hook(conn, q):
        if q.path == "/more":
            conn.send(OK + b"Content-Length: 5\r\n\r\nhello" + OK + b"Content-Length: 4\r\n\r\nevil")
            return True
        return None
    site.o.hook = hook
    with fl.Client(site.port) as c:
        for _ in range(5):
            assert c.get("/more").body == b"hello"
            assert c.get("/good").body == b"o1 /good\n"
    site.o.hook = None


def test_unasked_answer_on_an_idle_connection(site):
    """A service that talks before it is asked (a late or desynchronised answer)."""
    assert fl.get(site.port, "/x").status == 200
    for conn in list(site.o.connections):
        conn.send(OK + b"Content-Length: 4\r\n\r\nevil")
    time.sleep(0.2)
    assert fl.get(site.port, "/y").body == b"o1 /y\n"


def test_silent_service_is_504(site):
    def hook(conn, q):
        if q.path == "/silent":
            conn.sock.recv(1)
            return False
        return None
    site.o.hook = hook
    opened = site.o.accepted
    t = time.monotonic()
    with fl.Client(site.port) as c:
        r = c.get("/silent")
        assert r.status == 504 and 0.8 < time.monotonic() - t < 4 * fl.SLOW
        assert c.get("/next").status == 200
    assert len([q for q in site.o.log if q.path == "/silent"]) == 1, "a request that timed out is not repeated"
    assert site.o.accepted > opened, "the connection that was silent was used again"
    site.o.hook = None


def test_silence_inside_a_body_cuts_it(site):
    def hook(conn, q):
        if q.path == "/stall":
            conn.send(OK + b"Content-Length: 100\r\n\r\nsome")
            conn.sock.recv(1)
            return False
        return None
    site.o.hook = hook
    with fl.Client(site.port) as c, pytest.raises((EOFError, ConnectionResetError)):
        c.get("/stall")
    site.o.hook = None
    site.f.wait_stat("vserver", "web", lambda row: row["aborts_server"] >= 1)


def test_errors_are_counted(site):
    before = site.f.stat("service", "app/a1")["response_errors"]
    site.o.raw = b"nonsense\r\n\r\n"
    assert fl.get(site.port, "/raw").status == 502
    site.f.wait_stat("service", "app/a1", lambda row: row["response_errors"] > before)

# SPDX-License-Identifier: Apache-2.0
"""half-close: a client ends its side of the connection behind its last request (ROBUSTNESS F27). What came
whole is served with `serve`, nothing is with `abort`."""
import re
import socket
import ssl
import types

import pytest

import fl
from origin import pattern


def ended(port, data):
    """Sends data and FIN; all of the answer, None for a reset."""
    with fl.Client(port) as c:
        c.send(data)
        c.sock.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := c.sock.recv(65536):
                answer += part
        except ConnectionResetError:
            return None
        return answer


def get_of(path, fields=""):
    return f"GET {path} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"


@pytest.fixture(scope="module")
def half(shared_fairlead, shared_origins):
    o, port = shared_origins("o1"), fl.free_port()
    f = shared_fairlead(fl.web(port, o.addr, vs='half-close serve\npolicy l when http.request.uri.path == "/local" '
                                                '{ respond 200 "local" }'))
    return types.SimpleNamespace(f=f, o=o, port=port)


def statuses(answer):
    return re.findall(rb"HTTP/1\.1 (\d+) ", answer)


ROWS = [
    ("one", get_of("/delay/200"), [b"200"]),
    ("local", get_of("/local"), [b"200"]),
    ("large", get_of("/bytes/3000000"), [b"200"]),
    ("chunked", get_of("/chunked/100000/1000"), [b"200"]),
    ("three", get_of("/delay/100") + get_of("/local") + get_of("/delay/100"), [b"200"] * 3),
    ("many", get_of("/local") * 300, [b"200"] * 300),
    ("many-of-the-service", get_of("/x") * 100, [b"200"] * 100),
    ("with-a-body", "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n" + "x" * 200000, [b"200"]),
    ("a-head-that-is-cut", get_of("/delay/100") + "GET /smug", [b"200"]),
    ("a-head-that-is-cut-behind-a-local-one", get_of("/local") + "GET /smug", [b"200"]),
    ("a-body-that-is-cut", get_of("/delay/100") + "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nhello", [b"200"]),
    ("nothing", "", []), ("half-a-head", "GET / HT", []),
]


@pytest.mark.parametrize("name,data,want", ROWS, ids=[row[0] for row in ROWS])
def test_whole_requests_are_served_behind_the_clients_end(half, name, data, want):
    half.o.log.clear()
    answer = ended(half.port, data)
    assert answer is not None or name == "a-body-that-is-cut"
    if answer is not None:
        assert statuses(answer) == want
    assert not any("smug" in q.path for q in half.o.log)
    if name == "large":
        assert answer.partition(b"\r\n\r\n")[2] == pattern(3000000)
    half.f.wait_stat("vserver", "web", lambda r: r["connections"] == 0 and r["requests_active"] == 0)


def test_a_body_that_ends_too_soon_is_aborted(half):
    answer = ended(half.port, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nhello")
    assert not answer
    half.f.wait_stat("vserver", "web", lambda r: r["connections"] == 0)


def test_a_client_that_is_gone_is_noticed_when_it_is_written_to(half):
    with fl.Client(half.port) as c:
        c.send(get_of("/bytes/30000000"))
    half.f.wait_stat("vserver", "web", lambda r: r["connections"] == 0 and r["requests_active"] == 0)


def test_half_close_by_default_and_by_reload(fairlead, origins):
    o, port = origins("o1"), fl.free_port()
    config = fl.web(port, o.addr, vs="half-close abort")
    f = fairlead(config)
    assert not ended(port, get_of("/delay/1000"))
    f.reload(config.replace("abort", "serve"))
    fl.wait_for("requests are served", lambda: statuses(ended(port, get_of("/delay/50")) or b"") == [b"200"], 5)
    f.reload(config.replace("half-close abort", ""))
    fl.wait_for("requests are aborted", lambda: not ended(port, get_of("/delay/50")), 5)


def test_half_close_under_tls(fairlead, origins, certs):
    """close_notify ends the client's side; a bare FIN may be a cut."""
    o, port = origins("o1"), fl.free_port()
    fairlead(fl.web(port, o.addr, vs="half-close serve", listen=f"tls {{ cert {certs.make('half.example')} }}"))
    for notify in (True, False):
        inc, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        obj = ssl._create_unverified_context().wrap_bio(inc, out)
        with socket.create_connection(("127.0.0.1", port), 10 * fl.SLOW) as s:
            while True:
                try:
                    obj.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    s.sendall(out.read())
                    inc.write(s.recv(65536))
            obj.write(get_of("/delay/200").encode())
            if notify:
                with pytest.raises(ssl.SSLWantReadError):
                    obj.unwrap()
            s.sendall(out.read())
            s.shutdown(socket.SHUT_WR)
            try:
                while part := s.recv(65536):
                    inc.write(part)
            except ConnectionResetError:
                pass
            got = b""
            try:
                while part := obj.read(65536):
                    got += part
            except ssl.SSLError:
                pass
        assert statuses(got) == ([b"200"] if notify else []), notify

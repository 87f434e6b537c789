# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 through the reverse proxy as RFC 9110 and 9112 want it: connections, framing in both
directions, 100-continue, upgrade, what a gateway adds and removes, back-pressure."""
import fcntl
import socket
import struct
import termios
import threading
import time
import types

import pytest

import fl
from origin import pattern

TEN_MB = 10 << 20


@pytest.fixture(scope="module")
def site(shared_fairlead, shared_origins):
    """One worker, one origin, so that connections can be counted."""
    o, port = shared_origins("o1"), fl.free_port()
    f = shared_fairlead(fl.web(port, o.addr, pool="idle-timeout 60s"))
    return types.SimpleNamespace(f=f, o=o, port=port)


@pytest.fixture(autouse=True)
def clean(request):
    if "site" in request.fixturenames:
        o = request.getfixturevalue("site").o
        o.log.clear()
        o.hook = None


@pytest.fixture
def client(site):
    with fl.Client(site.port) as c:
        yield c


def sender(c, data):
    """Sends from a thread of its own, as a client does that reads at the same time."""
    def run():
        try:
            c.sock.sendall(data)
        except OSError:
            pass
    t = threading.Thread(target=run, daemon=True)
    t.start()
    return t


def chunked(data, *sizes):
    out, at, i = [], 0, 0
    while at < len(data):
        n = sizes[i % len(sizes)]
        piece = data[at:at + n]
        out.append(b"%x\r\n" % len(piece) + piece + b"\r\n")
        at, i = at + n, i + 1
    return b"".join(out) + b"0\r\n\r\n"


# Requests and connections

@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "M-SEARCH"])
def test_method_reaches_the_origin_as_it_is(site, client, method):
    r = client.get("/some/path?q=1&r=%20", method=method)
    assert r.status == 200
    assert [(q.method, q.path, q.version) for q in site.o.log] == [(method, "/some/path?q=1&r=%20", "HTTP/1.1")]
    assert r.body == (b"" if method == "HEAD" else b"o1 /some/path?q=1&r=%20\n")
    assert client.get("/again").body == b"o1 /again\n"


def test_connect_is_refused(site, client):
    r = client.request("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
    assert r.status == 405 and not site.o.log


def test_keep_alive(site, client):
    for i in range(50):
        r = client.get(f"/{i}")
        assert r.body == b"o1 /%d\n" % i
        assert (r.get("Connection") or "keep-alive").lower() == "keep-alive"
    assert not client.is_closed(0.1)


def test_connection_close_is_obeyed(site, client):
    r = client.get("/x", fields="Connection: close\r\n")
    assert r.status == 200 and r.get("Connection") == "close"
    assert client.is_closed()


def test_requests_behind_connection_close_are_ignored(site, client):
    client.send("GET /1 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: t\r\n\r\n")
    assert client.response().body == b"o1 /1\n"
    assert client.is_closed()
    assert [q.path for q in site.o.log] == ["/1"]


def test_pipelined_requests_are_answered_in_order(site, client):
    paths = [f"/delay/{(7 - i % 7) * 5}/{i}" if i % 3 == 0 else f"/bytes/{i * 100}" for i in range(40)]
    client.send("".join(f"GET {p} HTTP/1.1\r\nHost: t\r\n\r\n" for p in paths))
    for i, p in enumerate(paths):
        r = client.response()
        assert r.body == (f"o1 {p}\n".encode() if i % 3 == 0 else pattern(i * 100)), p


def test_pipelining_behind_bodies(site, client):
    one = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n0123456789"
    two = b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"
    client.send((one + two) * 10 + b"GET /end HTTP/1.1\r\nHost: t\r\n\r\n")
    for _ in range(10):
        assert client.response().body == b"0123456789"
        assert client.response().body == b"abcdefg"
    assert client.response().body == b"o1 /end\n"


def test_request_in_single_bytes(site, client):
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for b in b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: v\r\n\r\n":
        client.send(bytes([b]))
    r = client.response()
    assert r.status == 200 and r.body == b"hello"


def test_empty_lines_before_a_request_are_skipped(site, client):
    assert client.request("\r\nGET /x HTTP/1.1\r\nHost: t\r\n\r\n", "GET").body == b"o1 /x\n"


def test_http10_closes(site, client):
    r = client.request("GET /bytes/100 HTTP/1.0\r\n\r\n")
    assert r.status == 200 and r.body == pattern(100)
    assert client.is_closed()
    assert site.o.log[0].version == "HTTP/1.1"


def test_http10_keep_alive_when_asked(site, client):
    for _ in range(3):
        r = client.request("GET /bytes/100 HTTP/1.0\r\nHost: t\r\nConnection: keep-alive\r\n\r\n")
        assert r.body == pattern(100) and r.get("Connection").lower() == "keep-alive"


def test_http10_client_never_sees_chunks(site, client):
    r = client.request("GET /chunked/5000/700 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert r.get("Transfer-Encoding") is None and r.body == pattern(5000)
    assert client.is_closed()


def test_absolute_form_wins_over_host(site, client):
    r = client.request("GET http://Example.COM:8080/a?b HTTP/1.1\r\nHost: other.example\r\n\r\n")
    assert r.status == 200
    q = site.o.log[0]
    assert q.path == "/a?b" and q.all("Host") == ["example.com:8080"]


def test_options_asterisk(site, client):
    assert client.request("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n").status == 200
    assert site.o.log[0].path == "*"


@pytest.mark.parametrize("sent,seen", [
    ("/a/./b", "/a/b"), ("/a/../b", "/b"), ("//a", "/a"), ("/%7euser", "/~user"), ("/%c3%a4", "/%C3%A4"),
    ("/a//b", "/a//b"), ("/a%2Fb", "/a%2Fb"), ("/a;p=1/b", "/a;p=1/b"), ("/?x=/../%00", "/?x=/../%00"),
    ("/a b"[:2], "/a"), ("/|", "/%7C")])
def test_one_normal_form_of_the_path(site, client, sent, seen):
    assert client.get(sent).status == 200
    assert site.o.log[0].path == seen


# Bodies

def test_head_has_no_body_and_the_length(site, client):
    r = client.get("/bytes/1000", method="HEAD")
    assert r.get("Content-Length") == "1000"
    r = client.get("/chunked/1000/10", method="HEAD")
    assert r.status == 200
    assert client.get("/bytes/10").body == pattern(10)


@pytest.mark.parametrize("code", [204, 304])
def test_bodyless_status(site, client, code):
    r = client.get(f"/status/{code}")
    assert r.status == code and r.get("Transfer-Encoding") is None
    assert client.get("/after").body == b"o1 /after\n"


def test_status_and_reason_pass(site, client):
    for code in (200, 201, 301, 404, 418, 500, 503, 599):
        assert client.get(f"/status/{code}").status == code


@pytest.mark.parametrize("size", [0, 1, 100, 16383, 16384, 16385, 65536, 1000000])
def test_sizes_down_and_up(site, client, size):
    data = pattern(size)
    assert client.get(f"/bytes/{size}").body == data
    assert client.get(f"/chunked/{size}/{max(1, size // 3 + 7)}").body == data
    t = sender(client, b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size + data)
    assert client.response().body == data
    t.join()
    t = sender(client, b"PUT /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(data, 1000, 1, 40000))
    assert client.response().body == data
    t.join()


def test_ten_megabytes_down(site, client):
    data = pattern(TEN_MB)
    assert client.get(f"/bytes/{TEN_MB}").body == data
    assert client.get(f"/chunked/{TEN_MB}/100000").body == data
    assert client.get("/x").status == 200


def test_ten_megabytes_up(site, client):
    data = pattern(TEN_MB)
    for head, body in ((b"Content-Length: %d" % TEN_MB, data), (b"Transfer-Encoding: chunked", chunked(data, 65536, 3))):
        t = sender(client, b"POST /echo HTTP/1.1\r\nHost: t\r\n" + head + b"\r\n\r\n" + body)
        assert client.response().body == data
        t.join()
    assert [q.body == data for q in site.o.log] == [True, True]


def test_small_chunks(site, client):
    """Ten thousand chunks of one byte each way."""
    data = pattern(10000)
    t = sender(client, b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(data, 1))
    assert client.response().body == data
    t.join()
    assert client.get("/chunked/10000/1").body == data


def test_body_of_get_reaches_the_origin_framed(site, client):
    client.send("GET /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: t\r\n\r\n")
    assert client.response().body == b"abc"
    assert client.response().body == b"o1 /2\n"
    assert [q.method for q in site.o.log] == ["GET", "GET"]


def test_close_delimited_body_becomes_chunked(site, client):
    r = client.get("/close")
    assert r.get("Transfer-Encoding") == "chunked" and r.body == pattern(5000)
    assert client.get("/next").body == b"o1 /next\n"


def test_close_delimited_body_to_http10(site, client):
    r = client.request("GET /close HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert r.body == pattern(5000) and r.get("Content-Length") is None and r.get("Transfer-Encoding") is None


def test_trailers_of_responses(site, client):
    r = client.get("/trailers", fields="TE: trailers\r\nConnection: TE\r\n")
    assert r.body == pattern(100) and r.trailers == ["X-Check: yes"]
    assert client.get("/next").status == 200


def test_trailers_of_requests(site, client):
    r = client.request("POST /echo HTTP/1.1\r\nHost: t\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n")
    assert r.body == b"abc"
    assert site.o.log[0].trailers == ["X-Sum: 42"]


# Interim responses

def test_100_continue_comes_from_the_origin(site, client):
    client.send("POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert client.response(interim=False).status == 100
    client.send("hello")
    r = client.response()
    assert r.status == 200 and r.body == b"hello"
    assert site.o.log[0].get("Expect") == "100-continue"
    assert client.get("/next").status == 200


def test_100_continue_refused_by_the_origin(site, client):
    client.send("POST /early/403 HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    r = client.response()
    assert r.status == 403 and not r.interim


def test_100_continue_from_us_when_the_origin_is_silent(site, client):
    def hook(conn, q):
        if q.path == "/old":
            q.body = conn.exact(5)
            site.o.answer(conn, q, 200, q.body)
            return True
        return None
    site.o.hook = hook
    client.send("POST /old HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert client.response(interim=False).status == 100
    client.send("hello")
    assert client.response().body == b"hello"


def test_early_hints_pass_to_11_and_not_to_10(site):
    def hook(conn, q):
        conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n")
    site.o.hook = hook
    with fl.Client(site.port) as c:
        r = c.get("/x")
        assert [(i.status, i.get("Link")) for i in r.interim] == [(103, "</s.css>")]
        assert r.body == b"o1 /x\n"
    with fl.Client(site.port) as c:
        r = c.request("GET /x HTTP/1.0\r\n\r\n")
        assert not r.interim and r.body == b"o1 /x\n"


def test_early_response_to_an_unfinished_body(site, client):
    client.send("POST /early/413 HTTP/1.1\r\nHost: t\r\nContent-Length: 10000000\r\n\r\n" + "x" * 1000)
    r = client.response()
    assert r.status == 413 and r.body == b"early\n"
    # the rest of the body is not taken for a request
    try:
        client.send("GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n")
        client.read_to_end()
    except OSError:
        pass
    assert [q.path for q in site.o.log] == ["/early/413"]


def test_early_response_while_the_body_flows(site, client):
    t = sender(client, b"POST /early/413 HTTP/1.1\r\nHost: t\r\nContent-Length: 20000000\r\n\r\n" + b"x" * 20000000)
    r = client.response()
    assert r.status == 413 and r.body == b"early\n"
    client.sock.shutdown(socket.SHUT_RDWR)
    t.join()


# Upgrade

UPGRADE = "GET /upgrade HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def test_upgrade_makes_a_tunnel(site, client):
    r = client.request(UPGRADE)
    assert r.status == 101 and r.get("Upgrade") == "websocket" and r.get("Connection").lower() == "upgrade"
    assert client.read_exact(6) == b"hello\n"
    for n in (1, 1000, 300000):
        data = pattern(n)
        t = sender(client, data)
        assert client.read_exact(n) == data
        t.join()
    client.sock.shutdown(socket.SHUT_WR)
    assert client.read_to_end() == b""
    site.f.wait_stat("vserver", "web", lambda r: r["upgrades"] >= 1 and r["requests_active"] == 0)


def test_upgrade_with_bytes_already_behind_the_request(site, client):
    client.send(UPGRADE + "early bytes")
    assert client.response().status == 101
    assert client.read_exact(17) == b"hello\nearly bytes"


def test_upgrade_that_the_origin_ignores(site, client):
    r = client.get("/plain", fields="Connection: Upgrade\r\nUpgrade: websocket\r\n")
    assert r.status == 200 and r.body == b"o1 /plain\n"
    assert client.get("/next").status == 200


def test_upgrade_to_the_unknown_is_ignored(site, client):
    """Only what we know is passed on: a service that answers 101 to the rest has answered nonsense."""
    r = client.get("/plain", fields="Connection: Upgrade\r\nUpgrade: h2c\r\n")
    assert r.status == 200 and site.o.log[0].get("Upgrade") is None
    assert "upgrade" not in (site.o.log[0].get("Connection") or "").lower()


def test_upgrade_off(fairlead, origins):
    o, port = origins("o1"), fl.free_port()
    fairlead(fl.web(port, o.addr, vs="upgrade off"))
    with fl.Client(port) as c:
        r = c.get("/plain", fields="Connection: Upgrade\r\nUpgrade: websocket\r\n")
        assert r.status == 200
        assert o.log[0].get("Upgrade") is None and "upgrade" not in (o.log[0].get("Connection") or "").lower()


# What a gateway adds and removes

def test_via(site, client):
    r = client.get("/head")
    assert r.get("Via") == "1.1 fairlead"
    assert site.o.log[0].all("Via") == ["1.1 fairlead"]
    client.request("GET /head HTTP/1.0\r\nVia: 1.1 before\r\nHost: t\r\n\r\n")
    assert ", ".join(site.o.log[1].all("Via")) == "1.1 before, 1.0 fairlead"


def test_forwarded_fields_of_strangers_are_replaced(site, client):
    client.get("/", host="www.example:81", fields="X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n"
               "X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\n")
    q = site.o.log[0]
    assert q.all("X-Forwarded-For") == ["127.0.0.1"] and q.all("X-Forwarded-Proto") == ["http"]
    assert q.all("X-Forwarded-Host") == ["www.example:81"] and q.all("Host") == ["www.example:81"]
    assert not q.all("Forwarded") and not q.all("X-Forwarded-Port")


@pytest.mark.parametrize("mode,xff,fwd", [
    ("off", [], []), ("x-forwarded", ["127.0.0.1"], []),
    ("rfc7239", [], ['for=127.0.0.1;proto=http;host="h.example"']),
    ("both", ["127.0.0.1"], ['for=127.0.0.1;proto=http;host="h.example"'])])
def test_forwarded_modes(fairlead, origins, mode, xff, fwd):
    o, port = origins("o1"), fl.free_port()
    fairlead(fl.web(port, o.addr, vs=f"forwarded {mode}\n via off"))
    r = fl.get(port, "/", host="h.example", fields="X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n")
    q = o.log[0]
    assert q.all("X-Forwarded-For") == xff and q.all("Forwarded") == fwd
    assert not q.all("Via") and not r.all("Via")


def test_trusted_clients_forwarded_fields_are_kept(fairlead, origins):
    o, port = origins("o1"), fl.free_port()
    fairlead(fl.web(port, o.addr, vs="trust-forwarded 127.0.0.2/32 10.0.0.0/8\n forwarded both\n via edge-1"))
    fields = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\n"
    fl.get(port, "/", host="h", fields=fields, source=("127.0.0.2", 0))
    fl.get(port, "/", host="h", fields=fields, source=("127.0.0.3", 0))
    trusted, stranger = o.log
    assert ", ".join(trusted.all("X-Forwarded-For")) == "6.6.6.6, 7.7.7.7, 127.0.0.2"
    assert trusted.all("X-Forwarded-Proto") == ["https"]
    assert ", ".join(trusted.all("Forwarded")) == 'for=6.6.6.6, for=127.0.0.2;proto=http;host="h"'
    assert stranger.all("X-Forwarded-For") == ["127.0.0.3"] and stranger.all("X-Forwarded-Proto") == ["http"]
    assert trusted.get("Via") == "1.1 edge-1"


def test_hop_by_hop_fields_of_requests_are_removed(site, client):
    client.get("/x", fields="Connection: X-Drop, keep-alive, x-other\r\nX-Drop: 1\r\nX-Other: 2\r\nKeep-Alive: timeout=5\r\n"
               "Proxy-Connection: keep-alive\r\nTE: gzip\r\nX-Stay: 3\r\n")
    q = site.o.log[0]
    for name in ("X-Drop", "X-Other", "Keep-Alive", "Proxy-Connection", "TE"):
        assert not q.all(name), name
    assert q.get("X-Stay") == "3"
    assert "x-drop" not in (q.get("Connection") or "").lower()


def test_framing_fields_cannot_be_nominated(site, client):
    client.send("POST /echo HTTP/1.1\r\nConnection: Content-Length, Host, X-Forwarded-For\r\nHost: t\r\n"
                "Content-Length: 5\r\n\r\nhello")
    r = client.response()
    q = site.o.log[0]
    assert r.body == b"hello" and q.get("Content-Length") == "5" and q.get("Host") == "t"
    assert q.get("X-Forwarded-For") == "127.0.0.1"


def test_hop_by_hop_fields_of_responses_are_removed(site, client):
    def hook(conn, q):
        if q.path == "/hop":
            conn.send(b"HTTP/1.1 200 OK\r\nConnection: X-Drop, keep-alive\r\nX-Drop: 1\r\nKeep-Alive: timeout=5\r\n"
                      b"Proxy-Connection: x\r\nX-Stay: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok")
            return True
        return None
    site.o.hook = hook
    r = client.get("/hop")
    for name in ("X-Drop", "Keep-Alive", "Proxy-Connection"):
        assert not r.all(name), name
    assert r.get("X-Stay") == "2" and r.all("Set-Cookie") == ["a=1", "b=2"] and r.body == b"ok"
    assert r.get("Date")


def test_order_and_case_of_fields_is_kept(site, client):
    client.get("/x", fields="X-B: 1\r\nx-a: 2\r\nX-B: 3\r\nAccept:text/html\r\nX-Empty:\r\n")
    q = site.o.log[0]
    mine = [f for f in q.fields if f[0].lower() in ("x-a", "x-b", "accept", "x-empty")]
    assert mine == [("X-B", "1"), ("x-a", "2"), ("X-B", "3"), ("Accept", "text/html"), ("X-Empty", "")]


def test_a_hundred_fields(site, client):
    client.get("/x", fields="".join(f"X-{i}: {'v' * 50}\r\n" for i in range(98)))
    assert sum(k.startswith("X-") and k[2:].isdigit() for k, _ in site.o.log[0].fields) == 98


# Connections to the service

def test_connections_to_the_service_are_reused(site):
    before = site.o.accepted
    for i in range(60):
        assert fl.get(site.port, f"/{i}").status == 200
    assert site.o.accepted - before <= 1
    site.f.wait_stat("service", "app/a1", lambda r: r["connection_reuses"] >= 59)


def test_close_of_the_origin_is_obeyed(site, client):
    for _ in range(5):
        assert client.get("/close").body == pattern(5000)
        assert client.get("/bytes/10").body == pattern(10)


def test_idle_max_0_means_one_request_per_connection(fairlead, origins):
    o, port = origins("o1"), fl.free_port()
    fairlead(fl.web(port, o.addr, pool="idle-max 0"))
    with fl.Client(port) as c:
        for _ in range(10):
            assert c.get("/").get("X-Request-Count") == "1"
    assert o.accepted == 10


def test_idle_connections_are_closed_in_time(fairlead, origins):
    o, port = origins("o1"), fl.free_port()
    f = fairlead(fl.web(port, o.addr, pool="idle-timeout 300ms"))
    assert fl.get(port, "/").status == 200
    fl.wait_for("the idle connection is closed", lambda: not o.connections, 5)
    f.wait_stat("service", "app/a1", lambda r: r["connections"] == 0 and r["connections_idle"] == 0)


# Back-pressure (ROBUSTNESS F26) and broken clients (F27)

def stream(conn, total, sent):
    piece = pattern(1 << 16)
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
    while sent[0] < total:
        conn.send(piece)
        sent[0] += len(piece)


@pytest.mark.parametrize("size", [96 << 20])
def test_slow_reader_stops_the_origin(fairlead, origins, size):
    o, port, sent = origins("o1"), fl.free_port(), [0]
    f = fairlead(fl.web(port, o.addr))

    def hook(conn, q):
        if q.path == "/stream":
            stream(conn, size, sent)
            return True
        return None
    o.hook = hook
    assert fl.get(port, "/bytes/1000000").status == 200
    worker = f.workers()[0]
    before = fl.rss(worker)
    with fl.Client(port) as c:
        c.send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n")
        c.head()
        last = -1
        while last != sent[0]:                  # until it stands still
            last = sent[0]
            time.sleep(0.3)
        assert sent[0] < 48 << 20, "the origin is not held back"
        assert fl.rss(worker) - before < 8 << 20
        left = size - len(c.buf)
        c.buf = b""
        while left:
            n = len(c.sock.recv(1 << 20))
            assert n
            left -= n
        assert fl.rss(worker) - before < 8 << 20
        assert c.get("/next").status == 200


def test_slow_origin_stops_the_client(fairlead, origins):
    o, port, go = origins("o1"), fl.free_port(), threading.Event()
    size = 96 << 20

    def hook(conn, q):
        go.wait(60)
        left = size - len(conn.buf)
        conn.buf = b""
        while left:
            n = len(conn.sock.recv(min(left, 1 << 20)))
            assert n
            left -= n
        o.answer(conn, q, 200, b"all\n")
        return True
    f = fairlead(fl.web(port, o.addr, vs="body-timeout 60s"))
    assert fl.get(port, "/bytes/1000000").status == 200
    o.hook = hook
    worker = f.workers()[0]
    before = fl.rss(worker)
    with fl.Client(port, timeout=60) as c:
        sent = [0]

        def push():
            c.sock.sendall(b"POST /up HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size)
            piece = bytes(1 << 16)
            while sent[0] < size:
                c.sock.sendall(piece)
                sent[0] += len(piece)
        t = threading.Thread(target=push, daemon=True)
        t.start()
        last = -1
        while last != sent[0]:
            last = sent[0]
            time.sleep(0.3)
        assert sent[0] < 48 << 20
        assert fl.rss(worker) - before < 8 << 20
        go.set()
        assert c.response("POST").body == b"all\n"
        t.join()


def test_gone_client_cancels_the_exchange(site):
    """A client that breaks off at any moment leaves nothing behind, and the service is told at once."""
    told = []

    def hook(conn, q):
        if q.path == "/wait":
            try:
                told.append(conn.sock.recv(1))
            except ConnectionResetError:
                told.append(b"")
            return False
        return None
    site.o.hook = hook
    before = site.f.stat("vserver", "web")["aborts_client"]
    for _ in range(5):
        c = fl.Client(site.port)
        c.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        n = len(told)
        fl.wait_for("the request is there", lambda: any(q.path == "/wait" for q in site.o.log))
        site.o.log.clear()
        c.close()
        fl.wait_for("the origin is told", lambda: len(told) > n, 3)
    site.f.wait_stat("vserver", "web", lambda r: r["aborts_client"] == before + 5 and r["requests_active"] == 0)
    assert site.f.stat("service", "app/a1")["requests_active"] == 0


def test_clients_that_break_off_at_every_byte(site):
    text = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n0123456789"
    for n in range(0, len(text) + 1, 3):
        c = fl.Client(site.port)
        c.send(text[:n])
        if n % 2:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")     # RST
        c.close()
    assert fl.get(site.port, "/x").status == 200
    site.f.wait_stat("vserver", "web", lambda r: r["connections"] == 0 and r["requests_active"] == 0)
    assert all(q.body in (b"", b"0123456789") for q in site.o.log)


def test_two_workers_serve_alike(fairlead, origins):
    o, port = origins("o1"), fl.free_port()
    f = fairlead(fl.web(port, o.addr, workers=2))
    for i in range(40):
        assert fl.get(port, f"/{i}").body == b"o1 /%d\n" % i
    f.wait_stat("vserver", "web", lambda r: r["requests"] == 40 and r["responses_2xx"] == 40 and r["connections"] == 0)


# buffer-response: the service is free while a slow client reads ----------------------------------

BUFFERED = 8 << 20


def slow_get(port, path):
    """Sends the request from a socket with a small receive buffer and reads nothing."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", port))
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
    return s


def read_slowly(s):
    parts = []
    while data := s.recv(3000 if len(parts) < 50 else 1 << 16):
        parts.append(data)
    return b"".join(parts).partition(b"\r\n\r\n")


@pytest.mark.parametrize("path", [f"/bytes/{BUFFERED}", f"/chunked/{BUFFERED}/50000", "/close/8"])
def test_buffered_response_frees_the_service(fairlead, origins, path):
    o, port = origins("o1"), fl.free_port()
    f = fairlead(fl.web(port, o.addr, pool="buffer-response 32m"))
    if path.startswith("/close"):
        def hook(conn, q):
            conn.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + pattern(BUFFERED))
            conn.sock.close()
            return True
        o.hook = hook
    s = slow_get(port, path)
    f.wait_stat("service", "app/a1", lambda r: r["requests"] == 1 and r["requests_active"] == 0)
    f.wait_stat("vserver", "web", lambda r: r["requests_active"] == 1)
    if path.startswith("/bytes"):       # the same connection serves the next one at once
        assert fl.get(port, "/").get("X-Request-Count") == "2"
    head, _, body = read_slowly(s)
    assert head.startswith(b"HTTP/1.1 200 OK")
    if b"chunked" in head:
        whole, rest = b"", body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            whole, rest = whole + rest[:int(size, 16)], rest[int(size, 16) + 2:]
        body = whole
    assert body == pattern(BUFFERED)
    f.wait_stat("vserver", "web", lambda r: r["requests_active"] == 0)


def test_a_response_above_the_buffer_waits_for_the_client(fairlead, origins):
    o, port, sent = origins("o1"), fl.free_port(), [0]
    f = fairlead(fl.web(port, o.addr, pool="buffer-response 1m"))

    def hook(conn, q):
        stream(conn, 64 << 20, sent)
        return True
    o.hook = hook
    s = slow_get(port, "/stream")
    last = -1
    while last != sent[0] or not last:              # until it stands still
        last = sent[0]
        time.sleep(0.3)
    assert 1 << 20 <= sent[0] < 32 << 20
    assert f.stat("service", "app/a1")["requests_active"] == 1
    head, _, body = read_slowly(s)
    assert len(body) == 64 << 20


def test_a_client_that_leaves_gives_its_buffer_back(fairlead, origins):
    o, port = origins("o1"), fl.free_port()
    f = fairlead(fl.web(port, o.addr, pool="buffer-response 32m"))
    for _ in range(3):
        s = slow_get(port, f"/bytes/{BUFFERED}")
        f.wait_stat("service", "app/a1", lambda r: r["requests_active"] == 0)
        s.close()
        f.wait_stat("vserver", "web", lambda r: r["requests_active"] == 0)
    before = fl.rss(f.workers()[0])
    for _ in range(5):
        s = slow_get(port, f"/bytes/{BUFFERED}")
        f.wait_stat("service", "app/a1", lambda r: r["requests_active"] == 0)
        s.close()
        f.wait_stat("vserver", "web", lambda r: r["requests_active"] == 0)
    assert fl.rss(f.workers()[0]) < before + int(BUFFERED * 2 * fl.SLOW)


def test_a_buffered_response_that_is_cut_does_not_look_whole(fairlead, origins):
    o, port = origins("o1"), fl.free_port()
    f = fairlead(fl.web(port, o.addr, pool="buffer-response 32m"))

    def hook(conn, q):
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BUFFERED + pattern(BUFFERED - 1))
        conn.sock.close()
        return True
    o.hook = hook
    s = slow_get(port, "/cut")
    f.wait_stat("service", "app/a1", lambda r: r["requests_active"] == 0)
    try:
        _, _, body = read_slowly(s)
    except ConnectionResetError:
        return
    assert len(body) < BUFFERED


def was_read(sock):
    """Has the peer, on this machine, acknowledged and read all that was sent to it?"""
    if struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0]:
        return False
    ends = f"{sock.getpeername()[1]:04X}", f"{sock.getsockname()[1]:04X}"
    for line in open("/proc/net/tcp", encoding="ascii").readlines()[1:]:
        local, remote, _, queues = line.split()[1:5]
        if (local[-4:], remote[-4:]) == ends:
            return int(queues.split(":")[1], 16) == 0
    return False


def test_a_whole_answer_outlives_the_service_that_cuts_the_upload(fairlead, origins):
    """Answered early and buffered: that the service then resets the upload takes nothing from the answer."""
    o, port = origins("o1"), fl.free_port()
    f = fairlead(fl.web(port, o.addr, pool="buffer-response 32m"))

    def hook(conn, q):
        conn.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: %d\r\n\r\n" % BUFFERED + pattern(BUFFERED))
        fl.wait_for("the answer was read", lambda: was_read(conn.sock))
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        conn.sock.close()
        return True
    o.hook = hook
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", port))
    s.sendall(b"POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 1000)
    f.wait_stat("service", "app/a1", lambda r: r["requests_active"] == 0)
    head, _, body = read_slowly(s)
    assert head.startswith(b"HTTP/1.1 413") and body == pattern(BUFFERED)


def test_a_refusal_is_read_by_who_is_still_sending(site):
    """What comes behind a refused head must not turn the answer into a reset."""
    with fl.Client(site.port) as c:
        c.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        fl.wait_for("the answer is there", lambda: c.sock.recv(1, socket.MSG_PEEK))
        for _ in range(5):                      # behind a reset, sending fails
            c.send("x" * 1000)
            time.sleep(0.05)
        assert c.response().status == 400
        assert c.sock.recv(1) == b""            # the end, and no reset

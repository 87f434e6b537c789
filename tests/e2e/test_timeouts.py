# SPDX-License-Identifier: Apache-2.0
"""Deadlines and limits of client connections: each ends with the right status and is counted."""
import time

import pytest

import fl


def took(fn):
    t = time.monotonic()
    value = fn()
    return value, time.monotonic() - t


def is_refused(port):
    """Closed at once, in whatever state the client notices it."""
    try:
        with fl.Client(port) as c:
            return c.is_closed()
    except ConnectionError:
        return True


def read_all(c):
    r = c.response()
    return r, c.read_to_end()


@pytest.fixture
def site(fairlead, origins):
    def start(vs, **kw):
        o, port = origins("o1"), fl.free_port()
        return fairlead(fl.web(port, o.addr, vs=vs, **kw)), o, port
    return start


def test_slow_head_is_408(site):
    f, o, port = site("head-timeout 400ms\n idle-timeout 30s")
    with fl.Client(port) as c:
        c.send("GET / HTTP/1.1\r\nHost")
        (r, rest), s = took(lambda: read_all(c))
    assert r.status == 408 and r.get("Connection") == "close" and not rest and not o.log
    assert 0.3 < s < 3 * fl.SLOW
    f.wait_stat("vserver", "web", lambda row: row["timeouts_client"] == 1 and row["responses_4xx"] == 1)


def test_dripping_head_is_408(site):
    """Each byte is not a new chance."""
    _, _, port = site("head-timeout 500ms")
    with fl.Client(port) as c:
        t = time.monotonic()
        c.sock.settimeout(0.02)
        for b in "GET / HTTP/1.1\r\nX: " + "a" * 1000:
            c.send(b)
            try:
                answer = c.sock.recv(1000)
                break
            except TimeoutError:
                pass
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - t < 3 * fl.SLOW


def test_second_head_has_the_whole_time(site):
    _, _, port = site("head-timeout 600ms\n idle-timeout 5s")
    with fl.Client(port) as c:
        assert c.get("/1").status == 200
        time.sleep(0.8)
        assert c.get("/2").status == 200


def test_idle_connection_is_closed_without_a_word(site):
    """Between requests by idle-timeout; before the first one head-timeout counts."""
    f, _, port = site("idle-timeout 300ms; head-timeout 1s")
    with fl.Client(port) as c:
        assert c.get("/").status == 200
        data, s = took(c.read_to_end)
        assert data == b"" and 0.2 < s < 3 * fl.SLOW
    with fl.Client(port) as c:
        data, s = took(c.read_to_end)
        assert data == b"" and 0.9 < s < 3 * fl.SLOW
    assert f.stat("vserver", "web")["timeouts_client"] == 0


def test_silent_body_is_408(site):
    f, o, port = site("body-timeout 300ms")
    with fl.Client(port) as c:
        c.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n123")
        (r, rest), s = took(lambda: read_all(c))
        assert r.status == 408 and not rest and 0.2 < s < 3 * fl.SLOW
    assert not any(q.done for q in o.log)
    f.wait_stat("vserver", "web", lambda row: row["timeouts_client"] == 1 and row["requests_active"] == 0)


def test_steady_body_has_time(site):
    _, _, port = site("body-timeout 400ms")
    with fl.Client(port) as c:
        c.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n")
        for b in "0123456789":
            time.sleep(0.1)
            c.send(b)
        assert c.response().body == b"0123456789"


def test_body_rate(site):
    """200 bytes a second where 1000 are asked for: refused behind the first 5 seconds."""
    _, o, port = site("body-rate 1000\n body-timeout 30s")
    with fl.Client(port) as c:
        c.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n")
        t = time.monotonic()
        c.sock.settimeout(0.1)
        answer = b""
        while not answer and time.monotonic() - t < 15 * fl.SLOW:
            try:
                c.send("x" * 20)
                answer = c.sock.recv(65536)
            except TimeoutError:
                pass
            except OSError:
                break
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - t > 4.5
    assert not any(q.done for q in o.log)


def test_client_that_takes_nothing_is_cut(site):
    f, _, port = site("body-timeout 500ms")
    with fl.Client(port) as c:
        c.send("GET /bytes/30000000 HTTP/1.1\r\nHost: t\r\n\r\n")
        c.head()
        f.wait_stat("vserver", "web", lambda row: row["requests_active"] == 0 and row["timeouts_client"] == 1, 10)
        with pytest.raises((EOFError, ConnectionResetError)):
            c.read_exact(30000000)


def test_keepalive_max(site):
    _, _, port = site("keepalive-max 3")
    with fl.Client(port) as c:
        says = [c.get(f"/{i}").get("Connection") for i in range(3)]
        assert says[2] == "close" and "close" not in says[:2]
        assert c.is_closed()


def test_max_connections_of_a_vserver(site):
    f, _, port = site("max-connections 5")
    held = [fl.Client(port) for _ in range(5)]
    for c in held:
        assert c.get("/").status == 200
    assert is_refused(port)
    row = f.wait_stat("vserver", "web", lambda row: row["connections"] == 5)
    assert row
    fl.wait_for("the refusal is counted", lambda: sum(r["refused"] for r in f.json("stat", "listener", "--all")) == 1)
    held.pop().close()
    fl.wait_for("there is room again", lambda: fl.get(port, "/").status == 200)
    for c in held:
        assert c.get("/").status == 200
        c.close()


def test_max_connections_of_the_appliance(site):
    f, _, port = site("", top="max-connections 4")
    held = [fl.Client(port) for _ in range(4)]
    for c in held:
        assert c.get("/").status == 200
    assert is_refused(port)
    for c in held:
        c.close()
    fl.wait_for("there is room again", lambda: fl.get(port, "/").status == 200)


def test_max_body(site):
    f, o, port = site("max-body 1000")
    with fl.Client(port) as c:
        assert c.request("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n" + "x" * 1000).status == 200
        o.log.clear()
        c.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\n\r\n" + "x" * 1001)
        assert c.response().status == 413
    assert not o.log, "a length that is too large is refused before the service hears of it"
    with fl.Client(port) as c:
        c.send("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + ("64\r\n" + "x" * 100 + "\r\n") * 11)
        assert c.response().status == 413
    assert not any(q.done for q in o.log)


def test_max_body_with_expect(site):
    _, o, port = site("max-body 1000")
    with fl.Client(port) as c:
        c.send("POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
        r = c.response()
        assert r.status == 413 and not r.interim and not o.log


@pytest.mark.parametrize("option,text,status", [
    ("max-request-line 256", "GET /" + "a" * 300 + " HTTP/1.1\r\nHost: t\r\n\r\n", 414),
    ("max-head 1024", "GET / HTTP/1.1\r\nHost: t\r\n" + "".join(f"X-{i}: {'a' * 100}\r\n" for i in range(12)) + "\r\n", 431),
    ("max-fields 8", "GET / HTTP/1.1\r\nHost: t\r\n" + "".join(f"X-{i}: 1\r\n" for i in range(8)) + "\r\n", 431)])
def test_limits_of_the_head(site, option, text, status):
    _, o, port = site(option)
    with fl.Client(port) as c:
        assert c.get("/").status == 200
        o.log.clear()
        c.send(text)
        assert c.response().status == status
        assert not o.log


def test_larger_heads_when_allowed(site):
    _, o, port = site("max-request-line 32k\n max-head 64k\n max-fields 500")
    path = "/" + "a" * 30000
    with fl.Client(port) as c:
        assert c.get(path).status == 200
        assert c.get("/f", fields="".join(f"X-{i}: {'b' * 80}\r\n" for i in range(400))).status == 200
    assert o.log[0].path == path and len(o.log[1].fields) >= 400


def test_shutdown_waits_for_requests_in_progress(site):
    f, _, port = site("", top="shutdown-grace 5s")
    with fl.Client(port) as busy, fl.Client(port) as idle:
        assert idle.get("/").status == 200
        busy.send("GET /delay/700 HTTP/1.1\r\nHost: t\r\n\r\n")
        fl.wait_for("the request is there", lambda: f.stat("vserver", "web")["requests_active"] == 1)
        assert f.stop(grace=10) == 0
        r = busy.response()
        assert r.status == 200 and r.body == b"o1 /delay/700\n"

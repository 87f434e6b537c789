# SPDX-License-Identifier: Apache-2.0
"""What is refused and what fails is said: a code, a counter for it, a line in the error log (ROBUSTNESS 6)."""
import contextlib
import json
import re
import socket
import ssl
import threading
import warnings

import pytest

import fl


def errors(f):
    """{(of, reason): count} of `show errors`."""
    return {(r["of"], r["reason"]): r["count"] for r in f.json("show", "errors")}


def counted(f, of, reason, n=1):
    fl.wait_for(f"{of} {reason} is counted", lambda: errors(f).get((of, reason), 0) >= n)
    return errors(f)[of, reason]


def line(f, event, *words):
    """The first line of that event with all words."""
    return fl.wait_for(f"a line {event} with {words}", lambda: next(
        (s for s in f.output().splitlines() if f" {event} " in s and all(w in s for w in words)), None))


def raw(port, data):
    with fl.Client(port) as c:
        c.send(data)
        return c.read_to_end()


@pytest.fixture
def web(fairlead, origins):
    def start(*services, **kw):
        o, port = origins("o1"), fl.free_port()
        f = fairlead(fl.web(port, *(services or (o.addr,)), **kw))
        f.port = port
        return f
    return start


@contextlib.contextmanager
def listening(s, serve):
    """Runs serve() in a thread until the end. It is woken and waited for before the socket goes: a thread that
    sleeps in accept() would go on with whatever socket has the number next."""
    t = threading.Thread(target=serve, daemon=True)
    t.start()
    try:
        yield
    finally:
        s.shutdown(socket.SHUT_RDWR)
        t.join(10)
        s.close()


# TLS towards services ------------------------------------------------------------------------------------

@pytest.fixture
def tls_origin(certs):
    """A TLS server that only shakes hands."""
    pem = certs.make("right.example")
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(pem)
    s = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            try:
                with ctx.wrap_socket(c, server_side=True) as t:
                    t.recv(65536)
                    t.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            except OSError:
                c.close()

    with listening(s, serve):
        yield s.getsockname()[1]


def test_tls_with_a_service_that_fails_is_said_with_its_reason(fairlead, tls_origin, certs, tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log").chmod(0o777)
    log, port = tmp_path / "log/access.log", fl.free_port()
    f = fairlead(fl.web(port, f"127.0.0.1:{tls_origin}", pool=f"tls {{ sni wrong.example; ca {certs.ca} }}; retries 0",
                        vs=f"access-log {log} json"))
    r = fl.get(port)
    assert r.status == 503 and b"tls-failed" in r.body
    said = line(f, "service-tls-fail", "app/a1")
    assert "cert-name" in said and "wrong.example" in said and f"127.0.0.1:{tls_origin}" in said
    assert counted(f, "tls-service", "cert-name") == 1 and counted(f, "exchange", "tls-failed") == 1
    row = fl.wait_for("the access log", lambda: json.loads(log.read_text().splitlines()[0]))
    assert row["status"] == 503 and row["reason"] == "tls-failed"
    for _ in range(30):                         # noise is limited by service
        fl.get(port)
    counted(f, "tls-service", "cert-name", 31)
    assert f.output().count("service-tls-fail") < 15


def test_a_trusted_service_says_nothing(fairlead, tls_origin, certs):
    port = fl.free_port()
    f = fairlead(fl.web(port, f"127.0.0.1:{tls_origin}", pool=f"tls {{ sni right.example; ca {certs.ca} }}"))
    assert fl.get(port).status == 200
    assert not errors(f) and "tls-fail" not in f.output()


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_a_connection_that_is_refused_is_said(fairlead, protocol):
    dead, port = fl.free_port(), fl.free_port()
    f = fairlead(fl.web(port, f"127.0.0.1:{dead}", pool="retries 0", vs=f"protocol {protocol}"))
    if protocol == "http":
        assert fl.get(port).status == 503
    else:
        raw(port, b"x")
    assert "refused" in line(f, "connect-fail", "app/a1", f"127.0.0.1:{dead}")
    counted(f, "exchange", "connect-failed")


# Malformed messages --------------------------------------------------------------------------------------

def test_a_malformed_request_is_counted_by_reason_and_shown_with_64_bytes(web):
    f = web()
    for _ in range(2):
        raw(f.port, b"GET /0123456789/0123456789/0123456789/0123456789 HTTP/1.1\r\nHost : x\r\n\r\n")
    raw(f.port, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert counted(f, "request", "space-colon", 2) == 2 and counted(f, "request", "two-hosts") == 1
    assert "\"GET /0123456789/0123456789/0123456789/0123456789 HTTP/1.1\\x0d\\x0aHost \"" in \
        line(f, "bad-request", "space-colon")
    text = f.ctl("show", "errors").stdout
    assert re.search(r"request +space-colon +2 +blank before the colon", text)


def test_a_fault_behind_the_first_bytes_is_shown_too(web):
    f = web()
    raw(f.port, b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 200 + b"\r\nmarker name: x\r\n\r\n")
    said = line(f, "bad-request", "\"GET / HTTP/1.1\\x0d\\x0aHost: a")
    assert " ... \"" in said and "marker name" in said


def test_a_malformed_chunk_is_counted_and_shown(web):
    f = web()
    raw(f.port, b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    counted(f, "request", "bad-chunk")
    assert "zz" in line(f, "bad-request", "bad-chunk")


@pytest.fixture
def bad_origin():
    """Answers every connection with the bytes of .answer."""
    s = socket.create_server(("127.0.0.1", 0))
    box = type("Box", (), {"answer": b"", "port": s.getsockname()[1]})

    def serve():
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            with c, contextlib.suppress(ConnectionError):
                c.recv(65536)
                c.sendall(box.answer)

    with listening(s, serve):
        yield box


@pytest.mark.parametrize("answer, reason, seen", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "two-cl", "Content-Length: 6"),
    (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "unasked-upgrade", "101 Switching"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 40, "interim-flood", "100 Continue"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "bad-chunk", "xyz"),
])
def test_a_malformed_response_is_counted_and_shown(web, bad_origin, answer, reason, seen):
    bad_origin.answer = answer
    f = web(f"127.0.0.1:{bad_origin.port}", pool="retries 0")
    raw(f.port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    counted(f, "response", reason)
    assert seen in line(f, "bad-response", "app/a1", reason)


@pytest.mark.parametrize("request_, status, method, path", [
    (b"PUT /up?x=1 HTTP/1.1\r\nHost: a\r\nExpect: nonsense\r\nContent-Length: 1\r\n\r\n", 417, "PUT", "/up?x=1"),
    (b"CONNECT host:443 HTTP/1.1\r\nHost: host:443\r\n\r\n", 405, "CONNECT", "host:443"),
    (b"DELETE /a HTTP/1.1\r\nHost : x\r\n\r\n", 400, "DELETE", "/a"),
    (b"\x00\x01\x02\r\n\r\n", 400, None, None),
])
def test_the_access_log_says_what_was_refused(web, tmp_path, request_, status, method, path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log").chmod(0o777)
    log = tmp_path / "log/access.log"
    f = web(vs=f"access-log {log} combined")
    raw(f.port, request_)
    got = fl.wait_for("a line", lambda: log.read_text().splitlines()[0])
    want = f'"{method} {path} HTTP/1.1" {status} ' if method else f'"- - HTTP/1.1" {status} '
    assert want in got


# TLS of clients ------------------------------------------------------------------------------------------

@pytest.fixture
def tls_web(fairlead, origins, certs):
    o, port = origins("o1"), fl.free_port()
    f = fairlead(fl.web(port, o.addr, listen=f"tls {{ cert {certs.make('a.example')}; unknown-sni refuse }}",
                        vs="head-timeout 300ms"))
    f.port = port
    return f


def shake(port, sni="a.example", alpn=None, low=None):
    ctx = ssl._create_unverified_context()
    warnings.simplefilter("ignore", DeprecationWarning)     # of the old version, which is the point
    if alpn:
        ctx.set_alpn_protocols([alpn])
    if low:
        ctx.minimum_version = ctx.maximum_version = low
        ctx.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        try:
            with ctx.wrap_socket(s, server_hostname=sni):
                return True
        except (ssl.SSLError, ConnectionError):
            return False


def test_tls_of_clients_is_counted_by_reason(tls_web):
    f = tls_web
    assert shake(f.port)
    assert not shake(f.port, sni="other.example") and not shake(f.port, alpn="nonsense/9")
    assert not shake(f.port, low=ssl.TLSVersion.TLSv1_1)
    assert b"400" in raw(f.port, b"GET /clear HTTP/1.1\r\nHost: a\r\n\r\n")
    raw(f.port, b"\x00\x01\x02 nothing like it")
    raw(f.port, b"\x16\x03\x01\x02\x00\x01")                # a record that never ends
    for reason in ("unknown-sni", "no-alpn", "tls-version", "clear-http", "not-tls", "tls-slow"):
        assert counted(f, "tls-client", reason) == 1, reason
    assert "GET /clear" in line(f, "tls-fail", "127.0.0.1: clear-http")


def test_who_looks_whether_a_port_is_open_fails_nothing(tls_web):
    socket.create_connection(("127.0.0.1", tls_web.port)).close()
    assert shake(tls_web.port)
    assert not errors(tls_web)


# Everywhere the same -------------------------------------------------------------------------------------

def test_reasons_are_in_the_metrics_and_totals_outlive_workers(fairlead, origins):
    o, port, admin = origins("o1"), fl.free_port(), fl.free_port()
    f = fairlead(f"admin {{ socket @SOCKET@; http 127.0.0.1:{admin} }}\n" + fl.web(port, o.addr, workers=2))
    for _ in range(20):
        raw(port, b"GET / HTTP/1.1\r\n\r\n")
    counted(f, "request", "no-host", 20)
    f.reload()
    raw(port, b"GET / HTTP/1.1\r\n\r\n")
    counted(f, "request", "no-host", 21)

    def metric():
        body = fl.get(admin, "/metrics").body.decode()
        m = re.search(r'^fairlead_refusals_total\{of="request",reason="no-host"\} (\d+)$', body, re.M)
        return int(m[1])

    assert fl.wait_for("the metric", lambda: metric() == 21)


def test_aborts_have_their_columns_in_the_csv(web, bad_origin):
    bad_origin.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello"
    f = web(f"127.0.0.1:{bad_origin.port}", pool="retries 0; backup sorry",
            top="pool sorry { monitor none; service s 127.0.0.1:1 }\npool idle { monitor none; service s 127.0.0.1:1 }")
    raw(f.port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    bad_origin.answer = b""
    f.wait_stat("service", "app/a1", lambda r: r["aborts_server"] == 1)
    rows = {(r["pxname"], r["svname"]): r for r in f.json("show", "stat")}
    for row in (rows["web", "FRONTEND"], rows["app", "a1"], rows["app", "BACKEND"]):
        assert row["mode"] == "http" and row["srv_abrt"] == 1 and row["cli_abrt"] == 0
    assert rows["sorry", "BACKEND"]["mode"] == "http" and "mode" not in rows["idle", "BACKEND"]


def test_buffers_are_counted(web):
    f = web(vs="max-body 0")
    with fl.Client(f.port) as c:
        c.send(b"GET /chunked/30000000/60000 HTTP/1.1\r\nHost: a\r\n\r\n")
        f.wait_stat("core", "0", lambda r: r["buffer_bytes"] > 0)
    f.wait_stat("core", "0", lambda r: r["buffer_bytes"] == 0)


def test_connections_over_the_limit_are_said(web):
    f = web(vs="max-connections 1")
    with fl.Client(f.port) as c:
        assert c.get().status == 200
        with contextlib.suppress(ConnectionError), fl.Client(f.port) as d:
            assert d.is_closed()
    assert "max-connections 1" in line(f, "limit", "vserver web")

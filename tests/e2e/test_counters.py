# SPDX-License-Identifier: Apache-2.0
"""Counters of services against what their servers and clients saw: errors by class, what is pending, limits and what
they leave, sessions, figures by protocol."""
import contextlib
import socket
import struct
import threading
import time

import pytest

import fl
import udp


def refused_addr():
    return "127.0.0.1:%d" % fl.free_port()


class Server:
    """Accepts and hands each connection to what(sock)."""

    def __init__(self, what, rcvbuf=0):
        self.listener = socket.socket()
        if rcvbuf:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.addr = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.what, self.open = what, []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(sock)
            threading.Thread(target=self.one, args=(sock,), daemon=True).start()

    def one(self, sock):
        with sock, contextlib.suppress(OSError):
            self.what(sock)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
        for s in self.open:
            s.close()


@pytest.fixture
def server():
    with contextlib.ExitStack() as stack:
        def start(what, **kw):
            s = Server(what, **kw)
            stack.callback(s.stop)
            return s
        yield start


def head(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return data
        data += more
    return data


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# ---------- errors by class ----------

def answers(text, end=lambda sock: sock.close()):
    def what(sock):
        head(sock)
        sock.sendall(text)
        end(sock)
    return what


def silent(sock):
    head(sock)
    sock.recv(1)


RESPONSES = [
    ("responses_malformed", answers(b"HTTP/1.1 2x0 OK\r\n\r\n"), 502),
    ("responses_cut", answers(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"), 200),
    ("responses_timed_out", silent, 504),
    (None, answers(b""), 502),                       # closed before it answered: of no class
    (None, answers(b"", reset), 502),
]


@pytest.mark.parametrize("counter, what, status", RESPONSES)
def test_response_errors_by_class(fairlead, server, counter, what, status):
    port = fl.free_port()
    f = fairlead(fl.web(port, server(what).addr, pool="retries 0\nresponse-timeout 200ms"))
    for _ in range(3):
        with contextlib.suppress(EOFError, ConnectionResetError):
            assert fl.get(port, "/").status == status
    row = f.wait_stat("service", "app/a1", lambda r: r["response_errors"] == 3) and f.stat("service", "app/a1")
    got = {k: row[k] for k in ("responses_malformed", "responses_cut", "responses_timed_out")}
    assert got == {k: 3 if k == counter else 0 for k in got}
    assert row["connection_failures"] == 0
    assert f.stat("core", "0")["http_errors"] == 3


CONNECTS = ("connects_refused", "connects_timed_out", "connects_reset", "connects_unreachable", "tls_failures")


@pytest.mark.parametrize("protocol, errors", [("http", "http_errors"), ("tcp", "tcp_errors")])
def test_refused_connections_are_a_class(fairlead, protocol, errors):
    port = fl.free_port()
    f = fairlead(fl.web(port, refused_addr(), vs=f"protocol {protocol}", pool="retries 0"))
    for _ in range(3):
        with contextlib.suppress(EOFError, ConnectionResetError):
            fl.get(port, "/")
    row = f.wait_stat("service", "app/a1", lambda r: r["connection_failures"] == 3) and f.stat("service", "app/a1")
    assert {k: row[k] for k in CONNECTS} == {k: 3 if k == "connects_refused" else 0 for k in CONNECTS}
    assert f.stat("core", "0")[errors] == 3


def test_connections_that_time_out_are_a_class(fairlead):
    """A listener whose backlog is full does not answer."""
    port = fl.free_port()
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            s = stack.enter_context(socket.socket())
            s.setblocking(False)
            s.connect_ex(full.getsockname())
        f = fairlead(fl.web(port, "127.0.0.1:%d" % full.getsockname()[1], pool="retries 0\nconnect-timeout 200ms"))
        assert fl.get(port, "/").status == 504
        row = f.wait_stat("service", "app/a1", lambda r: r["connection_failures"] == 1) and f.stat("service", "app/a1")
    assert {k: row[k] for k in CONNECTS} == {k: int(k == "connects_timed_out") for k in CONNECTS}


def test_tls_that_fails_is_a_class(fairlead, server):
    port = fl.free_port()
    clear = server(lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n") or sock.recv(1))
    f = fairlead(fl.web(port, clear.addr, pool="retries 0\ntls { verify off }"))
    assert fl.get(port, "/").status == 503
    row = f.wait_stat("service", "app/a1", lambda r: r["connection_failures"] == 1) and f.stat("service", "app/a1")
    assert {k: row[k] for k in CONNECTS} == {k: int(k == "tls_failures") for k in CONNECTS}


def test_no_way_to_the_host_is_a_class(fairlead):
    """TCP has no way to a multicast group, the kernel says at once."""
    port = fl.free_port()
    f = fairlead(fl.web(port, "224.0.0.1:80", pool="retries 0\nconnect-timeout 2s"))
    assert fl.get(port, "/").status == 503
    row = f.wait_stat("service", "app/a1", lambda r: r["connection_failures"] == 1) and f.stat("service", "app/a1")
    assert {k: row[k] for k in CONNECTS} == {k: int(k == "connects_unreachable") for k in CONNECTS}


# ---------- what is pending ----------

def pending(f):
    row = f.stat("service", "app/a1")
    return {k: row[k] for k in ("bytes_pending_in", "bytes_pending_out", "tcp_segments_pending")}


def stuffed(sock):
    """Sends until nobody takes any more; how much that was."""
    sock.setblocking(False)
    n, quiet = 0, time.monotonic()
    while time.monotonic() - quiet < 0.5 * fl.SLOW:
        try:
            n += sock.send(b"x" * 65536)
            quiet = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    sock.setblocking(True)
    return n


@pytest.mark.parametrize("protocol", ["tcp", "http"])
def test_bytes_for_a_service_that_does_not_read(fairlead, server, protocol):
    go, got = threading.Event(), []

    def what(sock):
        go.wait(60)
        while True:
            data = sock.recv(65536)
            got.append(len(data))
            if not data:
                return

    port = fl.free_port()
    f = fairlead(fl.web(port, server(what, rcvbuf=4096).addr, vs=f"protocol {protocol}\nmax-body 1g" if protocol == "http"
                        else "protocol tcp"))
    with socket.create_connection(("127.0.0.1", port), 30) as c:
        if protocol == "http":
            c.sendall(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100000000\r\n\r\n")
        sent = stuffed(c)
        row = fl.wait_for("bytes wait for the service", lambda: pending(f)["bytes_pending_in"] and pending(f), 20)
        assert 0 < row["bytes_pending_in"] <= sent
        fl.wait_for("segments wait, too", lambda: pending(f)["tcp_segments_pending"] > 0, 20)
        go.set()
        fl.wait_for("all is there", lambda: pending(f)["bytes_pending_in"] == 0 and sum(got) >= sent, 60)
        fl.wait_for("and acknowledged", lambda: pending(f)["tcp_segments_pending"] == 0, 20)
    fl.wait_for("nothing is left", lambda: not any(pending(f).values()), 20)


@pytest.mark.parametrize("protocol", ["tcp", "http"])
def test_bytes_for_a_client_that_does_not_read(fairlead, server, protocol):
    def what(sock):
        if protocol == "http":
            head(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            sock.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    port = fl.free_port()
    f = fairlead(fl.web(port, server(what).addr, vs=f"protocol {protocol}"))
    with socket.socket() as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.settimeout(30)
        c.connect(("127.0.0.1", port))
        c.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")

        def waits():
            return pending(f)["bytes_pending_out"] + f.stat("vserver", "web")["bytes_pending_out"]

        fl.wait_for("bytes wait for the client", lambda: waits() > 0, 20)
        assert waits() < 64 << 20
        reset(c)
    fl.wait_for("nothing is left", lambda: waits() == 0 and not any(pending(f).values()), 20)


# ---------- bytes while a connection goes on ----------

def test_a_long_connection_is_counted_while_it_goes(fairlead, server):
    go = threading.Event()

    def what(sock):
        sock.sendall(b"x" * 300000)
        go.wait(60)

    port = fl.free_port()
    f = fairlead(fl.web(port, server(what).addr, vs="protocol tcp"))
    with fl.Client(port) as c:
        c.send("0123456789")
        c.read_exact(300000)
        f.wait_stat("service", "app/a1", lambda r: r["bytes_out"] == 300000 and r["bytes_in"] == 10)
        f.wait_stat("vserver", "web", lambda r: r["bytes_out"] == 300000 and r["bytes_in"] == 10)
        core = f.stat("core", "0")
        assert core["tcp_connections_active"] == 1 and core["tcp_bytes_out"] == 300000
        go.set()
    row = f.wait_stat("core", "0", lambda r: r["tcp_connections_active"] == 0) and f.stat("service", "app/a1")
    assert (row["bytes_in"], row["bytes_out"]) == (10, 300000)        # once


# ---------- limits ----------

def test_load_and_connections_available(fairlead, server):
    port = fl.free_port()
    s = server(lambda sock: (sock.sendall(b"0"), sock.recv(1)))
    conf = fl.web(port, s.addr + " max-connections 8", vs="protocol tcp", workers=2)
    f = fairlead(conf)
    f.wait_stat("service", "app/a1", lambda r: (r["current_load"], r["connections_available"]) == (0, 8), 10)
    held = []
    try:
        for _ in range(6):
            held.append(socket.create_connection(("127.0.0.1", port), 30))
            held[-1].recv(1)
        f.wait_stat("service", "app/a1", lambda r: (r["current_load"], r["connections_available"]) == (75, 2), 10)
        rows = f.json("show", "owner")
        assert [r for r in rows if "app/a1" in r.values()], rows      # nobody probes it, and yet one core owns it
        f.reload(conf.replace("max-connections 8", "max-connections 12"))
        f.wait_stat("service", "app/a1", lambda r: (r["current_load"], r["connections_available"]) == (50, 6), 10)
        held.pop().close()
        held.pop().close()
        held.pop().close()
        f.wait_stat("service", "app/a1", lambda r: (r["current_load"], r["connections_available"]) == (25, 9), 10)
        f.reload(conf.replace("max-connections 8", ""))
        f.wait_stat("service", "app/a1", lambda r: (r["current_load"], r["connections_available"]) == (0, 0), 10)
    finally:
        for c in held:
            c.close()


def test_a_service_at_its_bandwidth_is_passed_over(fairlead, origins):
    big, small, port = origins(), origins(), fl.free_port()
    f = fairlead(fl.web(port, big.addr + " max-bandwidth 100kbit", small.addr, workers=2, pool="method round-robin"))
    f.wait_stat("service", "app/a1", lambda r: r["bandwidth_available"] == 12500, 10)

    def requests(name):
        return f.stat("service", name)["requests"]

    body = "x" * 200000
    for _ in range(8):
        with fl.Client(port) as c:
            assert c.request(f"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n{body}").status == 200
    f.wait_stat("service", "app/a1", lambda r: r["bytes_in_rate"] + r["bytes_out_rate"] >= 12500, 20)
    f.wait_stat("service", "app/a1", lambda r: r["bandwidth_available"] == 0 and r["current_load"] >= 100, 10)
    before = requests("app/a1"), requests("app/a2")
    for _ in range(6):
        assert fl.get(port, "/").status == 200
    f.wait_stat("service", "app/a2", lambda r: r["requests"] == before[1] + 6)
    assert requests("app/a1") == before[0]
    why = f.ctl("explain", "request", "GET http://t/", "--from", "127.0.0.1", "--vserver", "web").stdout
    assert "max-bandwidth" in why
    f.ctl("drain", "service", "app/a2")
    fl.wait_for("it takes traffic while nobody else can",
                lambda: fl.get(port, "/").status == 200 and requests("app/a1") > before[0])
    f.ctl("ready", "service", "app/a2", check=False)
    f.wait_stat("service", "app/a1", lambda r: r["current_load"] == 0 and r["bandwidth_available"] > 12000, 40)


@pytest.mark.parametrize("value, words", [("10", "rate"), ("100bit", "rate"), ("0.1kbit", "1kbit"), ("", "rate")])
def test_wrong_bandwidths_are_refused(fairlead, value, words):
    port = fl.free_port()
    f = fairlead(fl.web(port, "127.0.0.1:1 max-bandwidth 1.5mbit"))
    assert "max-bandwidth 1.5mbit" in f.ctl("show", "config").stdout
    p = f.reload(fl.web(port, f"127.0.0.1:1 {{ max-bandwidth {value} }}"), check=False)
    assert p.returncode != 0 and words in p.stdout + p.stderr, p.stdout + p.stderr


@pytest.mark.parametrize("method", ["round-robin", "least-connection"])
def test_a_large_pool_passes_over_it_too(fairlead, origins, method):
    """From 32 services on they are chosen from an index, which reads limits now and then."""
    big, small, port = origins(), origins(), fl.free_port()
    f = fairlead(fl.web(port, big.addr + " max-bandwidth 100kbit", *[small.addr] * 39, pool=f"method {method}"))
    body = "x" * 400000
    for _ in range(80):                              # each of 40 comes up twice
        with fl.Client(port) as c:
            c.request(f"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    f.wait_stat("service", "app/a1", lambda r: r["bytes_in_rate"] + r["bytes_out_rate"] >= 12500, 20)
    fl.get(port, "/")                                # whatever it was, the figures are read again behind it
    before = f.stat("service", "app/a1")["requests"]
    for _ in range(80):
        assert fl.get(port, "/").status == 200
    rows = f.json("stat", "service", "--all")
    assert next(r["requests"] for r in rows if r["name"] == "app/a1") == before >= 1
    assert sum(r["requests"] > 0 for r in rows) == 40


# ---------- sessions, figures by protocol ----------

def test_udp_flows_are_sessions(fairlead):
    port = udp.udp_port()
    with contextlib.ExitStack() as stack:
        echo = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        echo.bind(("127.0.0.1", 0))
        f = fairlead(f"workers 1\npool app {{ monitor none; service a1 127.0.0.1:{echo.getsockname()[1]} }}\n"
                     f"vserver web {{ protocol udp; idle-timeout {int(2 * fl.SLOW)}s; listen 127.0.0.1:{port}; default use app }}\n")
        clients = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(3)]

        def are_three():
            for s in clients:
                s.sendto(b"x", ("127.0.0.1", port))
            return f.stat("service", "app/a1")["sessions"] == f.stat("core", "0")["udp_flows_active"] == 3

        fl.wait_for("three sessions", are_three)
        f.reload()
        fl.wait_for("three sessions of the successor", are_three)
        f.wait_stat("service", "app/a1", lambda r: r["sessions"] == 0, 20)
        assert f.stat("core", "0")["udp_flows_active"] == 0


def test_a_udp_service_that_is_not_there(fairlead):
    port = udp.udp_port()
    f = fairlead(f"workers 1\npool app {{ monitor none; service a1 {refused_addr()} }}\n"
                 f"vserver web {{ protocol udp; listen 127.0.0.1:{port}; default use app }}\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        def told():
            s.sendto(b"x", ("127.0.0.1", port))
            return f.stat("service", "app/a1")["unreachable"]
        fl.wait_for("it is unreachable", told)
    assert f.stat("core", "0")["udp_errors"] > 0


def test_requests_in_progress_by_core(fairlead, origins):
    o, port, gate = origins(), fl.free_port(), threading.Event()
    o.hook = lambda conn, q: gate.wait(60) and None
    f = fairlead(fl.web(port, o.addr))
    with fl.Client(port) as c:
        c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        f.wait_stat("core", "0", lambda r: r["http_transactions_active"] == 1)
        gate.set()
        assert c.response().status == 200
    row = f.wait_stat("core", "0", lambda r: r["http_transactions_active"] == 0) and f.stat("core", "0")
    assert row["http_errors"] == 0

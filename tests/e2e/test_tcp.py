# SPDX-License-Identifier: Apache-2.0
"""The TCP vserver: a relay that keeps half-close, picks another service when one refuses, and obeys
policies on what a connection knows."""
import socket
import threading
import time

import pytest

import fl
from origin import pattern


class Server:
    """A TCP server of one function per connection."""

    def __init__(self, fn):
        self.fn, self.accepted = fn, 0
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(128)
        self.addr = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self.one, args=(sock,), daemon=True).start()

    def one(self, sock):
        with sock:
            try:
                self.fn(sock)
            except OSError:
                pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)        # wakes accept(); close alone does not
        self.thread.join()
        self.listener.close()


@pytest.fixture
def server():
    running = []

    def start(fn):
        running.append(Server(fn))
        return running[-1]
    yield start
    for s in running:
        s.stop()


def tcp(port, *services, vs="", **kw):
    return fl.web(port, *services, vs="protocol tcp\n" + vs, **kw)


def read_all(sock):
    out = []
    while True:
        data = sock.recv(1 << 18)
        if not data:
            return b"".join(out)
        out.append(data)


def echo(sock):
    while True:
        data = sock.recv(1 << 18)
        if not data:
            return
        sock.sendall(data)


def connect(port, **kw):
    return fl.Client(port, **kw).sock


def test_relay(fairlead, server):
    port = fl.free_port()
    f = fairlead(tcp(port, server(echo).addr))
    with connect(port) as s:
        for n in (1, 10, 100000):
            s.sendall(pattern(n))
            got = b""
            while len(got) < n:
                got += s.recv(n)
            assert got == pattern(n)
        f.wait_stat("vserver", "web", lambda r: r["connections"] == 1)
    f.wait_stat("vserver", "web", lambda r: r["connections"] == 0 and r["connections_opened"] == 1)
    f.wait_stat("service", "app/a1", lambda r: r["connections"] == 0 and r["requests_active"] == 0)
    row = f.stat("vserver", "web")
    assert row["bytes_in"] == row["bytes_out"] == 100011


def test_half_close_of_the_client(fairlead, server):
    port = fl.free_port()

    def answer_at_end(sock):
        data = read_all(sock)
        sock.sendall(b"%d bytes" % len(data))
    fairlead(tcp(port, server(answer_at_end).addr))
    with connect(port) as s:
        s.sendall(bytes(300000))
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"300000 bytes"


def test_half_close_of_the_service(fairlead, server):
    port, got = fl.free_port(), []

    def end_first(sock):
        sock.sendall(b"all I have")
        sock.shutdown(socket.SHUT_WR)
        got.append(read_all(sock))
    fairlead(tcp(port, server(end_first).addr))
    with connect(port) as s:
        assert read_all(s) == b"all I have"
        time.sleep(0.1)
        s.sendall(b"still talking")
        s.shutdown(socket.SHUT_WR)
        fl.wait_for("the service has the rest", lambda: got == [b"still talking"])


def test_banner_of_the_service_comes_first(fairlead, server):
    port = fl.free_port()

    def banner(sock):
        sock.sendall(b"220 hello\r\n")
        echo(sock)
    fairlead(tcp(port, server(banner).addr))
    with connect(port) as s:
        assert s.recv(100) == b"220 hello\r\n"


def test_fifty_megabytes_both_ways_at_once(fairlead, server):
    port, n = fl.free_port(), 50 << 20
    data, got = pattern(1 << 20) * 50, []

    def both(sock):
        t = threading.Thread(target=lambda: got.append(read_all(sock)))
        t.start()
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        t.join()
    f = fairlead(tcp(port, server(both).addr))
    worker = f.workers()[0]
    before = fl.rss(worker)
    with connect(port, timeout=60) as s:
        def push():
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        t = threading.Thread(target=push)
        t.start()
        assert read_all(s) == data
        t.join()
    fl.wait_for("the service has all", lambda: got and got[0] == data)
    assert fl.rss(worker) - before < 8 << 20
    f.wait_stat("vserver", "web", lambda r: r["bytes_in"] == n and r["bytes_out"] == n)


def test_slow_reader_is_waited_for(fairlead, server):
    port, sent = fl.free_port(), [0]

    def flood(sock):
        for _ in range(1000):
            sock.sendall(bytes(1 << 16))
            sent[0] += 1 << 16
    f = fairlead(tcp(port, server(flood).addr))
    worker = f.workers()[0]
    before = fl.rss(worker)
    with connect(port) as s:
        last = -1
        while last != sent[0]:
            last = sent[0]
            time.sleep(0.3)
        assert sent[0] < 48 << 20 and fl.rss(worker) - before < 8 << 20
        assert len(read_all(s)) == 1000 << 16


def test_refused_service_means_another_one(fairlead, server):
    port = fl.free_port()
    alive = server(echo)
    f = fairlead(tcp(port, f"127.0.0.1:{fl.free_port()}", alive.addr, pool="method round-robin"))
    for _ in range(10):
        with connect(port) as s:
            s.sendall(b"x")
            assert s.recv(1) == b"x"
    assert alive.accepted == 10
    f.wait_stat("service", "app/a1", lambda r: r["connection_failures"] > 0)


def test_no_service_closes(fairlead):
    port = fl.free_port()
    f = fairlead(tcp(port, f"127.0.0.1:{fl.free_port()}"))
    with fl.Client(port) as c:
        assert c.is_closed()
    f.wait_stat("vserver", "web", lambda r: r["connections"] == 0)


def test_idle_timeout(fairlead, server):
    port = fl.free_port()
    fairlead(tcp(port, server(echo).addr, vs="idle-timeout 400ms"))
    with connect(port) as s:
        for _ in range(6):                  # traffic keeps it open
            s.sendall(b"x")
            assert s.recv(1) == b"x"
            time.sleep(0.15)
        t = time.monotonic()
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
        assert 0.2 < time.monotonic() - t < 3 * fl.SLOW


def test_reset_of_either_side_ends_the_other(fairlead, server):
    port, ends = fl.free_port(), []
    rst = b"\1\0\0\0\0\0\0\0"

    def note(sock):
        sock.sendall(b"x")
        try:
            ends.append(sock.recv(1))
        except OSError:
            ends.append(b"")

    def tear(sock):
        sock.recv(1)            # a reset before connect() has returned would be its error
        sock.sendall(b"x")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, rst)
    f = fairlead(tcp(port, server(note).addr))
    with connect(port) as s:
        assert s.recv(1) == b"x"
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, rst)
    fl.wait_for("the service is told", lambda: ends == [b""])
    f.wait_stat("vserver", "web", lambda r: r["connections"] == 0)
    f.stop()
    port = fl.free_port()
    f = fairlead(tcp(port, server(tear).addr))
    with fl.Client(port) as c:
        c.sock.sendall(b"g")
        try:
            c.sock.recv(1)
        except OSError:
            pass
        assert c.is_closed()
    f.wait_stat("vserver", "web", lambda r: r["connections"] == 0)


def test_policy_by_address(fairlead, server):
    port, other = fl.free_port(), server(lambda s: s.sendall(b"other"))
    main = server(lambda s: s.sendall(b"main"))
    f = fairlead(tcp(port, main.addr, top=f"pool second {{ monitor none; service s1 {other.addr} }}",
                     vs="policy bad when ip.src == 127.0.0.66 { reject }\n"
                        "policy two when ip.src in {127.0.1.0/24} { use second }"))
    assert read_all(connect(port)) == b"main"
    assert read_all(connect(port, source=("127.0.1.9", 0))) == b"other"
    with fl.Client(port, source=("127.0.0.66", 0)) as c:
        assert c.is_closed()
    assert main.accepted == 1
    f.wait_stat("vserver", "web", lambda r: r["requests_denied"] == 1)
    fl.wait_for("hits are counted", lambda: [f.policy_hits(p) for p in ("web/bad", "web/two")] == [1, 1])


def test_many_connections(fairlead, server):
    port = fl.free_port()
    f = fairlead(tcp(port, server(echo).addr, workers=2))
    socks = [connect(port) for _ in range(200)]
    for i, s in enumerate(socks):
        s.sendall(b"%d" % i)
    for i, s in enumerate(socks):
        assert s.recv(10) == b"%d" % i
    f.wait_stat("vserver", "web", lambda r: r["connections"] == 200)
    for s in socks:
        s.close()
    f.wait_stat("vserver", "web", lambda r: r["connections"] == 0 and r["requests_active"] == 0)

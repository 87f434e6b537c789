# SPDX-License-Identifier: Apache-2.0
"""One transparent repeat, and never of what may have been done (ROBUSTNESS R21, F20, F24)."""
import socket
import threading
import time

import pytest

import fl


def dead_addr():
    return f"127.0.0.1:{fl.free_port()}"


@pytest.fixture
def blackhole():
    """An address that takes no connection and refuses none: its accept queue is full."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(0)
    fillers = []
    for _ in range(8):
        c = socket.socket()
        c.setblocking(False)
        c.connect_ex(s.getsockname())
        fillers.append(c)
    time.sleep(0.1)
    yield "127.0.0.1:%d" % s.getsockname()[1]
    for c in [*fillers, s]:
        c.close()


class RaceOrigin:
    """Answers the first request of a connection, and closes when bytes of a second one come: the race
    in which an idle connection is closed. Counts every byte that it was given."""

    def __init__(self, rst=False):
        self.rst, self.heads, self.lost = rst, [], []
        self.lock = threading.Lock()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(512)
        self.addr = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    @staticmethod
    def request(sock):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                left = int(line.split(b":")[1]) - len(body)
                while left > 0:
                    piece = sock.recv(left)
                    if not piece:
                        return None
                    left -= len(piece)
        return head

    def serve(self, sock):
        with sock:
            try:
                head = self.request(sock)
                if head is None:
                    return
                with self.lock:
                    self.heads.append(head)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
                second = sock.recv(65536)
                with self.lock:
                    if second:
                        self.lost.append(second.split(b"\r\n")[0])
                if self.rst:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            except OSError:
                pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)        # wakes accept(); close alone does not
        self.thread.join()
        self.listener.close()


@pytest.fixture(params=[False, True], ids=["fin", "rst"])
def race(request):
    o = RaceOrigin(request.param)
    yield o
    o.stop()


def test_get_in_the_race_is_repeated_unseen(fairlead, race):
    port = fl.free_port()
    f = fairlead(fl.web(port, race.addr))
    with fl.Client(port) as c:
        for i in range(200):
            r = c.get(f"/{i}")
            assert r.status == 200 and r.body == b"yes", i
    assert race.lost, "the race never happened: the test tests nothing"
    f.wait_stat("service", "app/a1", lambda r: r["retries"] == len(race.lost) and r["connection_failures"] == 0)
    f.wait_stat("vserver", "web", lambda r: r["responses_2xx"] == 200 and r["responses_5xx"] == 0)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_unsafe_request_never_reaches_the_service_twice(fairlead, race, method):
    port, n = fl.free_port(), 200
    fairlead(fl.web(port, race.addr))
    answers = []
    with fl.Client(port) as c:
        for i in range(n):
            answers.append(c.request(f"{method} /{i} HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello", method).status)
    seen = [h.split(b"\r\n")[0].split(b" ")[1] for h in race.heads]
    lost = [line.split(b" ")[1] for line in race.lost]
    for i in range(n):
        path = b"/%d" % i
        times = seen.count(path) + lost.count(path)
        assert times == 1, f"{path}: reached the service {times} times"
        assert answers[i] == (200 if path in seen else 502)


def test_refused_connection_goes_to_another_service(fairlead, origins):
    o, port = origins("alive"), fl.free_port()
    f = fairlead(fl.web(port, dead_addr(), o.addr, pool="method round-robin"))
    with fl.Client(port) as c:
        for i in range(20):
            assert c.get(f"/{i}").body == b"alive /%d\n" % i
            # even what is not idempotent: nothing was sent
            assert c.request("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc").body == b"abc"
    f.wait_stat("pool", "app", lambda r: r["redispatches"] > 0 and r["redispatches"] == r["retries"])
    f.wait_stat("service", "app/a1", lambda r: r["connection_failures"] > 0)


def test_all_refused_is_503(fairlead):
    port = fl.free_port()
    f = fairlead(fl.web(port, dead_addr(), dead_addr()))
    with fl.Client(port) as c:
        for _ in range(3):
            r = c.get("/x")
            assert r.status == 503 and r.get("Retry-After")
    f.wait_stat("vserver", "web", lambda r: r["responses_5xx"] == 3 and r["requests_active"] == 0)


def test_retries_0_repeats_nothing(fairlead, origins):
    o, port = origins("alive"), fl.free_port()
    fairlead(fl.web(port, dead_addr(), o.addr, pool="method round-robin\n retries 0"))
    with fl.Client(port) as c:
        assert sorted({c.get("/x").status for _ in range(10)}) == [200, 503]


def test_connect_timeout_goes_to_another_service(fairlead, origins, blackhole):
    o, port = origins("alive"), fl.free_port()
    fairlead(fl.web(port, blackhole, o.addr, pool="method round-robin\n connect-timeout 200ms"))
    with fl.Client(port) as c:
        for i in range(4):
            assert c.get(f"/{i}").body == b"alive /%d\n" % i


def test_connect_timeout_alone_is_504(fairlead, blackhole):
    port = fl.free_port()
    fairlead(fl.web(port, blackhole, pool="connect-timeout 200ms"))
    t = time.monotonic()
    assert fl.get(port, "/x").status == 504
    assert 0.15 < time.monotonic() - t < 3 * fl.SLOW


@pytest.mark.parametrize("method,again", [("GET", 2), ("PUT", 2), ("DELETE", 2), ("POST", 1)])
def test_service_that_closes_on_every_request(fairlead, origins, method, again):
    """Closed before any byte of an answer: the idempotent one is tried once more, then 502."""
    o, port = origins("o"), fl.free_port()
    o.hook = lambda conn, q: False
    fairlead(fl.web(port, o.addr))
    assert fl.get(port, "/x", method=method).status == 502
    assert len(o.log) == again


def test_nothing_is_repeated_behind_the_first_byte(fairlead, origins):
    o, port = origins("o"), fl.free_port()

    def hook(conn, _q):
        conn.send(b"H")
        return False
    o.hook = hook
    fairlead(fl.web(port, o.addr))
    assert fl.get(port, "/x").status == 502
    assert len(o.log) == 1


def test_restarted_service_costs_nothing(fairlead, origins):
    """All pooled connections are dead at once."""
    o, port = origins("o"), fl.free_port()
    fairlead(fl.web(port, o.addr))
    for _ in range(10):
        clients = [fl.Client(port) for _ in range(8)]
        for c in clients:
            c.send("GET /delay/20 HTTP/1.1\r\nHost: t\r\n\r\n")
        for c in clients:
            assert c.response().status == 200
        o.drop_connections()
        for c in clients:
            assert c.get("/x").status == 200
            c.close()

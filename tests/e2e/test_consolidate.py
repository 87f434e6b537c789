# SPDX-License-Identifier: Apache-2.0
"""The consolidator: what a worker knows of the others decides (`view`), when it knows it (`consolidate`), and the
figures that are worked out: rates, averages, ages, figures by protocol."""
import collections
import contextlib
import os
import pathlib
import re
import signal
import socket
import struct
import threading
import time

import pytest

import fl

CPUS = sorted(os.sched_getaffinity(0))
two_cpus = pytest.mark.skipif(len(CPUS) < 2, reason="one CPU: the client cannot choose its worker")


class Named:
    """A TCP server that says its name to whoever connects, and keeps the connection until the client ends it."""

    def __init__(self, name):
        self.name = name
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
            threading.Thread(target=self.one, args=(sock,), daemon=True).start()

    def one(self, sock):
        with sock, contextlib.suppress(OSError):
            sock.sendall(self.name)
            while sock.recv(1024):
                pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


@pytest.fixture
def balanced(fairlead):
    """Four services behind a tcp vserver on two workers, of which the client's CPU says which one gets it."""
    with contextlib.ExitStack() as stack:
        def start(vs="", top="consolidate 1ms"):
            servers = [Named(b"%d" % i) for i in range(4)]
            for s in servers:
                stack.callback(s.stop)
            clients = Clients(fl.free_port())
            stack.callback(clients.stop)
            clients.f = fairlead(fl.web(clients.port, *[s.addr for s in servers], pool="method least-connection",
                                        vs="protocol tcp\nidle-timeout 1h\n" + vs, workers=2, top=top,
                                        listen="{ distribute cpu }"))
            return clients
        yield start


class Clients:
    def __init__(self, port):
        self.port, self.f, self.open = port, None, []      # (service, socket)

    def connect(self, cpu, n):
        """n connections at once, from a CPU and so to its worker; each tells who serves it."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {CPUS[cpu]})
        try:
            new = [socket.create_connection(("127.0.0.1", self.port), 30 * fl.SLOW) for _ in range(n)]
        finally:
            os.sched_setaffinity(0, before)
        self.open += [(s.recv(1).decode(), s) for s in new]

    def folded(self):
        """Everybody knows of what there is: all is in the totals, which decisions read."""
        fl.wait_for("all connections are folded", lambda: sum(
            r["requests_active"] for r in self.f.json("stat", "service", "--all")) == len(self.open))

    def one_by_one(self, cpu, n):
        for _ in range(n):
            self.connect(cpu, 1)
            self.folded()

    def close(self, *services):
        for name, s in self.open:
            if name in services:
                s.close()
        self.open = [(name, s) for name, s in self.open if name not in services]
        self.folded()

    def counts(self):
        seen = collections.Counter(name for name, _ in self.open)
        return [seen[str(i)] for i in range(4)]

    def difference(self):
        return max(self.counts()) - min(self.counts())

    def stop(self):
        for _, s in self.open:
            s.close()


def land_unevenly(clients):
    """256 connections: many on the first worker, of which those of two services end; the rest on the second."""
    clients.one_by_one(0, 96)
    clients.close("0", "1")
    clients.one_by_one(1, 48)
    return clients.difference()


@two_cpus
@pytest.mark.limit(300)
def test_consolidated_view_is_even_wherever_connections_land(balanced):
    clients = balanced()
    assert land_unevenly(clients) <= 2, clients.counts()
    for cpu in (0, 0, 0, 1) * 28:
        clients.one_by_one(cpu, 1)
    assert sum(clients.counts()) >= 200
    assert clients.difference() <= 2, clients.counts()
    taken = [r["accepts"] for r in clients.f.json("stat", "core", "--all")]
    assert min(taken) > 60 and max(taken) > 1.5 * min(taken), f"they did not land unevenly: {taken}"


@two_cpus
@pytest.mark.limit(300)
def test_local_view_knows_nothing_of_the_other_worker(balanced):
    clients = balanced(vs="view local")
    assert land_unevenly(clients) >= 20, clients.counts()
    taken = [r["accepts"] for r in clients.f.json("stat", "core", "--all")]
    assert sorted(taken) == [48, 96]


@two_cpus
@pytest.mark.limit(300)
def test_bursts_differ_by_no_more_than_one_cycle_of_others_arrivals(balanced):
    """Within a cycle each worker spreads evenly what comes to it, on figures that lack the other's. So from an even
    start services differ by one for each worker; from an uneven one by 1 + what the others took in that cycle. And
    what is even again after it stays so."""
    clients = balanced(top="consolidate 300ms")
    for _ in range(3):
        clients.connect(0, 12)
        clients.connect(1, 12)
        clients.folded()
        assert clients.difference() <= 2 + 1, clients.counts()
    clients.close("0")                               # there is a gap, and both fill it at once
    gap = clients.difference()
    assert gap >= 15, clients.counts()
    clients.connect(0, 12)
    clients.connect(1, 12)
    clients.folded()
    assert clients.difference() <= 1 + 12, clients.counts()
    for cpu in (0, 1) * 11:
        clients.one_by_one(cpu, 1)
    assert clients.difference() <= 2, clients.counts()


def test_local_limits_are_the_appliances(fairlead):
    """`view local` changes what is compared, not what a service may have."""
    server = Named(b"0")
    try:
        port = fl.free_port()
        f = fairlead(fl.web(port, server.addr + " max-connections 4", vs="protocol tcp\nview local", workers=2,
                            top="consolidate 1ms", pool="method least-connection"))
        held, got = [], 0
        for _ in range(12):
            s = socket.create_connection(("127.0.0.1", port), 30)
            held.append(s)
            got += s.recv(1) == b"0"
            fl.wait_for("it is folded", lambda: f.stat("service", "app/a1")["requests_active"] == min(got, 4))
        assert got == 4
        for s in held:
            s.close()
    finally:
        server.stop()


# ---------- the cycle ----------

@pytest.mark.parametrize("how", ["50us", "5ms aligned", "5ms staggered", "5ms staggered early 50", "1s early 20"])
def test_every_way_of_the_cycle_counts_everything(fairlead, origins, how):
    o, port = origins(), fl.free_port()
    f = fairlead(fl.web(port, o.addr, workers=2, top=f"consolidate {how}"))
    assert f"consolidate {how}" in f.ctl("show", "config").stdout
    for _ in range(40):
        assert fl.get(port, "/").status == 200
    f.wait_stat("service", "app/a1", lambda r: r["requests"] == 40 and r["requests_active"] == 0)
    f.wait_stat("vserver", "web", lambda r: r["requests"] == 40 and r["transactions"] == 40)


@pytest.mark.parametrize("how, words", [("2ms early 0", "percentage"), ("2ms early 5000", "percentage"),
                                        ("2ms sometimes", "E0301"), ("20us", "50us to 1s"), ("2ms early", "count")])
def test_wrong_cycles_are_refused(fairlead, how, words):
    port = fl.free_port()
    f = fairlead(fl.web(port, "127.0.0.1:1"))
    p = f.reload(fl.web(port, "127.0.0.1:1", top=f"consolidate {how}"), check=False)
    assert p.returncode != 0 and words in p.stdout + p.stderr


def test_a_large_change_is_folded_before_its_time(fairlead):
    server, port, held = Named(b"0"), fl.free_port(), []
    try:
        f = fairlead(fl.web(port, server.addr, vs="protocol tcp", top="consolidate 1s early 50"))
        for _ in range(40):
            held.append(socket.create_connection(("127.0.0.1", port), 30))
            held[-1].recv(1)
        fl.wait_for("a cycle came early", lambda: f.json("status")["cycles_early"] > 0)
        f.wait_stat("service", "app/a1", lambda r: r["requests_active"] == 40)
    finally:
        for s in held:
            s.close()
        server.stop()


def test_a_stopped_consolidator_shows_and_loses_nothing(fairlead, origins):
    o, port = origins(), fl.free_port()
    f = fairlead(fl.web(port, o.addr, top="heartbeat-timeout 20s"))
    assert fl.get(port, "/").status == 200
    f.wait_stat("vserver", "web", lambda r: r["requests"] == 1)
    pid = f.process("fl-control")
    core = f.cores("running")[0]
    assert core["cycle"] > 0 and core["view_age_ms"] < 5000 * fl.SLOW
    os.kill(pid, signal.SIGKILL)                     # alone: the master starts another one
    for _ in range(50):
        assert fl.get(port, "/").status == 200
    f.wait_stat("vserver", "web", lambda r: r["requests"] == 51 and r["transactions"] == 51, timeout=20)
    status = f.json("status")
    assert status["cycle"] > core["cycle"]
    assert {"cycles_missed", "cycles_early", "fold_us", "fold_max_us", "cycle_age_ms"} <= set(status)


def test_an_idle_appliance_folds_seldom(fairlead, origins):
    o, port = origins(), fl.free_port()
    f = fairlead(fl.web(port, o.addr, top="consolidate 1ms"))
    fl.get(port, "/")

    def cycles():
        before, at = f.json("status")["cycle"], time.monotonic()
        time.sleep(1)
        return (f.json("status")["cycle"] - before) / (time.monotonic() - at)

    fl.wait_for("few cycles a second", lambda: cycles() < 100, 40)


# ---------- figures that are worked out ----------

def test_rates_come_and_go(fairlead, origins):
    o, port = origins(), fl.free_port()
    f = fairlead(fl.web(port, o.addr))
    end, n = time.monotonic() + 4, 0
    with fl.Client(port) as c:
        while time.monotonic() < end:
            assert c.get("/").status == 200
            n += 1
            time.sleep(0.01)
        rate = f.wait_stat("service", "app/a1", lambda r: r["request_rate"] > 0, 20) and f.stat("service", "app/a1")
    assert rate["request_rate"] <= n / 4 + 2
    assert rate["ttfb_us_average"] > 0 and rate["ttfb_us_min"] <= rate["ttfb_us_average"] <= rate["ttfb_us_max"]
    assert rate["ttfb_us_min"] <= rate["ttfb_us_median"] <= rate["ttfb_us_max"]
    row = next(r for r in f.json("show", "stat") if r["svname"] == "a1")
    assert "rate" in row and "lastsess" in row
    f.wait_stat("service", "app/a1", lambda r: r["request_rate"] == 0 and r["ttfb_us_average"] == 0, 40)
    assert f.stat("service", "app/a1")["last_request_age"] > 2000


def test_pending_requests_and_the_last_one(fairlead, origins):
    o, port, gate = origins(), fl.free_port(), threading.Event()
    o.hook = lambda conn, q: gate.wait(60) and None
    f = fairlead(fl.web(port, o.addr))
    assert f.stat("service", "app/a1")["last_request_age"] == 0
    with fl.Client(port) as c:
        c.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        row = f.wait_stat("service", "app/a1", lambda r: r["requests_pending"] == 1) and f.stat("service", "app/a1")
        assert row["transactions"] == 0 and row["last_request_age"] > 0
        gate.set()
        assert c.response().status == 200
        f.wait_stat("service", "app/a1", lambda r: r["requests_pending"] == 0 and r["transactions"] == 1)


def test_probe_time_is_the_probers(fairlead, origins):
    o, port = origins(), fl.free_port()
    f = fairlead(fl.web(port, o.addr, pool="monitor m", workers=2,
                        top="monitor m http { every 100ms; timeout 90ms }"))
    f.wait_service("app/a1", "UP")
    f.wait_stat("service", "app/a1", lambda r: 0 < r["lrtm_response_time"] < 1000000)


TCP_INFO_SEGS = 136           # struct tcp_info: segs_out, segs_in


def segments(sock):
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    return struct.unpack_from("II", raw, TCP_INFO_SEGS)


def test_figures_by_protocol_and_segments(fairlead, origins):
    o, echo = origins(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    echo.bind(("127.0.0.1", 0))
    echo.settimeout(30)
    http, tcp, udp = fl.free_port(), fl.free_port(), fl.free_port()
    f = fairlead(f"workers 1\npool app {{ monitor none; service a1 {o.addr} }}\n"
                 f"pool dgram {{ monitor none; service d1 127.0.0.1:{echo.getsockname()[1]} }}\n"
                 f"vserver web {{ listen 127.0.0.1:{http}; default use app }}\n"
                 f"vserver relay {{ protocol tcp; listen 127.0.0.1:{tcp}; default use app }}\n"
                 f"vserver flows {{ protocol udp; listen 127.0.0.1:{udp}; default use dgram }}\n")
    for _ in range(3):
        assert fl.get(http, "/").status == 200
    with fl.Client(tcp) as c:
        assert c.get("/", fields="Connection: close\r\n").status == 200
        assert c.is_closed()
        sent, got = segments(c.sock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(5):
            s.sendto(b"0123456789", ("127.0.0.1", udp))
            echo.recvfrom(100)
    echo.close()
    core = f.wait_stat("core", "0", lambda r: r["udp_bytes_in"] == 50 and r["tcp_bytes_out"] > 0) and f.stat("core", "0")
    assert core["http_transactions"] == 3 and core["tcp_connections"] == 1 and core["udp_flows"] == 1
    assert core["datagrams_in"] == 5 and core["datagrams_out"] == 0
    for proto, vs in (("http", "web"), ("tcp", "relay"), ("udp", "flows")):
        row = f.stat("vserver", vs)
        assert (core[f"{proto}_bytes_in"], core[f"{proto}_bytes_out"]) == (row["bytes_in"], row["bytes_out"]), proto
    relay = f.wait_stat("vserver", "relay", lambda r: r["tcp_segments_in"] > 0) and f.stat("vserver", "relay")
    assert abs(relay["tcp_segments_in"] - sent) <= 2 and abs(relay["tcp_segments_out"] - got) <= 2
    service = f.stat("service", "app/a1")
    assert service["tcp_segments_in"] > 0 and service["tcp_segments_out"] > 0
    assert core["tcp_segments_in"] >= relay["tcp_segments_in"]


# ---------- wake-ups ----------

def wake_ups(f):
    """Of all threads of the appliance, since their start."""
    n = 0
    for pid in [f.proc.pid, *f.children()]:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            n += int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text())[1])
    return n


def test_an_idle_appliance_sleeps(fairlead):
    """Fewer than 20 wake-ups a second, all processes together; whoever asked it something before is no excuse."""
    f = fairlead(fl.web(fl.free_port(), "127.0.0.1:9", workers=2))

    def rate():
        before, at = wake_ups(f), time.monotonic()
        time.sleep(3)
        return (wake_ups(f) - before) / (time.monotonic() - at)

    fl.wait_for("fewer than 20 wake-ups a second", lambda: rate() < 20, 30)


def test_an_idle_worker_that_hangs_is_replaced_and_so_is_one_that_was_woken(fairlead, origins):
    o, port = origins(), fl.free_port()
    f = fairlead(fl.web(port, o.addr, workers=2))
    time.sleep(1)                                    # they promise longer beats by now
    victim = f.workers()[0]
    os.kill(victim, signal.SIGSTOP)
    at = time.monotonic()
    fl.wait_for("it is replaced", lambda: victim not in f.workers() and len(f.workers()) == 2, 10)
    assert time.monotonic() - at < 3 * fl.SLOW
    for _ in range(10):
        assert fl.get(port, "/").status == 200

# SPDX-License-Identifier: Apache-2.0
"""The UDP vserver: flows that stay with their service, end by silence or by their answers, survive a
reload with their sockets, and never get what is another client's."""
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time

import dns.message
import dns.query
import pytest

import fl
import udp
from dnsserver import DnsServer


@pytest.fixture
def server():
    running = []

    def start(name="a1", **kw):
        running.append(udp.Server(name, **kw))
        return running[-1]
    yield start
    for s in running:
        s.stop()


@pytest.fixture
def client():
    with contextlib.ExitStack() as stack:
        yield lambda *args, **kw: stack.enter_context(udp.Client(*args, **kw))


def flows(f, n):
    f.wait_stat("vserver", "u", lambda r: r["connections"] == n)


# Flows -------------------------------------------------------------------------------------


def test_many_clients_and_what_is_counted(fairlead, server, client):
    port = udp.udp_port()
    f = fairlead(udp.conf(port, server("a1").addr, server("a2").addr, workers=2))
    clients = [client(port) for _ in range(100)]
    seen = {}
    for k in range(5):
        for i, c in enumerate(clients):
            where = c.ask(b"%d of client %d" % (k, i))
            assert seen.setdefault(i, where) == where        # one service, one port, to the end
    assert len({port for _, port in seen.values()}) == 100
    assert {name for name, _ in seen.values()} == {"a1", "a2"}
    n = sum(len(b"%d of client %d" % (k, i)) for k in range(5) for i in range(100))
    back = n + sum(len("%s %d " % seen[i]) * 5 for i in range(100))
    flows(f, 100)
    row = f.wait_stat("vserver", "u", lambda r: r["datagrams_out"] == 500) and f.stat("vserver", "u")
    assert (row["datagrams_in"], row["bytes_in"], row["bytes_out"]) == (500, n, back)
    assert row["connections_opened"] == 100
    row = f.stat("listener", f"u/127.0.0.1:{port}")
    assert (row["datagrams_in"], row["datagrams_out"], row["bytes_in"], row["bytes_out"]) == (500, 500, n, back)
    assert (row["accepts"], row["connections"]) == (100, 100)
    rows = [f.stat("service", f"app/a{i}") for i in (1, 2)]
    assert sum(r["datagrams_in"] for r in rows) == sum(r["datagrams_out"] for r in rows) == 500
    assert sum(r["bytes_in"] for r in rows) == n and sum(r["bytes_out"] for r in rows) == back
    assert sum(r["requests_active"] for r in rows) == sum(r["requests"] for r in rows) == 100
    assert sum(r["connections"] for r in rows) == 100


@pytest.mark.parametrize("method", ["round-robin", "least-connection"])
def test_methods_balance_flows(fairlead, server, client, method):
    port = udp.udp_port()
    fairlead(udp.conf(port, server("a1").addr, server("a2").addr, pool=f"method {method}"))
    names = [client(port).ask()[0] for _ in range(20)]
    assert names.count("a1") == names.count("a2") == 10


def test_source_ip_hash(fairlead, server, client):
    port = udp.udp_port()
    fairlead(udp.conf(port, *[server(f"a{i}").addr for i in range(1, 5)], pool="method source-ip-hash", workers=2))
    to = {}
    for _ in range(4):
        for i in range(2, 34):
            ip = f"127.0.0.{i}"
            name, _ = client(port, source=ip).ask()
            assert to.setdefault(ip, name) == name
    assert len(set(to.values())) == 4


def test_silence_ends_a_flow(fairlead, server, client):
    port = udp.udp_port()
    s = server()
    f = fairlead(udp.conf(port, s.addr, vs="idle-timeout 400ms"))
    c = client(port)
    for _ in range(8):                       # longer than the limit, but never silent
        c.ask()
        time.sleep(0.1)
    assert len(s.ports()) == 1
    flows(f, 0)
    f.wait_stat("service", "app/a1", lambda r: r["connections"] == 0 and r["requests_active"] == 0)
    c.ask()
    assert f.wait_stat("vserver", "u", lambda r: r["connections_opened"] == 2)


def test_answers_of_the_service_keep_a_flow(fairlead, server, client):
    port, stop = udp.udp_port(), threading.Event()

    def stream(s, data, peer):
        def run():
            for i in range(20):
                s.sock.sendto(s.line(b"%d" % i, peer), peer)
                stop.wait(0.05)
        threading.Thread(target=run, daemon=True).start()
    fairlead(udp.conf(port, server(answer=stream).addr, vs="idle-timeout 400ms"))
    c = client(port)
    c.send(b"go")
    assert [c.get()[2] for _ in range(20)] == [b"%d" % i for i in range(20)]


# Responses ---------------------------------------------------------------------------------


def test_a_flow_ends_with_its_answers(fairlead, server, client):
    port = udp.udp_port()
    servers = [server("a1"), server("a2")]
    f = fairlead(udp.conf(port, *[s.addr for s in servers], pool="method round-robin", vs="responses 1"))
    c = client(port)
    names = [c.ask(b"%d" % i)[0] for i in range(20)]
    assert names == [names[0], names[1]] * 10 and names[0] != names[1]      # each balanced anew
    flows(f, 0)
    f.wait_stat("vserver", "u", lambda r: r["connections_opened"] == 20)


def test_a_client_keeps_its_socket(fairlead, server, client):
    port = udp.udp_port()
    s = server()
    f = fairlead(udp.conf(port, s.addr, vs="responses 1"))
    clients = [client(port) for _ in range(10)]
    for i in range(20):
        for c in clients:
            c.ask(b"%d" % i)
    assert len(s.ports()) == 10
    row = f.wait_stat("service", "app/a1", lambda r: r["requests"] == 200) and f.stat("service", "app/a1")
    assert row["connections_opened"] == row["connections"] == row["connections_idle"] == 10
    assert row["connection_reuses"] == 190


def test_a_rested_socket_serves_another_client(fairlead, server, client):
    port = udp.udp_port()
    s = server()
    f = fairlead(udp.conf(port, s.addr, vs="responses 1"))
    for i in range(5):
        client(port).ask(b"%d" % i)
        time.sleep(0.35)                         # its rest
    assert len(s.ports()) == 1
    for _ in range(5):
        client(port).ask()
    f.wait_stat("service", "app/a1", lambda r: r["connections_opened"] >= 5)    # these waited for no rest


def test_all_answers_to_all_questions_are_awaited(fairlead, server, client):
    port, held = udp.udp_port(), []

    def hold(s, data, peer):
        held.append((data, peer))
        if len(held) == 3:
            for d, p in held:
                s.sock.sendto(s.line(d, p), p)
                s.sock.sendto(s.line(d, p), p)
    s = server(answer=hold)
    f = fairlead(udp.conf(port, s.addr, vs="responses 2"))
    c = client(port)
    for i in range(3):
        c.send(b"%d" % i)
    assert sorted(c.get()[2] for _ in range(6)) == [b"0", b"0", b"1", b"1", b"2", b"2"]
    assert len(s.ports()) == 1
    flows(f, 0)
    f.wait_stat("vserver", "u", lambda r: r["connections_opened"] == 1)


def test_what_comes_too_much_or_too_late_is_nobodys(fairlead, server, client):
    """A service that repeats itself: no other client ever gets an answer that is not its own."""
    port = udp.udp_port()

    def twice(s, data, peer):
        s.echo(data, peer)
        threading.Timer(0.03, lambda: s.running and s.sock.sendto(s.line(data, peer), peer)).start()
    f = fairlead(udp.conf(port, server(answer=twice).addr, vs="responses 1"))
    end = time.monotonic() + 1.5
    n = 0
    while time.monotonic() < end:
        # an address each: with a port that another has just left it would be the same client
        with udp.Client(port, source=f"127.1.{n >> 8}.{n & 255}") as c:
            c.ask(b"question %d" % n)            # asserts that the answer is its own
            n += 1
    f.wait_stat("service", "app/a1", lambda r: r["strays"] >= n // 2)


def test_a_late_answer_finds_no_flow(fairlead, server, client):
    port = udp.udp_port()

    def late(s, data, peer):
        if data == b"slow":
            threading.Timer(0.6, lambda: s.running and s.sock.sendto(s.line(data, peer), peer)).start()
        else:
            s.echo(data, peer)
    f = fairlead(udp.conf(port, server(answer=late).addr, vs="responses 1; idle-timeout 200ms"))
    c = client(port)
    c.send(b"slow")
    flows(f, 1)
    flows(f, 0)
    for i in range(10):
        client(port, source=f"127.1.0.{i + 1}").ask(b"%d" % i)
    assert c.hears_nothing(0.8)


# Services that fail ------------------------------------------------------------------------


def test_a_refusing_service_loses_its_flows(fairlead, server, client):
    port = udp.udp_port()
    servers = {s.name: s for s in (server("a1"), server("a2"))}
    f = fairlead(udp.conf(port, servers["a1"].addr, servers["a2"].addr))
    c = client(port)
    first, _ = c.ask()
    servers[first].stop()
    c.send(b"lost")                              # answered by ICMP
    f.wait_stat("service", f"app/{first}", lambda r: r["unreachable"] >= 1)
    assert c.ask(b"again")[0] != first


def test_health_moves_flows_and_drain_does_not(fairlead, server, client):
    port = udp.udp_port()
    health = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    servers = [server("a1"), server("a2")]
    text = udp.conf(port, *[s.addr for s in servers], pool="monitor none")
    f = fairlead(text)
    c = client(port)
    first, at = c.ask()
    f.ctl("drain", "service", f"app/{first}")
    f.wait_service(f"app/{first}", "DRAIN")
    assert c.ask() == (first, at)                # stays
    assert client(port).ask()[0] != first        # new ones do not come
    f.ctl("disable", "service", f"app/{first}")
    f.wait_service(f"app/{first}", "MAINT")
    fl.wait_for("the flow moves", lambda: c.ask()[0] != first)
    for h in health:
        h.close()


def test_a_monitor_on_another_port(fairlead, server, client):
    port = udp.udp_port()
    s = server()
    health = socket.create_server(("127.0.0.1", 0))
    f = fairlead(f"monitor m tcp {{ every 100ms; timeout 50ms; fall 1; port {health.getsockname()[1]} }}\n"
                 + udp.conf(port, s.addr, pool="monitor m"))
    f.wait_service("app/a1", "UP")
    client(port).ask()
    health.close()
    f.wait_service("app/a1", "DOWN")
    c = client(port)
    c.send(b"x")
    f.wait_stat("vserver", "u", lambda r: r["requests_no_service"] == 1)


def test_no_monitor_for_a_pool_of_udp_only(fairlead, server, client):
    port, tcp = udp.udp_port(), fl.free_port()
    s = server()
    f = fairlead(f"workers 1\npool p {{ service a1 {s.addr} }}\npool b {{ service b1 {s.addr} }}\n"
                 f"pool both {{ service a1 {s.addr}; backup b }}\n"
                 f"vserver u {{ listen 127.0.0.1:{port}; protocol udp; default use p }}\n"
                 f"vserver u2 {{ listen 127.0.0.1:{udp.udp_port()}; protocol udp; default use both }}\n"
                 f"vserver t {{ listen 127.0.0.1:{tcp}; protocol tcp; default use b }}\n")
    client(port).ask()
    monitors = {p["name"]: p["monitors"] for p in f.json("show", "pool")}
    assert "none" in str(monitors["p"]) and "none" in str(monitors["both"])
    assert "tcp" in str(monitors["b"])           # a tcp vserver uses it, too
    f.wait_service("b/b1", "DOWN")               # nobody listens there for tcp


# Processes ---------------------------------------------------------------------------------


class Talk(threading.Thread):
    """Clients that ask on, each with numbered datagrams; .lost what had no answer in time, .seen where each went."""

    def __init__(self, port, n, pause=0.002, sources=None):
        super().__init__(daemon=True)
        self.clients = [udp.Client(port, source=sources[i] if sources else None, timeout=1) for i in range(n)]
        self.seen, self.lost, self.asked, self.pause = [[] for _ in range(n)], [], 0, pause
        self.going, self.error = True, None
        self.start()

    def run(self):
        try:
            while self.going:
                for i, c in enumerate(self.clients):
                    self.one(i, c)
                time.sleep(self.pause)
        except AssertionError as e:
            self.error = e

    def one(self, i, c):
        data = b"%d:%d" % (i, self.asked)
        self.asked += 1
        c.send(data)
        try:
            while True:
                name, port, back = c.get()
                if back == data:
                    break
                assert back.startswith(b"%d:" % i), f"client {i} got {back!r}"       # late, but its own
        except TimeoutError:
            self.lost.append(data)
            return
        if (name, port) not in self.seen[i][-1:]:
            self.seen[i].append((name, port))

    def wait(self, n):
        want = self.asked + n
        fl.wait_for(f"{n} more questions", lambda: self.error or self.asked >= want, 20)

    def stop(self):
        self.going = False
        self.join(30)
        for c in self.clients:
            c.close()
        assert self.error is None, self.error


def test_a_reload_keeps_flows_and_loses_nothing(fairlead, server):
    port = udp.udp_port()
    text = udp.conf(port, server("a1").addr, server("a2").addr, workers=2)
    f = fairlead(text)
    talk = Talk(port, 150)
    talk.wait(300)
    for i in range(5):
        f.reload(text + f"# {i}\n")
        talk.wait(200)
    talk.stop()
    assert talk.lost == []
    assert all(len(s) == 1 for s in talk.seen), [s for s in talk.seen if len(s) != 1]
    fl.wait_for("old workers are gone", lambda: len(f.cores("draining")) == 0)
    f.wait_stat("vserver", "u", lambda r: r["connections"] == 150)
    f.wait_stat("vserver", "u", lambda r: r["connections_opened"] == 150)


def test_a_reload_waits_for_answers_under_way(fairlead, server, client):
    port = udp.udp_port()

    def late(s, data, peer):
        threading.Timer(0.5, lambda: s.running and s.sock.sendto(s.line(data, peer), peer)).start()
    text = udp.conf(port, server(answer=late).addr, vs="responses 1")
    f = fairlead(text)
    clients = [client(port) for _ in range(50)]
    for i, c in enumerate(clients):
        c.send(b"%d" % i)
    flows(f, 50)
    f.reload(text + "# more\n")
    for i, c in enumerate(clients):
        assert c.get()[2] == b"%d" % i
    flows(f, 0)


def test_a_reload_with_many_flows(fairlead, server, client):
    """More than one message of the hand-over, and more than one turn."""
    port = udp.udp_port()
    text = udp.conf(port, server().addr)
    f = fairlead(text)
    clients = [client(port) for _ in range(900)]
    at = [c.ask() for c in clients]
    f.reload(text + "# more\n")
    assert [c.ask() for c in clients] == at
    f.wait_stat("vserver", "u", lambda r: r["connections"] == 900)


def test_a_reload_and_a_large_pool(fairlead, server, client):
    """Pools of many services choose by an index of their own, which must know the flows that came over."""
    port = udp.udp_port()
    text = udp.conf(port, *[server().addr] * 40)
    f = fairlead(text)
    clients = [client(port) for _ in range(40)]
    for c in clients:
        c.ask()
    f.reload(text + "# more\n")
    fl.wait_for("the flows are there", lambda: f.stat("vserver", "u")["connections"] == 40 and not f.cores("draining"))
    clients += [client(port) for _ in range(40)]
    for c in clients:
        c.ask()
    fl.wait_for("all are counted", lambda: sum(r["requests_active"] for r in f.json("stat", "service", "--all")) == 80)
    active = sorted(r["requests_active"] for r in f.json("stat", "service", "--all"))
    assert active == [2] * 40, active


def test_a_reload_that_takes_things_away(fairlead, server, client):
    port, other = udp.udp_port(), udp.udp_port()
    servers = {s.name: s for s in (server("a1"), server("a2"))}
    text = udp.conf(port, servers["a1"].addr, servers["a2"].addr, listen=f"127.0.0.1:{port}; listen 127.0.0.1:{other}")
    f = fairlead(text)
    clients = [client(port) for _ in range(4)]
    first = [c.ask() for c in clients]
    gone = client(other, timeout=1)
    gone.ask()
    f.reload(udp.conf(port, servers["a1"].addr))        # neither a2 nor the other listener
    for c, at in zip(clients, first):
        assert c.ask()[0] == "a1"
        assert at[0] != "a1" or c.ask() == at
    fl.wait_for("the port is free", lambda: udp.Server("x", port=other).stop() is None)
    f.reload(text)
    assert client(other).ask()
    assert len(f.cores("draining")) == 0 or fl.wait_for("old ones end", lambda: not f.cores("draining"))


def test_a_draining_worker_keeps_no_socket(fairlead, server, client, origins):
    """Its copy would stay in the group of the port, and get datagrams that nobody reads."""
    port, web = udp.udp_port(), fl.free_port()
    tcp = (f"pool web {{ monitor none; service o {origins().addr} }}\n"
           f"vserver h {{ listen 127.0.0.1:{web}; protocol tcp; default use web }}\n")
    with_udp = tcp + udp.conf(port, server().addr, workers=2)
    without = "workers 2\n" + tcp
    f = fairlead(with_udp)
    client(port).ask()
    with fl.Client(web) as holds:                       # a relay: the first generation stays
        holds.send("GET /bytes/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        holds.response()
        f.reload(with_udp + "# 2\n")
        client(port).ask()
        assert f.cores("draining")
        f.reload(without)
        fl.wait_for("the port is free", lambda: udp.Server("x", port=port).stop() is None)
        f.reload(with_udp)
        for _ in range(64):
            client(port).ask()
        assert f.cores("draining")


def test_fewer_and_more_workers(fairlead, server):
    port = udp.udp_port()
    addr = server().addr
    f = fairlead(udp.conf(port, addr, workers=2))
    talk = Talk(port, 40)
    talk.wait(80)
    for workers in (1, 2):
        f.reload(udp.conf(port, addr, workers=workers))
        talk.wait(120)
    talk.stop()
    assert talk.lost == []


def test_a_killed_worker(fairlead, server):
    """Its flows are balanced anew by whoever serves its socket; source-ip-hash finds the same service."""
    port = udp.udp_port()
    f = fairlead(udp.conf(port, *[server(f"a{i}").addr for i in range(1, 4)], workers=2, pool="method source-ip-hash"))
    talk = Talk(port, 60, sources=[f"127.0.1.{i}" for i in range(1, 61)])
    talk.wait(120)
    for _ in range(4):
        os.kill(f.workers()[0], signal.SIGKILL)
        talk.wait(180)
        fl.wait_for("two workers", lambda: len(f.workers()) == 2)
    talk.stop()
    # a datagram that the dead one had read, or whose answer was on its way
    assert len(talk.lost) <= 8, talk.lost
    for s in talk.seen:
        assert len({name for name, _ in s}) == 1, s
    assert any(len(s) > 1 for s in talk.seen)            # it was noticed at all


def test_binary_upgrade_and_adoption(fairlead, server):
    port = udp.udp_port()
    f = fairlead(udp.conf(port, server().addr, workers=2))
    talk = Talk(port, 20)
    talk.wait(40)
    before = f.workers()
    f.signal(signal.SIGUSR2)
    fl.wait_for("new workers", lambda: len(f.workers()) == 2 and not set(f.workers()) & set(before), 20)
    talk.wait(100)
    talk.stop()
    assert talk.lost == []
    assert all(len(s) == 1 for s in talk.seen)


def test_shutdown_relays_what_is_under_way(fairlead, server, client):
    port = udp.udp_port()

    def late(s, data, peer):
        threading.Timer(0.2, lambda: s.sock.sendto(s.line(data, peer), peer)).start()
    s = server(answer=late)
    f = fairlead(udp.conf(port, s.addr))
    c = client(port)
    c.send(b"last words")
    fl.wait_for("it is asked", lambda: s.asked)
    f.signal(signal.SIGTERM)
    assert c.get()[2] == b"last words"
    assert f.proc.wait(10) == 0


# Addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ["0.0.0.0", "*", "[::]"])
def test_answers_come_from_the_address_that_was_asked(fairlead, server, client, listen):
    port = udp.udp_port()
    fairlead(udp.conf(port, server().addr, listen=f"{listen}:{port}"))
    hosts = ["127.0.0.1", "127.0.0.2", "127.3.2.1"] + (["::1"] if listen != "0.0.0.0" else [])
    for host in hosts:
        c = client(port, host)                   # get() compares addresses
        for i in range(3):
            c.ask(b"%d" % i)


def test_ipv6_on_either_side(fairlead, server, client):
    p6, p4 = udp.udp_port("::1"), udp.udp_port()
    v4, v6 = server("a1"), server("a2", host="::1")
    fairlead(f"workers 1\npool four {{ monitor none; service a1 {v4.addr} }}\n"
             f"pool six {{ monitor none; service a2 {v6.addr} }}\n"
             f"vserver u {{ listen [::1]:{p6}; protocol udp; default use four }}\n"
             f"vserver w {{ listen 127.0.0.1:{p4}; protocol udp; default use six }}\n")
    assert client(p6, "::1").ask()[0] == "a1"
    assert client(p4).ask()[0] == "a2"


def test_tcp_and_udp_on_one_port(fairlead, server, client, origins):
    port = udp.udp_port()
    o = origins()
    fairlead(f"workers 1\npool web {{ monitor none; service o {o.addr} }}\n"
             f"vserver h {{ listen 127.0.0.1:{port}; default use web }}\n" + udp.conf(port, server().addr)[10:])
    assert client(port).ask()[0] == "a1"
    assert fl.get(port, "/x").status == 200


def test_a_port_that_another_has(fairlead, server, tmp_path):
    taken = server()
    conf = tmp_path / "taken.conf"
    conf.write_text(f"admin {{ socket {tmp_path}/c/ctl.sock }}\n" + udp.conf(taken.port, "127.0.0.1:9"))
    (tmp_path / "c").mkdir(mode=0o700)
    p = subprocess.run([fl.FAIRLEAD, "-c", str(conf)], capture_output=True, text=True, timeout=20 * fl.SLOW)
    assert p.returncode != 0
    assert f"127.0.0.1:{taken.port}" in p.stderr and "another process" in p.stderr


# Datagrams of all sizes --------------------------------------------------------------------


def test_sizes(fairlead, server, client):
    port = udp.udp_port()
    fairlead(udp.conf(port, server().addr, listen=f"*:{port}"))
    c = client(port)
    for n in (0, 1, 2, 1472, 1473, 9000, 65000):
        c.ask(bytes(i & 255 for i in range(n)))
    s = udp.Client(port, "::1")
    with s:
        for n in (0, 1472, 30000):
            s.ask(bytes(n))


def test_trains(fairlead, server, client):
    """What comes as one message of many goes on datagram by datagram, in order, none longer or shorter."""
    port = udp.udp_port()
    s = server(answer=lambda *_: None)
    f = fairlead(udp.conf(port, s.addr))
    c = client(port)
    for size, data in ((1000, 32), (200, 64), (1472, 20), (33, 10)):
        s.asked.clear()
        pieces = [bytes([i]) * size for i in range(data)]
        pieces[-1] = pieces[-1][:size - 7]              # the last may be shorter
        udp.train(c.sock, c.to, b"".join(pieces), size)
        fl.wait_for("all of the train", lambda: len(s.asked) == len(pieces))
        assert [d for _, d in s.asked] == pieces
    assert len(s.ports()) == 1
    f.wait_stat("vserver", "u", lambda r: r["datagrams_in"] == 126)
    f.wait_stat("service", "app/a1", lambda r: r["datagrams_in"] == 126 and r["drops_send"] == 0)


def test_trains_of_answers(fairlead, server, client):
    port = udp.udp_port()

    def many(s, data, peer):
        udp.train(s.sock, peer, b"".join(b"%04d" % i * 250 for i in range(40)), 1000)
    f = fairlead(udp.conf(port, server(answer=many).addr, vs="responses 40"))
    c = client(port)
    for _ in range(3):
        c.send(b"all")
        assert [c.sock.recv(65536) for _ in range(40)] == [b"%04d" % i * 250 for i in range(40)]
        flows(f, 0)
    f.wait_stat("vserver", "u", lambda r: (r["datagrams_in"], r["datagrams_out"], r["drops_send"]) == (3, 120, 0))


def test_bursts_of_mixed_sizes_stay_in_order(fairlead, server, client):
    port = udp.udp_port()
    s = server()
    fairlead(udp.conf(port, s.addr))
    clients = [client(port) for _ in range(8)]
    sizes = [100, 100, 100, 60, 100, 300, 300, 1, 0, 0, 100, 100]
    for k in range(6):
        for n in sizes:
            for i, c in enumerate(clients):
                c.send(bytes([i, k]) * n)
    for i, c in enumerate(clients):
        got = [c.get()[2] for _ in range(6 * len(sizes))]
        assert got == [bytes([i, k]) * n for k in range(6) for n in sizes]


# Limits and policies -----------------------------------------------------------------------


def test_limits(fairlead, server, client):
    port = udp.udp_port()
    a1, a2 = server("a1"), server("a2")
    f = fairlead(udp.conf(port, a1.addr + " max-connections 2", a2.addr, vs="max-connections 5"))
    clients = [client(port) for _ in range(5)]
    names = [c.ask()[0] for c in clients]
    assert names.count("a1") == 2 and names.count("a2") == 3
    more = client(port)
    for _ in range(3):
        more.send(b"too much")
    f.wait_stat("vserver", "u", lambda r: r["drops_limit"] == 3)
    f.wait_stat("listener", f"u/127.0.0.1:{port}", lambda r: r["refused"] == 3 and r["connections"] == 5)
    assert more.hears_nothing()
    assert clients[0].ask()[0] == names[0]       # those that are there go on


def test_the_appliance_limits_flows(fairlead, server, client):
    port = udp.udp_port()
    f = fairlead(udp.conf(port, server().addr, top="max-connections 3"))
    for _ in range(3):
        client(port).ask()
    client(port).send(b"x")
    f.wait_stat("vserver", "u", lambda r: r["drops_limit"] == 1)


def test_policies(fairlead, server, client):
    port = udp.udp_port()
    a1, a2 = server("a1"), server("a2")
    vs = (f"policy bad when ip.src == 127.0.0.66 {{ reject }}\n"
          f"policy two when ip.dst == 127.0.0.2 and udp.dstport == {port} and udp.srcport > 1023 {{ use other }}\n"
          f"default use app")
    f = fairlead(f"pool other {{ monitor none; service b1 {a2.addr} }}\n"
                 + udp.conf(port, a1.addr, vs=vs, listen=f"0.0.0.0:{port}"))
    assert client(port).ask()[0] == "a1"
    assert client(port, "127.0.0.2").ask()[0] == "a2"
    bad = client(port, source="127.0.0.66")
    bad.send(b"x")
    f.wait_stat("vserver", "u", lambda r: r["requests_denied"] == 1)
    assert f.policy_hits("u/bad") == 1 and f.policy_hits("u/two") == 1
    assert bad.hears_nothing()


def test_no_default_drops(fairlead, server, client):
    port = udp.udp_port()
    f = fairlead(udp.conf(port, server().addr, vs="policy p when ip.src == 10.1.1.1 { use app }\ndefault reject"))
    client(port).send(b"x")
    f.wait_stat("vserver", "u", lambda r: r["requests_denied"] == 1 and r["connections_opened"] == 0)


WRONG = {
    "policy p when tcp.srcport == 1 { reject }": "tcp.srcport",
    "policy p when http.host == \"x\" { reject }": "http.host",
    "policy p when ssl { reject }": "ssl",
    "policy p { respond 200 }": "respond",
    "policy p { reject 403 }": "datagram is dropped",
    "policy p { set-header A b }": "set-header",
    "policy p { use secure }": "does not go over datagrams",
    "policy p { use vserver web }": "another protocol",
    "via off": "via",
    "access-log off": "access-log",
    "head-timeout 1s": "head-timeout",
    "max-body 1k": "max-body",
    "upgrade on": "upgrade",
    "responses 70000": "65535",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_does_not_fit_is_refused(tmp_path, line):
    assert WRONG[line] in check(tmp_path, udp.conf(5300, "127.0.0.1:9", vs=line))


@pytest.mark.parametrize("option", ["backlog 10", "distribute cpu", "distribute least-load", "distribute shared", "congestion bbr", "tls { cert /x.pem }"])
def test_options_of_listen_that_do_not_fit(tmp_path, option):
    text = check(tmp_path, udp.conf(5300, "127.0.0.1:9", listen="127.0.0.1:5300 " + option))
    assert "protocol udp" in text and option.split()[0] in text


def test_udp_words_elsewhere_are_refused(tmp_path):
    for vs in ("protocol tcp; responses 1", "responses 1",
               "protocol tcp; policy p when udp.srcport == 1 { reject }"):
        text = check(tmp_path, f"pool app {{ service a 127.0.0.1:9 }}\nvserver v {{ listen 127.0.0.1:5301; {vs}; "
                               f"default use app }}\n")
        assert "responses" in text or "udp.srcport" in text


def test_the_same_udp_address_twice(tmp_path):
    text = check(tmp_path, udp.conf(5300, "127.0.0.1:9") + "vserver w { listen 127.0.0.1:5300; protocol udp; "
                                                          "default use app }\n")
    assert "same address" in text


def check(tmp_path, text):
    conf = tmp_path / "wrong.conf"
    conf.write_text("pool secure { monitor none; service s 127.0.0.1:9; tls }\n"
                    "vserver web { default respond 200 }\n" + text)
    p = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf)], capture_output=True, text=True)
    assert p.returncode == 1, p.stdout + p.stderr
    return p.stdout + p.stderr


# DNS ---------------------------------------------------------------------------------------


def test_dns(fairlead):
    names, port = DnsServer(), udp.udp_port()
    try:
        names.set("www.example.test", ["192.0.2.7"])
        f = fairlead(udp.conf(port, names.addr, vs="responses 1; idle-timeout 5s"))
        for _ in range(5):
            q = dns.message.make_query("www.example.test", "A")
            a = dns.query.udp(q, "127.0.0.1", port=port, timeout=5 * fl.SLOW)     # checks id and question
            assert a.answer[0].to_text().endswith("192.0.2.7")
        flows(f, 0)
        assert len(names.times("www.example.test")) == 5
    finally:
        names.stop()

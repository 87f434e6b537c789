# SPDX-License-Identifier: Apache-2.0
"""Monitors and names: one probe per interval however many workers there are, rise and fall, what a
killed prober or a reload may not change, and addresses that follow the name server."""
import os
import signal
import socket
import threading
import time

import pytest

import dnsserver
import fl

HTTP = "monitor m http {{ every {every}; timeout {timeout}; rise {rise}; fall {fall}; {more} }}"


def monitor(every="100ms", timeout="80ms", rise=2, fall=3, more=""):
    return HTTP.format(every=every, timeout=timeout, rise=rise, fall=fall, more=more)


class Probed:
    """An origin whose answer to probes can be changed; other requests are the origin's own."""

    def __init__(self, o, path="/healthz"):
        self.o, self.path, self.status, self.body, self.times = o, path, 200, b"fine\n", []
        o.hook = self.hook

    def hook(self, conn, q):
        if q.path != self.path:
            return None
        self.times.append(time.monotonic())
        if self.status:
            self.o.answer(conn, q, self.status, self.body)
        return False

    def __len__(self):
        return len(self.times)


@pytest.fixture
def probed(fairlead, origins):
    """Services with an http monitor each request of which is counted."""
    def start(n=1, mon=None, workers=2, **kw):
        os_ = [origins(f"o{i}") for i in range(1, n + 1)]
        probes, port = [Probed(o) for o in os_], fl.free_port()
        top = (mon or monitor(more='send "GET /healthz"')) + "\n" + kw.pop("top", "")
        f = fairlead(fl.web(port, *[o.addr for o in os_], pool="method round-robin\n monitor m", top=top, workers=workers,
                            **kw))
        for i in range(1, n + 1):
            f.wait_service(f"app/a{i}", "UP")
            fl.wait_for("probed", lambda i=i: f.service(f"app/a{i}")["health"] == "UP")
        return f, os_, probes, port
    return start


def per_interval(probe, seconds, every):
    """Probes in `seconds`, waited for from one probe to the last."""
    n = len(probe)
    fl.wait_for("the next probe", lambda: len(probe) > n, every * 10 + 1, every=0.001)
    start = probe.times[-1]
    time.sleep(seconds + every / 2)
    return len([t for t in probe.times if start < t <= start + seconds + every / 2])


def test_one_probe_per_interval_over_two_workers(probed):
    _, _, probes, _ = probed(mon=monitor("200ms", "150ms", more='send "GET /healthz"'))
    n = per_interval(probes[0], 3.0, 0.2)
    assert (14 if fl.SLOW == 1 else 10) <= n <= 16, f"{n} probes in 15 intervals"


def test_probes_are_requests_as_configured(probed):
    _, os_, _, _ = probed(mon=monitor(more='send "HEAD /healthz"; host app.example'))
    q = os_[0].requests("/healthz")[0]
    assert q.method == "HEAD" and q.all("Host") == ["app.example"] and q.get("User-Agent")


def test_fall_and_rise(probed):
    f, os_, probes, port = probed(mon=monitor("150ms", "100ms", rise=3, fall=2, more='send "GET /healthz"'))
    probes[0].status = 500
    n = len(probes[0])
    f.wait_service("app/a1", "DOWN")
    assert len(probes[0]) - n >= 2, "down before `fall` probes failed"
    assert fl.get(port, "/").status == 503
    assert f.service("app/a1")["reason"]
    probes[0].status = 200
    n = len(probes[0])
    f.wait_service("app/a1", "UP")
    assert len(probes[0]) - n >= 3, "up before `rise` probes passed"
    fl.wait_for("traffic again", lambda: fl.get(port, "/").status == 200)
    f.wait_stat("service", "app/a1", lambda r: r["down_transitions"] == 1 and r["probe_failures"] >= 2)


def test_a_service_that_starts_with_us(fairlead, origins):
    """Its port is refused at first: it is looked at again soon, and the first pass is enough."""
    o, port = origins("o"), fl.free_port()
    p = Probed(o)
    p.status = 503
    f = fairlead(fl.web(port, o.addr, pool="monitor m", top=monitor("20s", "1s", rise=5, more='send "GET /healthz"')))
    f.wait_service("app/a1", "DOWN")
    fl.wait_for("early probes", lambda: len(p) >= 3, 3)
    p.status = 200
    f.wait_service("app/a1", "UP", 3)
    n = len(p)
    time.sleep(1)
    assert len(p) == n, "the interval counts once a probe has passed"


def test_early_probes_end(fairlead, origins):
    o = origins("o")
    p = Probed(o)
    p.status = 503
    fairlead(fl.web(fl.free_port(), o.addr, pool="monitor m", top=monitor("20s", "1s", more='send "GET /healthz"')))
    fl.wait_for("all early probes", lambda: len(p) >= 20, 20)
    time.sleep(1)
    assert len(p) == 20


def test_status_waits_for_the_first_verdict(fairlead, origins):
    """Neither "nobody answers" nor "up, as far as we know" right after the start."""
    o, port = origins("o"), fl.free_port()
    p = Probed(o)
    p.status = 503
    f = fairlead(fl.web(port, o.addr, pool="monitor m", top=monitor("20s", "1s", more='send "GET /healthz"')), wait=False)
    r = f.ctl("status", "--wait", "1s", check=False)
    assert r.returncode == 1 and "HTTP 503" in r.stdout, r.stdout + r.stderr
    p.status = 200
    assert f.ctl("status", "--wait", "10s").stdout.startswith("OK")
    assert f.ctl("status", "--wait", "soon", check=False).returncode == 2
    f.stop()
    start = time.monotonic()
    r = f.ctl("status", "--wait", "300ms", check=False)
    assert r.returncode == 3 and "cannot reach" in r.stderr and 0.3 <= time.monotonic() - start < 3


def test_one_failure_is_not_down(probed):
    f, _, probes, _ = probed(mon=monitor(fall=3, more='send "GET /healthz"'))
    for _ in range(5):
        probes[0].status = 500
        n = len(probes[0])
        fl.wait_for("a failure", lambda: len(probes[0]) > n, every=0.001)
        probes[0].status = 200
        n = len(probes[0])
        fl.wait_for("passes", lambda: len(probes[0]) > n + 1)
        assert f.service("app/a1")["state"] == "UP"
    assert f.stat("service", "app/a1")["down_transitions"] == 0


@pytest.mark.parametrize("expect,status,body,state", [
    ("", 204, b"", "UP"), ("", 302, b"", "UP"), ("", 404, b"", "DOWN"), ("expect status 404", 404, b"", "UP"),
    ("expect status 200 300-399", 204, b"", "DOWN"), ("expect status 500-599", 503, b"", "UP"),
    ('expect body "all is well"', 200, b"today all is well here", "UP"),
    ('expect body "all is well"', 200, b"all is not well", "DOWN"),
    ('expect status 200; expect body "x"', 200, b"y" * 30000 + b"x", None)])
def test_expectations(fairlead, origins, expect, status, body, state):
    o, port = origins("o"), fl.free_port()
    p = Probed(o, "/")
    p.status, p.body = status, body
    f = fairlead(fl.web(port, o.addr, pool="monitor m", top=monitor(fall=1, rise=1, more=expect)))
    if state:
        fl.wait_for(f"health is {state}", lambda: f.service("app/a1")["health"] == state)
    else:           # further in than a probe need read: either is right, but it must be decided
        fl.wait_for("decided", lambda: f.service("app/a1")["health"] in ("UP", "DOWN"))


def test_silent_service_times_out(probed):
    f, _, probes, _ = probed(mon=monitor("300ms", "100ms", fall=1, more='send "GET /healthz"'))

    def hook(conn, q):
        if q.path == "/healthz":
            conn.sock.recv(1)
            return False
    probes[0].o.hook = hook
    f.wait_service("app/a1", "DOWN")
    assert "L7TOUT" in str(f.json("show", "service", "app/a1"))


def test_tcp_monitor(fairlead):
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(64)
    answer, got = [b"+PONG\r\n"], []

    def run():
        while True:
            try:
                s, _ = server.accept()
            except OSError:
                return
            with s:
                try:
                    s.settimeout(2)
                    got.append(s.recv(100))
                    s.sendall(answer[0])
                except OSError:
                    pass
    threading.Thread(target=run, daemon=True).start()
    port = fl.free_port()
    f = fairlead(fl.web(port, "127.0.0.1:%d" % server.getsockname()[1], pool="monitor m", vs="protocol tcp",
                        top='monitor m tcp { every 100ms; timeout 80ms; fall 2; rise 1; send "PING\\r\\n"; expect bytes "PONG" }'))
    fl.wait_for("UP", lambda: f.service("app/a1")["health"] == "UP")
    assert got[0] == b"PING\r\n"
    answer[0] = b"-NO\r\n"
    f.wait_service("app/a1", "DOWN")
    answer[0] = b"+PONG\r\n"
    f.wait_service("app/a1", "UP")
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    f.wait_service("app/a1", "DOWN")


def test_default_monitor_is_a_tcp_connect(fairlead, origins):
    o, port = origins("o"), fl.free_port()
    f = fairlead(f"workers 1\npool app {{ service a1 {o.addr} }}\nvserver web {{ listen 127.0.0.1:{port}; default use app }}\n")
    fl.wait_for("UP", lambda: f.service("app/a1")["health"] == "UP")
    assert not o.log


def test_monitor_on_another_port(fairlead, origins):
    o, check, port = origins("o"), origins("check"), fl.free_port()
    f = fairlead(fl.web(port, o.addr, pool="monitor m", top=monitor(fall=1, more=f"port {check.port}")))
    fl.wait_for("UP", lambda: f.service("app/a1")["health"] == "UP")
    assert check.log and not o.log
    check.stop()
    f.wait_service("app/a1", "DOWN")


def test_all_monitors_must_pass(fairlead, origins):
    o, port = origins("o"), fl.free_port()
    p = Probed(o)
    f = fairlead(fl.web(port, o.addr, pool="monitor m t", top=monitor(fall=1, rise=1, more='send "GET /healthz"') +
                        "\nmonitor t tcp { every 100ms; timeout 80ms }"))
    fl.wait_for("UP", lambda: f.service("app/a1")["health"] == "UP")
    p.status = 500
    f.wait_service("app/a1", "DOWN")


@pytest.mark.skipif(os.geteuid() != 0, reason="a raw socket needs root")
def test_ping_monitor(fairlead, origins):
    o, port = origins("o"), fl.free_port()
    f = fairlead(fl.web(port, o.addr, "240.0.0.1:80", pool="monitor p",
                        top="monitor p ping { every 150ms; timeout 100ms; fall 2 }", workers=2))
    fl.wait_for("UP", lambda: f.service("app/a1")["health"] == "UP")
    f.wait_service("app/a2", "DOWN")
    assert f.service("app/a1")["state"] == "UP"


def test_tls_monitor(fairlead, origins, certs):
    import ssl
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(certs.make("probe.example"))
    o, port = origins("o", tls=ctx), fl.free_port()
    f = fairlead(fl.web(port, o.addr, pool="monitor m", top=monitor("300ms", "250ms", more="tls on")))
    fl.wait_for("UP", lambda: f.service("app/a1")["health"] == "UP")
    assert o.log


def test_no_failed_request_when_one_of_two_dies(probed):
    """Refused connections are tried elsewhere even before `fall` probes; behind them nothing fails at all."""
    f, os_, _, port = probed(2)
    bad, stop, count = [], threading.Event(), [0]

    def load():
        while not stop.is_set():
            try:
                r = fl.get(port, "/x")
                if r.status != 200:
                    bad.append((time.monotonic(), r.status))
            except (OSError, EOFError) as e:
                bad.append((time.monotonic(), e))
            count[0] += 1
    threads = [threading.Thread(target=load) for _ in range(3)]
    for t in threads:
        t.start()
    time.sleep(0.3)
    os_[0].stop()
    f.wait_service("app/a1", "DOWN")
    down = time.monotonic()
    n = count[0]
    fl.wait_for("more requests", lambda: count[0] > n + 100)
    stop.set()
    for t in threads:
        t.join()
    assert not [b for b in bad if b[0] > down], bad
    assert len(bad) <= 3, "more than what was in flight at the service when it died"


def test_maint_stops_probing(probed):
    f, _, probes, port = probed(2)
    f.ctl("disable", "service", "app/a1")
    f.wait_service("app/a1", "MAINT")
    time.sleep(0.3 * fl.SLOW)
    n, m = len(probes[0]), len(probes[1])
    time.sleep(1.0)
    assert len(probes[0]) == n and len(probes[1]) > m + 3
    f.ctl("enable", "service", "app/a1")
    f.wait_service("app/a1", "UP")
    fl.wait_for("probed again", lambda: len(probes[0]) > n)


def watch_states(f, name, stop, seen):
    while not stop.is_set():
        try:
            seen.add(f.service(name)["state"])
        except (AssertionError, ValueError, StopIteration, OSError):
            pass
        time.sleep(0.02)


def test_reload_keeps_states(probed):
    """A reload starts no new life: DOWN stays DOWN, UP stays UP, and the interval is kept."""
    f, os_, probes, port = probed(2, mon=monitor("200ms", "150ms", rise=50, fall=2, more='send "GET /healthz"'))
    probes[0].status = 500
    f.wait_service("app/a1", "DOWN")
    probes[0].status = 200               # 50 passes are 10 s away
    stop, up, down = threading.Event(), set(), set()
    threads = [threading.Thread(target=watch_states, args=(f, n, stop, s)) for n, s in (("app/a2", up), ("app/a1", down))]
    for t in threads:
        t.start()
    n, t0 = len(probes[1]), time.monotonic()
    for _ in range(4):
        f.reload()
        assert fl.get(port, "/").get("X-Origin") == "o2"
        time.sleep(0.3)
    expected = (time.monotonic() - t0) / 0.2
    n = len(probes[1]) - n
    stop.set()
    for t in threads:
        t.join()
    assert up == {"UP"} and down == {"DOWN"}
    assert n <= expected + 5, f"{n} probes where {expected:.0f} were due"
    assert per_interval(probes[1], 1.0, 0.2) <= 6


def test_killed_prober_is_replaced(probed):
    f, _, probes, port = probed(mon=monitor("200ms", "150ms", fall=2, more='send "GET /healthz"'))
    stop, seen = threading.Event(), set()
    t = threading.Thread(target=watch_states, args=(f, "app/a1", stop, seen))
    t.start()
    for i in range(4):
        victim = f.workers()[i % 2]
        os.kill(victim, signal.SIGKILL)
        fl.wait_for("a new worker", lambda v=victim: len(f.workers()) == 2 and v not in f.workers())
        n = len(probes[0])
        fl.wait_for("probes go on", lambda: len(probes[0]) > n, 3)
    n = per_interval(probes[0], 2.0, 0.2)
    stop.set()
    t.join()
    assert seen == {"UP"}
    assert (9 if fl.SLOW == 1 else 6) <= n <= 11, f"{n} probes in 10 intervals"


def test_killed_workers_forget_nothing(probed):
    f, _, probes, port = probed(2, mon=monitor(fall=2, rise=100, more='send "GET /healthz"'))
    probes[0].status = 500
    f.wait_service("app/a1", "DOWN")
    probes[0].status = 200
    for pid in f.workers():
        os.kill(pid, signal.SIGKILL)
    fl.wait_for("new workers", lambda: len(f.workers()) == 2)
    assert f.service("app/a1")["state"] == "DOWN"
    for _ in range(6):
        assert fl.get(port, "/").get("X-Origin") == "o2"


# Names

@pytest.fixture
def dns():
    s = dnsserver.DnsServer()
    yield s
    s.stop()


def named(port, dns, target, name="app.test", **kw):
    kw.setdefault("pool", "monitor none")
    return fl.web(port, f"{name}:{target}", top=f"resolver {dns.addr}\n" + kw.pop("top", ""), **kw)


def two_origins(origins):
    """The same port on two loopback addresses."""
    while True:
        a = origins("a", host="127.0.0.11")
        try:
            return a, origins("b", host="127.0.0.12", port=a.port)
        except OSError:
            a.stop()


def test_name_is_resolved_and_followed(fairlead, origins, dns):
    a, b = two_origins(origins)
    port = fl.free_port()
    dns.set("app.test", ["127.0.0.11"], ttl=1)
    f = fairlead(named(port, dns, a.port, workers=2))
    f.wait_service("app/a1", "UP")
    assert fl.get(port, "/").get("X-Origin") == "a"
    with fl.Client(port) as c:
        assert c.get("/").get("X-Origin") == "a"
        dns.set("app.test", ["127.0.0.12"], ttl=1)
        fl.wait_for("the new address is used", lambda: fl.get(port, "/").get("X-Origin") == "b", 8)
        time.sleep(0.3 * fl.SLOW)
        assert c.get("/").get("X-Origin") == "b", "an idle connection to the old address was used"
    for _ in range(10):
        assert fl.get(port, "/").get("X-Origin") == "b"


def test_ttl_is_respected(fairlead, origins, dns):
    """Asked again when the TTL is over, by one for all, and not before."""
    o, port = origins("o"), fl.free_port()
    dns.set("app.test", ["127.0.0.1"], ttl=2)
    dns.set("long.test", ["127.0.0.1"], ttl=3600)
    f = fairlead(named(port, dns, o.port, workers=2, top=f"pool other {{ monitor none; service s long.test:{o.port} }}"))
    f.wait_service("app/a1", "UP")
    f.wait_service("other/s", "UP")
    time.sleep(5)
    n = len(dns.times("app.test"))
    assert 2 <= n <= 5, f"asked {n} times in 5 s with a TTL of 2 s"
    assert len(dns.times("long.test")) <= 2


def test_unknown_name_at_start_is_a_warning(fairlead, origins, dns):
    o, port = origins("o"), fl.free_port()
    dns.set("app.test", "nxdomain")
    f = fairlead(named(port, dns, o.port))
    fl.wait_for("it was asked", lambda: dns.times("app.test"))
    assert f.service("app/a1")["state"] == "RESOLVING"
    assert fl.get(port, "/").status == 503
    fl.wait_for("it is told", lambda: "app.test" in f.output())
    dns.set("app.test", ["127.0.0.1"])
    f.wait_service("app/a1", "UP", 40)
    fl.wait_for("traffic", lambda: fl.get(port, "/").status == 200)


@pytest.mark.parametrize("trouble", ["nxdomain", "servfail", "silent"])
def test_last_good_address_is_kept(fairlead, origins, dns, trouble):
    o, port = origins("o"), fl.free_port()
    dns.set("app.test", ["127.0.0.1"], ttl=1)
    f = fairlead(named(port, dns, o.port, workers=2))
    f.wait_service("app/a1", "UP")
    dns.set("app.test", trouble)
    n = len(dns.times("app.test"))
    fl.wait_for("it is asked again", lambda: len(dns.times("app.test")) > n, 15)
    time.sleep(1.0)
    assert f.service("app/a1")["state"] == "UP"
    for _ in range(5):
        assert fl.get(port, "/").status == 200
    f.reload()
    assert fl.get(port, "/").status == 200, "a reload forgot the address"


def test_monitored_name(fairlead, origins, dns):
    a, b = two_origins(origins)
    port = fl.free_port()
    dns.set("app.test", ["127.0.0.11"], ttl=1)
    f = fairlead(named(port, dns, a.port, pool="monitor m", top=monitor()))
    f.wait_service("app/a1", "UP")
    a.stop()
    f.wait_service("app/a1", "DOWN")
    dns.set("app.test", ["127.0.0.12"], ttl=1)
    f.wait_service("app/a1", "UP", 15)
    assert fl.get(port, "/").get("X-Origin") == "b"


def test_a_name_that_does_not_resolve_is_said_once(fairlead):
    f = fairlead(f"pool app {{ service a nosuch.invalid:80 }}\nvserver v {{ listen 127.0.0.1:{fl.free_port()}; default use app }}\n")
    fl.wait_for("it is said", lambda: "does not resolve" in f.output())
    tries = lambda: sum(r["resolves"] for r in f.json("stat", "core", "--all"))     # noqa: E731
    fl.wait_for("it was asked for again", lambda: tries() >= 3, 30)
    assert f.output().count("does not resolve") == 1


def test_fewer_workers_than_cores_is_no_warning(fairlead, origins):
    f = fairlead(fl.web(fl.free_port(), origins("o").addr, workers=1))
    f.reload()
    assert " adopt" not in f.output(), f.output()

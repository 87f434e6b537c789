# SPDX-License-Identifier: Apache-2.0
"""Functions of cores, and connections that are handed to the core that is to serve them: `function tls|monitors|names`, and
`distribute rules` where the kernel does not steer."""
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import dnsserver
import fl

MONITOR = 'monitor m http { every 200ms; timeout 150ms; send "GET /healthz" }'
TELLS = 'policy tell { respond 200 "{ip.src} {tcp.srcport} {tls.sni} {tcp.dstport}" }'


COUNTED = ("accepts", "tls_handshakes", "http_transactions", "passed", "pass_taken", "pass_kept")


def context():
    return ssl._create_unverified_context()


def core(f, n):
    return next(r for r in f.json("stat", "core", "--all") if r["name"] == str(n))


def deltas(f, before, *names):
    """What both cores counted since, by name: (core 0, core 1)."""
    after = [core(f, 0), core(f, 1)]
    return {n: tuple(after[c][n] - before[c][n] for c in (0, 1)) for n in names}


def counted(f, before, **want):
    """Waits until the counters have moved by exactly that much; they are folded with a delay."""
    last = {}

    def there():
        last.update(deltas(f, before, *want))
        return last == want
    try:
        fl.wait_for("counters", there, 5)
    except Exception as e:
        raise AssertionError(f"{last} instead of {want}") from e


def both(f):
    return [core(f, 0), core(f, 1)]


def settled(f):
    """Counters after everything that came before is in them."""
    def stands_still():
        first = both(f)
        time.sleep(0.1 * fl.SLOW)
        return all(a[n] == b[n] for a, b in zip(first, both(f)) for n in COUNTED) and first
    return fl.wait_for("counters stand still", stands_still, 10)


def handshakes_at_core_1(f, n=10):
    before = settled(f)
    ask(f.port, n)
    counted(f, before, tls_handshakes=(0, n))


def pid_of(f, n):
    rows = [r for r in f.cores("running") if r.get("role") == "worker" and r["core"] == n]
    return max(rows, key=lambda r: r["generation"])["pid"] if rows else None


@pytest.fixture
def site(fairlead, origins, certs):
    """Two workers, of which core 1 does TLS; answers say whom they saw."""
    pem = certs.make("first.example", "first.example", "127.0.0.1")
    o = origins("o1")

    def start(top="function tls cores 1", vs=TELLS, listen="", workers=2, **kw):
        port = kw.pop("port", None) or fl.free_port()
        conf = fl.web(port, o.addr, top=top, vs=vs, workers=workers, listen=f"{{ tls {{ cert {pem} }}; {listen} }}")
        f = fairlead(conf, **kw)
        f.conf_text, f.port, f.origin, f.pem = conf, port, o, pem
        return f
    return start


def ask(port, n=1, host="first.example", timeout=20):
    """n connections with one request each; what the answers said, and from which port they were asked."""
    said = []
    for _ in range(n):
        with fl.Client(port, tls=context(), sni=host, timeout=timeout) as c:
            me = c.sock.getsockname()
            r = c.get("/", host=host, fields="Connection: close\r\n")
            assert r.status == 200
            said.append((me, r.body.decode()))
    return said


class Load:
    """TLS connections one after the other, with one request each; what failed, and when."""

    def __init__(self, port, threads=4, timeout=20):
        self.port, self.timeout, self.bad, self.done, self.stop = port, timeout, [], 0, threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]
        for t in self.threads:
            t.start()

    def run(self):
        while not self.stop.is_set():
            try:
                ask(self.port, timeout=self.timeout)
                self.done += 1
            except (OSError, EOFError, AssertionError) as e:
                self.bad.append((time.monotonic(), repr(e)))

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()
        return self.bad


# TLS -----------------------------------------------------------------------------------------------------------------

def test_tls_is_done_by_its_core(site):
    f = site()
    before = both(f)
    for me, said in ask(f.port, 40):
        assert said == f"127.0.0.1 {me[1]} first.example {f.port}"
    counted(f, before, tls_handshakes=(0, 40), http_transactions=(0, 40))
    d = deltas(f, before, "accepts", "passed", "pass_taken", "pass_kept", "pass_lost")
    assert sum(d["accepts"]) == 40 and d["accepts"][0] > 0, d
    assert d["passed"] == (d["accepts"][0], 0) and d["pass_taken"] == (0, d["accepts"][0]), d
    assert d["pass_kept"] == d["pass_lost"] == (0, 0), d
    shown = {r["core"]: r["functions"] for r in f.cores("running")}
    assert shown == {0: None, 1: "tls"}
    assert "functions" in f.ctl("show", "core").stdout.splitlines()[0]


def test_a_listener_keeps_to_its_cores(site):
    """`cores` of the listener and of the function have nothing in common: its own are meant, and a warning says so."""
    f = site(listen="cores 0")
    before = both(f)
    for me, said in ask(f.port, 20):
        assert said == f"127.0.0.1 {me[1]} first.example {f.port}"
    counted(f, before, tls_handshakes=(20, 0), passed=(0, 0))
    path = f.dir / "again.conf"
    path.write_text(f.conf_text)
    out = subprocess.run([fl.FAIRLEAD, "-t", "-c", path], capture_output=True, text=True, check=True).stderr
    assert "W0402" in out and "do TLS themselves" in out


def test_clear_listeners_are_nobodys_function(fairlead, origins):
    port = fl.free_port()
    f = fairlead(fl.web(port, origins("o1").addr, vs=TELLS, top="function tls cores 1", workers=2))
    before = both(f)
    for _ in range(30):
        assert fl.get(port).status == 200
    fl.wait_for("counted", lambda: sum(deltas(f, before, "http_transactions")["http_transactions"]) == 30)
    d = deltas(f, before, "passed", "http_transactions")
    assert d["passed"] == (0, 0) and d["http_transactions"][0] > 0


def test_tcp_vservers_too(site):
    f = site(vs="protocol tcp")
    before = both(f)
    for _ in range(20):
        with fl.Client(f.port, tls=context(), sni="first.example") as c:
            assert c.get("/x").status == 200
    counted(f, before, tcp_connections=(0, 20))


def test_keep_alive_and_bodies(site):
    f = site(vs="")

    def echo(conn, q):
        f.origin.read_body(conn, q)
        f.origin.answer(conn, q, 200, q.body)
        return True
    f.origin.hook = echo
    before = both(f)
    body = os.urandom(200000)
    for _ in range(6):
        with fl.Client(f.port, tls=context(), sni="first.example") as c:
            for _ in range(3):
                c.send(b"POST /e HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                assert c.response("POST").body == body
    counted(f, before, http_transactions=(0, 18))


def test_nothing_is_lost_by_reloads(site):
    f = site()
    load = Load(f.port)
    fl.wait_for("load", lambda: load.done > 20)
    for i in range(6):
        f.reload(f.conf_text.replace("cores 1", "cores 0") if i % 2 == 0 else f.conf_text)
    seen = load.done
    fl.wait_for("load goes on", lambda: load.done > seen + 20)
    assert load.end() == []
    handshakes_at_core_1(f)
    assert sum(core(f, n)["pass_lost"] for n in (0, 1)) == 0


def test_stopped_core_keeps_no_client_waiting(site):
    """What was handed to a worker that hangs is answered by who serves its listeners."""
    f = site(top="function tls cores 1\nheartbeat-timeout 500ms")
    ask(f.port, 4)
    hung = pid_of(f, 1)
    load = Load(f.port, threads=6)
    fl.wait_for("load", lambda: load.done > 20)
    at_stop = load.done
    os.kill(hung, signal.SIGSTOP)
    fl.wait_for("replaced", lambda: pid_of(f, 1) not in (None, hung), 15 * fl.SLOW)
    fl.wait_for("load goes on", lambda: load.done > at_stop + 60, 20 * fl.SLOW)
    bad = load.end()
    # the connections that it had accepted or taken go with it: never more than there were at that moment
    assert len(bad) <= 6, bad
    handshakes_at_core_1(f)


def test_what_waits_for_a_killed_core_is_served(site):
    """Handed to a stopped worker that is then killed: the clients never notice."""
    f = site(top="function tls cores 1\nheartbeat-timeout 30s")
    hung = pid_of(f, 1)
    os.kill(hung, signal.SIGSTOP)
    before, clients = both(f), []

    def one():
        try:
            clients.append(ask(f.port, timeout=60 * fl.SLOW)[0][1].split()[2])
        except (OSError, EOFError) as e:
            clients.append(repr(e))
    threads = [threading.Thread(target=one) for _ in range(24)]
    for t in threads:
        t.start()
    fl.wait_for("some were handed over", lambda: deltas(f, before, "passed")["passed"][0] >= 3, 20 * fl.SLOW)
    time.sleep(0.3)
    assert not clients or set(clients) == {"first.example"}
    os.kill(hung, signal.SIGKILL)
    for t in threads:
        t.join()
    assert clients == ["first.example"] * 24
    assert sum(core(f, n)["pass_lost"] for n in (0, 1)) == 0


def test_kill_under_load(site):
    f = site()
    load = Load(f.port, threads=4)
    for _ in range(4):
        seen, pid = load.done, fl.wait_for("worker of core 1", lambda: pid_of(f, 1))
        fl.wait_for("load", lambda seen=seen: load.done > seen + 15, 20 * fl.SLOW)
        os.kill(pid, signal.SIGKILL)
        fl.wait_for("another one", lambda pid=pid: pid_of(f, 1) not in (None, pid), 15 * fl.SLOW)
    bad = load.end()
    assert len(bad) <= 4 * 4, bad        # those it was serving
    assert sum(core(f, n)["pass_lost"] for n in (0, 1)) == 0


def test_full_box_is_served_by_who_accepted(site):
    f = site(top="function tls cores 1\nheartbeat-timeout 60s")
    hung = pid_of(f, 1)
    os.kill(hung, signal.SIGSTOP)
    try:
        before, held = both(f), []
        while deltas(f, before, "pass_kept")["pass_kept"][0] < 3 and len(held) < 4000:
            for _ in range(100):
                s = socket.socket()
                s.settimeout(20 * fl.SLOW)
                s.connect(("127.0.0.1", f.port))
                held.append(s)
        d = deltas(f, before, "pass_kept", "passed")
        assert d["pass_kept"][0] >= 3 and d["passed"][0] > 50, d
        before = both(f)

        def served():                    # half of all clients come to core 0 by themselves
            try:
                return ask(f.port, timeout=2)
            except OSError:
                return None
        fl.wait_for("who came to core 0 is answered", served, 60)
        counted(f, before, tls_handshakes=(1, 0))
    finally:
        os.kill(hung, signal.SIGCONT)
        for s in held:
            s.close()


def test_listener_that_is_gone_goes_back(site):
    """Handed over before a reload that removes the listener, found by the new worker: the old one serves it."""
    extra = fl.free_port()
    f = site(top="function tls cores 1\nheartbeat-timeout 60s")
    more = f.conf_text + (f"vserver other {{\n    listen 127.0.0.1:{extra} {{ tls {{ cert {f.pem} }} }}\n"
                          f"    default respond 200 \"other\"\n}}\n")
    f.reload(more)
    old = pid_of(f, 1)
    os.kill(old, signal.SIGSTOP)
    before, said = both(f), []
    clients = [socket.create_connection(("127.0.0.1", extra), 60 * fl.SLOW) for _ in range(16)]

    def one(sock):
        try:
            with context().wrap_socket(sock, server_hostname="first.example") as t:
                t.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                answer = b""
                while more := t.recv(1000):
                    answer += more
                said.append(answer.partition(b"\r\n\r\n")[2])
        except OSError as e:
            said.append(repr(e))
    threads = [threading.Thread(target=one, args=(c,)) for c in clients]
    for t in threads:
        t.start()
    fl.wait_for("handed over", lambda: deltas(f, before, "passed")["passed"][0] >= 2, 20 * fl.SLOW)
    settled(f)
    f.reload(f.conf_text)
    time.sleep(0.3)
    os.kill(old, signal.SIGCONT)
    for t in threads:
        t.join()
    assert said == [b"other"] * 16
    assert sum(core(f, n)["pass_lost"] for n in (0, 1)) == 0


def test_new_masters(site):
    """Boxes outlive the master: what waits there is still found after its death, and after an upgrade."""
    f = site()
    ask(f.port, 4)
    load = Load(f.port)
    os.kill(f.proc.pid, signal.SIGKILL)
    f.proc.wait()
    f.start()
    seen = load.done
    fl.wait_for("load goes on", lambda: load.done > seen + 20, 20 * fl.SLOW)
    gen = f.generation()
    f.signal(signal.SIGUSR2)
    fl.wait_for("upgraded", lambda: f.generation() > gen and f.is_ready(), 20 * fl.SLOW)
    seen = load.done
    fl.wait_for("load goes on", lambda: load.done > seen + 20, 20 * fl.SLOW)
    assert load.end() == []
    handshakes_at_core_1(f)


def test_fewer_workers(site):
    f = site(top="function tls cores 0 1")
    load = Load(f.port)
    one = f.conf_text.replace("workers 2", "workers 1").replace("cores 0 1", "cores 0")
    for conf in (one, f.conf_text, one):
        seen = load.done
        f.reload(conf)
        fl.wait_for("load goes on", lambda seen=seen: load.done > seen + 20, 20 * fl.SLOW)
    assert load.end() == []


# Rules ---------------------------------------------------------------------------------------------------------------

@pytest.fixture
def weak(tmp_path):
    """The program without CAP_BPF."""
    path, drop = tmp_path / "weak", "-cap_39,-cap_21"
    path.write_text(f"#!/bin/sh\nexec setpriv --bounding-set={drop} --inh-caps={drop} {fl.FAIRLEAD} \"$@\"\n"
                    if os.geteuid() == 0 else f"#!/bin/sh\nexec {fl.FAIRLEAD} \"$@\"\n")
    path.chmod(0o755)
    return str(path)


needs_failpoints = pytest.mark.skipif(
    "failpoints" not in subprocess.run([fl.FAIRLEAD, "-V"], capture_output=True, text=True).stdout,
    reason="a build without failpoints")
UNABLE = {"FAIRLEAD_FAILPOINTS": "rss.tree=errno EINVAL"}        # a kernel that takes no classic program either


@needs_failpoints
def test_rules_without_the_right_to_steer(fairlead, weak):
    """The kernel spreads by its hash; each client comes to its core all the same."""
    port = fl.free_port()
    f = fairlead(f"workers 2\nvserver web {{\n    listen 127.0.0.1:{port} {{\n"
                 f"        distribute rules {{ core 0 127.1.0.0/16; core 1 127.1.1.0/24; core 1 127.2.0.0/16; core 7 127.3.0.0/16 }}\n"
                 f"    }}\n    default respond 200 \"{{ip.src}}\"\n}}\n", program=weak, env=UNABLE)
    row = next(r for r in f.json("show", "listener"))
    assert row["steering"].startswith("kernel"), row
    for source, where in (("127.1.2.3", 0), ("127.1.1.3", 1), ("127.2.2.1", 1)):
        before = both(f)
        for _ in range(12):
            assert fl.get(port, source=(source, 0)).body.decode() == source
        counted(f, before, http_transactions=(12, 0) if where == 0 else (0, 12))
        d = deltas(f, before, "passed", "pass_kept", "accepts")
        assert d["passed"][1 - where] == d["accepts"][1 - where] and d["pass_kept"] == (0, 0), d
    before = both(f)
    for _ in range(8):
        assert fl.get(port, source=("127.3.0.1", 0)).status == 200        # there is no core 7
    counted(f, before, passed=(0, 0))
    fl.wait_for("kept", lambda: sum(deltas(f, before, "pass_kept")["pass_kept"]) == 8)
    os.kill(pid_of(f, 1), signal.SIGKILL)
    for _ in range(10):
        assert fl.get(port, source=("127.2.2.1", 0)).status == 200


@needs_failpoints
@pytest.mark.parametrize("how", ["rss tuple 2", "rss tuple 3", "rss"])
def test_same_core_for_a_client_without_the_right_to_steer(fairlead, weak, how):
    port = fl.free_port()
    f = fairlead(f"workers 2\nvserver web {{\n    listen 127.0.0.1:{port} {{ distribute {how} }}\n"
                 f"    default respond 200 \"x\"\n}}\n", program=weak, env=UNABLE)
    fl.wait_for("decided", lambda: f.json("show", "listener")[0]["steering"].startswith("kernel"))
    cores = set()
    for i in range(12):
        before = settled(f)
        for _ in range(8):
            assert fl.get(port, source=(f"127.0.7.{i}", 0)).status == 200
        after = settled(f)
        served = [after[c]["http_transactions"] - before[c]["http_transactions"] for c in (0, 1)]
        if how == "rss":         # by the ports as well: nothing is promised, nothing handed over
            assert after[0]["passed"] == after[1]["passed"] == 0
            return
        assert sorted(served) == [0, 8], served
        cores.add(served.index(8))
    assert cores == {0, 1}


def test_the_classic_program_leaves_nothing_to_hand_over(fairlead, weak):
    port = fl.free_port()
    f = fairlead(f"workers 2\nvserver web {{\n    listen 127.0.0.1:{port} {{\n"
                 f"        distribute rules {{ core 0 127.1.0.0/16; core 1 127.1.1.0/24 }}\n"
                 f"    }}\n    default respond 200 \"{{ip.src}}\"\n}}\n", program=weak)
    steering = fl.wait_for("decided", lambda: f.json("show", "listener")[0]["steering"])
    assert "classic" in steering, steering
    for source, where in (("127.1.2.3", 0), ("127.1.1.3", 1)):
        before = both(f)
        for _ in range(12):
            assert fl.get(port, source=(source, 0)).body.decode() == source
        counted(f, before, http_transactions=(12, 0) if where == 0 else (0, 12), passed=(0, 0))


# Monitors and names --------------------------------------------------------------------------------------------------

@pytest.fixture
def probed(fairlead, origins):
    def start(n=6, top="function monitors cores 0"):
        os_ = [origins(f"o{i}") for i in range(n)]
        port = fl.free_port()
        conf = fl.web(port, *[o.addr for o in os_], pool="monitor m", top=MONITOR + "\n" + top, workers=2)
        f = fairlead(conf)
        f.conf_text = conf
        for i in range(1, n + 1):
            fl.wait_for("probed", lambda i=i: f.service(f"app/a{i}")["health"] == "UP")
        return f
    return start


def owner_cores(f):
    return {r["core"] for r in f.json("show", "owner")}


def owned_by(f, n, timeout=10):
    fl.wait_for(f"core {n} owns all", lambda: owner_cores(f) == {n} and
                {r["candidate"] for r in f.json("show", "owner")} == {n}, timeout * fl.SLOW)


def probes_since(f, before):
    return deltas(f, before, "probes")["probes"]


def test_monitors_run_on_their_core(probed):
    f = probed()
    owned_by(f, 0)
    before = both(f)
    fl.wait_for("probes", lambda: probes_since(f, before)[0] >= 12)
    assert probes_since(f, before)[1] == 0
    assert {r["core"]: r["functions"] for r in f.cores("running")} == {0: "monitors", 1: None}
    # nobody of theirs lives: all others do it, and give it back
    pid = pid_of(f, 0)
    os.kill(pid, signal.SIGKILL)
    fl.wait_for("another one", lambda: pid_of(f, 0) not in (None, pid), 15 * fl.SLOW)
    owned_by(f, 0)
    before = both(f)
    fl.wait_for("probes", lambda: probes_since(f, before)[0] >= 12)
    assert probes_since(f, before)[1] == 0
    assert all(f.service(f"app/a{i}")["health"] == "UP" for i in range(1, 7))


def test_others_probe_while_the_core_hangs(probed):
    f = probed(top="function monitors cores 0\nheartbeat-timeout 500ms")
    owned_by(f, 0)
    takeovers = core(f, 1)["takeovers"]
    hung = pid_of(f, 0)
    os.kill(hung, signal.SIGSTOP)
    fl.wait_for("core 1 took them", lambda: core(f, 1)["takeovers"] >= takeovers + 6, 10 * fl.SLOW)
    fl.wait_for("another one", lambda: pid_of(f, 0) not in (None, hung), 15 * fl.SLOW)
    owned_by(f, 0)


def test_a_reload_moves_them(probed):
    f = probed()
    owned_by(f, 0)
    f.reload(f.conf_text.replace("cores 0", "cores 1"))
    owned_by(f, 1)
    rows = f.json("show", "owner")
    assert {r["reason"] for r in rows} == {"moved"}, rows
    assert "configuration names it" in f.ctl("show", "owner", "app/a1").stdout
    f.reload(f.conf_text.replace("cores 0", "cores 1"))
    fl.wait_for("taken over", lambda: {r["reason"] for r in f.json("show", "owner")} == {"reload"})
    f.reload(f.conf_text.replace("function monitors cores 0", ""))
    fl.wait_for("both have some", lambda: owner_cores(f) == {0, 1})


def test_names_are_resolved_by_their_core(fairlead, origins):
    o, port, dns = origins("o1"), fl.free_port(), dnsserver.DnsServer()
    try:
        names = [f"n{i}.example" for i in range(6)]
        for n in names:
            dns.set(n, ["127.0.0.1"], ttl=1)
        top = f"resolver {dns.addr}\nfunction names cores 1"
        f = fairlead(fl.web(port, *[f"{n}:{o.port}" for n in names], top=top, workers=2))
        owned_by(f, 1)
        before = both(f)
        fl.wait_for("asked", lambda: deltas(f, before, "resolves")["resolves"][1] >= 6, 20 * fl.SLOW)
        assert deltas(f, before, "resolves")["resolves"][0] == 0
    finally:
        dns.stop()


# Mistakes ------------------------------------------------------------------------------------------------------------

def check(tmp_path, text):
    path = tmp_path / "c.conf"
    path.write_text(text)
    p = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(path)], capture_output=True, text=True)
    return p.returncode, p.stdout + p.stderr


BODY = "\npool app {\n    monitor m\n    service a1 name.example:80\n}\nmonitor m tcp\nvserver web {\n    listen 127.0.0.1:1\n    default use app\n}\n"
WRONG = {
    "function dns cores 0": ("c.conf:2:10: error", "tls"),
    "function tls cores 1-x": ("c.conf:2:20: error", "write it as in: cores 0 2-3"),
    "function tls cores 3-1": ("c.conf:2:20: error", "no core or range"),
    "function tls cores 0 2": ("c.conf:2:22: error", "there are 2 workers"),
    "function tls cores": ("c.conf:2:", "error"),
    "function tls 1": ("c.conf:2:14: error", "cores"),
    "function tls cores 0\nfunction tls cores 1": ("c.conf:3:1: error", "given twice"),
    "function monitors cores 0\nfunction names cores 1": ("c.conf:6:5: error", "a core in common"),
}


@pytest.mark.parametrize("text", WRONG)
def test_mistakes(tmp_path, text):
    rc, said = check(tmp_path, "workers 2\n" + text + BODY)
    where, hint = WRONG[text]
    assert rc == 1 and where in said and hint in said and "^" in said, said


def test_more_cores_than_the_machine_has(tmp_path):
    rc, said = check(tmp_path, "function monitors cores 0 900" + BODY.replace("name.example", "127.0.0.1"))
    assert rc == 0 and "c.conf:1:27: warning" in said and "core 900" in said, said

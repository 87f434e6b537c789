# SPDX-License-Identifier: Apache-2.0
"""`distribute rss` and `rules`: shares, tables that follow workers and load, new masters, and what happens without
the right to load programs."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import chaoslib
import fl
import udp

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
CAP_SYS_ADMIN, CAP_BPF = 21, 39


def may_load_programs():
    with open("/proc/self/status") as f:
        caps = int(re.search(r"CapEff:\s*(\w+)", f.read()).group(1), 16)
    return bool(caps & (1 << CAP_BPF | 1 << CAP_SYS_ADMIN))


needs_bpf = pytest.mark.skipif(not may_load_programs(), reason="no right to load programs")


@pytest.fixture
def appliance(tmp_path):
    running = []

    def start(config, **kw):
        a = chaoslib.Appliance(tmp_path, config, name=f"fl{len(running)}", **kw)
        running.append(a)
        return a

    yield start
    for a in running:
        a.stop()


@pytest.fixture
def weak(tmp_path):
    """A program without the right to load eBPF."""
    path = tmp_path / "weak"
    drop = f"-cap_{CAP_BPF},-cap_{CAP_SYS_ADMIN}"
    path.write_text(f"#!/bin/sh\nexec setpriv --bounding-set={drop} --inh-caps={drop} {fl.FAIRLEAD} \"$@\"\n"
                    if os.geteuid() == 0 else f"#!/bin/sh\nexec {fl.FAIRLEAD} \"$@\"\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def load():
    with contextlib.ExitStack() as stack:
        def start(*args, **kw):
            x = chaoslib.Load(*args, **kw)
            stack.callback(x.kill)
            return x
        yield start


@pytest.fixture
def backend():
    o = chaoslib.Origin()
    yield o
    o.stop()


def answers(port, how="rss", workers=2, top="", host="127.0.0.1"):
    """A vserver that answers by itself."""
    return (f"workers {workers}\nerror-log stderr info\n{top}\nvserver web {{\n    listen {host}:{port} {{\n"
            f"        distribute {how}\n    }}\n    default respond 200 \"here\"\n}}\n")


def ask(port, source="127.0.0.1", timeout=10):
    with socket.create_connection(("127.0.0.1", port), timeout, (source, 0)) as s:
        s.sendall(REQUEST)
        assert s.recv(4096).startswith(b"HTTP/1.1 200")


def accepts(a):
    return {int(r["name"]): r["accepts"] for r in a.json("stat", "core", "--all", "--json")}


def settled(a):
    def stands_still():
        first = accepts(a)
        time.sleep(0.05 * fl.SLOW)
        return first == accepts(a) and first
    return fl.wait_for("what was before is counted", stands_still)


def got_by(a, port, sources):
    """{core: connections} of one from each of these addresses."""
    before = settled(a)
    n = 0
    for source in sources:
        ask(port, source)
        n += 1

    def counted():
        now = accepts(a)
        return sum(now.values()) == sum(before.values()) + n and now

    after = fl.wait_for("all are counted", counted)
    return {core: after[core] - before[core] for core in after if after[core] != before[core]}


def core_of(a, port, source):
    (core, _), = got_by(a, port, [source]).items()
    return core


def listener(a, index=0):
    rows = fl.wait_for("control has the configuration", lambda: a.json("show", "listener", "--json"))
    return rows[index]


def steering(a):
    return listener(a)["steering"]


def rss(a):
    return a.json("show", "listener", listener(a)["name"], "--json")[0]["rss"]


# Toeplitz is linear: addresses that differ in few bits are all on one core with a key in 2^bits.
SOURCES = [f"127.{i * 37 % 256}.{i * 91 % 256}.{1 + i * 53 % 251}" for i in range(1, 25)]


# Where connections go --------------------------------------------------------------------------

@needs_bpf
@pytest.mark.parametrize("how", ["rss", "rss hash toeplitz", "rss { hash jhash; tuple 4 }"])
def test_connections_of_one_client_are_spread(appliance, how):
    port = fl.free_port()
    a = appliance(answers(port, how))
    assert (listener(a)["distribute"], steering(a)) == ("rss", "rss")
    got = got_by(a, port, ["127.0.0.1"] * 200)
    assert sorted(got) == [0, 1] and min(got.values()) > 50       # seven standard deviations
    shown = rss(a)
    assert shown["hash"] == ("toeplitz" if "toeplitz" in how else "jhash") and shown["tuple"] == 4
    assert shown["buckets"] == [64, 64]
    assert shown["flows"] == [got[0], got[1]]
    assert (shown["moves"], shown["spare"], shown["fallback"]) == (0, 0, 0)
    text = a.ctl("show", "listener", listener(a)["name"]).stdout
    assert re.search(r"^buckets per core +64 64$", text, re.M), text


@needs_bpf
@pytest.mark.parametrize("how", ["rss tuple 2", "rss { tuple 3; hash toeplitz }"])
def test_a_client_has_one_core(appliance, how):
    port = fl.free_port()
    a = appliance(answers(port, how))
    cores = set()
    for source in SOURCES:
        got = got_by(a, port, [source] * 3)
        assert len(got) == 1
        cores |= set(got)
    assert cores == {0, 1}


@needs_bpf
def test_both_families_on_one_socket(appliance):
    port = fl.free_port()
    a = appliance(answers(port, host="*"))
    assert sorted(got_by(a, port, ["127.0.0.1"] * 60)) == [0, 1]
    before = settled(a)
    for _ in range(60):
        with socket.create_connection(("::1", port), 10) as s:
            s.sendall(REQUEST)
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
    after = settled(a)
    assert min(after[c] - before[c] for c in (0, 1)) > 5
    assert rss(a)["fallback"] == 0


@needs_bpf
def test_rules(appliance):
    port = fl.free_port()
    rules = "rules { core 0 127.1.0.0/16 127.2.2.2; core 1 127.1.1.0/24 127.2.0.0/16 ::1; core 7 127.3.0.0/16 }"
    a = appliance(answers(port, rules))
    assert (listener(a)["distribute"], steering(a)) == ("rules", "rules")
    for source, core in (("127.1.2.3", 0), ("127.1.1.3", 1), ("127.2.2.1", 1), ("127.2.2.2", 0)):
        assert got_by(a, port, [source] * 8) == {core: 8}
    assert sum(got_by(a, port, ["127.3.0.1"] * 5).values()) == 5          # there is no core 7
    assert sorted(got_by(a, port, ["127.9.9.9"] * 60)) == [0, 1]
    victim = next(w for w in a.serving() if w.core == 1)
    victim.kill(signal.SIGSTOP)
    for _ in range(10):
        ask(port, "127.1.1.3")
    a.wait_serving(2, [victim.pid])
    fl.wait_for("core 1 has its clients again", lambda: got_by(a, port, ["127.1.1.3"] * 4) == {1: 4})
    a.reload(answers(port, rules.replace("core 1 127.1.1.0/24", "core 1 127.1.2.0/24")))
    assert got_by(a, port, ["127.1.1.3"] * 8) == {0: 8}
    assert got_by(a, port, ["127.1.2.3"] * 8) == {1: 8}


def from_port(port, core_port, to="127.0.0.1"):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.6.0.1", core_port))
        s.settimeout(10 * fl.SLOW)
        s.connect((to, port))
        s.sendall(REQUEST)
        assert s.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("right", [pytest.param(True, marks=needs_bpf), False])
def test_rules_of_four_tuples(appliance, weak, right):
    """Ports of the client and our address count as well, whatever is hashed."""
    port = fl.free_port()
    rules = ("rules { tuple 2; core 1 127.6.0.0/16; flow 0 from 127.6.0.0/16 port 21000-21999; "
             "flow 0 from 127.6.0.0/16 to 127.0.0.9; flow 1 from 127.6.0.1 port 21500 to 127.0.0.1 }")
    a = appliance(answers(port, rules, host="*"), **({} if right else {"program": weak}))
    assert steering(a).split()[0] == "rules"

    def core_of_port(client, to="127.0.0.1"):
        before = settled(a)
        from_port(port, client, to)
        after = fl.wait_for("it is counted", lambda: sum(accepts(a).values()) > sum(before.values()) and accepts(a))
        return next(core for core in after if after[core] > before[core])

    for client, to, core in ((20999, "127.0.0.1", 1), (21000, "127.0.0.1", 0), (21999, "127.0.0.1", 0),
                             (22000, "127.0.0.1", 1), (22001, "127.0.0.9", 0), (21500, "127.0.0.1", 1),
                             (21501, "127.0.0.1", 0)):
        assert core_of_port(client, to) == core, (client, to)


@needs_bpf
def test_a_reload_changes_it(appliance):
    port = fl.free_port()
    a = appliance(answers(port, "kernel"))
    for how in ("rss tuple 2", "kernel", "rss", "cpu", "rss tuple 2", "rss hash toeplitz", "kernel"):
        a.reload(answers(port, how))
        if how == "cpu":
            continue             # its own tests; with one CPU it is kernel
        assert steering(a) == how.split()[0]
        assert (len(got_by(a, port, ["127.0.0.1"] * 60)) == 1) == ("tuple 2" in how)


@needs_bpf
def test_each_listener_has_its_own_table(appliance):
    one, two = fl.free_port(), fl.free_port()
    a = appliance(f"workers 2\nvserver web {{\n    listen 127.0.0.1:{one} {{ distribute rss tuple 2 }}\n"
                  f"    listen 127.0.0.1:{two} {{ distribute rss }}\n    default respond 200 \"here\"\n}}\n")
    assert len(got_by(a, one, ["127.0.0.1"] * 40)) == 1
    assert sorted(got_by(a, two, ["127.0.0.1"] * 60)) == [0, 1]


WRONG = {
    "rss hash md5": "md5",
    "rss tuple 5": "5",
    "rss rebalance 0": "rebalance",
    "rss { core 0 10.0.0.0/8 }": "rules",
    "rules": "no rule",
    "rules { core 0 }": "core",
    "rules { core 0 10.0.0.1/8 }": "10.0.0.1/8",
    "rules { core 0 " + " ".join(f"10.0.0.{i}" for i in range(33)) + " }": "33 prefixes",
    "least-load rebalance off": "rebalance off",
    "rss { flow 0 from 10.0.0.0/8 }": "rules",
    "rules { flow 0 from 10.0.0.0/8 port 0 }": "no port",
    "rules { flow 0 from 10.0.0.0/8 port 9-8 }": "no port",
    "rules { flow 0 from 10.0.0.0/8 port 70000 }": "no port",
    "rules { flow 0 from 10.0.0.0/8 port http }": "no port",
    "rules { flow 0 from 10.0.0.0/8 to ::1 }": "IPv6",
    "rules { flow 0 10.0.0.0/8 }": "from",
    "kernel { tuple 2 }": "needs",
    "cpu hash jhash": "needs",
}


@pytest.mark.parametrize("how", WRONG)
def test_what_does_not_fit_is_refused(tmp_path, how):
    conf = tmp_path / "wrong.conf"
    conf.write_text(answers(8080, how))
    out = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf)], capture_output=True, text=True)
    text = out.stdout + out.stderr
    assert out.returncode == 1 and re.search(r"wrong.conf:\d+:\d+: error: ", text), text
    assert WRONG[how] in text


# Workers that go --------------------------------------------------------------------------------

@needs_bpf
def test_a_stopped_worker_is_steered_around(appliance):
    """Nobody is refused; who comes after the master has noticed is answered at once, by the other one."""
    port = fl.free_port()
    a = appliance(answers(port, top="heartbeat-timeout 500ms"))
    victim = next(w for w in a.serving() if w.core == 1)
    t = victim.kill(signal.SIGSTOP)
    waits = []
    while time.monotonic() < t + 2:
        begin = time.monotonic()
        ask(port)
        waits.append(time.monotonic() - begin)
    a.wait_serving(2, [victim.pid])
    assert max(waits) < 1.5 * fl.SLOW
    assert len([w for w in waits if w > 0.2 * fl.SLOW]) <= 2, waits       # the one that was caught, and one by chance
    fl.wait_for("its buckets are back", lambda: rss(a)["buckets"] == [64, 64])
    assert sorted(got_by(a, port, ["127.0.0.1"] * 60)) == [0, 1]
    assert rss(a)["fallback"] == 0


@needs_bpf
def test_a_core_without_a_worker_gets_nothing(appliance):
    """As long as no successor is there all buckets are the others'."""
    port = fl.free_port()
    a = appliance(answers(port, workers=3))
    out = [64, 64, 0]
    for _ in range(5):
        for p in a.processes("gen"):
            p.kill(signal.SIGSTOP)       # nobody forks a successor, until the master makes another gen
        victim = next(w for w in a.serving() if w.core == 2)
        victim.kill()
        fl.wait_for("its buckets are dealt out", lambda: rss(a)["buckets"] == out)
        before = rss(a)["flows"]
        for _ in range(40):
            ask(port)
        after = rss(a)
        a.wait_serving(3, [victim.pid])
        fl.wait_for("its buckets are back", lambda: max(rss(a)["buckets"]) - min(rss(a)["buckets"]) <= 1)
        if after["buckets"] == out:
            break                        # the machine let us finish meanwhile
    assert after["buckets"] == out
    assert after["flows"][2] == before[2] and sum(after["flows"]) == sum(before) + 40


@needs_bpf
def test_workers_fewer_and_more_under_load(appliance, backend, load):
    port = fl.free_port()

    def config(workers):
        return fl.web(port, backend.addr, workers=workers, listen="{ distribute rss }")

    a = appliance(config(3))             # slots are made for as many
    x = load(port, new=500 / fl.SLOW, keep=16, think=30)
    fl.wait_for("traffic", lambda: a.total("vserver", "requests") > 300)
    for workers in (2, 3, 1, 3, 1, 2):
        a.reload(config(workers))
        assert steering(a) == ("rss" if workers > 1 else "kernel (one worker)")
        if workers > 1:
            shown = rss(a)["buckets"]
            assert len(shown) == workers and max(shown) - min(shown) <= 1
        time.sleep(0.2)
    chaoslib.stop_without_failure(x, a, 500 / fl.SLOW)
    assert sorted(got_by(a, port, ["127.0.0.1"] * 60)) == [0, 1]


@needs_bpf
def test_reloads_and_kills_under_load(appliance, backend, load):
    port = fl.free_port()
    conf = fl.web(port, backend.addr, workers=2, listen="{ distribute rss }")
    a = appliance(conf)
    x = load(port, new=500 / fl.SLOW)
    kills = []
    for i in range(12):
        time.sleep(0.1)
        if i % 3 == 0:
            a.reload(conf)
            continue
        victim = a.serving()[i % 2]
        kills.append(victim.kill())
        a.wait_serving(2, [victim.pid])
    report = x.stop()
    assert report["new"]["refused"] == 0
    assert chaoslib.unattributed(report["failures"], kills, slack=0.1) == []


@needs_bpf
def test_a_refused_reload_to_more_workers_leaves_no_socket_that_nobody_serves(appliance):
    port = fl.free_port()
    a = appliance(answers(port, workers=3))
    a.reload(answers(port, workers=2))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        more = answers(port, workers=3) + (f"vserver other {{\n    listen 127.0.0.1:{taken.getsockname()[1]}\n"
                                           "    default respond 200 \"here\"\n}\n")
        for _ in range(3):
            a.write(more)
            assert a.ask("reload")[0] == 1
            for _ in range(30):
                ask(port, timeout=3 * fl.SLOW)
    a.reload(answers(port, workers=3))
    assert sorted(got_by(a, port, ["127.0.0.1"] * 120)) == [0, 1, 2]
    assert rss(a)["spare"] == 0


# Masters ------------------------------------------------------------------------------------------



@needs_bpf
@pytest.mark.parametrize("hash_", ["jhash", "toeplitz"])
@pytest.mark.parametrize("how", ["killed", "upgraded"])
def test_the_next_master_has_the_same_table(appliance, how, hash_):
    port = fl.free_port()
    a = appliance(answers(port, f"rss {{ tuple 2; hash {hash_}; rebalance off }}"))
    where = {s: core_of(a, port, s) for s in SOURCES}
    assert set(where.values()) == {0, 1}
    if how == "killed":
        os.kill(a.proc.pid, signal.SIGKILL)
        a.proc.wait()
        for s in SOURCES:                # without a master
            ask(port, s)
        a.start()
    else:
        generation = a.generation()
        a.signal(signal.SIGUSR2)
        fl.wait_for("the new program has reloaded", lambda: a.generation() > generation, 20)
    fl.wait_for("it steers", lambda: steering(a) == "rss")
    a.wait_only_current()
    assert {s: core_of(a, port, s) for s in SOURCES} == where
    assert rss(a)["fallback"] == 0


@needs_bpf
def test_the_next_master_begins_to_count(appliance):
    """All that came since the maps were made is shown, but it is no load of the last seconds."""
    port = fl.free_port()
    a = appliance(answers(port, "rss tuple 2"))
    for s in SOURCES * 10:
        ask(port, s)
    os.kill(a.proc.pid, signal.SIGKILL)
    a.proc.wait()
    a.start()
    fl.wait_for("it steers", lambda: steering(a) == "rss")
    a.wait_only_current()
    assert sum(rss(a)["flows"]) == 10 * len(SOURCES)

    def largest():
        for _ in range(20):
            ask(port)
        return rss(a)["largest_bucket_percent"]

    assert fl.wait_for("something of now", largest, 30) == 100


def maps_of(pid):
    """How many maps a process has: by descriptor, in its memory."""
    fds = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            fds += "bpf-map" in os.readlink(f"/proc/{pid}/fd/{fd}")
    with open(f"/proc/{pid}/maps") as f:
        return fds, f.read().count("bpf-map")


@needs_bpf
def test_who_has_the_maps(appliance):
    """Whoever has one may write the table of everybody: the master, and gen keeps it for the next one."""
    a = appliance(answers(fl.free_port()))
    assert steering(a) == "rss"
    by_role = {p.role: maps_of(p.pid) for p in a.processes()}
    assert set(by_role) == {"master", "gen", "worker", "control", "logd"}
    assert by_role.pop("master") == (2, 1)
    assert by_role.pop("gen") in ((2, 0), (0, 0))
    assert set(by_role.values()) == {(0, 0)}


@needs_bpf
def test_beside_workers_of_a_crashed_master(appliance):
    port = fl.free_port()
    a = appliance(answers(port))
    left = [p for p in a.processes() if p.role == "worker"]
    os.kill(a.proc.pid, signal.SIGSTOP)           # or it would make another gen
    for p in a.processes("gen"):
        p.kill()
    os.kill(a.proc.pid, signal.SIGKILL)
    a.proc.wait()
    a.start()
    assert steering(a) == "rss"
    assert sorted(got_by(a, port, ["127.0.0.1"] * 60)) == [0, 1]
    for p in left:
        fl.wait_for("those of before are gone", p.is_gone, 30)
    for _ in range(40):
        ask(port)


# Load ---------------------------------------------------------------------------------------------

class Clients(threading.Thread):
    """One connection after the other, from each of these addresses in turn, until stopped."""

    def __init__(self, port, sources):
        super().__init__(daemon=True)
        self.port, self.sources, self.n, self.ending, self.failed = port, sources, 0, threading.Event(), None
        self.start()

    def run(self):
        try:
            while not self.ending.is_set():
                for s in self.sources:
                    ask(self.port, s)
                    self.n += 1
                time.sleep(0.004)
        except (OSError, AssertionError) as e:
            self.failed = e

    def stop(self):
        self.ending.set()
        self.join()
        assert not self.failed, self.failed


def on_core(a, port, core, n):
    """n addresses whose bucket that core has."""
    found = []
    for i in range(1, 200):
        if core_of(a, port, f"127.0.1.{i}") == core:
            found.append(f"127.0.1.{i}")
            if len(found) == n:
                return found
    raise AssertionError(f"only {found}")


@needs_bpf
def test_skewed_load_is_balanced(appliance):
    """All clients have buckets of one core; a few seconds later the cores differ by less than 10 %."""
    port = fl.free_port()
    a = appliance(answers(port, "rss { tuple 2; rebalance 10 }"))
    x = Clients(port, on_core(a, port, 0, 8))

    def even():
        before = rss(a)["flows"]
        fl.wait_for("some hundred connections", lambda: sum(rss(a)["flows"]) > sum(before) + 400, 30)
        one, two = (n - b for n, b in zip(rss(a)["flows"], before))
        return abs(one - two) * 100 <= 10 * (one + two) / 2 or (_ for _ in ()).throw(AssertionError((one, two)))

    fl.wait_for("the cores are even", even, 60)
    moves = rss(a)["moves"]
    assert 1 <= moves <= 8
    fl.wait_for("many more", lambda n=x.n: x.n > n + 1500, 60)
    assert rss(a)["moves"] == moves               # and there it stays
    x.stop()


@needs_bpf
def test_least_load(appliance):
    """A core that is busy with an old connection gets fewer of the new ones, and more again when it is the other's turn."""
    port = fl.free_port()
    a = appliance(answers(port, "least-load"))
    assert (listener(a)["distribute"], steering(a)) == ("least-load", "least-load")
    with contextlib.ExitStack() as stack:
        old = {}
        for _ in range(50):
            before = settled(a)
            c = stack.enter_context(fl.Client(port))
            c.get()
            after = fl.wait_for("it is accepted", lambda b=before: sum(accepts(a).values()) > sum(b.values()) and accepts(a))
            old[next(core for core in after if after[core] > before[core])] = c
            if len(old) == 2:
                break
        x = Clients(port, ["127.0.0.1"])
        for busy in (0, 1):
            ending = threading.Event()

            def ask_on(c=old[busy], ending=ending):
                while not ending.is_set():
                    c.get()

            work = threading.Thread(target=ask_on, daemon=True)
            work.start()
            fl.wait_for("the other core has most buckets", lambda b=busy: rss(a)["buckets"][1 - b] > 70, 90)
            ending.set()
            work.join()
        x.stop()


@needs_bpf
def test_without_rebalance_nothing_moves(appliance):
    port = fl.free_port()
    a = appliance(answers(port, "rss { tuple 2; rebalance off }"))
    before = rss(a)["flows"][1]
    x = Clients(port, on_core(a, port, 0, 2))
    found = rss(a)["flows"][1]
    fl.wait_for("connections", lambda: x.n > 2000, 60)
    assert rss(a)["largest_bucket_percent"] >= 40 # two clients
    x.stop()
    assert rss(a)["moves"] == 0
    assert rss(a)["flows"][1] == found >= before


# UDP ----------------------------------------------------------------------------------------------

@pytest.fixture
def server():
    s = udp.Server("a1")
    yield s
    s.stop()


@needs_bpf
def test_udp_flows(appliance, server):
    port = udp.udp_port()

    def config(workers, how="rss"):
        return udp.conf(port, server.addr, workers=workers, listen=f"127.0.0.1:{port} {{ distribute {how} }}",
                        top="error-log stderr info\nheartbeat-timeout 300ms")

    a = appliance(config(3))
    a.reload(config(2))
    assert (listener(a)["distribute"], steering(a)) == ("rss", "rss")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(udp.Client(port)) for _ in range(60)]
        where = [c.ask() for c in clients]
        assert [[c.ask() for c in clients] for _ in range(2)] == [where] * 2
        shown = rss(a)
        got = shown["datagrams"]
        assert min(got) > 15 and sum(got) == 180          # three of each flow
        assert shown["rebalance"] == 0 and "flows" not in shown
        text = a.ctl("show", "listener", listener(a)["name"]).stdout
        assert re.search(rf"^datagrams per core +{got[0]} {got[1]}$", text, re.M), text
        assert re.search("^rebalance +off$", text, re.M) and "flows per core" not in text, text
        # a flow stays with its worker, over reloads too
        a.reload(config(2, "rss rebalance 1"))
        assert [c.ask() for c in clients] == where
        # and with another master, which has the same table
        os.kill(a.proc.pid, signal.SIGKILL)
        a.proc.wait()
        a.start()
        fl.wait_for("it steers", lambda: steering(a) == "rss")
        a.wait_only_current()
        assert [c.ask() for c in clients] == where
        # with its worker killed, or hung, it is balanced anew and answered
        victim = next(w for w in a.serving() if w.core == 1)
        victim.kill()
        for c in clients:
            c.ask()
        a.wait_serving(2, [victim.pid])
        fl.wait_for("its buckets are back", lambda: rss(a)["buckets"] == [64, 64])
        victim = next(w for w in a.serving() if w.core == 0)
        victim.kill(signal.SIGSTOP)
        for c in clients:
            c.send(b"who")
        for c in clients:
            c.get()
        a.wait_serving(2, [victim.pid])
        for workers in (3, 1, 2):
            a.reload(config(workers))
            for c in clients:
                c.ask()
        a.reload(config(2, "kernel"))
        assert steering(a) == "kernel"
        for c in clients:
            c.ask()


@needs_bpf
def test_datagrams_are_no_connections(appliance, server):
    """One udp flow has one core; connections, which are even, do not make way for its datagrams."""
    port, flow = fl.free_port(), udp.udp_port()
    a = appliance(answers(port, "rss rebalance 50", top=udp.conf(
        flow, server.addr, listen=f"127.0.0.1:{flow} {{ distribute rss }}").replace("workers 1\n", "")))
    web = next(r["name"] for r in a.json("show", "listener", "--json") if r["vserver"] == "web")
    with udp.Client(flow) as c:
        for _ in range(600):
            ask(port)
            for _ in range(3):
                c.send(b"x")
            time.sleep(0.015)            # some seconds in all: the load is looked at once a second
    shown = a.json("show", "listener", web, "--json")[0]["rss"]
    assert (shown["buckets"], shown["moves"]) == ([64, 64], 0)


# Without the right ----------------------------------------------------------------------------------

CLASSIC = "(classic program: no right to load eBPF)"


def test_without_the_right_to_load_programs(appliance, weak):
    port = fl.free_port()
    a = appliance(answers(port, "kernel", workers=3), program=weak)
    a.reload(answers(port, "rss hash toeplitz"))
    assert steering(a) == f"rss {CLASSIC}"
    assert a.output().count("CAP_BPF") == 1
    got = got_by(a, port, ["127.0.0.1"] * 200)
    assert sorted(got) == [0, 1] and min(got.values()) > 50       # seven standard deviations
    shown = rss(a)
    assert (shown["program"], shown["hash"], shown["buckets"], shown["flows"]) == ("classic", "jhash", [64, 64], None)
    assert re.search(r"^flows per core +not counted$", a.ctl("show", "listener", listener(a)["name"]).stdout, re.M)
    name = listener(a)["name"]
    assert f"listener {name}: rss fell back to rss {CLASSIC}" in a.ctl("status").stdout
    assert a.json("status", "--json")["distribution"] == [
        {"listener": name, "wanted": "rss", "in_force": f"rss {CLASSIC}", "fell_back": True}]
    # rules, tuples and another number of workers are in the program as well
    a.reload(answers(port, "rules { core 1 127.0.0.0/16 }", workers=3))
    assert steering(a) == f"rules {CLASSIC}"
    assert got_by(a, port, ["127.0.0.1"] * 20) == {1: 20}
    assert sorted(got_by(a, port, ["127.1.0.1"] * 90)) == [0, 1, 2]
    a.reload(answers(port, "rss tuple 2", workers=3))
    for source in SOURCES[:6]:
        assert len(got_by(a, port, [source] * 4)) == 1
    a.reload(answers(port, "least-load"))
    assert steering(a) == f"rss {CLASSIC}"
    assert a.output().count("CAP_BPF") == 1
    a.reload(answers(port, "kernel"))
    assert steering(a) == "kernel"
    assert a.json("status", "--json")["distribution"][0]["fell_back"] is False
    assert "fell back" not in a.ctl("status").stdout


def test_a_stopped_worker_is_steered_around_without_the_right(appliance, weak):
    """As with eBPF: within the heartbeat it gets nothing new, and nobody is refused."""
    port = fl.free_port()
    a = appliance(answers(port, top="heartbeat-timeout 400ms"), program=weak)
    victim = next(w for w in a.serving() if w.core == 1)
    t = victim.kill(signal.SIGSTOP)
    waits = []
    while time.monotonic() < t + 2:
        begin = time.monotonic()
        ask(port)
        waits.append((begin - t, time.monotonic() - begin))
    a.wait_serving(2, [victim.pid])
    assert max(w for _, w in waits) < 1.5 * fl.SLOW
    assert not [w for w in waits if w[0] > 0.5 * fl.SLOW and w[1] > 0.3 * fl.SLOW], waits
    fl.wait_for("its buckets are back", lambda: rss(a)["buckets"] == [64, 64])
    assert sorted(got_by(a, port, ["127.0.0.1"] * 60)) == [0, 1]


def test_flows_stay_where_they_are_without_the_right(appliance, weak, server):
    """Over reloads and another master, which has the same key."""
    port = udp.udp_port()
    conf = udp.conf(port, server.addr, workers=2, listen=f"127.0.0.1:{port} {{ distribute rss }}",
                    top="error-log stderr info\nheartbeat-timeout 300ms")
    a = appliance(conf, program=weak)
    assert steering(a) == f"rss {CLASSIC}"
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(udp.Client(port)) for _ in range(40)]
        where = [c.ask() for c in clients]
        a.reload(conf + "\n")
        assert [c.ask() for c in clients] == where
        os.kill(a.proc.pid, signal.SIGKILL)
        a.proc.wait()
        a.start()
        fl.wait_for("it steers", lambda: steering(a) == f"rss {CLASSIC}")
        a.wait_only_current()
        assert [c.ask() for c in clients] == where


# Named cores -----------------------------------------------------------------------------------------

def bound(port, how, cores, workers=3, top="", where="listen"):
    of_listen, of_vserver = (f"cores {cores}", "") if where == "listen" else ("", f"cores {cores}")
    return (f"workers {workers}\nerror-log stderr info\n{top}\nvserver web {{\n    {of_vserver}\n    listen 127.0.0.1:{port} {{\n"
            f"        distribute {how}\n        {of_listen}\n    }}\n    default respond 200 \"here\"\n}}\n")


@pytest.mark.parametrize("where", ["listen", "vserver"])
@pytest.mark.parametrize("how", ["kernel", "auto", "cpu", "shared", "rss", "rules { core 2 127.5.0.0/16 }", "least-load"])
def test_only_named_cores_serve(appliance, how, where):
    port = fl.free_port()
    a = appliance(bound(port, how, "1-2", where=where))
    assert listener(a)["cores"] == "1-2"
    assert set(got_by(a, port, ["127.0.0.1"] * 60)) <= {1, 2}
    if how.startswith("rules"):
        assert got_by(a, port, ["127.5.0.1"] * 10) == {2: 10}
    # one of them is out: the other one has it all; none can: others serve
    victim = next(w for w in a.serving() if w.core == 1)
    victim.kill(signal.SIGSTOP)
    fl.wait_for("it is steered around", lambda: got_by(a, port, ["127.0.0.1"] * 4) == {2: 4})
    a.wait_serving(3, [victim.pid])
    for cores in ("0", "2", "0 2", "0-2"):
        a.reload(bound(port, how.replace("core 2", f"core {cores[0]}"), cores, where=where))
        allowed = set(range(3)) if cores == "0-2" else {int(c) for c in cores.split()}
        assert set(got_by(a, port, ["127.0.0.1"] * 40)) <= allowed
        if len(allowed) > 1 and how.split()[0] in ("kernel", "auto", "rss", "rules", "least-load"):
            assert len(got_by(a, port, ["127.0.0.1"] * 60)) == len(allowed)


@pytest.mark.parametrize("how", ["kernel", "cpu", "shared", "rss"])
def test_others_serve_when_all_named_cores_are_out(appliance, how):
    port = fl.free_port()
    a = appliance(bound(port, how, "1", top="heartbeat-timeout 400ms\ndrain-timeout 5s"))
    assert got_by(a, port, ["127.0.0.1"] * 10) == {1: 10}
    seen = set()
    victim = next(w for w in a.serving() if w.core == 1)
    victim.kill(signal.SIGSTOP)
    for _ in range(400):
        ask(port)
        seen.add(listener(a)["cores"])
        if any("all out" in s for s in seen):
            break
        time.sleep(0.005)
    assert "1 (all out: core 0 serves)" in seen
    a.wait_serving(3, [victim.pid])
    fl.wait_for("it serves again", lambda: got_by(a, port, ["127.0.0.1"] * 4) == {1: 4})
    assert listener(a)["cores"] == "1"


def test_named_cores_that_the_workers_do_not_reach(appliance):
    """With fewer workers than were meant all others serve; with `workers auto` that is a warning."""
    port = fl.free_port()
    a = appliance(bound(port, "rss", "900 902-1000", workers="auto"))
    assert "no core 900 here" in a.output() and "no core 1000 here" in a.output()
    ask(port)
    assert "all out" in listener(a)["cores"]


def test_flows_on_named_cores(appliance, server):
    port = udp.udp_port()

    def config(how, cores):
        return udp.conf(port, server.addr, workers=3, listen=f"127.0.0.1:{port} {{ distribute {how}; cores {cores} }}",
                        top="error-log stderr info\nheartbeat-timeout 300ms")

    def got(a, clients):
        before = stat(a)
        for c in clients:
            c.ask()
        return {core: n - before[core] for core, n in stat(a).items() if n != before[core]}

    def stat(a):
        def stands_still():
            first = flows(a)
            time.sleep(0.05 * fl.SLOW)
            return first == flows(a) and first
        return fl.wait_for("all is counted", stands_still)

    def flows(a):
        return {int(r["name"]): r["udp_flows"] for r in a.json("stat", "core", "--all", "--json")}

    for how in ("kernel", "rss"):
        a = appliance(config(how, "1-2"))
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(udp.Client(port)) for _ in range(40)]
            assert set(got(a, clients)) == {1, 2}
            victim = next(w for w in a.serving() if w.core == 1)
            victim.kill()
            for c in clients:
                c.ask()
            a.wait_serving(3, [victim.pid])
            a.reload(config(how, "0"))
            others = [stack.enter_context(udp.Client(port)) for _ in range(20)]
            assert set(got(a, others)) == {0}
        a.stop()


CORES = {
    "3": "there is no core 3",
    "0-7": "there is no core 7",
    "one": "no core",
    "2-1": "no core",
    "-1": "no core",
    "0 1024": "no core",
}


@pytest.mark.parametrize("where", ["listen", "vserver"])
@pytest.mark.parametrize("cores", CORES)
def test_cores_that_are_not_there_are_refused(tmp_path, cores, where):
    conf = tmp_path / "wrong.conf"
    conf.write_text(bound(8080, "rss", cores, where=where))
    out = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf)], capture_output=True, text=True)
    text = out.stdout + out.stderr
    line = 5 if where == "vserver" else 8
    assert out.returncode == 1 and re.search(rf"wrong.conf:{line}:\d+: error: ", text), text
    assert CORES[cores] in text and "^" in text


def test_rules_to_another_core_are_refused(tmp_path):
    conf = tmp_path / "wrong.conf"
    conf.write_text(bound(8080, "rules { core 0 10.0.0.0/8 }", "1-2"))
    out = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf)], capture_output=True, text=True)
    assert out.returncode == 1 and "core 0 is not among" in out.stdout + out.stderr


# Devices ---------------------------------------------------------------------------------------------

def test_a_device_that_is_not_there(appliance):
    """A reload to it is refused and says why; what is no name at all does not get that far."""
    port = fl.free_port()
    a = appliance(answers(port, "kernel"))
    conf = answers(port, "kernel\n        device nosuch0")
    a.write(conf)
    out = a.ctl("reload", check=False)
    assert out.returncode != 0 and "no network device" in out.stdout + out.stderr
    ask(port)
    a.reload(answers(port, "kernel\n        device lo"))          # the address that all devices had before
    assert listener(a)["device"] == "lo" and listener(a)["name"].endswith(f":{port}@lo")
    ask(port)
    a.reload(answers(port, "kernel"))
    ask(port)


@pytest.mark.parametrize("device", ["0123456789abcdef", "..", "a/b", "eth0:1"])
def test_what_is_no_device_is_refused(tmp_path, device):
    conf = tmp_path / "wrong.conf"
    conf.write_text(answers(8080, f"kernel\n        device {device}"))
    out = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf)], capture_output=True, text=True)
    assert out.returncode == 1 and re.search(r"wrong.conf:7:\d+: error: ", out.stdout + out.stderr)
    assert "no name of a network device" in out.stdout + out.stderr


TWO = "vserver {0} {{\n    listen {1} {{ {2} }}\n    default respond 200 \"{0}\"\n}}\n"


@pytest.mark.parametrize("one, two, good", [
    (("*:8081", "device a"), ("*:8081", "device b"), True),
    (("127.0.0.1:8081", "device a"), ("127.0.0.1:8081", "device b"), True),
    (("*:8081", "device a"), ("127.0.0.1:8081", "device b"), True),
    (("*:8081", "device a"), ("127.0.0.1:8081", "device a"), False),
    (("127.0.0.1:8081", "device a"), ("127.0.0.1:8081", "device a"), False),
    (("127.0.0.1:8081", "device a"), ("127.0.0.1:8081", ""), False),
    (("127.0.0.1:8081", ""), ("127.0.0.1:8081", "device a"), False),
    (("*:8081", ""), ("127.0.0.1:8081", "device a"), False),
    (("127.0.0.1:8081", "device a"), ("*:8081", ""), False),
])
def test_who_may_have_an_address_twice(tmp_path, one, two, good):
    conf = tmp_path / "two.conf"
    conf.write_text("workers 2\n" + TWO.format("x", *one) + TWO.format("y", *two))
    out = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf)], capture_output=True, text=True)
    text = out.stdout + out.stderr               # there are no such devices here, so it never passes
    assert ("E0202" not in text) == good, text
    if not good:
        assert re.search(r"two.conf:7:\d+: error: .*\[E0202\]", out.stdout + out.stderr)


@pytest.fixture
def two_links():
    """Name of a network namespace with the devices d0 and d1, whose other ends are in a second one with ours as
    10.9.0.2 and 10.9.1.2."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    ours, theirs = f"fl{os.getpid()}a", f"fl{os.getpid()}b"

    def ip(*args, ns=None):
        subprocess.run(["ip", *(["-n", ns] if ns else []), *args], check=True, capture_output=True)

    made = []
    try:
        for ns in (ours, theirs):
            try:
                ip("netns", "add", ns)
            except subprocess.CalledProcessError as e:
                pytest.skip(f"no network namespaces here: {e.stderr}")
            made.append(ns)
            ip("link", "set", "lo", "up", ns=ns)
        for i in range(2):
            ip("link", "add", f"d{i}", "type", "veth", "peer", "name", f"e{i}", "netns", theirs, ns=ours)
            ip("addr", "add", f"10.9.{i}.1/24", "dev", f"d{i}", ns=ours)
            ip("addr", "add", f"10.9.{i}.2/24", "dev", f"e{i}", ns=theirs)
            ip("link", "set", f"d{i}", "up", ns=ours)
            ip("link", "set", f"e{i}", "up", ns=theirs)
        yield ours, theirs
    finally:
        for ns in made:
            subprocess.run(["ip", "netns", "del", ns], check=False)


def test_one_address_on_two_devices(appliance, two_links, tmp_path):
    """Each answers on its device only, over a reload and with another master as well, and each on cores of its own."""
    ours, theirs = two_links
    inside = tmp_path / "inside"
    inside.write_text(f"#!/bin/sh\nexec ip netns exec {ours} {fl.FAIRLEAD} \"$@\"\n")
    inside.chmod(0o755)
    conf = ("workers 2\nerror-log stderr info\n" + TWO.format("x", "*:81", "device d0; cores 0") +
            TWO.format("y", "*:81", "device d1; cores 1; distribute rss"))
    a = appliance(conf, program=str(inside))

    def says(i):
        out = subprocess.run(["ip", "netns", "exec", theirs, "curl", "-sS", "-m", "10", f"http://10.9.{i}.1:81/"],
                             capture_output=True, text=True)
        return out.stdout or out.stderr

    def all_is_well():
        for _ in range(4):
            assert [says(0), says(1)] == ["x", "y"]
        return True

    fl.wait_for("the links are up", lambda: says(0) == "x" and says(1) == "y")
    all_is_well()
    assert set(got_after(a, lambda: [says(0) for _ in range(6)])) == {0}
    assert set(got_after(a, lambda: [says(1) for _ in range(6)])) == {1}
    a.reload(conf + "\n")
    all_is_well()
    os.kill(a.proc.pid, signal.SIGKILL)
    a.proc.wait()
    a.start()
    a.wait_only_current()
    all_is_well()
    # on d0 only: the other one refuses
    a.reload("workers 2\nerror-log stderr info\n" + TWO.format("x", "*:81", "device d0"))
    fl.wait_for("nobody answers there", lambda: "connect to" in says(1))
    assert says(0) == "x"


def got_after(a, do):
    before = settled(a)
    do()
    after = settled(a)
    return [core for core in after if after[core] != before[core]]

# SPDX-License-Identifier: Apache-2.0
"""`distribute`: which worker gets a new connection, with workers that die, hang, come and go; and the guard."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

import chaoslib
import fl

CPUS = sorted(os.sched_getaffinity(0))
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"

pytestmark = pytest.mark.skipif(len(CPUS) < 2, reason="one CPU: nothing to steer between")


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
def backend():
    with contextlib.ExitStack() as stack:
        def start():
            o = chaoslib.Origin()
            stack.callback(o.stop)
            return o
        yield start


@pytest.fixture
def load():
    with contextlib.ExitStack() as stack:
        def start(*args, **kw):
            x = chaoslib.Load(*args, **kw)
            stack.callback(x.kill)
            return x
        yield start


def answers(port, how="cpu", workers=2, top=""):
    """A vserver that answers by itself."""
    return (f"workers {workers}\nerror-log stderr info\n{top}\nvserver web {{\n    listen 127.0.0.1:{port} {{ distribute {how} }}\n"
            "    default respond 200 \"here\"\n}\n")


@contextlib.contextmanager
def on_cpu(cpu):
    """This thread only, so that what it connects is processed there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def ask(port, timeout=10):
    with socket.create_connection(("127.0.0.1", port), timeout) as s:
        s.sendall(REQUEST)
        assert s.recv(4096).startswith(b"HTTP/1.1 200")


def accepts(a):
    return {int(r["name"]): r["accepts"] for r in a.json("stat", "core", "--all", "--json")}


def got_by(a, port, cpu, n):
    """Of n connections from that CPU, how many each core accepted."""
    def settled():
        first = accepts(a)
        time.sleep(0.05 * fl.SLOW)
        return first == accepts(a) and first

    before = fl.wait_for("what was before is counted", settled)
    with on_cpu(cpu):
        for _ in range(n):
            ask(port)

    def counted():
        now = accepts(a)
        return sum(now.values()) == sum(before.values()) + n and now

    after = fl.wait_for("all are counted", counted)
    return {core: after[core] - before[core] for core in after if after[core] != before[core]}


def listener(a):
    return fl.wait_for("control has the configuration", lambda: a.json("show", "listener", "--json"))[0]


def steering(a):
    return listener(a)["steering"]


# Where connections go --------------------------------------------------------------------------

def test_by_cpu(appliance):
    port = fl.free_port()
    a = appliance(answers(port))
    assert listener(a)["distribute"] == "cpu"
    assert steering(a) == "cpu"
    for core in (0, 1, 0, 1):
        assert got_by(a, port, CPUS[core], 40) == {core: 40}
    for cpu in CPUS[2:4]:       # CPUs without a worker are somebody's too
        assert len(got_by(a, port, cpu, 20)) == 1


def test_by_the_kernel(appliance):
    port = fl.free_port()
    a = appliance(answers(port, "kernel"))
    assert steering(a) == "kernel"
    assert sorted(got_by(a, port, CPUS[0], 100)) == [0, 1]      # 2^-99 that all hash to one


def test_auto_on_loopback_is_the_kernel(appliance):
    """All local clients may be on one CPU."""
    port = fl.free_port()
    a = appliance(answers(port, "auto"))
    assert steering(a) == "kernel (queues 1 < workers 2)"
    assert sorted(got_by(a, port, CPUS[0], 100)) == [0, 1]


def test_a_reload_changes_it(appliance):
    port = fl.free_port()
    a = appliance(answers(port, "kernel"))
    for how, only in (("cpu", True), ("kernel", False), ("cpu", True)):
        a.reload(answers(port, how))
        assert steering(a) == how
        assert (len(got_by(a, port, CPUS[1], 100)) == 1) == only


def test_each_listener_has_its_own(appliance):
    one, two = fl.free_port(), fl.free_port()
    a = appliance("workers 2\nvserver web {\n"
                  f"    listen 127.0.0.1:{one} {{ distribute cpu }}\n    listen 127.0.0.1:{two} {{ distribute kernel }}\n"
                  "    default respond 200 \"here\"\n}\n")
    assert got_by(a, one, CPUS[1], 50) == {1: 50}
    assert sorted(got_by(a, two, CPUS[1], 100)) == [0, 1]


def test_one_worker_has_nothing_to_distribute(appliance):
    a = appliance(answers(fl.free_port(), "cpu", workers=1))
    assert steering(a) == "kernel (one worker)"


def test_more_workers_than_cpus(appliance):
    a = appliance(answers(fl.free_port(), "cpu", workers=len(CPUS) + 1))
    assert steering(a) == "kernel (workers share CPUs)"


@pytest.mark.parametrize("word", ["on", "first"])
def test_other_words_are_refused(tmp_path, word):
    conf = tmp_path / "wrong.conf"
    conf.write_text(answers(8080, word))
    out = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf)], capture_output=True, text=True)
    assert out.returncode == 1
    assert re.search(r"wrong.conf:5:\d+: error: ", out.stdout + out.stderr)
    assert word in out.stdout + out.stderr


# Workers that go --------------------------------------------------------------------------------

def test_a_killed_worker_gets_nothing_until_it_is_back(appliance):
    port = fl.free_port()
    a = appliance(answers(port))
    for core in (1, 0, 1):
        victim = next(w for w in a.serving() if w.core == core)
        victim.kill()
        with on_cpu(CPUS[core]):
            for _ in range(30):
                ask(port)
        a.wait_serving(2, [victim.pid])
        assert got_by(a, port, CPUS[core], 30) == {core: 30}


def test_a_stopped_worker_is_steered_around(appliance):
    """Nobody is refused; who comes after the master has noticed is answered at once, by the other one."""
    port = fl.free_port()
    a = appliance(answers(port, top="heartbeat-timeout 500ms"))
    victim = next(w for w in a.serving() if w.core == 1)
    t = victim.kill(signal.SIGSTOP)
    with on_cpu(CPUS[1]):
        waits = []
        while time.monotonic() < t + 2:
            begin = time.monotonic()
            ask(port)
            waits.append((begin - t, time.monotonic() - begin))
    a.wait_serving(2, [victim.pid])
    assert got_by(a, port, CPUS[1], 30) == {1: 30}
    assert max(w for _, w in waits) < 1.5 * fl.SLOW, max(waits, key=lambda w: w[1])
    slow = [w for w in waits if w[1] > 0.2 * fl.SLOW]
    assert len(slow) <= 2, slow           # the one that was caught, and one by chance


def test_workers_fewer_and_more_under_load(appliance, backend, load):
    port, o = fl.free_port(), backend()

    def config(workers):
        return fl.web(port, o.addr, workers=workers, listen="{ distribute cpu }")

    a = appliance(config(2))
    x = load(port, new=500 / fl.SLOW, keep=16, think=30)
    fl.wait_for("traffic", lambda: a.total("vserver", "requests") > 300)
    for _ in range(4):
        a.reload(config(1))
        assert steering(a) == "kernel (one worker)"
        time.sleep(0.3)
        a.reload(config(2))
        assert steering(a) == "cpu"
        time.sleep(0.3)
    report = chaoslib.stop_without_failure(x, a, 500 / fl.SLOW)
    assert got_by(a, port, CPUS[1], 40).get(1, 0) == 40


def test_reloads_and_kills_under_load(appliance, backend, load):
    port, o = fl.free_port(), backend()
    conf = fl.web(port, o.addr, workers=2, listen="{ distribute cpu }")
    a = appliance(conf)
    x = load(port, new=500 / fl.SLOW)
    kills = []
    for i in range(12):
        time.sleep(0.1)
        if i % 3 == 0:
            a.reload(conf)
            continue
        victim = a.serving()[i % 2]
        t = victim.kill()
        a.wait_serving(2, [victim.pid])
        kills.append((t, time.monotonic()))
    report = x.stop()
    assert report["new"]["refused"] == 0
    assert chaoslib.unattributed(report["failures"], kills, slack=0.1) == []


def test_a_new_master_steers_on(appliance):
    port = fl.free_port()
    a = appliance(answers(port))
    assert got_by(a, port, CPUS[0], 10) == {0: 10}
    os.kill(a.proc.pid, signal.SIGKILL)
    a.proc.wait()
    for core in (0, 1):
        with on_cpu(CPUS[core]):
            for _ in range(20 + 10 * core):
                ask(port)
    a.start()
    fl.wait_for("it steers", lambda: steering(a) == "cpu")
    a.wait_only_current()
    # control ends with its master, so what was between is counted only now
    fl.wait_for("it was steered without a master", lambda: accepts(a) == {0: 30, 1: 30})
    for core in (0, 1):
        assert got_by(a, port, CPUS[core], 30) == {core: 30}


def test_beside_workers_of_a_crashed_master_the_order_is_not_known(appliance):
    port = fl.free_port()
    a = appliance(answers(port))
    left = [p for p in a.processes() if p.role == "worker"]
    os.kill(a.proc.pid, signal.SIGSTOP)           # or it would make another gen
    for p in a.processes("gen"):
        p.kill()
    os.kill(a.proc.pid, signal.SIGKILL)
    a.proc.wait()
    a.start()
    assert steering(a) == "kernel (port shared with a predecessor)"
    for p in left:
        fl.wait_for("those of before are gone", p.is_gone, 30)
    for _ in range(40):
        ask(port)
    a.reload(answers(port))
    assert steering(a) == "kernel (port shared with a predecessor)"


# One socket for all -----------------------------------------------------------------------------

def test_shared(appliance):
    """Whoever is free accepts: a worker that stands still holds up nobody, before anybody has noticed."""
    port = fl.free_port()
    a = appliance(answers(port, "shared", top="heartbeat-timeout 20s"))
    assert listener(a)["distribute"] == steering(a) == "shared"
    for core in (0, 1):
        victim = next(w for w in a.serving() if w.core == core)
        victim.kill(signal.SIGSTOP)
        got = got_by_any(a, port, 50)
        victim.kill(signal.SIGCONT)
        assert got[1 - core] >= 49, got   # it may have been in the middle of one


def got_by_any(a, port, n):
    before = accepts(a)
    for _ in range(n):
        ask(port, timeout=15)
    after = fl.wait_for("all are counted", lambda: sum(accepts(a).values()) >= sum(before.values()) + n and accepts(a))
    return {core: after[core] - before[core] for core in after}


def test_shared_comes_and_goes_under_load(appliance, backend, load):
    port, o = fl.free_port(), backend()

    def config(how, workers=2):
        return fl.web(port, o.addr, workers=workers, listen=f"{{ distribute {how} }}")

    a = appliance(config("kernel"))
    x = load(port, new=500 / fl.SLOW, keep=16, think=30)
    fl.wait_for("traffic", lambda: a.total("vserver", "requests") > 300)
    for how, workers in (("shared", 2), ("kernel", 2), ("shared", 1), ("shared", 2), ("cpu", 2), ("shared", 2)):
        a.reload(config(how, workers))
        assert steering(a) == (how if workers > 1 else "kernel (one worker)")
        time.sleep(0.2)
    victim = next(w for w in a.serving() if w.core == 0)
    chaoslib.stop_without_failure(x, a, 500 / fl.SLOW)
    victim.kill()
    a.wait_serving(2, [victim.pid])
    assert sum(got_by_any(a, port, 40).values()) == 40


# A refused reload -------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["kernel", "cpu"])
def test_a_refused_reload_to_more_workers_leaves_no_socket_that_nobody_serves(appliance, how):
    port = fl.free_port()
    a = appliance(answers(port, how, workers=1))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        more = answers(port, how, workers=2) + (f"vserver other {{\n    listen 127.0.0.1:{taken.getsockname()[1]}\n"
                                                "    default respond 200 \"here\"\n}\n")
        for _ in range(3):
            a.write(more)
            assert a.ask("reload")[0] == 1
            for _ in range(40):           # half of them would hang: 2^-40
                ask(port, timeout=3 * fl.SLOW)
    a.reload(answers(port, how, workers=2))
    assert len(a.wait_serving(2)) == 2
    for _ in range(40):
        ask(port, timeout=3 * fl.SLOW)


# The guard ---------------------------------------------------------------------------------------

class Clients:
    """A few connections at a time from one CPU, until stopped."""

    SCRIPT = """
import os, socket, sys, time
cpu, port = int(sys.argv[1]), int(sys.argv[2])
os.sched_setaffinity(0, {cpu})
n = 0
try:
    while True:
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.sendall(%r)
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
        n += 1
        time.sleep(0.001)
except KeyboardInterrupt:
    pass
print(n)
""" % REQUEST

    def __init__(self, cpu, port):
        self.proc = subprocess.Popen([sys.executable, "-c", self.SCRIPT, str(cpu), str(port)], stdout=subprocess.PIPE,
                                     text=True)

    def stop(self):
        self.proc.send_signal(signal.SIGINT)
        out, _ = self.proc.communicate(timeout=10)
        assert self.proc.returncode == 0
        return int(out)


def test_the_guard_falls_back(appliance):
    port = fl.free_port()
    a = appliance(answers(port))
    x = Clients(CPUS[0], port)
    said = fl.wait_for("the guard falls back", lambda: re.fullmatch(
        r"kernel \(guard: core 0 took (\d+) %\)", steering(a)), 20)
    assert int(said.group(1)) > 85
    before = accepts(a)
    fl.wait_for("the other one has its share", lambda: accepts(a)[1] - before[1] > 100)
    assert x.stop() > 300
    event = f"listener web/127.0.0.1:{port}: kernel (guard: core 0 took {said.group(1)} %); by CPU again in 3 min"
    fl.wait_for("it is logged", lambda: event in a.output())
    # a reload does not forget
    a.reload(answers(port))
    assert steering(a).startswith("kernel (guard")
    assert a.output().count("distribute") == 1


def test_the_guard_lets_pass_what_is_even(appliance):
    port = fl.free_port()
    a = appliance(answers(port))
    both = [Clients(cpu, port) for cpu in CPUS[:2]]
    time.sleep(6)
    n = [x.stop() for x in both]
    assert min(n) > 100
    if min(n) * 100 > sum(n) * 20:        # as far as the machine let both run
        assert steering(a) == "cpu"

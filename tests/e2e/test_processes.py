# SPDX-License-Identifier: Apache-2.0
"""Each process killed or stopped alone: the data path does not notice any but its own worker."""
import contextlib
import json
import os
import pty
import random
import re
import signal
import subprocess
import time

import pytest

import chaoslib
import fl


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


@pytest.fixture
def goal(capfd):
    """Figures are printed past pytest; a machine that is somewhat slow fails no test."""
    def say(*args, **kw):
        with capfd.disabled():
            print()
            return chaoslib.goal(*args, **kw)
    return say


def gaps_in(report, begin, end):
    """Milliseconds without a good answer, the longest that touches [begin, end]."""
    return max([ms for at, ms in report["gaps"] if at < end and at + ms / 1000 > begin], default=0)


# Workers -------------------------------------------------------------------------------------

@pytest.mark.limit(240)
def test_200_kills_of_random_workers(appliance, backend, load, goal):
    port, o = fl.free_port(), backend()
    rng = random.Random(4)
    a = appliance(fl.web(port, o.addr, workers=2))
    watch = chaoslib.Watch(a)
    before = a.descriptors(), sorted(p.role for p in a.processes())
    x = load(port, new=2000 / fl.SLOW, keep=16, think=50)
    fl.wait_for("traffic", lambda: a.total("vserver", "requests") > 500)
    kills, ready = [], []
    for _ in range(int(200 / fl.SLOW)):
        victim = rng.choice(a.serving())
        t = victim.kill()
        a.wait_serving(2, [victim.pid])
        kills.append((t, time.monotonic()))
        ready.append((kills[-1][1] - t) * 1000)
        time.sleep(max(0, t + 0.06 * fl.SLOW - time.monotonic()))
    report = x.stop()
    watch.stop()
    bad = chaoslib.unattributed(report["failures"], kills, slack=0.05)
    assert bad == [], f"{len(bad)} of {chaoslib.counts(report)}: {bad[:5]}"
    # in flight on one of two workers: the rate times the time of a request, and those just accepted
    in_flight = max(8, report["ok"] / report["seconds"] * report["latency_us"]["p90"] / 1e6)
    assert report["failed"] <= len(kills) * in_flight, chaoslib.counts(report)
    assert report["new"]["refused"] == 0
    assert report["ok"] > 10000 / fl.SLOW ** 2
    assert watch.backward == []
    ready.sort()
    assert goal("G3-ready-p99", ready[int(len(ready) * .99) - 1], 20)
    assert goal("G3-longest-gap", report["gaps"][0][1], 50)
    assert goal("G4-gauges-0-after", a.wait_idle_gauges(10) * 1000, 1000)
    fl.wait_for("descriptors and processes as before", lambda: (a.descriptors()["master"], sorted(
        p.role for p in a.processes())) == (before[0]["master"], before[1]))


def test_a_single_worker_is_replaced(appliance, backend, load):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=1))
    x = load(port, new=200)
    kills = []
    for _ in range(10):
        time.sleep(0.1)
        victim = a.serving()[0]
        kills.append(victim.kill())
        a.wait_serving(1, [victim.pid])
    time.sleep(0.1)
    report = x.stop()
    assert chaoslib.unattributed(report["failures"], kills) == []
    assert report["new"]["refused"] == 0
    assert report["failed"] <= 4 * len(kills)
    a.wait_idle_gauges(5)


def test_all_workers_killed_at_once(appliance, backend, load, goal):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    x = load(port, new=300)
    kills, best = [], []
    for _ in range(5):
        time.sleep(0.3)
        victims = a.serving()
        kills += [v.kill() for v in victims]
        a.wait_serving(2, [v.pid for v in victims])
    time.sleep(0.3)
    report = x.stop()
    assert chaoslib.unattributed(report["failures"], kills) == []
    assert report["new"]["refused"] == 0
    best = [gaps_in(report, t, t + 0.2) for t in kills]
    assert goal("F6-service-back", max(best), 100)


@pytest.mark.limit(180)
def test_a_stopped_worker_is_replaced(appliance, backend, load, goal):
    """SIGSTOP: others serve its listener, then it is killed and replaced; nobody else waits."""
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2, top="heartbeat-timeout 500ms"))
    x = load(port, new=300, timeout=20000)
    seen, replaced = [], []
    for _ in range(3):
        time.sleep(0.5)
        victim = a.serving()[-1]
        t = victim.kill(signal.SIGSTOP)
        fl.wait_for("somebody else serves its core", lambda: any(
            r["core"] == victim.core and r["served_by"] != victim.core for r in a.cores()), 10, every=0.002)
        seen.append((time.monotonic() - t) * 1000)
        a.wait_serving(2, [victim.pid])
        replaced.append((time.monotonic() - t) * 1000)
        fl.wait_for("it is gone", victim.is_gone, 5)
    time.sleep(0.3)
    report = x.stop()
    # what it had accepted breaks; what waited in its queue is late, not lost
    assert set(chaoslib.counts(report)) <= {"ok", "rst", "eof", "cut"}, chaoslib.counts(report)
    assert report["new"]["refused"] == 0
    assert report["failed"] <= 3 * 8, chaoslib.counts(report)
    assert goal("G5-steered-away", min(seen), 500)
    assert goal("G5-replaced", min(replaced), 1000)
    assert goal("G5-longest-wait", report["latency_us"]["max"] / 1000, 1500)
    assert "worker-hung" in a.output()


def test_a_worker_that_continues_is_not_killed(appliance, backend):
    """A short stop is no reason."""
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2, top="heartbeat-timeout 3s"))
    victim = a.serving()[0]
    victim.kill(signal.SIGSTOP)
    time.sleep(0.5)
    victim.kill(signal.SIGCONT)
    time.sleep(0.5)
    assert victim.pid in {p.pid for p in a.serving()}
    for _ in range(8):
        assert fl.get(port).status == 200


def test_log_lines_of_a_killed_worker_are_written(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2, top="access-log @DIR@/access.log combined"))
    log = a.dir / "access.log"
    done = 0
    for _ in range(10):
        logd = a.processes("logd")[0]
        logd.kill(signal.SIGSTOP)
        for _ in range(20):
            assert fl.get(port, f"/line-{done}").status == 200
            done += 1
        victims = a.serving()
        for v in victims:
            v.kill()
        a.wait_serving(2, [v.pid for v in victims])
        logd.kill(signal.SIGCONT)

    def lines():
        return sorted(int(n) for n in re.findall(r"/line-(\d+) ", log.read_text()))
    fl.wait_for(f"{done} lines", lambda: lines() == list(range(done)), 10)


def test_the_prober_is_replaced_with_its_worker(appliance, backend):
    port, o = fl.free_port(), backend()
    dead = f"127.0.0.1:{fl.free_port()}"
    a = appliance("monitor quick tcp { every 100ms; timeout 50ms; rise 2; fall 2 }\n" +
                  fl.web(port, o.addr, dead, workers=2, pool="monitor quick"))
    a.wait_service("app/a2", "DOWN")
    for _ in range(4):
        owner = next(r for r in a.json("show", "owner") if r["mission"] == "probe")["pid"]
        probes = a.total("service", "probes")
        next(p for p in a.serving() if p.pid == owner).kill()
        a.wait_serving(2, [owner])
        assert a.service("app/a2")["state"] == "DOWN", "health was forgotten"
        fl.wait_for("somebody probes", lambda: a.total("service", "probes") >= probes + 4)
        for _ in range(4):
            assert fl.get(port).status == 200


# Everybody else --------------------------------------------------------------------------------

@pytest.mark.limit(180)
@pytest.mark.parametrize("role", ["control", "logd", "gen"])
def test_the_data_path_does_not_notice(role, appliance, backend, load, goal):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2, top="access-log @DIR@/access.log combined"))
    x = load(port, new=300, keep=16, think=50)
    fl.wait_for("traffic", lambda: a.total("vserver", "requests") > 100)

    def manages():
        code, text = a.ask("status", timeout=1, patience=0)
        assert code == 0, text
        return json.loads(text)["generation"] >= 1

    for _ in range(3):
        victim = a.processes(role)[0]
        t = victim.kill()
        fl.wait_for(f"another {role}", lambda: {p.pid for p in a.processes(role)} - {victim.pid}, 10, every=0.005)
        fl.wait_for("management answers", manages, 10, every=0.005)
        goal(f"I6-{role}-killed", (time.monotonic() - t) * 1000, 1000)
    # stopped: nobody waits for it either; control comes back by itself, the others continue
    victim = a.processes(role)[0]
    t = victim.kill(signal.SIGSTOP)
    if role == "control":
        fl.wait_for("another control", lambda: {p.pid for p in a.processes(role)} - {victim.pid}, 20)
        fl.wait_for("management answers", manages, 10)
        goal("I6-control-stopped", (time.monotonic() - t) * 1000, 4000)
    else:
        time.sleep(1)
        assert manages()
    if role == "gen":                # what it is there for: a worker dies, and it does not answer
        worker = a.serving()[0]
        killed = worker.kill()
        a.wait_serving(2, [worker.pid], 15)
        goal("F4-gen-stopped", (time.monotonic() - t) * 1000, 4000)
    victim.kill(signal.SIGCONT)
    time.sleep(0.2)
    code, text = a.ask("reload")
    assert code == 0, text
    time.sleep(0.2)
    report = x.stop()
    kills = [killed] if role == "gen" else []
    assert chaoslib.unattributed(report["failures"], kills) == [], chaoslib.counts(report)
    assert report["failed"] <= 4 * len(kills)
    # nothing was lost on the way, but what the killed worker had not flushed yet, and what logd held in its hands
    lost = 8 * len(kills)
    fl.wait_for("all requests are counted", lambda: a.total("vserver", "requests") >= report["ok"] - lost)
    dropped = sum(r["log_dropped"] for r in a.json("show", "process"))
    lost += 3 * 20 if role == "logd" else 0

    def missing():
        return report["ok"] - dropped - (a.dir / "access.log").read_bytes().count(b"\n")
    fl.wait_for("all lines are written", lambda: missing() <= lost or exec(f"raise AssertionError({missing()})"))


def test_control_killed_loses_no_count(appliance, backend):
    """The consolidator may be away: what workers did meanwhile is in their slots."""
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    done = 0
    for _ in range(5):
        a.processes("control")[0].kill(signal.SIGSTOP)
        for _ in range(20):
            assert fl.get(port).status == 200
            done += 1
        victim = a.processes("control")[0]
        victim.kill()
        fl.wait_for("another control", lambda: {p.pid for p in a.processes("control")} - {victim.pid})
    fl.wait_for(f"{done} requests", lambda: a.total("vserver", "requests") == done)
    assert a.total("service", "requests") == done
    a.wait_idle_gauges(5)


@pytest.mark.limit(180)
def test_kills_and_reloads_together_leave_nothing_behind(appliance, backend, load):
    """F34 and I5: 20 kills, 20 reloads under load; only requests in flight break; then all is as it was."""
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    rng = random.Random(7)

    def picture():
        a.wait_only_current()
        d = a.descriptors()
        return sorted(p.role for p in a.processes()), d["master"], d["gen"]

    a.ask("reload")
    before = fl.wait_for("calm", lambda: picture())
    x = load(port, new=300, keep=32, think=50)
    kills = []
    for _ in range(20):
        time.sleep(0.05)
        workers = a.processes("worker")
        kills.append(rng.choice(workers).kill())
        code, text = a.ask("reload")
        assert code == 0 or "do not start" in text, text
    a.wait_serving(2)
    time.sleep(0.3)
    report = x.stop()
    bad = chaoslib.unattributed(report["failures"], kills)
    assert bad == [], f"{len(bad)} of {chaoslib.counts(report)}: {bad[:5]}"
    assert report["ok"] > 200
    a.wait_idle_gauges(10)
    fl.wait_for(f"as before: {before}", lambda: picture() == before, 10)


def test_a_new_control_knows_before_it_answers(appliance, backend):
    a = appliance(fl.web(fl.free_port(), backend().addr))
    for _ in range(5):
        pid = a.process("fl-control")
        os.kill(pid, signal.SIGKILL)
        fl.wait_for("another control", lambda: a.process("fl-control") not in (None, pid))
        r = a.json("status")
        assert r["services"] == 1 and r["services_up"] == 1, r


def test_status_before_any_reload(appliance, backend):
    a = appliance(fl.web(fl.free_port(), backend().addr))
    text = a.ctl("status").stdout
    assert "last reload    none since the start" in text and "FAILED" not in text


def test_every_process_is_shown(appliance, backend):
    a = appliance(fl.web(fl.free_port(), backend().addr, workers=2))
    rows = a.json("show", "process")
    assert sorted(r["role"] for r in rows if r["state"] == "running") == ["control", "gen", "logd", "master", "worker", "worker"]
    gen = next(r for r in rows if r["role"] == "gen")
    assert gen["pid"] == a.process("fl-gen") and gen["generation"] == 1
    fl.wait_for("the master's age", lambda: all(r["uptime_s"] >= 1 for r in a.json("show", "process")), 5)


def test_top_on_a_terminal_without_a_size(appliance, backend):
    """A pty that nobody told its size says 0 by 0: it is drawn on as if it were 80 by 24."""
    a = appliance(fl.web(fl.free_port(), backend().addr))
    master, slave = pty.openpty()
    p = subprocess.Popen([fl.FAIRLEADCTL, "-s", a.socket, "top"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    seen = b""

    def shows():
        nonlocal seen
        seen += os.read(master, 65536)
        return b"app/a1" in seen and b"generation 1" in seen

    try:
        fl.wait_for("the screen", shows)
    finally:
        p.terminate()
        assert p.wait(10) == 0
        os.close(master)

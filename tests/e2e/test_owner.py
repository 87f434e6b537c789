# SPDX-License-Identifier: Apache-2.0
"""What is done once for all has one owner: each service is probed and resolved by one worker, whoever is killed, stopped
or replaced, and all workers see what it finds."""
import os
import signal
import threading
import time

import pytest

import dnsserver
import fl

EVERY = 0.2
HEARTBEAT = 0.5
MONITOR = 'monitor m http {{ every {0}ms; timeout {1}ms; rise {2}; fall {3}; send "GET /healthz" }}'


def monitor(every=200, timeout=150, rise=2, fall=5):
    return MONITOR.format(every, timeout, rise, fall)


class Probed:
    """An origin with the instants at which it was probed; other requests are its own."""

    def __init__(self, o):
        self.o, self.status, self.times = o, 200, []
        o.hook = self.hook

    def hook(self, conn, q):
        if q.path != "/healthz":
            return None
        self.times.append(time.monotonic())
        self.o.answer(conn, q, self.status, b"fine\n")
        return False

    def since(self, t):
        return [x for x in self.times if x > t]


@pytest.fixture
def probed(fairlead, origins):
    def start(n, mon=None, workers=2, top=""):
        ps, port = [Probed(origins(f"o{i}")) for i in range(1, n + 1)], fl.free_port()
        f = fairlead(fl.web(port, *[p.o.addr for p in ps], pool="method round-robin\n monitor m",
                            top=(mon or monitor()) + "\n" + top, workers=workers))
        for i in range(1, n + 1):
            fl.wait_for("probed", lambda i=i: f.service(f"app/a{i}")["health"] == "UP")
        settled(f)
        return f, ps, port
    return start


def owners(f):
    return {r["name"]: r for r in f.json("show", "owner")}


def settled(f):
    """Waits until each service is owned by its candidate; what they are then."""
    def all_there():
        o = owners(f)
        live = set(f.workers())
        return o if all(r["core"] == r["candidate"] and r["pid"] in live for r in o.values()) else None
    return fl.wait_for("everything has its owner", all_there)


def total(f, name):
    return sum(r[name] for r in f.json("stat", "core", "--all"))


def one_prober(ps, start, seconds, every=EVERY):
    """Neither more than one probe in an interval nor, on a machine that has time for us, fewer."""
    time.sleep(max(0.0, start + seconds - time.monotonic()))
    for i, p in enumerate(ps, 1):
        n = len([t for t in p.times if start < t <= start + seconds])
        most = seconds / every + 2       # a takeover may find a probe under way and repeat it
        assert n <= most, f"a{i}: {n} probes in {seconds / every:.0f} intervals: more than one prober"
        assert n >= seconds / every * (0.7 if fl.SLOW == 1 else 0.4), f"a{i}: {n} probes in {seconds / every:.0f} intervals"


class Load:
    """Requests one after the other; what went wrong."""

    def __init__(self, port, threads=3):
        self.port, self.bad, self.done, self.stop = port, [], 0, threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]
        for t in self.threads:
            t.start()

    def run(self):
        while not self.stop.is_set():
            try:
                r = fl.get(self.port, "/x", timeout=20)
                if r.status != 200:
                    self.bad.append(r.status)
            except (OSError, EOFError):
                pass                     # in flight in what was killed
            self.done += 1

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()
        return self.bad


def test_each_service_is_probed_by_one(probed):
    f, ps, _ = probed(12)
    one_prober(ps, time.monotonic(), 3.0)
    o = owners(f)
    assert {r["core"] for r in o.values()} == {0, 1}, "both cores have some"
    assert all(r["mission"] == "probe" and r["reason"] in ("first", "moved") and r["epoch"] >= 1 for r in o.values())
    rows = {r["name"]: r for r in f.json("stat", "core", "--all")}
    for core in (0, 1):
        mine = [r for r in o.values() if r["core"] == core]
        fl.wait_for("owned", lambda c=core, n=len(mine): next(
            r for r in f.json("stat", "core", "--all") if r["name"] == str(c))["owned"] == n)
        assert rows[str(core)]["probes"] > 0
    assert total(f, "owner_foreign") == 0 and total(f, "mail_torn") == 0


def test_show_owner_explains(probed, fairlead, origins):
    f, _, _ = probed(3)
    text = f.ctl("show", "owner").stdout
    assert text.splitlines()[0].split() == ["name", "mission", "candidate", "core", "pid", "epoch", "since", "reason"]
    assert "app/a1" in text and len(text.splitlines()) == 4
    one = f.ctl("show", "owner", "app/a2").stdout
    assert "app/a2" in one and "app/a1" not in one and "nobody had it before" in one, one
    r = f.json("show", "owner", "app/a2")
    assert len(r) == 1 and r[0]["pid"] in f.workers() and r[0]["text"] == "nobody had it before"
    bad = f.ctl("show", "owner", "app/a9", check=False)
    assert bad.returncode == 1 and "did you mean" in bad.stdout + bad.stderr
    g = fairlead(fl.web(fl.free_port(), origins("o").addr))
    bad = g.ctl("show", "owner", "app/a1", check=False)
    assert bad.returncode == 1 and "neither a monitor nor a name" in bad.stdout + bad.stderr
    assert len(g.ctl("show", "owner").stdout.splitlines()) <= 1


def gap(p, t):
    """Longest silence around the instant t, from the last probe before it."""
    times = [x for x in p.times if x <= t][-1:] + p.since(t)
    return max(b - a for a, b in zip(times, times[1:]))


@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGSTOP])
def test_next_owner_probes_at_once(probed, signo, capfd):
    """Under load. A killed worker is seen at once, a stopped one after heartbeat-timeout (500 ms)."""
    f, ps, port = probed(6)
    load = Load(port)
    gaps = []
    for turn in range(4):
        o = owners(f)
        victim = o[f"app/a{turn % 6 + 1}"]
        hit = [ps[i] for i in range(6) if o[f"app/a{i + 1}"]["core"] == victim["core"]]
        t = time.monotonic()
        os.kill(victim["pid"], signo)
        for p in hit:
            fl.wait_for("probes go on", lambda p=p: len(p.since(t)) >= 3, 5)
        gaps += [gap(p, t) for p in hit]
        stop = time.monotonic()
        for p in hit:                  # one to the survivor and one back may repeat what was under way
            assert len(p.since(t)) <= (stop - t) / EVERY + 3, f"two probers: {[x - t for x in p.since(t)]}"
        fl.wait_for("a new worker", lambda: len(f.workers()) == 2 and victim["pid"] not in f.workers(), 20)
        after = settled(f)
        assert all(r["epoch"] > o[n]["epoch"] for n, r in after.items() if o[n]["core"] == victim["core"])
        assert all(r["epoch"] == o[n]["epoch"] for n, r in after.items() if o[n]["core"] != victim["core"]), \
            "what lived on moved"
        one_prober(ps, time.monotonic(), 1.0)
    bad = load.end()
    assert not bad, f"{bad}: health was forgotten"
    # the death of one is seen at once, the silence of one after a heartbeat; then the next owner has another to begin
    noticed = 0 if signo == signal.SIGKILL else HEARTBEAT
    assert sorted(gaps)[len(gaps) // 2] <= (EVERY + noticed + HEARTBEAT) * fl.SLOW, gaps
    with capfd.disabled():
        print(f"\nNOTE silence of a target when its owner gets {signo.name}: "
              f"max {max(gaps) * 1000:.0f} ms, {len(gaps)} takeovers; interval {EVERY * 1000:.0f} ms")
    assert max(gaps) < 10 * (EVERY + (0.5 if signo == signal.SIGSTOP else 0.1)) * fl.SLOW
    for i in range(1, 7):
        f.wait_service(f"app/a{i}", "UP")
    assert total(f, "owner_foreign") == 0


def test_reload_takes_over(probed):
    """Each service goes to the next generation's worker of the same core: one epoch more, the same states, the same pace."""
    f, ps, port = probed(6, monitor(rise=100))
    ps[0].status = 500
    f.wait_service("app/a1", "DOWN")
    ps[0].status = 200                   # 100 passes are far away
    before, load, start = owners(f), Load(port), time.monotonic()
    for _ in range(3):
        f.reload()
        assert f.service("app/a1")["state"] == "DOWN"
        now = settled(f)
        time.sleep(0.4)
    one_prober(ps, start, time.monotonic() - start)
    for name, r in now.items():
        assert r["core"] == before[name]["core"] and r["epoch"] == before[name]["epoch"] + 3
        assert r["reason"] == "reload" and r["pid"] != before[name]["pid"]
    assert not load.end()
    assert not [r for r in f.json("show", "service") if r["name"] != "app/a1" and r["state"] != "UP"]


def test_all_cores_see_a_change_at_once(probed):
    """Each change is one letter to each other core, and it is read at once: not only when its heartbeat wakes the core, which is
    24 s apart here."""
    f, ps, port = probed(2, monitor(200, 150, 1, 1), top="heartbeat-timeout 60s")
    sent = total(f, "mail_sent")
    for status, state in ((500, "DOWN"), (200, "UP")) * 3:
        for p in ps:
            p.status = status
        t = time.monotonic()
        for i in (1, 2):
            f.wait_service(f"app/a{i}", state)
        # new connections come to both workers by the kernel's hash
        fl.wait_for("all workers know", lambda s=status: {fl.get(port, "/").status for _ in range(24)} ==
                    ({503} if s == 500 else {200}), 6)
        assert time.monotonic() - t < 6 * fl.SLOW
    fl.wait_for("letters are counted", lambda: total(f, "mail_sent") >= sent + 12 and
                total(f, "mail_received") == total(f, "mail_sent"))
    assert total(f, "mail_dropped") == 0 and total(f, "owner_foreign") == 0


def test_pool_events_are_told_once(probed):
    """By one core, whichever cores own the services; also when an operator takes the last one out."""
    f, ps, _ = probed(4, monitor(200, 150, 1, 1))

    def told(word, n):
        fl.wait_for(f"{n} x {word}", lambda: f.output().count(word) >= n)
        time.sleep(0.5)
        assert f.output().count(word) == n

    down, up = "pool app: no service can take traffic", "services can take traffic"
    for turn in (1, 2):
        for p in ps:
            p.status = 500
        told(down, turn)
        for p in ps:
            p.status = 200
        told(up, turn)
    victim = owners(f)["app/a1"]["pid"]
    os.kill(victim, signal.SIGKILL)
    fl.wait_for("a new worker", lambda: len(f.workers()) == 2 and victim not in f.workers(), 20)
    settled(f)
    for i in range(1, 5):
        f.ctl("disable", "service", f"app/a{i}")
    told(down, 3)
    assert f.output().count(up) == 2


def test_a_thousand_services_are_spread(fairlead, origins):
    o, port = origins("o"), fl.free_port()
    n = 1000
    services = "\n".join(f"service s{i} {o.addr}" for i in range(n))
    f = fairlead("workers 2\nmonitor m tcp { every 30s; timeout 2s }\n"
                 f"pool app {{ monitor m\n{services}\n}}\nvserver web {{ listen 127.0.0.1:{port}; default use app }}\n")
    rows = settled(f)
    assert len(rows) == n
    share = [sum(r["core"] == c for r in rows.values()) for c in (0, 1)]
    assert sum(share) == n and min(share) > n * 0.4, share
    fl.wait_for("all are probed, once", lambda: total(f, "probes") >= n, 20)
    time.sleep(1)
    assert total(f, "probes") <= n + 5
    victim = rows["app/s0"]
    os.kill(victim["pid"], signal.SIGKILL)
    fl.wait_for("a new worker", lambda: len(f.workers()) == 2 and victim["pid"] not in f.workers(), 20)

    def moved():                 # a claim of the dead one in the same slot looks like one of its successor
        return sum(r["epoch"] != rows[name]["epoch"] for name, r in settled(f).items())
    fl.wait_for("all of the dead one's are claimed anew", lambda: moved() >= share[victim["core"]], 20)
    assert moved() == share[victim["core"]], "more moved than had to"
    f.reload()
    rows = settled(f)
    assert all(r["reason"] == "reload" for r in rows.values())
    time.sleep(1)
    assert total(f, "probes") <= n + 5, "a takeover probed what was not due"
    assert not [r for r in f.json("show", "service") if r["state"] != "UP"]


def test_names_are_resolved_by_their_owners(fairlead, origins):
    dns = dnsserver.DnsServer()
    try:
        o, names = origins("o"), [f"n{i}.test" for i in range(12)]
        for n in names:
            dns.set(n, ["127.0.0.1"], ttl=3600)
        services = "\n".join(f"service s{i} {n}:{o.port}" for i, n in enumerate(names))
        f = fairlead(f"workers 2\nresolver {dns.addr}\npool app {{ monitor none\n{services}\n}}\n"
                     f"vserver web {{ listen 127.0.0.1:{fl.free_port()}; default use app }}\n")
        for i in range(12):
            f.wait_service(f"app/s{i}", "UP")
        rows = settled(f)
        assert all(r["mission"] == "resolve" for r in rows.values())
        assert all(r["resolves"] > 0 for r in f.json("stat", "core", "--all")[:2]), "both cores ask"
        assert total(f, "resolves") == 12
        victim = rows["app/s0"]["pid"]
        os.kill(victim, signal.SIGKILL)
        fl.wait_for("a new worker", lambda: len(f.workers()) == 2 and victim not in f.workers(), 20)
        settled(f)
        time.sleep(0.5)
        assert total(f, "resolves") == 12, "an answer that is good for an hour was asked for again"
        assert all(r["state"] == "UP" for r in f.json("show", "service"))
    finally:
        dns.stop()


def test_a_new_master_adopts_owners(probed):
    """Workers whose master died go on; the next one's workers take over as at any reload."""
    f, ps, port = probed(4)
    before = owners(f)
    f.proc.kill()
    f.proc.wait()
    start = time.monotonic()
    one_prober(ps, start, 1.0)
    f.start()
    fl.wait_for("new workers", lambda: len(f.workers()) == 2 and not set(f.workers()) & {r["pid"] for r in before.values()}, 20)
    after = settled(f)
    assert all(r["epoch"] > before[n]["epoch"] for n, r in after.items())
    one_prober(ps, time.monotonic(), 1.0)
    ps[0].status = 500
    f.wait_service("app/a1", "DOWN")
    fl.wait_for("letters still come", lambda: total(f, "mail_received") == total(f, "mail_sent") > 0)
    assert fl.get(port, "/").status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="a raw socket needs root")
def test_pings_of_two_workers_do_not_meet(fairlead):
    """A reply comes to the worker that asked, though both ping."""
    services = "\n".join(f"service s{i} 127.0.0.{i + 1}:9" for i in range(12))
    f = fairlead("workers 2\nmonitor p ping { every 100ms; timeout 80ms; fall 2 }\n"
                 f"pool app {{ monitor p\n{services}\n}}\nvserver web {{ listen 127.0.0.1:{fl.free_port()}; default use app }}\n")
    for i in range(12):
        fl.wait_for("pinged", lambda i=i: f.service(f"app/s{i}")["health"] == "UP")
    assert {r["core"] for r in settled(f).values()} == {0, 1}
    n = total(f, "probes")
    fl.wait_for("some rounds", lambda: total(f, "probes") > n + 120)
    assert all(r["state"] == "UP" for r in f.json("show", "service"))

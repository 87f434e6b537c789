# SPDX-License-Identifier: Apache-2.0
"""The availability goals G1 to G7 and G20 of the design, measured with real processes.

Each goal is a function of a running appliance and the seconds it may take; it returns its figures. A count (lost, wrong,
leaked) must be 0 in every try. A duration that is over its bound is measured again, three times in all, and the best one
counts: it is printed as it is, and fails the run only beyond ten times its bound, as the machine may have been busy. A
short run tries again only what would fail it.

    G1   reloads under new, kept and TLS connections                       G5   a worker that hangs
    G2   the same, and a worker killed every half second                   G6   without a master, then a new one
    G3   one kill after the other                                          G7   counters over kills and stopped consolidators
    G4   gauges, limits and ports after these kills                        G20  kills at every store, flipped bits
"""
import collections
import os
import pathlib
import re
import signal
import subprocess
import time

import chaoslib
import fl

Figure = collections.namedtuple("Figure", "name value bound unit", defaults=(0, "requests"))
TRIES = 3
RELOAD_EVERY = 0.6
KILL_EVERY = 0.5
# requests that one worker may have had when it was killed, and had not counted yet
IN_FLIGHT = 32


def ms(name, seconds, bound):
    return Figure(name, seconds * 1000, bound, "ms")


def best_of(tries):
    """Figures of several tries as one list: the least of each duration, the sum of each count."""
    figures = {}
    for one in tries:
        for f in one:
            had = figures.get(f.name)
            if had:
                f = f._replace(value=min(had.value, f.value) if f.unit == "ms" else had.value + f.value)
            figures[f.name] = f
    return list(figures.values())


def is_settled(figures, short=False):
    """No duration is worth another try; in a short run: none would fail the run."""
    return all(f.value <= f.bound * (10 * fl.SLOW if short else 1) for f in figures if f.unit == "ms")


def tell(figures):
    """Prints the lines; False: a goal is missed."""
    good = True
    for f in figures:
        good &= chaoslib.goal(f.name, f.value, f.bound, f.unit, worse=10 if f.unit == "ms" else 1)
    return good


# The goals -----------------------------------------------------------------------------------

def reloads(chaos, seconds, kills=False):
    chaos.start_load()
    end, due_kill = time.monotonic() + seconds, time.monotonic()
    while time.monotonic() < end:
        t = time.monotonic()
        chaos.reload()
        while time.monotonic() < t + RELOAD_EVERY:
            if kills and time.monotonic() >= due_kill:
                due_kill += KILL_EVERY
                chaos.kill("worker")
            time.sleep(0.01)
    time.sleep(0.3)
    report = chaos.stop_load()
    bad = [f for f in report["failures"] if not chaos.explained(f)]
    print(f"{report['requests']} requests, {report['failed']} failed, {chaos.n_reloads} reloads, {len(chaos.kills)} kills, "
          f"{bad[:2]}")
    if kills:
        return [Figure("G2-unattributed", len(bad))]
    return [Figure("G1-failed", report["failed"])]


def reloads_and_kills(chaos, seconds):
    return reloads(chaos, seconds, kills=True)


def wrong_refusals(chaos):
    """Limits and ports are in use, and nowhere near their ends: nobody is refused because the dead still hold some."""
    rows = chaos.a.stats()
    found = {(r["of"], r["reason"]): r["count"] for r in chaos.a.json("show", "errors")}
    return (sum(row["requests_no_service"] for (k, _), row in rows.items() if k == "vserver") +
            sum(row["refused"] for (k, _), row in rows.items() if k == "listener") + found.get(("exchange", "connect-failed"), 0))


def kills(chaos, seconds):
    chaos.start_load()
    end, ready = time.monotonic() + seconds, []
    time.sleep(0.5)
    while time.monotonic() < end or not ready:
        victim = chaos.rng.choice(chaos.a.serving())
        t = victim.kill()
        chaos.kills.append((t, t))
        chaos.a.wait_serving(chaos.workers, [victim.pid], 20)
        ready.append(time.monotonic() - t)
        time.sleep(max(0, t + 0.06 - time.monotonic()))
    report = chaos.stop_load()
    idle = chaos.a.wait_idle_gauges(30)
    ready.sort()
    print(f"{len(ready)} kills, {report['classes']}")
    return [ms("G3-ready-p99", ready[max(0, int(len(ready) * .99) - 1)], 20), ms("G3-ready-max", ready[-1], 50),
            Figure("G3-longest-gap", report["gaps"][0][1] if report["gaps"] else 0, 50, "ms"),
            ms("G4-gauges-0-after", idle, 1000), Figure("G4-wrong-refusals", wrong_refusals(chaos))]


def hangs(chaos, _seconds):
    chaos.start_load()
    away, back = [], []
    for core in range(chaos.workers):         # each once: who hangs again and again is held back
        time.sleep(0.7)
        victim = next(p for p in chaos.a.serving() if p.core == core)
        t = victim.kill(signal.SIGSTOP)
        chaos.kills.append((t, t + 2))
        fl.wait_for("another serves its core", lambda: any(r["core"] == victim.core and r["served_by"] != victim.core
                                                         for r in chaos.a.cores()), 20, every=0.002)
        away.append(time.monotonic() - t)
        chaos.a.wait_serving(chaos.workers, [victim.pid], 20)
        back.append(time.monotonic() - t)
    report = chaos.stop_load()
    new = [f for f in report["failures"] if not f["reused"] and not chaos.explained(f)]
    return [ms("G5-steered-away", max(away), 500), ms("G5-replaced", max(back), 1000), Figure("G5-new-failed", len(new))]


def no_master(chaos, seconds):
    chaos.start_load()
    time.sleep(0.5)
    chaos.a.proc.kill()
    chaos.a.proc.wait()
    time.sleep(seconds)
    t = time.monotonic()
    chaos.a.start()
    took = time.monotonic() - t
    time.sleep(1)
    report = chaos.stop_load()
    print(f"{report['requests']} requests, {report['classes']}, {seconds:.0f} s without master")
    return [Figure("G6-failed", report["failed"]), ms("G6-adopted", took, 500)]


def requests(chaos):
    return chaos.a.total("vserver", "requests")


def all_counted(chaos, want):
    fl.wait_for("control answers", lambda: chaos.a.ask("status", patience=20))
    try:
        fl.wait_for("all are counted", lambda: requests(chaos) >= want, 20)
    except AssertionError:
        return                               # the figure says so


def counters(chaos, seconds):
    """First the consolidator stands still, again and again; then workers die."""
    before = requests(chaos)
    chaos.start_load()
    end = time.monotonic() + seconds / 2
    while time.monotonic() < end:
        for p in chaos.a.processes("control")[:1]:
            p.kill(signal.SIGSTOP)           # the master replaces it
        time.sleep(0.2)
    report = chaos.stop_load()
    for p in chaos.a.processes("control"):
        p.kill(signal.SIGKILL)
    all_counted(chaos, before + report["requests"])
    lost = before + report["requests"] - requests(chaos)
    before = requests(chaos)
    chaos.start_load()
    end = time.monotonic() + seconds / 2
    while time.monotonic() < end:
        chaos.kill("worker")
        time.sleep(0.2)
    report = chaos.stop_load()
    may = IN_FLIGHT * len(chaos.kills)
    chaos.a.wait_serving(chaos.workers, (), 20)
    all_counted(chaos, before + report["ok"])
    n = requests(chaos) - before
    beyond = max(0, report["ok"] - may - n, n - report["requests"] - may)
    print(f"{n} of {report['requests']} requests counted over {len(chaos.kills)} kills")
    return [Figure("G7-lost", abs(lost), 0, "increments"), Figure("G7-beyond-kills", beyond, 0, "increments"),
            Figure("G7-backward", len(chaos.watch.backward), 0, "counters")]


def crash_points(program, seconds):
    """The unit test of the segment: one kill behind each store (a build with failpoints), random kills, flipped bits."""
    env = {**os.environ, "FL_CRASH_SECONDS": f"{seconds:.0f}", "CK_VERBOSITY": "normal", "srcdir": str(fl.TOP)}
    if not os.access(program, os.X_OK):
        print(f"{program} is missing")
        return [Figure("G20-failed", 1, 0, "tests")]
    p = subprocess.run([program], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                       cwd=pathlib.Path(program).parents[3])
    m = re.search(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)", p.stdout)
    for line in p.stdout.splitlines():
        if line.startswith(("kills", "stores")) or (p.returncode and ":" in line):
            print(line)
    failed = int(m[2]) + int(m[3]) if m else 0
    return [Figure("G20-failed", failed or int(p.returncode != 0), 0, "tests")]


GOALS = (("G1", reloads), ("G2", reloads_and_kills), ("G3", kills), ("G5", hangs), ("G6", no_master), ("G7", counters))
NAMES = {name for name, _ in GOALS} | {"G4", "G20"}


def run(make, seconds, program, want=None, short=False):
    """All of them within about `seconds`, if durations are good at once."""
    share, good = max(3, (seconds - 12) / 6), True
    for name, measure in GOALS:
        if want and name not in want and not (name == "G3" and "G4" in want):
            continue
        tries = []
        while len(tries) < TRIES and (not tries or not is_settled(best_of(tries), short)):
            chaos = make(f"{name}.{len(tries)}")
            try:
                tries.append(measure(chaos, share))
            finally:
                chaos.watch.stop()
                chaos.end()
            good &= not chaos.problems
        good &= tell(best_of(tries))
    if not want or "G20" in want:
        good &= tell(crash_points(program, max(1, share / 2)))
    return good

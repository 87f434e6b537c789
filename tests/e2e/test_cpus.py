# SPDX-License-Identifier: Apache-2.0
"""Who runs on which CPU: `control-core`, and a set of CPUs that is changed from outside."""
import contextlib
import os
import pathlib
import signal
import subprocess

import pytest

import fl

CPUS = sorted(os.sched_getaffinity(0))

pytestmark = pytest.mark.skipif(len(CPUS) < 2, reason="one CPU: nobody can be moved")


def answers(port, top):
    return (f"{top}\nerror-log stderr info\nvserver web {{\n    listen 127.0.0.1:{port}\n    default respond 200 \"here\"\n}}\n")


def threads(pid):
    """Masks of all threads of a process; those that end meanwhile are left out."""
    masks = []
    for t in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            masks.append(frozenset(os.sched_getaffinity(int(t.name))))
    return set(masks)


def rows(a, role):
    return [r for r in a.cores("running") if r["role"] == role]


def on(a):
    """CPU of each worker's core, as `show core` tells, when that is what the kernel says."""
    newest = a.generation()
    workers = [r for r in rows(a, "worker") if r["generation"] == newest]
    for r in workers:
        mask = os.sched_getaffinity(r["pid"])
        assert r["cpu"] == (min(mask) if len(mask) == 1 else None)
    return {r["core"]: r["cpu"] for r in workers}


def serves(port, n=20):
    return all(fl.get(port).body == b"here" for _ in range(n))


def test_a_core_for_control(fairlead):
    port, mine = fl.free_port(), CPUS[1]
    a = fairlead(answers(port, f"workers auto\ncontrol-core {mine}"))
    others = {c for c in CPUS if c != mine}
    fl.wait_for("workers are elsewhere", lambda: set(on(a).values()) == others and len(on(a)) == len(others))
    fl.wait_for("master is there", lambda: threads(a.proc.pid) == {frozenset([mine])})
    fl.wait_for("control is there", lambda: threads(a.process("fl-control")) == {frozenset([mine])})
    fl.wait_for("logd is there", lambda: threads(a.process("fl-logd")) == {frozenset([mine])})
    row = fl.wait_for("control stands among the cores", lambda: rows(a, "control"))[0]
    assert row["cpu"] == mine and row["core"] is None
    assert serves(port)
    # one that is forked later is born there
    pid = a.process("fl-control")
    os.kill(pid, signal.SIGKILL)
    fl.wait_for("the next control too", lambda: a.process("fl-control") not in (None, pid) and
                threads(a.process("fl-control")) == {frozenset([mine])})
    # a worker that is forked later keeps away
    victim = a.workers()[0]
    os.kill(victim, signal.SIGKILL)
    fl.wait_for("the next worker is elsewhere", lambda: victim not in a.workers() and set(on(a).values()) == others)


def test_a_reload_gives_it_and_takes_it(fairlead):
    port, mine = fl.free_port(), CPUS[0]
    a = fairlead(answers(port, "workers auto"))
    assert threads(a.proc.pid) == {frozenset(CPUS)} and rows(a, "control") == []
    control = a.process("fl-control")
    assert len(a.workers()) == len(CPUS)
    a.reload(answers(port, f"workers auto\ncontrol-core {mine}"))
    fl.wait_for("workers moved", lambda: mine not in on(a).values() and len(on(a)) == len(CPUS) - 1)
    fl.wait_for("all threads moved", lambda: threads(control) == threads(a.proc.pid) == {frozenset([mine])})
    assert a.process("fl-control") == control
    a.reload(answers(port, "workers auto\ncontrol-core shared"))
    fl.wait_for("all is as before", lambda: threads(control) == threads(a.proc.pid) == {frozenset(CPUS)})
    fl.wait_for("workers are back", lambda: sorted(on(a).values()) == CPUS)
    assert serves(port)


def test_a_core_that_control_shares_with_a_worker(fairlead):
    port, mine = fl.free_port(), CPUS[1]
    a = fairlead(answers(port, f"workers auto\ncontrol-core {mine} shared"))
    fl.wait_for("each CPU has a worker", lambda: sorted(on(a).values()) == CPUS)
    for who in ("fl-control", "fl-logd"):
        fl.wait_for(f"{who} is there", lambda: threads(a.process(who)) == {frozenset([mine])})
    fl.wait_for("master is there", lambda: threads(a.proc.pid) == {frozenset([mine])})
    row = fl.wait_for("control stands among the cores", lambda: rows(a, "control"))[0]
    core = next(r for r in rows(a, "worker") if r["cpu"] == mine)
    assert row["cpu"] == mine and row["shares_cpu_with"] == f"core {core['core']}" and core["shares_cpu_with"] == "control"
    # it becomes its own, and is shared again
    a.reload(answers(port, f"workers auto\ncontrol-core {mine}"))
    fl.wait_for("workers went", lambda: mine not in on(a).values() and len(on(a)) == len(CPUS) - 1)
    a.reload(answers(port, f"workers auto\ncontrol-core {mine} shared"))
    fl.wait_for("they are back", lambda: sorted(on(a).values()) == CPUS)
    assert threads(a.proc.pid) == {frozenset([mine])} and serves(port)


def test_shared_twice_is_refused(tmp_path):
    conf = tmp_path / "c.conf"
    conf.write_text("control-core shared shared\n")
    p = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf)], capture_output=True, text=True)
    assert p.returncode == 1 and "c.conf:1:" in p.stderr + p.stdout


def test_more_workers_than_cpus_are_left(fairlead):
    port = fl.free_port()
    a = fairlead(answers(port, f"workers {len(CPUS)}\ncontrol-core {CPUS[1]}"))
    fl.wait_for("they share", lambda: CPUS[1] not in on(a).values() and len(on(a)) == len(CPUS))
    shared = [r["shares_cpu_with"] for r in rows(a, "worker")]
    assert any(s and s.startswith("core ") for s in shared), shared


def test_a_binary_upgrade_keeps_it(fairlead):
    port, mine = fl.free_port(), CPUS[1]
    a = fairlead(answers(port, f"workers auto\ncontrol-core {mine}"))
    fl.wait_for("it is there", lambda: threads(a.proc.pid) == {frozenset([mine])})
    before = a.workers()
    a.signal(signal.SIGUSR2)
    fl.wait_for("others serve", lambda: a.workers() and not set(before) & set(a.workers()), 20)
    fl.wait_for("as before", lambda: threads(a.proc.pid) == {frozenset([mine])} and
                set(on(a).values()) == {c for c in CPUS if c != mine} and len(on(a)) == len(CPUS) - 1)
    assert serves(port)


def test_one_that_is_not_there_is_refused(tmp_path):
    conf = tmp_path / "c.conf"
    n = os.sysconf("SC_NPROCESSORS_CONF")
    if n > 1023:
        pytest.skip("every number is a CPU")
    conf.write_text(f"control-core {n}\n")
    p = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf)], capture_output=True, text=True)
    assert p.returncode == 1 and "E0505" in p.stderr + p.stdout
    conf.write_text(f"control-core {n - 1}\n")
    assert subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf)], capture_output=True).returncode == 0


def test_cpus_are_taken_and_given_back(fairlead):
    port = fl.free_port()
    a = fairlead(answers(port, f"workers {len(CPUS)}"))
    home = fl.wait_for("each has its own", lambda: sorted(on(a).values()) == CPUS and on(a))
    workers = a.workers()
    for left in ([CPUS[0]], CPUS, [CPUS[1]], CPUS):
        os.sched_setaffinity(a.proc.pid, left)
        fl.wait_for(f"workers are on {left}", lambda: set(on(a).values()) == set(left) and (len(left) == 1 or on(a) == home))
        assert serves(port)
        sharing = [r["shares_cpu_with"] for r in rows(a, "worker")]
        assert all(sharing) if len(left) == 1 else not any(sharing)
    assert a.workers() == workers
    out = a.output()
    assert f"worker@1 runs on CPU {CPUS[0]} instead of {CPUS[1]}" in out
    assert f"worker@0 runs on CPU {CPUS[1]} instead of {CPUS[0]}" in out


def test_a_worker_that_is_born_meanwhile_knows(fairlead):
    port = fl.free_port()
    a = fairlead(answers(port, f"workers {len(CPUS)}"))
    os.sched_setaffinity(a.proc.pid, [CPUS[0]])
    fl.wait_for("they moved", lambda: set(on(a).values()) == {CPUS[0]})
    a.reload()
    fl.wait_for("the next ones too", lambda: set(on(a).values()) == {CPUS[0]} and len(on(a)) == len(CPUS))
    os.sched_setaffinity(a.proc.pid, CPUS)
    fl.wait_for("back", lambda: sorted(on(a).values()) == CPUS)


def test_a_mask_of_one_worker_is_its_owners(fairlead):
    """Who moves one worker by hand means it: nobody moves it back until the set of all changes."""
    port = fl.free_port()
    a = fairlead(answers(port, f"workers {len(CPUS)}"))
    pid = next(r["pid"] for r in rows(a, "worker") if r["core"] == 1)
    os.sched_setaffinity(pid, [CPUS[0]])
    fl.wait_for("it is told", lambda: on(a)[1] == CPUS[0])
    for _ in range(3):                  # looks of the master, by another thing that it does every second
        assert serves(port, 3)
        age = fl.wait_for("a look", lambda: a.json("show", "process"))
        assert age
    assert os.sched_getaffinity(pid) == {CPUS[0]}


@pytest.fixture
def cpuset():
    """A cpuset of our own, where this machine lets us make one (cgroup v1 or v2)."""
    root = pathlib.Path("/sys/fs/cgroup")
    old = (root / "cpuset/cpuset.mems").exists()
    if old:
        root = root / "cpuset"
    group = root / f"fairlead-test-{os.getpid()}"
    try:
        if not old and "cpuset" not in (root / "cgroup.subtree_control").read_text().split():
            (root / "cgroup.subtree_control").write_text("+cpuset")
        group.mkdir()
        (group / "cpuset.cpus").write_text(",".join(map(str, CPUS)))
        if old:
            (group / "cpuset.mems").write_text((root / "cpuset.mems").read_text())
    except OSError as e:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no cpuset can be made here: {e}")
    yield group

    def gone():
        for pid in (group / "cgroup.procs").read_text().split():
            (root / "cgroup.procs").write_text(pid)
        group.rmdir()
        return True

    fl.wait_for("the cpuset is empty", gone)


@pytest.mark.parametrize("top", ["", "control-core {last}"])
def test_a_cpuset_shrinks_and_grows(fairlead, cpuset, top):
    port = fl.free_port()
    a = fairlead(answers(port, f"workers {len(CPUS)}\n" + top.format(last=CPUS[-1])))
    for pid in [a.proc.pid, *a.children()]:
        (cpuset / "cgroup.procs").write_text(str(pid))
    home = fl.wait_for("they are pinned", lambda: None not in on(a).values() and on(a))
    for left in (CPUS[:1], CPUS, CPUS[:1], CPUS):
        (cpuset / "cpuset.cpus").write_text(",".join(map(str, left)))
        fl.wait_for(f"workers are on {left}", lambda: on(a) == home if left == CPUS else set(on(a).values()) == set(left))
        assert serves(port)
    if top:
        fl.wait_for("the control core too", lambda: threads(a.process("fl-control")) == {frozenset([CPUS[-1]])})

# SPDX-License-Identifier: Apache-2.0
"""`fairleadctl --shm`: what the segment says when nobody of the appliance answers."""
import contextlib
import json
import os
import re
import signal
import subprocess

import pytest

import fl

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="looking at descriptors of others needs root")


def shm(which, *args, check=True):
    p = subprocess.run([fl.FAIRLEADCTL, "--shm", str(which), "--json", *args], capture_output=True, text=True,
                       timeout=30 * fl.SLOW)
    if check:
        assert p.returncode == 0, p.stdout + p.stderr
        return json.loads(p.stdout)
    return p


@pytest.fixture
def counted(fairlead, origins):
    o, port = origins(), fl.free_port()
    f = fairlead(fl.web(port, o.addr, workers=2))
    for _ in range(7):
        assert fl.get(port, "/").status == 200
    f.wait_stat("service", "app/a1", lambda r: r["requests"] == 7 and r["requests_active"] == 0)
    return f


def test_it_says_what_the_socket_says(counted):
    f = counted
    assert shm(f.proc.pid, "stat", "service", "--all")[0]["requests"] == 7
    for kind in ("vserver", "pool", "service", "listener", "policy", "core"):
        told, read = f.json("stat", kind, "--all"), shm(f.proc.pid, "stat", kind, "--all")
        assert [list(r) for r in read] == [list(r) for r in told]
        assert [r["name"] for r in read] == [r["name"] for r in told]
    core = shm(f.proc.pid, "show", "core")
    assert [(r["core"], r["pid"]) for r in core] == [(r["core"], r["pid"]) for r in f.cores()]
    roles = {r["role"] for r in shm(f.proc.pid, "show", "process")}
    assert roles == {"master", "worker", "control", "logd"}
    layout = subprocess.run([fl.FAIRLEAD, "-x", "layout"], capture_output=True, text=True, check=True).stdout
    status = shm(f.proc.pid, "status")
    status = status[0] if isinstance(status, list) else status
    assert re.match(r"layout\t(\w+)\n", layout)[1] == status["layout"] and status["generation"] == f.generation()


def test_everybody_is_stopped(counted):
    """No process of the appliance does anything, and its figures can be read."""
    f, pids = counted, [counted.proc.pid, *counted.children()]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        assert shm(f.proc.pid, "stat", "service", "app/a1")[0]["requests"] == 7
        assert len(shm(f.proc.pid, "show", "core")) == 2
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_the_master_is_dead(counted):
    """gen keeps the segment for the next master: until there is one, it is read from there."""
    f = counted
    gen = next(r["pid"] for r in f.json("show", "process") if r["role"] == "gen")
    mates = f.children()
    f.proc.send_signal(signal.SIGKILL)
    f.proc.wait()
    try:
        for pid in mates:
            os.kill(pid, signal.SIGSTOP)
        assert shm(gen, "stat", "service", "app/a1")[0]["requests"] == 7
    finally:
        for pid in mates:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_the_manual_draws_the_layout_that_is_there():
    """Each size and each field that `fairlead -x layout` tells stands in fairlead-shm(7)."""
    manual = (fl.TOP / "man/fairlead-shm.7").read_text()
    part = dict(re.findall(r'\.\\" LAYOUT (\w+)\n(.*?)(?=\.\\" LAYOUT|\.Ed)', manual, re.S))
    whole = " ".join(" ".join(part.values()).split())
    layout = subprocess.run([fl.FAIRLEAD, "-x", "layout"], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in layout.splitlines()[1:] if not line.startswith("counter")]
    own = {"seg_dir": "dir", "seg_totals": "totals", "seg_slot": "slot"}
    for what, name, n in (r for r in rows if r[0] in ("size", "field")):
        kind, _, field = name.partition(".")
        if what == "size":
            assert re.search(rf"\b{n}\b", whole), f"size of {name}: {n}"
        elif kind in own:
            assert re.search(rf"(^|[\s,]){n}\s+{field}\b", part[own[kind]]), f"{name} at {n}"
    areas = [name for what, name, _ in rows if what == "offset"]
    for file, text in part.items():
        mine = [a.partition(".")[2] for a in areas if a.startswith(file + ".")]
        drawn = [a for line in text.splitlines() for a in re.findall(r"^  ([a-z]+(?:, [a-z]+)*)  ", line) for a in a.split(", ")]
        assert drawn == mine, file


@pytest.mark.parametrize("which, args, words", [
    (1, ["stat", "service"], "no segment of fairlead open"), ("x", ["stat", "service"], "or any"),
    (4194304, ["stat", "service"], "cannot be read"), (os.getpid(), ["stat", "service"], "no segment of fairlead open")])
def test_what_has_no_segment_is_said(which, args, words):
    p = shm(which, *args, check=False)
    assert p.returncode in (2, 3) and words in p.stdout, p.stdout + p.stderr


def test_what_the_segment_cannot_tell_is_refused(counted):
    p = shm(counted.proc.pid, "show", "config", check=False)
    assert p.returncode == 2 and "show core" in p.stdout
    p = shm(counted.proc.pid, "stat", "service", "app/none", check=False)
    assert p.returncode == 1 and 'no service named' in p.stdout

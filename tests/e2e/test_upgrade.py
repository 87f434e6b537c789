# SPDX-License-Identifier: Apache-2.0
"""USR2 to a program that does not take the segment of before: the counters come along by name.

A failpoint refuses the segment, as another layout would; so only a build with failpoints can run this."""
import contextlib
import json
import signal
import subprocess
import threading
import time

import pytest

import chaoslib
import fl

pytestmark = pytest.mark.skipif(
    "failpoints" not in subprocess.run([fl.FAIRLEAD, "-V"], capture_output=True, text=True).stdout,
    reason="a build without failpoints")

OTHER_LAYOUT = {"FAIRLEAD_FAILPOINTS": "take-segment=errno EPROTO"}


def conf(port, more=""):
    return (f"workers 2\nerror-log stderr info\nvserver web {{\n    listen 127.0.0.1:{port}\n"
            f"    policy all {{ set-response-header X-A 1 }}\n    default respond 200 \"here\"\n}}\n{more}")


def upgrade(a):
    before, n = a.workers(), a.output().count("were taken over from the segment of before")
    a.signal(signal.SIGUSR2)
    fl.wait_for("others serve", lambda: a.workers() and not set(before) & set(a.workers()), 20)
    fl.wait_for("it is logged", lambda: a.output().count("were taken over from the segment of before") == n + 1)


def sums(a):
    """What clients can have counted, of all kinds of objects."""
    figures = {}
    for kind in ("vserver", "policy", "listener", "core"):
        for row in a.json("stat", kind, "--all"):
            for what in ("requests", "hits", "accepts"):
                if row.get(what):
                    figures[kind, row["name"], what] = row[what]
    return figures


def test_sums_come_along(fairlead):
    port = fl.free_port()
    a = fairlead(conf(port, "vserver gone { default respond 200 }\n"), env=OTHER_LAYOUT)
    for _ in range(3):
        before = a.stat("vserver", "web")["requests"]
        for _ in range(25):
            assert fl.get(port).status == 200
        a.wait_stat("vserver", "web", lambda r: r["requests"] == before + 25)
        fl.wait_for("clients are gone", lambda: a.stat("vserver", "web")["connections"] == 0)
        figures = sums(a)
        assert figures["vserver", "web", "requests"] == figures["policy", "web/all", "hits"] == before + 25
        upgrade(a)
        after = fl.wait_for("they are all there", lambda: figures.keys() <= sums(a).keys() and sums(a))
        assert after == figures
        assert a.stat("vserver", "web")["connections"] == 0
    # a reload does not add them again, nor does a death
    a.reload()
    assert sums(a) == figures
    fl.wait_for("a new control", lambda: a.process("fl-control"))
    assert fl.get(port).status == 200
    a.wait_stat("vserver", "web", lambda r: r["requests"] == figures["vserver", "web", "requests"] + 1)


def test_nothing_goes_backward_under_load(tmp_path):
    port = fl.free_port()
    with contextlib.ExitStack() as stack:
        o = chaoslib.Origin()
        stack.callback(o.stop)
        a = chaoslib.Appliance(tmp_path, fl.web(port, o.addr, workers=2), name="up", env=OTHER_LAYOUT)
        stack.callback(a.stop)
        x = chaoslib.Load(port, new=200, keep=8, think=20)
        stack.callback(x.kill)
        fl.wait_for("traffic", lambda: a.total("vserver", "requests") > 200)
        seen, stop = [], threading.Event()

        def look():
            session = chaoslib.Ctl(a.socket)
            while not stop.is_set():
                with contextlib.suppress(OSError, ValueError, AssertionError):
                    code, text = session.ask("stat vserver --all")
                    seen.extend([row["requests"] for row in json.loads(text)] if code == 0 else [])
                time.sleep(0.002)

        t = threading.Thread(target=look)
        t.start()
        for _ in range(2):
            old = fl.wait_for("somebody serves", lambda: {p.pid for p in a.serving()})
            a.signal(signal.SIGUSR2)
            fl.wait_for("others serve", lambda: len(a.serving()) == 2 and not {p.pid for p in a.serving()} & old, 20)
            n = fl.wait_for("control tells", lambda: a.total("vserver", "requests"))
            fl.wait_for("they count", lambda: a.total("vserver", "requests") > n + 100)
        stop.set()
        t.join()
        assert len(seen) > 20
        assert seen == sorted(seen), [(b, c) for b, c in zip(seen, seen[1:]) if c < b]
        chaoslib.stop_without_failure(x, a, 200)


def test_a_refused_configuration_shows_what_runs(fairlead):
    """The next program does not take the segment, and then not the configuration: figures begin anew, and are told."""
    port = fl.free_port()
    good = conf(port)
    a = fairlead(good, env=OTHER_LAYOUT)
    for _ in range(10):
        assert fl.get(port).status == 200
    a.wait_stat("vserver", "web", lambda r: r["requests"] == 10)
    control, workers = a.process("fl-control"), a.workers()
    a.write("nonsense {")
    a.signal(signal.SIGUSR2)
    fl.wait_for("another control tells", lambda: a.process("fl-control") not in (None, control) and a.ctl("status", check=False))
    assert fl.get(port).status == 200
    a.write(good)
    assert a.reload(check=False).returncode == 0
    fl.wait_for("the sums came with the first that loads", lambda: a.stat("vserver", "web")["requests"] == 10)
    assert not set(a.workers()) & set(workers)


@pytest.mark.parametrize("takes", (False, True))
def test_sums_survive_another_upgrade_before_they_were_taken(tmp_path, takes):
    """Two upgrades in a row while the configuration is refused; the second program may be able to take the segment."""
    link, port = tmp_path / "fairlead", fl.free_port()
    link.write_text(f"#!/bin/bash\n[ ! -e {tmp_path}/takes ] || unset FAIRLEAD_FAILPOINTS\nexec -a \"$0\" {fl.FAIRLEAD} \"$@\"\n")
    link.chmod(0o755)
    good = conf(port)
    a = fl.Fairlead(tmp_path, good, env=OTHER_LAYOUT, program=str(link))
    try:
        for _ in range(10):
            assert fl.get(port).status == 200
        a.wait_stat("vserver", "web", lambda r: r["requests"] == 10)
        a.write("nonsense {")
        for n in range(1, 4):
            if takes and n == 3:
                (tmp_path / "takes").touch()
            a.signal(signal.SIGUSR2)
            fl.wait_for("the next program refuses the configuration", lambda: a.output().count("reload-failed") == n)
        assert a.output().count("the segment of before is not taken") == (2 if takes else 3)
        a.write(good)
        fl.wait_for("it loads", lambda: a.reload(check=False).returncode == 0)
        fl.wait_for("all are there", lambda: a.stat("vserver", "web")["requests"] == 10)
        a.reload()
        assert fl.get(port).status == 200
        a.wait_stat("vserver", "web", lambda r: r["requests"] == 11)
    finally:
        a.stop()

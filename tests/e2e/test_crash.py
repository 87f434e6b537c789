# SPDX-License-Identifier: Apache-2.0
"""What kills workers again and again is refused; everybody else is served (ROBUSTNESS F5).

A failpoint makes a worker fault on one path or one client, so most of this needs a build with failpoints."""
import os
import re
import signal
import socket
import subprocess
import time

import pytest

import chaoslib
import fl

needs_failpoints = pytest.mark.skipif(
    "failpoints" not in subprocess.run([fl.FAIRLEAD, "-V"], capture_output=True, text=True).stdout,
    reason="a build without failpoints")
POISON = {"FAIRLEAD_FAILPOINTS": "request /poison=trap"}


def conf(port, block="10m", more=""):
    return (f"workers 2\ncrash-block {block}\nerror-log stderr info\nvserver web {{\n    listen 127.0.0.1:{port}\n"
            f"    default respond 200 \"here\"\n}}\n{more}")


def crashes(a):
    return a.json("show", "crash")


def deaths(a):
    return sum(r["deaths"] for r in crashes(a))


def all_there(a, without=()):
    return fl.wait_for("two workers serve", lambda: len(a.workers()) == 2 and not set(a.workers()) & set(without) and
                       a.workers(), 20)


def poison(a, deed, n):
    """n deaths by deed(), one after the other; the row of the only fingerprint."""
    for _ in range(n):
        before = deaths(a)
        deed()
        fl.wait_for("a worker died of it", lambda: deaths(a) == before + 1, 20)
    row, = crashes(a)
    return row


def take_poison(port):
    with pytest.raises((OSError, EOFError, ValueError, AssertionError)):
        fl.get(port, "/poison")


def is_refused(port, target="/poison"):
    r = fl.get(port, target)
    return r.status == 403 and b"blocked" in r.body


@needs_failpoints
def test_the_fourth_is_refused(tmp_path):
    port = fl.free_port()
    o, load = chaoslib.Origin(), None
    a = chaoslib.Appliance(tmp_path, fl.web(port, o.addr, workers=2), name="crash", env=POISON)
    try:
        all_there(a)
        load = chaoslib.Load(port, new=100, keep=8, think=20)
        begun = time.monotonic()
        row = poison(a, lambda: take_poison(port), 3)
        kills = [(begun, time.monotonic())]
        assert row["deaths"] == 3 and row["blocked"] and 500 < row["seconds"] <= 600
        assert row["what"] == "request web GET test /poison"
        assert row["signal"] in ("SIGILL", "SIGTRAP") and re.fullmatch(r"fairlead\+0x[0-9a-f]+", row["where"])
        pids = all_there(a)
        for target in ("/poison", "/poison?with=a+query"):
            assert is_refused(port, target)
        assert fl.get(port, "/poison2").status == fl.get(port, "/").status == 200
        assert a.workers() == pids
        # neither new workers of either kind nor a new master forget it
        a.ask("reload")
        assert is_refused(port)
        os.kill(all_there(a)[0], signal.SIGKILL)
        kills.append((time.monotonic() - 0.1, time.monotonic() + 1))
        all_there(a)
        assert is_refused(port)
        a.proc.kill()
        a.proc.wait()
        a.start()
        all_there(a)
        assert is_refused(port) and deaths(a) == 3
        report = load.stop()
        assert not chaoslib.unattributed(report["failures"], kills), report["failures"][:5]
        fl.wait_for("it is counted", lambda: any(r["reason"] == "blocked" and r["count"] >= 5
                                                 for r in a.json("show", "errors")))
        # an operator knows better
        assert a.ctl("unblock", row["id"]).returncode == 0 and crashes(a) == []
        poison(a, lambda: take_poison(port), 1)
        assert fl.get(port, "/").status == 200
        for event in ("err master crash", "err master block", "warn worker@[01] blocked", "info master unblock"):
            fl.wait_for(f"{event} is logged", lambda: re.search(event, a.output()))
    finally:
        if load:
            load.kill()
        a.stop()
        o.stop()


@needs_failpoints
def test_a_block_ends(fairlead):
    port = fl.free_port()
    a = fairlead(conf(port, f"{int(6 * fl.SLOW)}s"), env=POISON)
    all_there(a)
    assert poison(a, lambda: take_poison(port), 3)["blocked"]
    assert is_refused(port)
    fl.wait_for("its time is over", lambda: not crashes(a)[0]["blocked"], 30)
    # one more death is enough now
    assert poison(a, lambda: take_poison(port), 1)["blocked"]
    assert is_refused(port)
    a.reload(conf(port, "off"))
    fl.wait_for("nothing is blocked", lambda: not crashes(a)[0]["blocked"])
    pids = all_there(a)
    for _ in range(4):
        poison(a, lambda: take_poison(port), 1)
    assert not crashes(a)[0]["blocked"] and all_there(a) != pids


@needs_failpoints
def test_what_differs_counts_apart(fairlead):
    port = fl.free_port()
    a = fairlead(conf(port), env={"FAIRLEAD_FAILPOINTS": "request /a=trap,request /b=trap"})
    all_there(a)
    for target in ("/a", "/b", "/a", "/b"):
        before = deaths(a)
        with pytest.raises((OSError, EOFError, ValueError, AssertionError)):
            fl.get(port, target)
        fl.wait_for("a worker died", lambda: deaths(a) == before + 1, 20)
    assert sorted((r["what"], r["deaths"], r["blocked"]) for r in crashes(a)) == [
        ("request web GET test /a", 2, False), ("request web GET test /b", 2, False)]


def test_who_was_ended_from_outside_died_of_no_request(fairlead):
    """Three workers that waited, or were ended by somebody, have the most popular path in common, and nothing else."""
    port = fl.free_port()
    a = fairlead(conf(port, more="heartbeat-timeout 300ms\n"))
    for deed in (signal.SIGABRT, signal.SIGSTOP, signal.SIGABRT, signal.SIGSTOP):
        before = all_there(a)
        for _ in range(20):
            assert fl.get(port).status == 200
        for pid in before:
            os.kill(pid, deed)
        all_there(a, without=before)
    assert deaths(a) >= 4 and not any(r["blocked"] or r["what"] for r in crashes(a))
    assert fl.get(port).status == 200


@needs_failpoints
def test_a_loop_is_a_death_like_others(fairlead):
    """A worker that spins is ended by the master's SIGABRT, wherever in its loop it is by then."""
    port = fl.free_port()
    a = fairlead(conf(port, more="heartbeat-timeout 200ms\n"), env={"FAIRLEAD_FAILPOINTS": "request /poison=spin"})
    all_there(a)
    row = poison(a, lambda: take_poison(port), 3)
    assert (row["signal"], row["where"], row["blocked"]) == ("SIGABRT", "asked to", True)
    all_there(a)
    assert is_refused(port)


@needs_failpoints
def test_a_client_of_tcp(fairlead):
    port, o = fl.free_port(), chaoslib.Origin()
    try:
        a = fairlead(f"workers 2\npool app {{ monitor none; service a1 {o.addr} }}\n"
                     f"vserver t {{ listen 127.0.0.1:{port}; protocol tcp; default use app }}\n",
                     env={"FAIRLEAD_FAILPOINTS": "client 127.0.0.1=trap"})
        all_there(a)

        def connect(source="127.0.0.1"):
            """What was answered; a reset may come before connect(2) has returned."""
            try:
                with socket.create_connection(("127.0.0.1", port), 10, (source, 0)) as s:
                    s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: 1\r\n\r\n")
                    return s.recv(100)
            except ConnectionError:
                return b""

        assert poison(a, connect, 3)["what"] == "client t 127.0.0.1"
        pids = all_there(a)
        assert connect() == b"" and connect() == b""
        assert connect("127.0.0.2").startswith(b"HTTP/1.1 ")
        assert a.workers() == pids
    finally:
        o.stop()


@needs_failpoints
def test_a_client_of_udp(fairlead):
    port, o = fl.free_port(), chaoslib.DatagramOrigin()
    try:
        a = fairlead(f"workers 2\npool app {{ monitor none; service a1 {o.addr} }}\n"
                     f"vserver u {{ listen 127.0.0.1:{port}; protocol udp; default use app }}\n",
                     env={"FAIRLEAD_FAILPOINTS": "client 127.0.0.1=trap"})
        all_there(a)

        def send():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind(("127.0.0.1", 0))
                s.sendto(b"hello", ("127.0.0.1", port))

        assert poison(a, send, 3)["what"] == "client u 127.0.0.1"
        pids = all_there(a)
        send()
        a.wait_stat("vserver", "u", lambda r: r["requests_denied"] >= 1)
        assert a.workers() == pids
    finally:
        o.stop()


def test_who_kills_from_outside_blocks_nobody(fairlead):
    port = fl.free_port()
    a = fairlead(conf(port))
    for n in range(1, 5):
        victim = all_there(a)[0]
        os.kill(victim, signal.SIGSEGV)
        fl.wait_for("it is told", lambda: deaths(a) == n, 20)
        all_there(a, [victim])
    row, = crashes(a)
    assert (row["signal"], row["where"], row["what"], row["blocked"]) == ("SIGSEGV", "asked to", None, False)
    assert fl.get(port, "/").status == 200


def test_unblock_says_what_is_wrong(fairlead):
    a = fairlead(conf(fl.free_port()))
    for args, code in ((("unblock",), 2), (("unblock", "x", "--all"), 2), (("unblock", "0123"), 1), (("unblock", "nonsense"), 1),
                       (("unblock", "--all"), 0)):
        assert a.ctl(*args, check=False).returncode == code, args

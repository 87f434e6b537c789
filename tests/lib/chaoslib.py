# SPDX-License-Identifier: Apache-2.0
"""What the tests that kill things share: load that classifies every request, an origin that marks every byte,
the control socket without a program in between, our processes by role, and the invariants of a run."""
import contextlib
import functools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import fl

BUILD = pathlib.Path(os.environ.get("FAIRLEAD_BUILD") or pathlib.Path(fl.FAIRLEAD).resolve().parents[1])
LOAD = str(BUILD / "tests/tools/load")
ORIGIN = str(BUILD / "tests/tools/origin")
DATAGRAMS = str(BUILD / "tests/tools/datagrams")
KINDS = ("vserver", "pool", "service", "listener", "core")


@functools.lru_cache
def counter_folds():
    """{(kind, name as in `stat --all`): "sum", "level", "max", ...} from the program's own table."""
    out = subprocess.run([fl.FAIRLEAD, "-x", "counters"], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in out.splitlines()[1:]]
    return {("core" if r[0] == "proc" else r[0], r[5].removeprefix(f"fairlead_{r[0]}_").removesuffix("_total")): r[3]
            for r in rows}


def is_gauge(kind, name):
    return counter_folds().get((kind, name)) == "level"


def is_counter(kind, name):
    return counter_folds().get((kind, name)) in ("sum", "max")


def goal(name, value, bound, unit="ms", worse=10):
    """One line for a figure that should hold on a quiet machine; False only when it is far off (worse x bound)."""
    print(f"GOAL {name} {value:.6g} {bound:g} {'pass' if value <= bound else 'fail'} ({unit})", flush=True)
    return value <= max(bound * worse * fl.SLOW, bound)


# Peers ------------------------------------------------------------------------------------

class Origin:
    """tests/tools/origin as a process."""
    program = [ORIGIN]

    def __init__(self, port=0):
        self.proc = subprocess.Popen([*self.program, str(port)], stdout=subprocess.PIPE, text=True)
        self.port = int(self.proc.stdout.readline())
        self.addr = f"127.0.0.1:{self.port}"
        self.report = None

    def stop(self):
        if self.report is None:
            self.proc.terminate()
            out, _ = self.proc.communicate(timeout=10)
            self.report = json.loads(out.splitlines()[-1])
        return self.report


class Load:
    """tests/tools/load as a process: Load(port, new=500, keep=64, think=50) ... .stop() -> report."""
    program = [LOAD]

    def __init__(self, port, seconds=None, tls=False, **options):
        args = [*self.program, "--to", f"127.0.0.1:{port}"]
        if seconds is not None:
            args += ["--seconds", str(seconds)]
        if tls:
            args.append("--tls")
        for key, value in options.items():      # True: an option without a value
            args += ["--" + key.replace("_", "-")] + ([] if value is True else [str(value)])
        self.begun = time.monotonic()
        self.proc = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
        self.report = None

    def wait(self, timeout=60):
        if self.report is None:
            out, _ = self.proc.communicate(timeout=timeout * fl.SLOW)
            assert self.proc.returncode == 0, f"load ended with {self.proc.returncode}"
            self.report = json.loads(out)
        return self.report

    def stop(self, timeout=60):
        if self.report is None and self.proc.poll() is None:
            self.proc.terminate()
        return self.wait(timeout)

    def kill(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        self.proc.stdout.close()


class DatagramOrigin(Origin):
    """tests/tools/datagrams echo as a process."""
    program = [DATAGRAMS, "echo"]


class DatagramLoad(Load):
    """tests/tools/datagrams load as a process: DatagramLoad(port, keep=16, think=10)."""
    program = [DATAGRAMS, "load"]


def counts(report):
    """Classes of a report that are not 0, new and kept connections together."""
    both = {k: report["new"][k] + report["keep"][k] for k in report["new"]}
    return {k: v for k, v in both.items() if v}


def assert_no_failure(report, at_least=1):
    assert report["failed"] == 0, f"{counts(report)}; first: {report['failures'][:5]}"
    assert report["ok"] >= at_least, f"only {report['ok']} requests"


def stop_without_failure(load, appliance, at_least):
    """Ends `load` once it had its share, however quick the deeds in between were; its report."""
    fl.wait_for(f"{at_least} requests and some", lambda: appliance.total("vserver", "requests") > at_least + 100, 30)
    report = load.stop()
    assert_no_failure(report, at_least)
    return report


# The appliance -----------------------------------------------------------------------------

class Ctl:
    """One framed session on the control socket; opened again when control was replaced."""

    def __init__(self, path, timeout=30):
        self.path, self.timeout, self.sock, self.buf = path, timeout, None, b""

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock, self.buf = None, b""

    def _line(self):
        while b"\n" not in self.buf:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionResetError("the control socket was closed")
            self.buf += data
        line, _, self.buf = self.buf.partition(b"\n")
        return line

    def ask(self, command, json_=True, timeout=None):
        """(exit status, text). Raises OSError when nobody answers."""
        try:
            if not self.sock:
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout((timeout or self.timeout) * fl.SLOW)
                self.sock.connect(self.path)
            self.sock.settimeout((timeout or self.timeout) * fl.SLOW)
            self.sock.sendall(f"{'@json' if json_ else '@text'} {command}\n".encode())
            m = re.fullmatch(rb"fairlead/1 (\d+) (\d+)", self._line())
            assert m, "bad frame on the control socket"
            while len(self.buf) < int(m[2]):
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionResetError("the control socket was closed")
                self.buf += data
            text, self.buf = self.buf[:int(m[2])], self.buf[int(m[2]):]
            return int(m[1]), text.decode()
        except BaseException:
            self.close()
            raise


class Process:
    def __init__(self, pid, comm):
        self.pid, self.comm = pid, comm
        m = re.fullmatch(r"fl-(worker|gen|control|logd) ?(\d*)(?:\.(\d+))?", comm)
        self.role = m[1] if m else "master"
        self.core = int(m[2]) if m and m[1] == "worker" else None

    def kill(self, signo=signal.SIGKILL):
        """The time just before: nothing that the signal breaks has broken earlier. (We may lose the core to it.)"""
        t = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signo)
        return t

    def is_gone(self):
        try:
            with open(f"/proc/{self.pid}/stat") as f:
                return f.read().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            return True

    def __repr__(self):
        return f"{self.comm}[{self.pid}]"


class Appliance(fl.Fairlead):
    """A fairlead whose masters may change; asked over the control socket itself, since a poll must be cheap."""

    def __init__(self, *args, **kw):
        self.masters, self.session = [], None
        super().__init__(*args, **kw)

    def start(self, wait=True):
        self.session = self.session or Ctl(self.socket)
        self.session.close()
        super().start(wait=False)
        self.masters.append(self.proc.pid)
        if wait:
            fl.wait_for("fairlead is ready", self.is_ready, 20, every=0.005)

    def is_ready(self):
        """The workers serve, and the master that watches them is the one that was started last."""
        rows = super().is_ready()
        return rows and any(r["role"] == "master" and r["pid"] == self.proc.pid for r in self.json("show", "process")) \
            and rows

    def ask(self, command, timeout=None, patience=5):
        """(exit status, text); control may be away for a moment, but for no longer than `patience` seconds."""
        end = time.monotonic() + patience * fl.SLOW
        while True:
            try:
                return self.session.ask(command, timeout=timeout)
            except OSError:
                if time.monotonic() > end or self.proc.poll() is not None:
                    raise
                time.sleep(0.005)

    def json(self, *args, check=True):
        code, text = self.ask(" ".join(args))
        assert code == 0 or not check, f"{args}: {code} {text}"
        return json.loads(text)

    def processes(self, role=None):
        """All that belong to this appliance, whoever started them."""
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/stat") as f:
                    head, _, tail = f.read().rpartition(")")
            except OSError:
                continue
            tail = tail.split()
            if int(tail[3]) in self.masters and tail[0] not in "ZX":
                p = Process(int(name), head.partition("(")[2])
                if role is None or p.role == role:
                    found.append(p)
        return found

    def children(self):
        return [p.pid for p in self.processes() if p.pid != self.proc.pid]

    def serving(self):
        """Workers of the newest generation that serve, as Process."""
        rows = [r for r in self.cores() if r["state"] == "running"]
        newest = max((r["generation"] for r in rows), default=0)
        return [Process(r["pid"], f"fl-worker{r['core']}.{r['generation'] % 100}") for r in rows
                if r["generation"] == newest]

    def wait_serving(self, n, without=(), timeout=10):
        """Until n workers serve, none of them one of the pids in `without`."""
        def all_there():
            w = self.serving()
            return len(w) == n and not {p.pid for p in w} & set(without) and w
        return fl.wait_for(f"{n} workers serve", all_there, timeout, every=0.002)

    def wait_only_current(self, timeout=20):
        """Until nothing drains any more."""
        def only_current():
            other = [r for r in self.cores() if r["state"] != "running"]
            assert not other, other
            return True
        return fl.wait_for("old workers are gone", only_current, timeout)

    def stats(self):
        """{(kind, name): row}"""
        return {(kind, str(row["name"])): row for kind in KINDS
                for row in self.json("stat", kind, "--all")}

    def total(self, kind, what):
        return sum(row[what] for (k, _), row in self.stats().items() if k == kind)

    def busy_gauges(self):
        """Gauges that are not 0 though nobody is connected; idle connections to services are allowed."""
        found = {}
        for key, row in self.stats().items():
            allowed = row.get("connections_idle", 0)
            for name in (n for n in row if is_gauge(key[0], n)):
                if key[0] == "service" and name in ("connections", "connections_idle"):
                    bad = name == "connections" and row[name] != allowed
                elif key[0] == "core":
                    continue             # both sides: idle service connections are in it
                else:
                    bad = row[name] != 0
                if bad:
                    found[key + (name,)] = row[name]
        return found

    def wait_idle_gauges(self, timeout):
        begun = time.monotonic()
        fl.wait_for("gauges are 0", lambda: not self.busy_gauges() or self._say_busy(), timeout, every=0.01)
        return time.monotonic() - begun

    def _say_busy(self):
        raise AssertionError(str(self.busy_gauges()))

    def descriptors(self):
        """{role: open descriptors}, most of all processes of the role."""
        out = {}
        for p in self.processes():
            with contextlib.suppress(OSError):
                out[p.role] = max(out.get(p.role, 0), len(os.listdir(f"/proc/{p.pid}/fd")))
        return out

    def zombies(self):
        """Children of the master that nobody waited for."""
        found = 0
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as f:
                tail = f.read().rpartition(")")[2].split()
                found += tail[0] == "Z" and int(tail[1]) == self.proc.pid
        return found

    def stop(self, grace=5):
        code = super().stop(grace)
        self.session.close()
        return code


# Deeds ---------------------------------------------------------------------------------------

class Deeds:
    """What is done to the appliance `self.a`, and which failures of its clients that explains."""

    def __init__(self, rng):
        self.rng = rng
        self.kills, self.log = [], []   # (from, to) of each time a worker may have broken what it held
        self.stopped = {}               # pid -> CONT is due
        self.held = []                  # (when they are closed, sockets of silent clients)
        self.shortages = []             # (from, to) of each time a worker had no descriptor left
        self.begun = time.monotonic()

    def say(self, what):
        self.log.append(f"{time.monotonic() - self.begun:9.3f} {what}")

    def pick(self, role):
        found = sorted((p for p in self.a.processes(role) if p.pid not in self.stopped), key=lambda p: p.pid)
        return self.rng.choice(found) if found else None

    def kill(self, role):
        p = self.pick(role)
        if p:
            t = p.kill()
            if role == "worker":
                self.kills.append((t, time.monotonic()))
            self.say(f"SIGKILL {p}")

    def stop_for(self, role, seconds):
        """SIGSTOP, and SIGCONT when its time comes, if it lives so long. A worker that is silent is killed by the
        master, and what it had accepted breaks."""
        p = self.pick(role)
        if p:
            t = p.kill(signal.SIGSTOP)
            self.stopped[p.pid] = time.monotonic() + seconds
            if role == "worker" and seconds > 0.2:
                self.kills.append((t, time.monotonic() + 2 * fl.SLOW))
            self.say(f"SIGSTOP {p} for {seconds} s")

    def take_descriptors(self, port, n, seconds):
        """`n` clients that say nothing, more than all workers have descriptors for (F14): others may be refused in any
        clean way meanwhile."""
        t = time.monotonic()
        held = []
        with contextlib.suppress(OSError):
            for _ in range(n):
                held.append(socket.socket())
                held[-1].setblocking(False)
                held[-1].connect_ex(("127.0.0.1", port))
        self.held.append((t + seconds, held))
        self.shortages.append((t, t + seconds + 0.5 * fl.SLOW))
        self.say(f"{n} clients take all descriptors for {seconds} s")

    def give_back(self, all_=False):
        for due, held in list(self.held):
            if all_ or time.monotonic() > due:
                for s in held:
                    s.close()
                self.held.remove((due, held))

    def continue_due(self, all_=False):
        self.give_back(all_)
        for pid, due in list(self.stopped.items()):
            if all_ or time.monotonic() > due:
                Process(pid, "").kill(signal.SIGCONT)
                del self.stopped[pid]

    def explained(self, f):
        slack = 0.2 * fl.SLOW      # a process takes its time to end on a busy machine
        if f["class"] in CLEAN and any(f["begun"] <= t1 and t0 - 0.005 <= f["at"] for t0, t1 in self.shortages):
            return True
        return f["class"] in ABRUPT and any(
            f["begun"] <= t1 + slack and t0 - 0.005 <= f["at"] <= t1 + slack for t0, t1 in self.kills)


# Invariants ----------------------------------------------------------------------------------

class Watch(threading.Thread):
    """While it runs: counters never go backward (I3), management answers (I6)."""

    def __init__(self, appliance, every=0.2):
        super().__init__(daemon=True)
        self.session = Ctl(appliance.socket, timeout=5)
        self.every, self.ending = every, threading.Event()
        self.before, self.backward, self.polls = {}, [], 0
        self.longest_silence, self.answered = 0.0, time.monotonic()
        self.start()

    def poll(self):
        for kind in KINDS:
            code, text = self.session.ask(f"stat {kind} --all")
            now = time.monotonic()
            self.longest_silence = max(self.longest_silence, now - self.answered)
            self.answered = now
            if code != 0:
                continue
            for row in json.loads(text):
                for name, value in row.items():
                    if not is_counter(kind, name):
                        continue
                    key = (kind, str(row["name"]), name)
                    if value < self.before.get(key, 0):
                        self.backward.append((key, self.before[key], value))
                    self.before[key] = value
        self.polls += 1

    def run(self):
        while not self.ending.wait(self.every):
            try:
                self.poll()
            except (OSError, ValueError, AssertionError):
                self.longest_silence = max(self.longest_silence, time.monotonic() - self.answered)

    def stop(self):
        self.ending.set()
        self.join()
        self.session.close()


ABRUPT = {"rst", "eof", "cut", "tls"}
# how a client may be refused: with a status, or before any byte of an answer
CLEAN = {"rst", "eof", "tls", "unconnected", "bad_status"}


def unattributed(failures, kills, slack=0.3):
    """Failures that no kill explains. A request on a worker that was killed at t was begun before t and broke at t;
    slack is for a client and a machine that are late. A kill may be (t, when the victim was seen to be gone): a
    process takes its time to end, and what it had accepted breaks at the end of that."""
    slack *= fl.SLOW
    spans = [k if isinstance(k, tuple) else (k, k) for k in kills]
    return [f for f in failures
            if f["class"] not in ABRUPT or
            not any(f["begun"] <= t1 + slack and t0 - 0.005 <= f["at"] <= t1 + slack for t0, t1 in spans)]

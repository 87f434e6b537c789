# SPDX-License-Identifier: Apache-2.0
"""The master's death and its successor, signals, the service manager, exit codes."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
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


def master_dies(a):
    t = time.monotonic()
    a.proc.kill()
    a.proc.wait()
    return t


def only_ours(a, workers=2):
    """Nothing of an earlier master is left but what the present one watches."""
    roles = sorted(p.role for p in a.processes())
    return roles == ["control", "gen", "logd", "master"] + ["worker"] * workers


# Death and adoption ---------------------------------------------------------------------------

@pytest.mark.limit(180)
def test_a_new_master_adopts_under_load(appliance, backend, load, capfd):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    x = load(port, new=200, keep=32, think=40)
    fl.wait_for("traffic", lambda: a.total("vserver", "requests") > 100)
    times = []
    for i in range(3):
        before = a.total("vserver", "requests")
        master_dies(a)
        time.sleep(0.7)                      # orphaned: served all the same
        t = time.monotonic()
        a.start()
        times.append((time.monotonic() - t) * 1000)
        assert a.total("vserver", "requests") >= before, "counters were lost"
        code, text = a.ask("reload")
        assert code == 0, text
        fl.wait_for("the old ones are gone", lambda: only_ours(a), 15)
    report = chaoslib.stop_without_failure(x, a, 300)
    with capfd.disabled():
        print()
        assert chaoslib.goal("G6-adopted", min(times), 500)
    a.wait_idle_gauges(5)


def test_admin_state_and_tickets_survive_the_master(appliance, backend, load, certs):
    port, o, p = fl.free_port(), backend(), backend()
    a = appliance(fl.web(port, o.addr, p.addr, workers=2, listen=f"tls {{ cert {certs.make('test')} }}"))
    assert a.ask("disable service app/a2")[0] == 0
    x = load(port, tls=True, new=50)
    time.sleep(0.5)
    master_dies(a)
    a.start()
    time.sleep(0.5)
    report = chaoslib.stop_without_failure(x, a, 20)
    tls = report["tls"]
    assert tls["resumed"] > 20 and tls["resumed"] / (tls["resumed"] + tls["refused"]) > 0.99, tls
    assert a.service("app/a2")["state"] == "MAINT"
    assert p.stop()["requests"] == 0


def test_a_worker_killed_without_master_does_not_end_the_service(appliance, backend):
    """Nobody replaces it; the other one has both queues once a master is there again."""
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    workers = a.processes("worker")
    master_dies(a)
    workers[0].kill()
    a.start()
    a.wait_serving(2, [workers[0].pid])
    for _ in range(20):
        assert fl.get(port).status == 200
    fl.wait_for("the old ones are gone", lambda: only_ours(a), 15)


def test_two_masters_on_one_socket(appliance, backend):
    """The second one says so, and harms nothing."""
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    second = subprocess.run([fl.FAIRLEAD, "-c", str(a.conf)], capture_output=True, text=True, timeout=20 * fl.SLOW,
                            stdin=subprocess.DEVNULL)
    assert second.returncode == 1
    assert "ctl.sock" in second.stderr or "runs already" in second.stderr or "in use" in second.stderr, second.stderr
    assert a.proc.poll() is None and only_ours(a)
    assert fl.get(port).status == 200
    assert a.ask("reload")[0] == 0


# Signals ----------------------------------------------------------------------------------------

def request_in_progress(a, port, ms):
    c = fl.Client(port)
    c.send(f"GET /?d={ms} HTTP/1.1\r\nHost: test\r\n\r\n")
    fl.wait_for("a request is in progress", lambda: a.total("vserver", "requests_active") == 1)
    return c


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGQUIT])
def test_graceful_end(signo, appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    with request_in_progress(a, port, 800) as c:
        a.signal(signo)
        fl.wait_for("no new connections", lambda: refused(port))
        r = c.response()
        assert r.status == 200 and (r.get("Connection") or "").lower() == "close"
        assert a.proc.wait(5 * fl.SLOW) == 0
    assert a.children() == []
    assert o.stop() == {"connections": 1, "requests": 1, "cut": 0, "wrong": 0}
    assert not os.path.exists(a.socket)


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_idle_clients_do_not_delay_the_end(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    clients = [fl.Client(port) for _ in range(4)]
    for c in clients[:2]:
        assert c.get().status == 200
    t = time.monotonic()
    a.signal(signal.SIGTERM)
    assert a.proc.wait(10 * fl.SLOW) == 0
    assert time.monotonic() - t < 2 * fl.SLOW
    for c in clients:
        assert c.is_closed()


def test_no_request_is_lost_at_a_graceful_end(appliance, backend, load):
    """New connections are served or refused; none is reset."""
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    x = load(port, new=300, seconds=2)
    fl.wait_for("traffic", lambda: a.total("vserver", "requests") > 100)
    a.signal(signal.SIGTERM)
    assert a.proc.wait(10 * fl.SLOW) == 0
    report = x.wait()
    assert set(chaoslib.counts(report)) <= {"ok", "refused"}, (chaoslib.counts(report), [
        f for f in report["failures"] if f["class"] != "refused"][:3])


def test_grace_is_over(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2, top="shutdown-grace 500ms"))
    with request_in_progress(a, port, 20000) as c:
        t = time.monotonic()
        a.signal(signal.SIGTERM)
        assert a.proc.wait(5 * fl.SLOW) == 0
        assert 0.3 < time.monotonic() - t < 3 * fl.SLOW
        with pytest.raises((EOFError, ConnectionResetError)):
            c.response()
    assert a.children() == []


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGQUIT])
def test_second_term_ends_at_once(first, appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2, top="shutdown-grace 30s"))
    with request_in_progress(a, port, 20000):
        a.signal(first)
        time.sleep(0.3)
        assert a.proc.poll() is None
        t = time.monotonic()
        a.signal(signal.SIGTERM)
        a.proc.wait(5 * fl.SLOW)
        assert time.monotonic() - t < 2 * fl.SLOW
    assert a.children() == []


def test_int_ends_soon(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2, top="shutdown-grace 30s"))
    with request_in_progress(a, port, 20000):
        t = time.monotonic()
        a.signal(signal.SIGINT)
        a.proc.wait(10 * fl.SLOW)
        assert time.monotonic() - t < 5 * fl.SLOW
    assert a.children() == []


def test_usr1_reopens_logs(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2,
                         top="access-log @DIR@/access.log combined\nerror-log @DIR@/error.log info"))
    access, error = a.dir / "access.log", a.dir / "error.log"
    assert fl.get(port, "/one").status == 200
    fl.wait_for("it is written", lambda: "/one" in access.read_text())
    assert "worker-ready" in error.read_text()
    access.rename(a.dir / "access.1")
    error.rename(a.dir / "error.1")
    a.signal(signal.SIGUSR1)
    fl.wait_for("new files", lambda: access.exists() and error.exists())
    assert fl.get(port, "/two").status == 200
    fl.wait_for("it is in the new one", lambda: "/two" in access.read_text())
    assert "/two" not in (a.dir / "access.1").read_text()


@pytest.mark.limit(180)
def test_usr2_replaces_the_program(appliance, backend, load):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    x = load(port, new=200, keep=32, think=40)
    fl.wait_for("traffic", lambda: a.total("vserver", "requests") > 100)
    for _ in range(3):
        old = {p.pid for p in a.processes("worker")}
        generation, before = a.generation(), a.total("vserver", "requests")
        a.signal(signal.SIGUSR2)
        fl.wait_for("a newer generation of new workers", lambda: a.generation() > generation and
                    not {p.pid for p in a.serving()} & old, 15)
        assert a.total("vserver", "requests") >= before
        fl.wait_for("the old ones are gone", lambda: only_ours(a), 15)
        assert a.proc.poll() is None, "the master's pid changed"
    chaoslib.stop_without_failure(x, a, 200)
    assert a.ask("reload")[0] == 0


def test_an_address_that_moved_away_does_not_stop_an_adoption(appliance, backend):
    """What only a start makes anew is there already."""
    port, o = fl.free_port(), backend()
    good = fl.web(port, o.addr, workers=2)
    a = appliance(good)
    a.write(good + "vserver gone { listen 203.0.113.77:81; default use app }\n")
    workers = {p.pid for p in a.serving()}
    master_dies(a)
    a.start()
    assert workers == {p.pid for p in a.serving()}
    assert fl.get(port, "/one").status == 200
    assert "not on this machine" in a.output()
    a.write(good)
    assert a.ask("reload")[0] == 0


def test_a_refused_file_does_not_stop_the_logs_of_the_adopted(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2, top="access-log @DIR@/access.log combined"))
    access = a.dir / "access.log"
    assert fl.get(port, "/one").status == 200
    fl.wait_for("it is written", lambda: "/one" in access.read_text())
    logd = {p.pid for p in a.processes("logd")}
    a.write("nonsense {")
    a.signal(signal.SIGUSR2)
    fl.wait_for("another logd", lambda: {p.pid for p in a.processes("logd")} - logd)
    assert fl.get(port, "/two").status == 200
    fl.wait_for("that too", lambda: "/two" in access.read_text())


def test_an_upgrade_without_a_program_leaks_nothing(appliance, backend, tmp_path):
    program = tmp_path / "copy"
    shutil.copy(fl.FAIRLEAD, program)
    a = appliance(fl.web(fl.free_port(), backend().addr, workers=1,
                         top="error-log @DIR@/error.log info"), program=str(program))
    program.unlink()
    before = None
    for i in range(4):
        a.signal(signal.SIGUSR2)
        fl.wait_for("it failed", lambda: (a.dir / "error.log").read_text().count("this program goes on") > i)
        before = before or len(os.listdir(f"/proc/{a.proc.pid}/fd"))
    assert len(os.listdir(f"/proc/{a.proc.pid}/fd")) == before


# The service manager ------------------------------------------------------------------------------

class Notify:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        self.messages, self.path = [], str(path)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(OSError):
            while True:
                self.messages.append(self.sock.recv(4096).decode())

    def lines(self):
        return [line for m in list(self.messages) for line in m.splitlines()]

    def wait(self, line, count=1):
        fl.wait_for(f"{line} in {self.messages}", lambda: sum(x == line for x in self.lines()) >= count)


def test_sd_notify(appliance, backend, tmp_path):
    port, o = fl.free_port(), backend()
    n = Notify(tmp_path / "notify")
    a = appliance(fl.web(port, o.addr, workers=2), env={"NOTIFY_SOCKET": n.path, "WATCHDOG_USEC": "2000000",
                                                       "WATCHDOG_PID": ""})
    n.wait("READY=1")
    assert fl.get(port).status == 200
    n.wait("WATCHDOG=1")
    a.ask("reload")
    n.wait("READY=1", 2)
    lines = n.lines()
    assert "RELOADING=1" in lines and lines.index("READY=1") < lines.index("RELOADING=1")
    assert any(x.startswith("MONOTONIC_USEC=") for x in lines)
    a.write("nonsense")
    assert a.ask("reload")[0] == 1
    n.wait("READY=1", 3)             # the service manager must not wait for ever
    a.signal(signal.SIGTERM)
    n.wait("STOPPING=1")
    assert a.proc.wait(5 * fl.SLOW) == 0
    n.sock.close()


# Start ----------------------------------------------------------------------------------------------

def run(folder, config, *args, timeout=20):
    """A fairlead that is expected to end by itself."""
    conf = folder / "end.conf"
    (folder / "run").mkdir(mode=0o700, exist_ok=True)
    conf.write_text(f"admin {{ socket {folder}/run/ctl.sock }}\n{config}")
    return subprocess.run([fl.FAIRLEAD, "-c", str(conf), *args], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=timeout * fl.SLOW)


def test_port_in_use(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        p = run(tmp_path, fl.web(port, "127.0.0.1:1", workers=2))
    assert p.returncode == 1
    assert f"127.0.0.1:{port}" in p.stderr and "in use" in p.stderr and "ss -l" in p.stderr, p.stderr


def test_a_file_in_the_place_of_the_socket_stays(tmp_path):
    (tmp_path / "run").mkdir(mode=0o700)
    precious = tmp_path / "run" / "ctl.sock"
    precious.write_text("words")
    p = run(tmp_path, fl.web(fl.free_port(), "127.0.0.1:1", workers=1))
    assert p.returncode == 1 and str(precious) in p.stderr, p.stderr
    assert precious.read_text() == "words"


def test_folder_of_the_socket_is_closed_to_others(tmp_path, fairlead):
    """A default place is closed; any other is its owner's: refused when others may write, else a warning."""
    (tmp_path / "run").mkdir()
    os.chmod(tmp_path / "run", 0o777)
    p = run(tmp_path, fl.web(fl.free_port(), "127.0.0.1:1", workers=1))
    assert p.returncode == 1 and "others may write" in p.stderr, p.stderr
    for name, mode in (("fairlead-x", 0o755), ("fairlead", 0o700)):
        own = tmp_path / name
        own.mkdir()
        os.chmod(own, 0o755)
        a = fairlead(f"admin {{ socket {own}/ctl.sock }}\n" + fl.web(fl.free_port(), "127.0.0.1:1", workers=1), wait=False,
                     env={"XDG_RUNTIME_DIR": str(tmp_path)})
        a.socket = str(own / "ctl.sock")
        fl.wait_for("it runs", a.is_ready, 20)
        assert own.stat().st_mode & 0o777 == mode
        assert (own / "ctl.sock").stat().st_mode & 0o777 == 0o600
        assert ("open to others" in a.output()) == (mode == 0o755)


def test_exit_codes(tmp_path):
    good = fl.web(fl.free_port(), "127.0.0.1:1", workers=1)
    p = run(tmp_path, good, "-t")
    assert p.returncode == 0, p.stderr
    p = run(tmp_path, good + "nonsense\n", "-t")
    assert p.returncode == 1 and ":error:" in p.stderr.replace(": ", ":") and "nonsense" in p.stderr
    p = run(tmp_path, good + "nonsense\n")
    assert p.returncode == 1 and "nonsense" in p.stderr
    p = subprocess.run([fl.FAIRLEAD, "-c", str(tmp_path / "missing.conf")], capture_output=True, text=True, timeout=20)
    assert p.returncode == 1 and "missing.conf" in p.stderr
    p = subprocess.run([fl.FAIRLEAD, "--no-such-option"], capture_output=True, text=True, timeout=20)
    assert p.returncode == 2 and p.stderr
    assert not [d for d in os.listdir("/proc") if d.isdigit() and is_orphan_of(d, tmp_path)]


def is_orphan_of(pid, folder):
    with contextlib.suppress(OSError):
        return str(folder).encode() in open(f"/proc/{pid}/cmdline", "rb").read()
    return False

# SPDX-License-Identifier: Apache-2.0
"""Reload: new worker processes under traffic, and nobody notices."""
import contextlib
import os
import re
import signal
import socket
import ssl
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


def reload_ok(a, config=None):
    if config is not None:
        a.write(config)
    code, text = a.ask("reload")
    assert code == 0, text
    return text


# Nobody notices ---------------------------------------------------------------------------

@pytest.mark.limit(180)
def test_30_reloads_under_keepalive_clients_with_think_time(appliance, backend, load):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    watch = chaoslib.Watch(a)
    x = load(port, keep=64, think=40, new=100)
    for _ in range(30):
        reload_ok(a)
    time.sleep(0.3)
    report = chaoslib.stop_without_failure(x, a, 500)
    watch.stop()
    assert a.generation() == 31
    assert watch.backward == []
    assert report["idle_closed"] == 0, "connections that only waited were closed instead of handed over"


def test_idle_connections_are_handed_over(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    clients = [fl.Client(port) for _ in range(20)]
    for c in clients:
        assert c.get().status == 200
    before = a.stats()
    for _ in range(3):
        reload_ok(a)
        a.wait_only_current()
    for c in clients:            # the same TCP connection, and no word of closing it
        r = c.get()
        assert r.status == 200 and (r.get("Connection") or "").lower() != "close"

    def moved(what):
        return sum(row[what] - before[k][what] for k, row in a.stats().items() if k[0] == "core")
    fl.wait_for("all three reloads handed 20 over", lambda: moved("handed_over") == 60 and moved("taken_over") == 60)
    fl.wait_for("20 client connections", lambda: a.total("vserver", "connections") == 20)
    for c in clients:
        c.close()
    a.wait_idle_gauges(5)


def test_connection_that_sent_half_a_head_is_served(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    with fl.Client(port) as fresh, fl.Client(port) as used:
        assert used.get().status == 200
        for c in (fresh, used):
            c.send("GET /half HTTP/1.1\r\nHo")
        time.sleep(0.1)
        reload_ok(a)
        for c in (fresh, used):
            c.send("st: test\r\n\r\n")
            assert c.response().status == 200


def test_requests_in_flight_finish_on_the_old_generation(appliance, backend):
    port, one, two = fl.free_port(), backend(), backend()
    a = appliance(fl.web(port, one.addr, workers=2))
    with fl.Client(port) as slow:
        slow.send("GET /?d=1500&n=100000 HTTP/1.1\r\nHost: test\r\n\r\n")
        fl.wait_for("the request is under way", lambda: a.total("vserver", "requests_active") == 1)
        reload_ok(a, fl.web(port, two.addr, workers=2))
        assert {r["state"] for r in a.cores()} >= {"running", "draining"}
        for _ in range(20):
            assert fl.get(port).status == 200
        r = slow.response()
        assert r.status == 200 and len(r.body) == 100000
        # it is idle then and goes over to the new generation
        assert (r.get("Connection") or "").lower() != "close"
        a.wait_only_current()
        assert slow.get().status == 200
    assert two.stop()["requests"] == 21
    assert one.stop() == {"connections": 1, "requests": 1, "cut": 0, "wrong": 0}


# What changes takes effect -------------------------------------------------------------------

def test_changes_take_effect_at_once(appliance, backend):
    port, added, o = fl.free_port(), fl.free_port(), backend()
    plain = fl.web(port, o.addr, workers=2)
    a = appliance(plain)
    assert fl.get(port, "/x").status == 200
    with pytest.raises(ConnectionRefusedError):
        fl.get(added)
    changed = fl.web(port, o.addr, workers=2, vs=f'listen 127.0.0.1:{added}\n'
                     'policy p when http.request.uri.path == "/x" { respond 418 "tea" }')
    for _ in range(3):
        reload_ok(a, changed)
        for _ in range(8):
            assert fl.get(port, "/x").status == 418
            assert fl.get(added, "/y").status == 200
        reload_ok(a, plain)
        for _ in range(8):
            assert fl.get(port, "/x").status == 200
        fl.wait_for("the listener is gone", lambda: refuses(added))


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_kept_connection_sees_the_new_policy(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    with fl.Client(port) as c:
        assert c.get("/x").status == 200
        reload_ok(a, fl.web(port, o.addr, workers=2, vs='policy p { respond 403 }'))
        a.wait_only_current()
        assert c.get("/x").status == 403


def test_connections_queued_at_a_removed_listener_are_served_then_refused(appliance, backend):
    port, other, o = fl.free_port(), fl.free_port(), backend()
    both = fl.web(port, o.addr, workers=2, vs=f"listen 127.0.0.1:{other}")
    a = appliance(both)
    for _ in range(3):
        outcomes, ending = [], threading.Event()

        def hammer():
            while not ending.is_set():
                try:
                    with fl.Client(other) as c:
                        c.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                        outcomes.append(c.response().status)
                except ConnectionRefusedError:
                    outcomes.append("refused")
                    time.sleep(0.01)
                except (OSError, EOFError) as e:
                    outcomes.append(repr(e))

        threads = [threading.Thread(target=hammer) for _ in range(4)]
        for t in threads:
            t.start()
        fl.wait_for("traffic", lambda: outcomes.count(200) > 50)
        reload_ok(a, fl.web(port, o.addr, workers=2))
        fl.wait_for("refused", lambda: "refused" in outcomes)
        ending.set()
        for t in threads:
            t.join()
        assert [x for x in outcomes if x not in (200, "refused")] == []
        reload_ok(a, both)
        assert fl.get(other).status == 200


def test_fewer_and_more_workers(appliance, backend, load):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    x = load(port, keep=16, think=20, new=200)
    for n in (1, 2, 1, 2):
        reload_ok(a, fl.web(port, o.addr, workers=n))
        a.wait_serving(n)
        time.sleep(0.2)
    chaoslib.stop_without_failure(x, a, 100)


# What survives, what is refused ---------------------------------------------------------------

def test_counters_health_and_admin_state_survive(appliance, backend):
    port, o, p = fl.free_port(), backend(), backend()
    dead = f"127.0.0.1:{fl.free_port()}"
    config = ("monitor quick tcp { every 100ms; timeout 50ms; rise 2; fall 2 }\n" +
              fl.web(port, o.addr, p.addr, dead, workers=2, pool="monitor quick"))
    a = appliance(config)
    a.wait_service("app/a3", "DOWN")
    code, text = a.ask('drain service app/a2')
    assert code == 0, text
    for _ in range(10):
        assert fl.get(port).status == 200
    fl.wait_for("10 requests", lambda: a.total("vserver", "requests") == 10)
    for i in range(4):
        reload_ok(a, config + f"# {i}\n")
        assert a.service("app/a2")["state"] == "DRAIN"
        assert a.service("app/a3")["state"] == "DOWN", "health was forgotten"
        assert a.total("vserver", "requests") >= 10
        assert a.total("service", "requests") >= 10
        assert fl.get(port).status == 200
    fl.wait_for("14 requests", lambda: a.total("vserver", "requests") == 14)
    # the service that nobody may use got nothing but probes, which send nothing
    assert p.stop()["requests"] == 0


def test_an_invalid_file_keeps_the_old_generation(appliance, backend):
    port, o = fl.free_port(), backend()
    good = fl.web(port, o.addr, workers=2)
    a = appliance(good)
    before = a.generation()
    a.write(good.replace("default use app", "default use nowhere"))
    cli = fl.Fairlead.ctl(a, "reload", check=False)
    assert cli.returncode == 1
    assert "nowhere" in cli.stdout + cli.stderr and "keeps running" in cli.stdout + cli.stderr
    assert a.generation() == before and fl.get(port).status == 200
    code, text = a.ask("status")
    assert code == 1 and '"last_reload_ok": false' in text and "nowhere" in text
    fl.wait_for("the log says so", lambda: "reload-failed" in a.output() and "nowhere" in a.output())
    a.signal(signal.SIGHUP)                      # by signal: the same
    fl.wait_for("two failures", lambda: a.ask("status")[1].count('"reload_failures": 2'))
    reload_ok(a, good)
    code, text = a.ask("status")
    assert code == 0, text
    assert fl.get(port).status == 200


def test_a_port_of_somebody_else_refuses_the_reload(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        taken = s.getsockname()[1]
        a.write(fl.web(port, o.addr, workers=2, vs=f"listen 127.0.0.1:{taken}"))
        code, text = a.ask("reload")
        assert code == 1 and str(taken) in text and "use" in text, text
        assert fl.get(port).status == 200
    reload_ok(a)
    assert fl.get(taken).status == 200


def test_a_refused_reload_leaves_http_admin_and_events_where_they_are(appliance, backend):
    port, old, new, o = fl.free_port(), fl.free_port(), fl.free_port(), backend()
    config = "admin {{ socket @SOCKET@; http 127.0.0.1:{} }}\nerror-log @DIR@/{} info\n{}"
    a = appliance(fl.web(port, o.addr, workers=2, top=config.format(old, "events", "")))
    refused = config.format(new, "other", "access-log /nonexistent/log combined")
    a.write(fl.web(port, o.addr, workers=2, top=refused))
    assert a.ask("reload")[0] == 1
    control = {p.pid for p in a.processes("control")}
    for pid in control:
        os.kill(pid, signal.SIGKILL)
    fl.wait_for("another control", lambda: {p.pid for p in a.processes("control")} - control)
    fl.wait_for("it answers", lambda: not refuses(old) and fl.get(old, "/ready").status == 200)
    assert refuses(new)
    fl.wait_for("the event", lambda: "control pid" in (a.dir / "events").read_text())


def test_http_admin_opens_to_all_addresses_on_its_port(appliance, backend):
    port, http, o = fl.free_port(), fl.free_port(), backend()
    config = "admin {{ socket @SOCKET@; http {}:{} }}"
    a = appliance(fl.web(port, o.addr, workers=1, top=config.format("127.0.0.1", http)))
    reload_ok(a, fl.web(port, o.addr, workers=1, top=config.format("0.0.0.0", http)))
    fl.wait_for("it answers", lambda: not refuses(http) and fl.get(http, "/ready").status == 200)


def test_a_shorter_heartbeat_is_for_the_new_workers(appliance, backend):
    port, o = fl.free_port(), backend()
    config = "heartbeat-timeout {}\nerror-log @DIR@/events info"
    a = appliance(fl.web(port, o.addr, workers=2, top=config.format("8s")))
    with fl.Client(port) as slow:
        slow.send("GET /?d=1500&n=1000 HTTP/1.1\r\nHost: test\r\n\r\n")
        fl.wait_for("the request is under way", lambda: a.total("vserver", "requests_active") == 1)
        reload_ok(a, fl.web(port, o.addr, workers=2, top=config.format("100ms")))
        assert slow.response().status == 200       # though its worker beats every 2 s
    assert "worker-hung" not in (a.dir / "events").read_text()


def test_many_reloads_leave_nothing_behind(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))

    def picture():
        a.wait_only_current()
        time.sleep(0.2)
        roles = sorted(p.role for p in a.processes())
        return roles, a.descriptors()

    for _ in range(3):
        reload_ok(a)
    before = picture()
    assert before[0] == ["control", "gen", "logd", "master", "worker", "worker"]
    for i in range(20):
        reload_ok(a)
        if i % 4 == 0:
            a.write("nonsense {\n")
            assert a.ask("reload")[0] == 1
            a.write(fl.web(port, o.addr, workers=2))
    fl.wait_for(f"as before: {before}", lambda: picture() == before, 10)


# Storm and drain ------------------------------------------------------------------------------

@pytest.mark.limit(180)
def test_reload_storm(appliance, backend, load):
    port, o = fl.free_port(), backend()
    good = fl.web(port, o.addr, workers=2, top="drain-generations 2")
    a = appliance(good)
    x = load(port, keep=32, think=30, new=100)
    most, end, i = 0, time.monotonic() + 4, 0
    while time.monotonic() < end:
        if i % 5 == 4:
            a.write("pool {\n")
        else:
            a.write(good + f"# {i}\n")
        a.signal(signal.SIGHUP)
        if i % 10 == 0:
            most = max(most, len({r["generation"] for r in a.cores() if r["state"] in ("running", "draining")}))
        i += 1
        time.sleep(0.02)
    # the last valid one wins
    a.write(fl.web(port, o.addr, workers=2, top="drain-generations 2", vs='policy last when http.request.uri.path == "/last" { respond 299 }'))
    a.signal(signal.SIGHUP)
    fl.wait_for("the last file is in force", lambda: fl.get(port, "/last").status == 299, 20)
    report = chaoslib.stop_without_failure(x, a, 200)
    assert i >= 100
    assert 1 <= most <= 3 + 1, "generations alive"           # the newest, two that drain, one that starts
    a.wait_only_current()
    assert sorted(p.role for p in a.processes()) == ["control", "gen", "logd", "master", "worker", "worker"]


def test_drain_timeout_cuts_and_says_so(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2, top="drain-timeout 1s"))
    with fl.Client(port) as c:
        c.send("GET /?d=30000 HTTP/1.1\r\nHost: test\r\n\r\n")
        fl.wait_for("under way", lambda: a.total("vserver", "requests_active") == 1)
        reload_ok(a)
        begun = time.monotonic()
        with pytest.raises((EOFError, ConnectionResetError)):
            c.response()
        assert 0.5 < time.monotonic() - begun < 4 * fl.SLOW
    a.wait_only_current()
    fl.wait_for("it is in the log", lambda: "drain-cut" in a.output())
    a.wait_idle_gauges(5)


def test_reload_wait_returns_when_the_old_are_gone(appliance, backend):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2))
    with fl.Client(port) as c:
        c.send("GET /?d=1000 HTTP/1.1\r\nHost: test\r\n\r\n")
        fl.wait_for("under way", lambda: a.total("vserver", "requests_active") == 1)
        begun = time.monotonic()
        code, text = a.ask("reload --wait")
        assert code == 0, text
        assert time.monotonic() - begun > 0.5
        assert all(r["state"] == "running" for r in a.cores())
        assert c.response().status == 200


# TLS --------------------------------------------------------------------------------------------

@pytest.mark.limit(180)
def test_tls_clients_over_reloads_and_kills(appliance, backend, load, certs):
    """Idle TLS connections are not handed over: they end with their next answer. Tickets stay good."""
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2, listen=f"tls {{ cert {certs.make('test')} }}"))
    x = load(port, tls=True, keep=16, think=50, new=60)
    time.sleep(0.3)
    for _ in range(5):
        reload_ok(a)
        time.sleep(0.2)
    report = chaoslib.stop_without_failure(x, a, 100)
    assert report["told_close"] > 0
    tls = report["tls"]
    x = load(port, tls=True, new=100)
    kills = []
    for _ in range(5):
        time.sleep(0.2)
        victim = a.serving()[0]
        kills.append(victim.kill())
        a.wait_serving(2, [victim.pid])
    time.sleep(0.2)
    report = x.stop()
    assert chaoslib.unattributed(report["failures"], kills) == []
    for key in tls:
        tls[key] += report["tls"][key]
    tried = tls["resumed"] + tls["refused"]
    assert tried > 150
    assert tls["resumed"] / tried > 0.99, tls


def test_tls_client_is_told_with_its_next_answer(appliance, backend, certs):
    port, o = fl.free_port(), backend()
    a = appliance(fl.web(port, o.addr, workers=2, listen=f"tls {{ cert {certs.make('test')} }}"))
    context = ssl.create_default_context(cafile=str(certs.ca))
    with fl.Client(port, tls=context, sni="test") as c:
        assert c.get().status == 200
        reload_ok(a)
        r = c.get()
        assert r.status == 200 and (r.get("Connection") or "").lower() == "close"
        assert c.is_closed()
    a.wait_only_current()


def test_what_only_a_restart_applies_is_said_and_kept(fairlead, origins):
    """Every such row of the table, given another value: who reloads is told, the log too, and nothing of it happens."""
    table = subprocess.run([fl.FAIRLEAD, "-x", "directives"], capture_output=True, text=True, check=True).stdout
    head, *rows = (line.split("\t") for line in table.splitlines())
    names = {r[head.index("name")] for r in rows if r[head.index("reload")] == "restart"}
    first = {"user": "nobody", "max-objects": "1000", "drain-generations": "3", "socket": "@SOCKET@"}
    other = {"user": "daemon", "max-objects": "2000", "drain-generations": "5", "socket": "@DIR@/other.sock"}
    assert set(first) == names, "a row that this test does not know"

    def config(values, more=""):
        lines = "".join(f"{k} {v}\n" for k, v in values.items() if k != "socket")
        return f"{lines}admin {{ socket {values['socket']} }}\n{body}{more}"

    o, port, second = origins("o"), fl.free_port(), fl.free_port()
    body = fl.web(port, o.addr)
    f = fairlead(config(first))
    uid = worker_uid(f)
    told = f.reload(config(other, f"vserver two {{ listen 127.0.0.1:{second}; default respond 200 two }}\n"))
    assert fl.get(second, "/").body == b"two" and f.generation() == 2
    for name in names:
        warning = rf'fl0\.conf:\d+:\d+: warning: "{name}" stays .*only a restart applies'
        assert re.search(warning, told.stdout), told.stdout
        fl.wait_for("it is logged", lambda w=warning: re.search(w, f.output()))
    shown = f.ctl("show", "config").stdout
    for name in names - {"socket"}:
        assert re.search(rf"^{name} {first[name]}  # until a restart; the file says {other[name]}$", shown, re.M), shown
    assert f"socket {f.socket}" in shown
    assert worker_uid(f) == uid and not (f.dir / "other.sock").exists()
    # what the file says is still a change, and a gen that is replaced keeps to what runs
    assert f.ctl("diff", "config", str(f.conf), check=False).stdout.count("(needs a restart)") == 4
    os.kill(f.process("fl-gen"), signal.SIGKILL)
    pid = f.workers()[0]
    fl.wait_for("another gen", lambda: f.process("fl-gen"))
    os.kill(pid, signal.SIGKILL)
    fl.wait_for("another worker", lambda: f.workers() and f.workers()[0] != pid)
    assert worker_uid(f) == uid
    assert "warning" not in f.reload(config(first)).stdout


def worker_uid(f):
    return [line.split()[1] for pid in f.workers() for line in open(f"/proc/{pid}/status") if line.startswith("Uid:")]

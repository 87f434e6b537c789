# SPDX-License-Identifier: Apache-2.0
"""Access logs: the formats, escaping, new files at USR1, and a full disk that costs lines and nothing else."""
import datetime
import json
import os
import re
import signal
import subprocess

import pytest

import fl

COMBINED = re.compile(r'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+) '
                      r'"((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"')


@pytest.fixture
def site(fairlead, origins, tmp_path):
    def start(log, folder=None, **kw):
        o, port = origins("o1"), fl.free_port()
        folder = folder or tmp_path / "log"
        folder.mkdir(exist_ok=True)
        os.chmod(folder, 0o777)
        path = folder / "access.log"
        kw["vs"] = kw.get("vs", "") + "\n access-log " + log.replace("@", str(path))
        f = fairlead(fl.web(port, o.addr, **kw))
        f.port, f.log = port, path
        return f
    return start


def lines(f, n, path=None):
    path = path or f.log
    got = fl.wait_for(f"{n} lines", lambda: (lambda x: x if len(x) >= n else None)(path.read_text(errors="surrogateescape")
                                                                                   .splitlines()))
    assert len(got) == n
    return got


def test_combined(site):
    f = site("@ combined")
    fl.get(f.port, "/bytes/1234?x=1", fields='Referer: http://r/\r\nUser-Agent: test "agent" \\ 1\r\n')
    fl.get(f.port, "/status/404", source=("127.0.0.9", 0))
    fl.get(f.port, "/bytes/50", method="HEAD")
    one, two, three = [COMBINED.fullmatch(s) for s in lines(f, 3)]
    assert one[1] == "127.0.0.1" and one[3] == "GET /bytes/1234?x=1 HTTP/1.1"
    assert (one[4], one[5], one[6]) == ("200", "1234", "http://r/") and one[7] == "test \\x22agent\\x22 \\x5c 1"
    when = datetime.datetime.strptime(one[2], "%d/%b/%Y:%H:%M:%S %z")
    assert abs((datetime.datetime.now(datetime.timezone.utc) - when).total_seconds()) < 60
    assert two[1] == "127.0.0.9" and two[4] == "404" and two[6] == "-"
    assert three[3].startswith("HEAD ") and three[5] == "0"


def test_json(site):
    f = site("@ json", vs='policy p when http.request.uri.path == "/no" { reject }')
    fl.get(f.port, "/bytes/100?a=%22", fields='User-Agent: "\\\x80\xe4\r\n', host="H.example")
    fl.get(f.port, "/no")
    with fl.Client(f.port) as c:
        c.request("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello")
    one, two, three = [json.loads(s) for s in lines(f, 3)]
    assert one["status"] == 200 and one["bytes"] == 100 and one["path"] == "/bytes/100?a=%22" and one["host"] == "h.example"
    assert one["method"] == "GET" and one["vserver"] == "web" and one["pool"] == "app" and one["service"] == "app/a1"
    assert one["client"].startswith("127.0.0.1:") and one["proto"] == "HTTP/1.1" and one["user_agent"].startswith('"\\')
    assert 0 < one["t_first"] <= one["t_total"] < 10 ** 8
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", one["ts"])
    assert two["status"] == 403 and two["policy"].endswith("p") and two["reason"] == "denied" and not two["service"]
    assert three["bytes_in"] == 5 and three["bytes"] == 5


def test_custom(site):
    f = site('@ custom "{ip.src} {http.request.method} {http.request.uri} {http.response.code} [{http.request.headers[\\"x-a\\"]}]"')
    fl.get(f.port, "/bytes/5?q", fields="X-A: v1\tv2\xe4\r\n")
    fl.get(f.port, "/x")
    one, two = lines(f, 2)
    assert one == "127.0.0.1 GET /bytes/5?q 200 [v1\\x09v2\\xe4]"
    assert two == "127.0.0.1 GET /x 200 []"


def test_custom_says_what_is_known_at_the_end(site):
    f = site('@ custom "{frame.time}|{txn.bytes_in}|{txn.bytes_out}|{txn.duration}|{txn.time_connect}|{txn.time_first}|'
             '{txn.retries}|{txn.reason}|{lb.vserver}|{lb.policy}|{lb.pool}|{lb.service}|{http.response.code}"',
             vs='policy no when http.request.uri.path == "/no" { reject }')
    with fl.Client(f.port) as c:
        c.request("POST /bytes/100 HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello")
    fl.get(f.port, "/no")
    with fl.Client(f.port) as c:
        c.send("GET / HTTP/1.1\r\nHost : t\r\n\r\n")
        c.read_to_end()
    one, two, three = [s.split("|") for s in lines(f, 3)]
    when = datetime.datetime.strptime(one[0], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    assert abs((datetime.datetime.now(datetime.timezone.utc) - when).total_seconds()) < 60
    assert one[1:3] == ["5", "100"] and 0 < int(one[5]) <= int(one[3]) < 10 ** 8 and int(one[4]) > 0
    assert one[6:] == ["0", "", "web", "", "app", "app/a1", "200"]
    assert two[4:] == ["", "", "0", "denied", "web", "no", "", "", "403"] and int(two[2]) > 0
    assert three[7] == "space-colon" and three[12] == "400"


@pytest.mark.parametrize("field", ["txn.duration", "lb.service", "frame.time"])
def test_no_rule_can_ask_for_the_end(tmp_path, field):
    conf = tmp_path / "t.conf"
    conf.write_text(fl.web(8080, "127.0.0.1:1", vs=f'policy p {{ set-response-header X "{{{field}}}"; use app }}'))
    p = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf)], capture_output=True, text=True)
    assert p.returncode == 1 and field in p.stderr and "access log" in p.stderr


def test_nothing_of_a_peer_makes_a_second_line(site):
    f = site("@ combined")
    fl.get(f.port, "/x?%0d%0a" + "\x7f"[:0] + "fake", fields="User-Agent: a\tb\x85\x0b"[:-1] + "\r\n")
    with fl.Client(f.port) as c:
        c.send(b"GET /x HTTP/1.1\r\nHost: t\r\nReferer: \xe2\x80\xa8line\r\n\r\n")
        c.response()
    assert all(COMBINED.fullmatch(s) for s in lines(f, 2))


def test_broken_exchanges_are_logged_too(site):
    f = site("@ json", vs="body-timeout 200ms")
    with fl.Client(f.port) as c:
        c.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhe")
        c.response()
    row = json.loads(lines(f, 1)[0])
    assert row["status"] == 408 and row["reason"] == "client-slow"


def test_log_of_the_vserver_replaces_the_global_one(fairlead, origins, tmp_path):
    o, a, b, c = origins("o"), fl.free_port(), fl.free_port(), fl.free_port()
    for name in ("all", "own"):
        (tmp_path / name).mkdir()
        os.chmod(tmp_path / name, 0o777)
    f = fairlead(f"access-log {tmp_path}/all/x.log combined\n" + fl.web(a, o.addr) +
                 f"vserver two {{ listen 127.0.0.1:{b}; default use app; access-log {tmp_path}/own/x.log json }}\n"
                 f"vserver none {{ listen 127.0.0.1:{c}; default use app; access-log off }}\n")
    for port in (a, b, c):
        fl.get(port, f"/{port}")
    assert f"/{a} " in lines(f, 1, tmp_path / "all/x.log")[0]
    assert json.loads(lines(f, 1, tmp_path / "own/x.log")[0])["path"] == f"/{b}"


def test_every_request_of_two_workers_has_its_line(site):
    f = site("@ combined", workers=2)
    for i in range(100):
        fl.get(f.port, f"/{i}")
    paths = sorted(COMBINED.fullmatch(s)[3].split()[1] for s in lines(f, 100))
    assert paths == sorted(f"/{i}" for i in range(100))


@pytest.mark.parametrize("how", ["signal", "ctl"])
def test_rotation(site, how):
    f = site("@ combined")
    fl.get(f.port, "/1")
    lines(f, 1)
    old = f.log.with_suffix(".1")
    f.log.rename(old)
    fl.get(f.port, "/2")
    lines(f, 2, old)                # still the open file
    if how == "signal":
        f.signal(signal.SIGUSR1)
    else:
        f.ctl("reopen")
    fl.wait_for("the new file", f.log.exists)
    fl.get(f.port, "/3")
    assert "/3" in lines(f, 1)[0]
    assert len(old.read_text().splitlines()) == 2


def whole(f, n):
    """Requests /1 to /n are all there. A logger killed between writing and saying so leaves a line twice, never none."""
    want = {f'"GET /{i} HTTP/1.1"' for i in range(1, n + 1)}
    fl.wait_for(f"lines of {n} requests", lambda: all(w in f.log.read_text() for w in want))
    seen = [w for line in f.log.read_text().splitlines() for w in want if w in line]
    assert set(seen) == want and len(seen) <= n + 1


def test_lines_survive_the_death_of_worker_and_logger(site):
    f = site("@ combined", workers=1)
    fl.get(f.port, "/1")
    lines(f, 1)
    logd = f.process("fl-logd")
    os.kill(logd, signal.SIGKILL)
    fl.get(f.port, "/2")
    whole(f, 2)
    logd = fl.wait_for("a new logd", lambda: f.process("fl-logd"))
    os.kill(logd, signal.SIGSTOP)
    fl.get(f.port, "/3")
    os.kill(f.workers()[0], signal.SIGKILL)
    os.kill(logd, signal.SIGCONT)
    whole(f, 3)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_full_disk_costs_lines_and_nothing_else(site, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no right to mount")
    try:
        f = site("@ combined", folder=folder)
        pad = "x" * 1500
        with fl.Client(f.port) as c:
            for i in range(200):
                assert c.get(f"/{i}?{pad}").status == 200
        fl.wait_for("drops are counted", lambda: sum(r["log_dropped"] for r in f.json("stat", "core", "--all")) > 0
                    or "log-dropped" in f.output() or any(r.get("log_dropped") for r in f.cores()))
        f.log.unlink()
        f.signal(signal.SIGUSR1)
        fl.wait_for("there is room again", lambda: fl.get(f.port, "/after").status == 200 and "/after" in f.log.read_text())
        f.stop()
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


def test_error_log_to_a_file(fairlead, origins, tmp_path):
    o, port = origins("o"), fl.free_port()
    (tmp_path / "e").mkdir()
    os.chmod(tmp_path / "e", 0o777)
    path = tmp_path / "e/error.log"
    f = fairlead(fl.web(port, o.addr, top=f"error-log {path} info"))
    with fl.Client(port) as c:
        c.send("nonsense\r\n\r\n")
        c.read_to_end()
    fl.wait_for("the event", lambda: "bad-request" in path.read_text())
    f.ctl("disable", "service", "app/a1", "--reason", "test")
    fl.wait_for("the command is logged", lambda: "admin-command" in path.read_text())

# SPDX-License-Identifier: Apache-2.0
"""fairleadctl snmp: the manager in the agent thread, against a real snmpd of its own, on loopback."""
import concurrent.futures
import contextlib
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import time
import zlib

import pytest

import fl

SNMPD = os.environ.get("FL_SNMPD") or shutil.which("snmpd") or shutil.which("/usr/sbin/snmpd")
UPTIME, DESCR, SYS_OID, SERVICES = (f"1.3.6.1.2.1.1.{n}.0" for n in (3, 1, 2, 7))
CONTACT, LOCATION = "1.3.6.1.2.1.1.4.0", "1.3.6.1.2.1.1.6.0"
SYSTEM = "1.3.6.1.2.1.1"

USERS = {      # name: (auth, priv)
    "nobody1": (None, None), "md5": ("MD5", None), "sha": ("SHA", None), "sha224": ("SHA-224", None),
    "sha256": ("SHA-256", None), "sha384": ("SHA-384", None), "sha512": ("SHA-512", None), "des": ("SHA", "DES"),
    "aes": ("SHA", "AES"), "aes256": ("SHA-256", "AES-256"), "md5des": ("MD5", "DES"), "sha512aes": ("SHA-512", "AES"),
}
AUTH, PRIV = "correct horse", "battery staple"


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


class Snmpd:
    """A real agent; config, log and persistent folder are its own."""

    def __init__(self, folder, port=None, community="public"):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(exist_ok=True)
        self.port = port or free_udp_port()
        users = ""
        for name, (auth, priv) in USERS.items():
            users += f"createUser {name}"
            users += f' {auth} "{AUTH}"' if auth else ""
            users += f' {priv} "{PRIV}"' if priv else ""
            users += f"\nrouser {name} {'priv' if priv else 'auth' if auth else 'noauth'}\n"
        self.conf = self.dir / "snmpd.conf"
        v6 = f",udp6:[::1]:{self.port}" if has_ipv6() else ""
        self.conf.write_text(f"agentaddress udp:127.0.0.1:{self.port}{v6}\nrocommunity {community}\nrocommunity6 {community}\n{users}"
                             "view little included .1.3.6.1.2.1.1\nrocommunity small default -V little\n"
                             'sysContact "Jürgen <admin@example.net>"\nsysLocation rack 7\nsysServices 72\n')
        self.proc = None
        self.start()

    def start(self):
        env = {**os.environ, "SNMP_PERSISTENT_DIR": str(self.dir / "persistent"), "MIBS": "", "SNMPCONFPATH": str(self.dir)}
        (self.dir / "persistent").mkdir(exist_ok=True)
        with open(self.dir / "log", "ab") as log:
            self.proc = subprocess.Popen([SNMPD, "-f", "-Lo", "-C", "-c", str(self.conf), "-I", "-smux",
                                          "-p", str(self.dir / "pid")],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=self.dir)

    def stop(self):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGCONT)
            self.proc.kill()
            self.proc.wait()

    @property
    def addr(self):
        return f"127.0.0.1:{self.port}"


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """An appliance, a real agent, and files with its passphrases."""
    if not SNMPD:
        pytest.skip("no snmpd here (Debian package snmpd)")
    folder = tmp_path_factory.mktemp("snmp")

    class Lab:
        a = fl.Fairlead(folder, "workers 1\n")
        d = Snmpd(folder / "agent")

        def file(self, text):
            path = folder / f"secret-{zlib.crc32(text.encode())}"
            if not path.exists():
                path.write_text(text + "\n")
            return f"file:{path}"

        def snmp(self, op, *args, check=True, host=None, **kw):
            return self.a.json("snmp", op, host or self.d.addr, *args, check=check, **kw)

        def user(self, name, auth=AUTH, priv=PRIV):
            a, p = USERS.get(name, (None, None))
            words = ["--user", name]
            words += ["--auth", a, "--auth-pass", self.file(auth)] if a else []
            return words + (["--priv", p, "--priv-pass", self.file(priv)] if p else [])

        def user_here(self, name, **passphrases):
            """The same as the control socket takes it: the secrets themselves."""
            return [pathlib.Path(w[5:]).read_text().strip() if w.startswith("file:") else w
                    for w in self.user(name, **passphrases)]

        def fails(self, op, *args, **kw):
            answer = self.snmp(op, *args, check=False, **kw)
            assert answer["ok"] is False and answer["complete"] is False, answer
            return answer["reason"]

    x = Lab()
    try:
        fl.wait_for("the agent answers", lambda: x.snmp("get", UPTIME)["ok"], 30)
        yield x
    finally:
        x.d.stop()
        x.a.stop()


@pytest.fixture
def other(lab, tmp_path):
    """A second agent: another engine with the same users."""
    d = Snmpd(tmp_path / "other")
    try:
        fl.wait_for("the other agent answers", lambda: lab.snmp("get", UPTIME, host=d.addr, check=False)["ok"], 30)
        yield d
    finally:
        d.stop()


# What is asked ---------------------------------------------------------------------------------

@pytest.mark.parametrize("version", ["1", "2c"])
def test_get_and_next(lab, version):
    v = ["--version", version]
    answer = lab.snmp("get", UPTIME, DESCR, SYS_OID, SERVICES, *v)
    assert [r["oid"] for r in answer["rows"]] == [UPTIME, DESCR, SYS_OID, SERVICES]
    assert [r["type"] for r in answer["rows"]] == ["timeticks", "octets", "oid", "integer"]
    assert answer["rows"][0]["value"] > 0 and answer["rows"][2]["value"].startswith("1.3.6.1.4.1.8072.")
    answer = lab.snmp("next", "1.3.6.1.2.1.1.3", "1.3.6.1.2.1.1.5.0", *v)
    assert [r["oid"] for r in answer["rows"]] == [UPTIME, LOCATION]
    assert answer["rows"][1]["value"] == "rack 7"


def test_text_of_values(lab):
    out = lab.a.ctl("snmp", "get", lab.d.addr, UPTIME, CONTACT).stdout
    assert "Jürgen <admin@example.net>" in out and "timeticks" in out and "s)" in out
    rows = {r["oid"]: r for r in lab.snmp("walk", "1.3.6.1.2.1.25.1")["rows"]}
    assert rows["1.3.6.1.2.1.25.1.2.0"]["type"] == "hex"           # hrSystemDate
    assert rows["1.3.6.1.2.1.25.1.6.0"]["type"] == "gauge32"       # hrSystemProcesses
    assert lab.snmp("get", "1.3.6.1.2.1.11.1.0")["rows"][0]["type"] == "counter32"
    row = lab.snmp("next", "1.3.6.1.2.1.31.1.1.1.6")["rows"][0]    # ifHCInOctets
    assert row["type"] == "counter64" and row["value"] >= 0
    row = lab.snmp("get", "1.3.6.1.2.1.4.20.1.1.127.0.0.1")["rows"][0]
    assert (row["type"], row["value"]) == ("ip", "127.0.0.1")


def test_bulk(lab):
    rows = lab.snmp("bulk", SYSTEM, "--rows", "3")["rows"]
    assert [r["oid"] for r in rows] == [DESCR, SYS_OID, UPTIME]
    rows = lab.snmp("bulk", SYSTEM, "1.3.6.1.2.1.11", "--rows", "2")["rows"]
    assert [r["oid"] for r in rows] == [DESCR, "1.3.6.1.2.1.11.1.0", SYS_OID, "1.3.6.1.2.1.11.2.0"]
    p = lab.a.ctl("snmp", "bulk", lab.d.addr, SYSTEM, "--version", "1", check=False)
    assert p.returncode == 2 and "GETBULK" in p.stderr


def test_walk(lab):
    whole = lab.snmp("walk", SYSTEM)
    assert whole["complete"] and len(whole["rows"]) > 15
    oids = [[int(x) for x in r["oid"].split(".")] for r in whole["rows"]]
    assert oids == sorted(oids) and all(o[:7] == [1, 3, 6, 1, 2, 1, 1] for o in oids)
    by_v1 = lab.snmp("walk", SYSTEM, "--version", "1")             # one by one
    assert [r["oid"] for r in by_v1["rows"]] == [r["oid"] for r in whole["rows"]]
    for n in (1, 25, 26, len(oids) - 1):
        some = lab.snmp("walk", SYSTEM, "--rows", str(n))
        assert len(some["rows"]) == min(n, len(oids)) and some["complete"] is (n >= len(oids))
    exact = lab.snmp("walk", SYSTEM, "--rows", str(len(oids)))
    assert exact["complete"] and len(exact["rows"]) == len(oids)
    assert lab.fails("walk", "1.3.6.1.4.1.99999") == "noRows"
    out = lab.a.ctl("snmp", "walk", lab.d.addr, SYSTEM, "--rows", "2").stdout
    assert "there is more" in out


def test_to_the_end_of_the_view(lab):
    """A walk of all that there is ends where the agent's view does."""
    small = ["--community", "small"]
    answer = lab.snmp("walk", "1.3", *small)
    assert answer["complete"] and [r["oid"] for r in answer["rows"]] == [r["oid"] for r in lab.snmp("walk", SYSTEM)["rows"]]
    assert lab.snmp("walk", "1.3", "--version", "1", *small)["complete"]
    last = answer["rows"][-1]["oid"]
    assert lab.fails("next", last, *small) == "endOfMibView"
    assert lab.fails("next", last, "--version", "1", *small) == "noSuchName"
    assert lab.snmp("bulk", last, *small)["rows"][0]["type"] == "endOfMibView"


def test_a_long_walk_is_cut(lab):
    """Of system and interfaces only: a busy machine's table of connections takes an agent seconds."""
    answer = lab.snmp("walk", "1.3.6.1.2.1", "--rows", "60")
    assert not answer["complete"] and len(answer["rows"]) == 60


# Who asks --------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", USERS)
def test_users(lab, name):
    answer = lab.snmp("get", LOCATION, UPTIME, *lab.user(name))
    assert answer["rows"][0]["value"] == "rack 7"
    assert len(lab.snmp("walk", SYSTEM, *lab.user(name))["rows"]) > 15


def test_reasons(lab):
    fast = ["--timeout", "200ms", "--retries", "1"]
    assert lab.fails("get", "1.3.6.1.2.1.1.99.0") == "noSuchObject"
    assert lab.fails("get", "1.3.6.1.2.1.1.3.1") in ("noSuchInstance", "noSuchObject")
    assert lab.fails("get", "1.3.6.1.2.1.1.99.0", "--version", "1") == "noSuchName"
    assert lab.fails("get", UPTIME, "--community", "wrong", *fast) == "timeout"
    assert lab.fails("get", UPTIME, "--user", "nosuchuser") == "unknownUserName"
    assert lab.fails("get", UPTIME, *lab.user("sha", auth="wrong passphrase")) == "wrongDigest"
    assert lab.fails("get", UPTIME, *lab.user("aes", priv="wrong passphrase"), *fast) in ("decryptionError", "timeout")
    assert lab.fails("get", UPTIME, "--user", "sha") in ("authorizationError", "unsupportedSecLevel", "noSuchName")
    assert lab.fails("get", UPTIME, "--user", "nobody1", "--auth", "SHA", "--auth-pass",
                     lab.file(AUTH)) in ("unsupportedSecLevel", "wrongDigest")
    assert lab.fails("get", UPTIME, host=f"127.0.0.1:{free_udp_port()}") == "refused"
    # some objects are there: their rows say which are not
    rows = lab.snmp("get", UPTIME, "1.3.6.1.2.1.1.99.0")["rows"]
    assert [r["type"] for r in rows] == ["timeticks", "noSuchObject"] and rows[1]["value"] is None
    # the right passphrase after a wrong one: no keys are kept
    for _ in range(3):
        assert lab.fails("get", UPTIME, *lab.user("sha", auth="wrong passphrase")) == "wrongDigest"
        assert lab.snmp("get", UPTIME, *lab.user("sha"))["ok"]
        assert lab.snmp("get", UPTIME, *lab.user("aes"))["ok"]


@pytest.mark.parametrize("first, then", [("wrong passphrase", AUTH), (AUTH, "wrong passphrase")])
def test_keys_go_while_another_agent_is_asked(lab, other, first, then):
    """The same user of another agent, which does not answer, does not keep the keys of this one's."""
    said = {AUTH: None, "wrong passphrase": "wrongDigest"}
    other.proc.send_signal(signal.SIGSTOP)
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30 * fl.SLOW)
            s.connect(lab.a.socket)
            user = " ".join(f'"{w}"' for w in lab.user_here("sha", auth=first))
            s.sendall(f"@json snmp get {other.addr} {UPTIME} {user} --timeout {int(2000 * fl.SLOW)}ms --retries 0\n".encode())
            assert lab.snmp("get", UPTIME, *lab.user("sha", auth=first), check=False).get("reason") == said[first]
            assert not select.select([s], [], [], 0)[0], "the other agent's job ended first: it proves nothing"
            assert b'"timeout"' in s.recv(65536)
    finally:
        other.proc.send_signal(signal.SIGCONT)
    assert lab.snmp("get", UPTIME, *lab.user("sha", auth=then), check=False).get("reason") == said[then]


def test_an_agent_that_restarts(lab):
    """Its boots count goes up and its clock goes back; what was known of it is not held against it."""
    assert lab.snmp("get", UPTIME, *lab.user("aes"))["ok"]
    lab.d.stop()
    lab.d.start()
    fl.wait_for("it answers again", lambda: lab.snmp("get", UPTIME)["ok"], 30)
    assert lab.snmp("get", UPTIME, *lab.user("aes"))["ok"]


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6(lab):
    assert lab.snmp("get", UPTIME, host=f"[::1]:{lab.d.port}")["ok"]
    assert lab.snmp("get", UPTIME, *lab.user("aes"), host=f"[::1]:{lab.d.port}")["ok"]


def test_community_of_a_file_and_names(lab):
    assert lab.snmp("get", UPTIME, "--community", lab.file("public"))["ok"]
    assert lab.snmp("get", UPTIME, host=f"localhost:{lab.d.port}")["ok"]
    assert "no address" not in lab.a.ctl("snmp", "get", "localhost:1", UPTIME, "--retries", "0", "--timeout", "50ms",
                                         check=False).stderr
    p = lab.a.ctl("snmp", "get", "no.such.name.invalid", UPTIME, check=False)
    assert p.returncode == 2 and "no.such.name.invalid" in p.stderr


def test_secrets_of_files_with_other_line_ends(lab, tmp_path):
    def of(data):
        path = tmp_path / f"secret-{zlib.crc32(data)}"
        path.write_bytes(data)
        return f"file:{path}"

    for end in (b"\r\n", b"", b"\r\nsecond line\r\n"):
        assert lab.snmp("get", UPTIME, "--user", "aes", "--auth", "SHA", "--auth-pass", of(AUTH.encode() + end),
                        "--priv", "AES", "--priv-pass", of(PRIV.encode() + end))["ok"]
        assert lab.snmp("get", UPTIME, "--community", of(b"public" + end))["ok"]
    # the longest one has room for both
    assert lab.fails("get", UPTIME, *lab.user("sha")[:-1], of(b"x" * 127 + b"\r\n")) == "wrongDigest"
    for data, said in ((b"x" * 128 + b"\r\n", "longer than 127 bytes"), (b"\r\n", "empty"), (b"", "empty")):
        p = lab.a.ctl("snmp", "get", lab.d.addr, UPTIME, *lab.user("sha")[:-1], of(data), check=False)
        assert p.returncode == 2 and said in p.stderr, p.stderr


@pytest.mark.parametrize("words, said", [
    (["1.3.a"], "no object identifier"), (["sysUpTime.0"], "no object identifier"), (["1"], "no object identifier"),
    ([UPTIME, "--version", "4"], "--version is"), ([UPTIME, "--version", "3"], "needs --user"),
    ([UPTIME, "--user", "x", "--community", "y"], "--community"), ([UPTIME, "--version", "1", "--user", "x"], "version 3"),
    ([UPTIME, "--user", "x", "--auth", "SHA"], "belong together"), ([UPTIME, "--user", "x", "--auth", "CRC"], "one of"),
    ([UPTIME, "--user", "x", "--auth", "SHA", "--auth-pass", "secret123"], "ps(1)"),
    ([UPTIME, "--user", "x", "--auth", "SHA", "--auth-pass", "file:/nonexistent"], "/nonexistent"),
    ([UPTIME, "--timeout", "1"], "--timeout"), ([UPTIME, "--timeout", "5m"], "--timeout"),
    ([UPTIME, "--retries", "99"], "--retries"), ([UPTIME, "--rows", "3"], "unknown option"), ([], "is missing"),
])
def test_misuse(lab, words, said):
    p = lab.a.ctl("snmp", "get", lab.d.addr, *words, check=False)
    assert p.returncode == 2 and said in p.stderr, p.stderr
    assert "secret123" not in p.stderr


def test_priv_needs_auth(lab):
    p = lab.a.ctl("snmp", "get", lab.d.addr, UPTIME, "--user", "x", "--priv", "AES", "--priv-pass", lab.file(PRIV),
                  check=False)
    assert p.returncode == 2 and "--priv needs --auth" in p.stderr


# Life and death --------------------------------------------------------------------------------

def test_a_silent_agent_holds_nobody(lab):
    """The agent is stopped: its askers get their timeout in time, and everybody else goes on meanwhile."""
    lab.d.proc.send_signal(signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            begin = time.monotonic()
            slow = [pool.submit(lab.fails, "get", UPTIME, "--timeout", "2s", "--retries", "1", *who)
                    for who in ([], ["--version", "1"], lab.user("aes"), lab.user("nobody1"))]
            n = 0
            while not any(f.done() for f in slow):
                assert lab.a.json("show", "core")
                n += 1
            assert n > 5 / fl.SLOW
            assert [f.result() for f in slow] == ["timeout"] * 4
            assert 4 <= time.monotonic() - begin < 40 * fl.SLOW
    finally:
        lab.d.proc.send_signal(signal.SIGCONT)
    assert lab.snmp("get", UPTIME, *lab.user("aes"))["ok"]


def test_many_clients(lab):
    who = [lab.user(n) for n in list(USERS) * 2]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(lab.snmp, "get", LOCATION, *words) for words in who]
        assert all(j.result()["rows"][0]["value"] == "rack 7" for j in jobs)


def test_a_client_that_leaves(lab):
    lab.d.proc.send_signal(signal.SIGSTOP)
    try:
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(lab.a.socket)
                s.sendall(f"@json snmp get {lab.d.addr} {UPTIME} --timeout 1s\n".encode())
        assert lab.fails("get", UPTIME, "--timeout", "100ms") == "timeout"
    finally:
        lab.d.proc.send_signal(signal.SIGCONT)
    assert lab.snmp("get", UPTIME)["ok"]


def test_clients_that_left_block_nobody(lab, other):
    """More of them than jobs are worked on at a time, each of which would go on for two minutes."""
    other.proc.send_signal(signal.SIGSTOP)
    try:
        for _ in range(80):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(lab.a.socket)
                s.sendall(f"@json snmp get {other.addr} {UPTIME} --timeout 60s --retries 10\n".encode())
        assert lab.snmp("get", UPTIME)["ok"]
    finally:
        other.proc.send_signal(signal.SIGCONT)


def test_control_killed_while_it_asks(lab):
    pid = lab.a.process("fl-control")
    lab.d.proc.send_signal(signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(lab.a.ctl, "snmp", "get", lab.d.addr, UPTIME, "--timeout", "30s", check=False)
            time.sleep(0.2)
            os.kill(pid, signal.SIGKILL)
            assert asked.result().returncode == 3
    finally:
        lab.d.proc.send_signal(signal.SIGCONT)
    fl.wait_for("the next control serves", lambda: lab.snmp("get", UPTIME)["ok"])
    assert lab.a.process("fl-control") not in (None, pid)


def test_no_secret_is_written_down(lab):
    secret = "public; no, a s3cret community"
    lab.fails("get", UPTIME, "--community", lab.file(secret), "--timeout", "50ms", "--retries", "0")
    lab.snmp("get", UPTIME, *lab.user("aes"))
    log = lab.a.output()
    for word in ("s3cret", AUTH, PRIV):
        assert word not in log
    # nothing of the library's either
    assert "MIB" not in log and "snmp_" not in log and "error" not in log.lower().replace("error-log", "")


def test_the_thread_is_there(lab):
    pid = lab.a.process("fl-control")
    names = {p.read_text().strip() for p in pathlib.Path(f"/proc/{pid}/task").glob("*/comm")}
    assert {"fl-control", "fl-consolidate", "fl-agent"} <= names


def test_a_hanging_agent_thread_takes_control_down(tmp_path):
    """Only in a build with failpoints: the thread sleeps for ever, control notices and is replaced."""
    a = fl.Fairlead(tmp_path, "workers 1\n", env={"FAIRLEAD_FAILPOINTS": "agent-beat=sleep 60000:1"})
    try:
        if "failpoints" not in subprocess.run([fl.FAIRLEAD, "-V"], capture_output=True, text=True).stdout:
            pytest.skip("a build without failpoints")
        pid = a.process("fl-control")
        fl.wait_for("control was replaced", lambda: a.process("fl-control") not in (None, pid), 40)
        assert "agent is silent" in a.output()
        with contextlib.suppress(AssertionError):
            a.ctl("status")
    finally:
        a.stop()

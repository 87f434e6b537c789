# SPDX-License-Identifier: Apache-2.0
"""Drives the built programs as a user would: starts fairlead on a configuration, waits for
conditions, speaks raw HTTP/1.1, stops everything by pid."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
FAIRLEAD = os.environ.get("FAIRLEAD_BIN") or str(TOP / "build/bin/fairlead")
FAIRLEADCTL = os.environ.get("FAIRLEADCTL_BIN") or str(TOP / "build/bin/fairleadctl")
SLOW = float(os.environ.get("FL_SLOW") or 1)


def free_port(host="127.0.0.1"):
    """A port that nobody has. It is bound and released: the kernel gives it out again last."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def wait_for(what, condition, timeout=10.0, every=0.02):
    """Returns the first true value of condition(); errors of a thing that is not up yet count as false."""
    end = time.monotonic() + timeout * SLOW
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (OSError, AssertionError, ValueError, KeyError, IndexError, subprocess.SubprocessError) as e:
            last = e
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not so after {timeout * SLOW:g} s (last: {last!r})")
        time.sleep(every)


class Fairlead:
    """One running appliance. Its folder holds conf, ctl.sock, and stderr in `out`."""

    def __init__(self, folder, config, args=(), env=None, wait=True, name="fl", program=None):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        os.chmod(self.dir, 0o755)
        self.sock_dir = self.dir / f"{name}.run"
        self.sock_dir.mkdir(mode=0o700, exist_ok=True)
        self.socket = str(self.sock_dir / "ctl.sock")
        self.conf = self.dir / f"{name}.conf"
        self.out_path = self.dir / f"{name}.out"
        self.program = program or FAIRLEAD
        self.env = {**os.environ, **(env or {})}
        self.write(config)
        self.args = list(args)
        self.proc = None
        self.start(wait)

    def write(self, config):
        if "admin" not in config:
            config = f"admin {{ socket {self.socket} }}\n" + config
        self.conf.write_text(config.replace("@SOCKET@", self.socket).replace("@DIR@", str(self.dir)))

    def start(self, wait=True):
        with open(self.out_path, "ab") as out:
            self.proc = subprocess.Popen([self.program, "-c", str(self.conf), *self.args], stdin=subprocess.DEVNULL,
                                         stdout=out, stderr=out, env=self.env, start_new_session=True)
        if wait:
            wait_for("fairlead is ready", self.is_ready, 20)

    def is_ready(self):
        if self.proc.poll() is not None:
            raise RuntimeError(f"fairlead exited with {self.proc.returncode}:\n{self.output()}")
        rows = self.cores()
        return rows and all(r["state"] == "running" for r in rows if r["state"] != "free") and rows

    def output(self):
        return self.out_path.read_text(errors="replace")

    def ctl(self, *args, check=True, timeout=30):
        p = subprocess.run([FAIRLEADCTL, "-s", self.socket, *args], capture_output=True, text=True,
                           timeout=timeout * SLOW, env=self.env)
        if check and p.returncode != 0:
            raise AssertionError(f"fairleadctl {' '.join(args)}: exit {p.returncode}\n{p.stdout}{p.stderr}")
        return p

    def json(self, *args, check=True):
        return json.loads(self.ctl("--json", *args, check=check).stdout)

    def cores(self, state=None):
        rows = self.json("show", "core")
        return [r for r in rows if state is None or r["state"] == state]

    def workers(self):
        """Pids of the workers of the newest generation that serve."""
        rows = [r for r in self.cores("running") if r.get("role", "worker") == "worker"]
        newest = max((r["generation"] for r in rows), default=0)
        return [r["pid"] for r in rows if r["generation"] == newest]

    def generation(self):
        return max((r["generation"] for r in self.cores() if r["state"] == "running"), default=0)

    def reload(self, config=None, check=True):
        if config is not None:
            self.write(config)
        return self.ctl("reload", check=check)

    def service(self, name):
        return next(r for r in self.json("show", "service") if r["name"] == name)

    def vserver(self, name):
        return next(r for r in self.json("show", "vserver") if r["name"] == name)

    def stat(self, kind, name):
        """Counters of one object by their metric names; services are named POOL/SERVICE."""
        return next(r for r in self.json("stat", kind, "--all") if r["name"] == name)

    def policy_hits(self, name):
        return self.stat("policy", name)["hits"]

    def wait_stat(self, kind, name, what, timeout=5):
        """Waits until what(row) holds: counters are folded with a delay."""
        return wait_for(f"counters of {kind} {name}", lambda: what(self.stat(kind, name)), timeout)

    def wait_service(self, name, state, timeout=10):
        return wait_for(f"service {name} is {state}", lambda: self.service(name)["state"] == state, timeout)

    def children(self):
        """All processes of the session that belong to this appliance."""
        pids = []
        for p in pathlib.Path("/proc").iterdir():
            if p.name.isdigit():
                with contextlib.suppress(OSError):
                    stat = (p / "stat").read_text()
                    if int(stat.rpartition(")")[2].split()[3]) == self.proc.pid:   # session
                        pids.append(int(p.name))
        return [p for p in pids if p != self.proc.pid]

    def process(self, name):
        """Pid of the process of that name (fl-logd, fl-control), or None while there is none."""
        for pid in self.children():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip().startswith(name):
                    return pid
        return None

    def signal(self, signo):
        self.proc.send_signal(signo)

    def stop(self, grace=5):
        """Stops it and says its exit code; nothing of it stays behind."""
        code = None
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                code = self.proc.wait(grace * SLOW)
            except subprocess.TimeoutExpired:
                self.proc.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = self.proc.wait(2 * SLOW)
        for pid in self.children():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        return code


def web(port, *services, vs="", pool="", top="", workers=1, listen=""):
    """A configuration: vserver `web` on `port` in front of pool `app` with services a1, a2, ... A service is
    "ADDR [option value]..."; vs, pool and top are more statements. No checks unless `pool` names monitors."""
    lines = "\n".join(f"    service a{i} {s}" for i, s in enumerate(services, 1))
    if "monitor" not in pool:
        pool += "\n    monitor none"
    if "default" not in vs:
        vs += "\n    default use app"
    return (f"workers {workers}\n{top}\npool app {{\n    {pool}\n{lines}\n}}\n"
            f"vserver web {{\n    listen 127.0.0.1:{port} {listen}\n    {vs}\n}}\n")


def rss(pid):
    """Resident private memory of a process in bytes."""
    with open(f"/proc/{pid}/status") as f:
        return 1024 * int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])


class Response:
    def __init__(self, status, reason, fields, body, raw_head, interim=()):
        self.status, self.reason, self.fields, self.body = status, reason, fields, body
        self.raw_head, self.interim = raw_head, list(interim)
        self.trailers = []

    def get(self, name, default=None):
        values = [v for k, v in self.fields if k.lower() == name.lower()]
        return values[0] if values else default

    def all(self, name):
        return [v for k, v in self.fields if k.lower() == name.lower()]


class Client:
    """A raw HTTP/1.1 client over one connection: sees every byte, forgives nothing."""

    def __init__(self, port, host="127.0.0.1", timeout=10, source=None, tls=None, sni=None):
        self.sock = socket.create_connection((host, port), timeout * SLOW, source_address=source)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=sni or host)
        self.buf = b""

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("closed by the peer")
        self.buf += data

    def read_until(self, mark):
        while mark not in self.buf:
            self._more()
        head, _, self.buf = self.buf.partition(mark)
        return head

    def read_exact(self, n):
        parts, have = [self.buf], len(self.buf)
        while have < n:
            data = self.sock.recv(min(1 << 20, n - have + 65536))
            if not data:
                raise EOFError(f"closed after {have} of {n} bytes")
            parts.append(data)
            have += len(data)
        all_ = b"".join(parts)
        self.buf = all_[n:]
        return all_[:n]

    def read_to_end(self):
        out = [self.buf]
        self.buf = b""
        while True:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                break
            if not data:
                break
            out.append(data)
        return b"".join(out)

    def is_closed(self, timeout=5):
        """True when the peer closes within the time without sending anything more."""
        self.sock.settimeout(timeout * SLOW)
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except (TimeoutError, socket.timeout):
            return False

    def head(self):
        raw = self.read_until(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        m = re.fullmatch(r"HTTP/1\.[01] (\d{3}) (.*)", lines[0])
        assert m, f"bad status line {lines[0]!r}"
        fields = []
        for line in lines[1:]:
            k, sep, v = line.partition(":")
            assert sep and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", k), f"bad field line {line!r}"
            fields.append((k, v.strip(" \t")))
        return Response(int(m[1]), m[2], fields, b"", raw)

    def response(self, method="GET", interim=True):
        """Reads one whole response; interim ones are kept in .interim. Raises EOFError when it is cut short."""
        seen = []
        while True:
            r = self.head()
            if not interim or r.status >= 200 or r.status == 101:
                break
            seen.append(r)
        r.interim = seen
        if method == "HEAD" or r.status in (101, 204, 304) or r.status < 200:
            return r
        te, cl = r.get("Transfer-Encoding"), r.get("Content-Length")
        assert not (te and cl), "both framings"
        if te:
            assert te.lower() == "chunked"
            while True:
                size = int(self.read_until(b"\r\n").split(b";")[0], 16)
                if size == 0:
                    break
                r.body += self.read_exact(size)
                assert self.read_exact(2) == b"\r\n"
            while True:
                line = self.read_until(b"\r\n")
                if not line:
                    return r
                r.trailers.append(line.decode("latin-1"))
        if cl is not None:
            r.body = self.read_exact(int(cl))
        else:
            r.body = self.read_to_end()
        return r

    def request(self, text, method=None):
        self.send(text)
        return self.response(method or (text if isinstance(text, str) else text.decode("latin-1")).split(" ", 1)[0])

    def get(self, path="/", host="test", fields="", method="GET"):
        return self.request(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n", method)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def get(port, path="/", **kw):
    """One request on a connection of its own."""
    client = {k: kw.pop(k) for k in ("source", "tls", "sni", "timeout") if k in kw}
    with Client(port, **client) as c:
        return c.get(path, fields=kw.pop("fields", "") + "Connection: close\r\n", **kw)

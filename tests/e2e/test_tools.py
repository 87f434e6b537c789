# SPDX-License-Identifier: Apache-2.0
"""The clients that people use: curl as it comes, and a short run of wrk that must see no error."""
import hashlib
import re
import shutil
import subprocess

import pytest

import fl
from origin import pattern

pytestmark = pytest.mark.skipif(not (shutil.which("curl") and shutil.which("wrk")), reason="no curl or no wrk")


@pytest.fixture(scope="module")
def site(shared_fairlead, shared_origins, certs):
    o, port, tls = shared_origins("o1"), fl.free_port(), fl.free_port()
    pem = certs.make("tools.example", "tools.example", "127.0.0.1")
    f = shared_fairlead(fl.web(port, o.addr, workers=2, vs=f"listen 127.0.0.1:{tls} tls {{ cert {pem} }}"))
    f.url, f.tls_url, f.o, f.ca = f"http://127.0.0.1:{port}", f"https://tools.example:{tls}", o, certs.ca
    f.resolve = ("--resolve", f"tools.example:{tls}:127.0.0.1")
    return f


def curl(*args, code=0, data=None):
    p = subprocess.run(["curl", "-sS", "--max-time", "20", *map(str, args)], capture_output=True, input=data)
    assert p.returncode == code, p.stderr
    return p


def write_out(text):
    return "-w", "\n" + text


def test_keep_alive(site):
    p = curl(*write_out("%{http_version} %{num_connects} %{http_code}"), site.url + "/bytes/10", site.url + "/bytes/20")
    assert re.findall(rb"\n1\.1 (\d) 200", p.stdout) == [b"1", b"0"]


def test_head(site):
    p = curl("-I", site.url + "/bytes/12345")
    head = p.stdout.decode().lower()
    assert head.startswith("http/1.1 200") and "content-length: 12345" in head


def test_http_1_0(site):
    p = curl("--http1.0", *write_out("%{http_code}"), site.url + "/chunked/50000/700")
    assert p.stdout == pattern(50000) + b"\n200"


def test_download(site, tmp_path):
    curl("-o", tmp_path / "x", site.url + "/bytes/3000000")
    assert hashlib.sha256((tmp_path / "x").read_bytes()).digest() == hashlib.sha256(pattern(3000000)).digest()


def test_upload_that_waits_for_100(site, tmp_path):
    (tmp_path / "up").write_bytes(pattern(2000000))
    p = curl("-v", "-H", "Expect: 100-continue", "-T", tmp_path / "up", site.url + "/echo")
    assert p.stdout == pattern(2000000) and b"< HTTP/1.1 100" in p.stderr


def test_expectation_that_nobody_knows(site):
    assert curl("-H", "Expect: nonsense", *write_out("%{http_code}"), site.url + "/").stdout.endswith(b"\n417")


def test_chunked_upload_and_download(site):
    p = curl("-H", "Transfer-Encoding: chunked", "--data-binary", "@-", site.url + "/echo", data=pattern(300000))
    assert p.stdout == pattern(300000)


def test_trailers(site):
    p = curl("--raw", "-H", "TE: trailers", "-H", "Connection: TE", site.url + "/trailers")
    assert re.search(rb"\r\n0\r\n[A-Za-z-]+: [^\r]*\r\n\r\n$", p.stdout), p.stdout[-80:]


def test_tls(site):
    p = curl("-v", "--cacert", site.ca, *site.resolve, *write_out("%{http_version} %{http_code} %{ssl_verify_result}"),
             site.tls_url + "/bytes/100000")
    assert p.stdout == pattern(100000) + b"\n1.1 200 0"
    assert b"server accepted http/1.1" in p.stderr and re.search(rb"SSL connection using TLSv1\.3", p.stderr)


def test_tls_1_2_and_a_stranger(site):
    p = curl("--cacert", site.ca, "--tls-max", "1.2", *site.resolve, *write_out("%{http_code}"), site.tls_url + "/bytes/5")
    assert p.stdout == pattern(5) + b"\n200"
    curl(*site.resolve, site.tls_url + "/", code=60)            # not of an authority that curl trusts


def test_parallel(site):
    p = curl("--parallel", "--parallel-immediate", "--parallel-max", "20", *write_out("%{http_code}"),
             *[f"{site.url}/bytes/1000?{i}" for i in range(60)])
    assert p.stdout.count(b"\n200") == 60


@pytest.mark.parametrize("tls", [False, True])
def test_wrk_sees_no_error(site, tls):
    before = site.stat("vserver", "web")["requests"]
    p = subprocess.run(["wrk", "-t1", "-c16", "-d2s", "-H", "Host: tools.example", "--timeout", "10s",
                        (site.tls_url.replace("tools.example", "127.0.0.1") if tls else site.url) + "/bytes/1000"],
                       capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    assert "Non-2xx" not in p.stdout and "Socket errors" not in p.stdout, p.stdout
    done = int(re.search(r"(\d+) requests in", p.stdout)[1])
    assert done > 50
    site.wait_stat("vserver", "web", lambda r: r["requests"] - before >= done)
    assert {(r["of"], r["reason"]) for r in site.json("show", "errors")} <= \
        {("exchange", "client-abort"), ("request", "bad-expect"), ("tls-client", "alert")}

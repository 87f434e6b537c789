# SPDX-License-Identifier: Apache-2.0
"""TLS towards clients and towards services: certificates by name, versions, ALPN, tickets that outlive
workers and reloads, client certificates, stapling, and the bad input of ROBUSTNESS 6.4."""
import os
import pathlib
import re
import select
import signal
import socket
import ssl
import subprocess
import time
import types

import pytest

import fl
from origin import pattern

NAMES = [f"s{i}.example" for i in range(9)]


def context(certs, version=None, cert=None, alpn=("http/1.1",), verify=True):
    ctx = ssl.create_default_context(cafile=str(certs.ca)) if verify else ssl._create_unverified_context()
    ctx.check_hostname = verify
    if version:
        ctx.minimum_version = ctx.maximum_version = version
    if cert:
        ctx.load_cert_chain(cert)
    if alpn:
        ctx.set_alpn_protocols(list(alpn))
    return ctx


V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def site(shared_fairlead, shared_origins, certs):
    """Ten certificates, one of them a wildcard; the first holds an address too."""
    o, port = shared_origins("o1"), fl.free_port()
    pems = [certs.make("first.example", "first.example", "127.0.0.1")] + [certs.make(n) for n in NAMES[1:]]
    pems.append(certs.make("wild", "*.wild.example"))
    lines = "\n".join(f"        cert {p}" for p in pems)
    f = shared_fairlead(fl.web(port, o.addr, workers=2, listen=f"tls {{\n{lines}\n    }}",
                               vs='policy who when tls.sni == "s3.example" { respond 200 "third {tls.sni} {tls.version}" }'))
    return types.SimpleNamespace(f=f, o=o, port=port)


def tls_site(fairlead, origins, certs, options="", name="first.example", **kw):
    o, port = origins("o1"), fl.free_port()
    pem = certs.make(name, *kw.pop("sans", (name, "127.0.0.1")))
    f = fairlead(fl.web(port, o.addr, listen=f"tls {{ cert {pem}; {options} }}", **kw))
    return types.SimpleNamespace(f=f, o=o, port=port)


def subject(c):
    return dict(pair[0] for pair in c.sock.getpeercert()["subject"])["commonName"]


@pytest.mark.parametrize("sni,cn", [("first.example", "first.example"), *[(n, n) for n in NAMES[1:]],
                                    ("S4.EXAMPLE", "s4.example"), ("a.wild.example", "wild")])
@pytest.mark.parametrize("version", [V12, V13])
def test_certificate_by_name(site, certs, sni, cn, version):
    with fl.Client(site.port, tls=context(certs, version), sni=sni) as c:
        assert subject(c) == cn
        assert c.get("/x", host=sni).status == 200


@pytest.mark.parametrize("sni", ["other.example", "a.b.wild.example", "wild.example"])
def test_unknown_name_gets_the_first_certificate(site, certs, sni):
    ctx = context(certs)
    ctx.check_hostname = False
    with fl.Client(site.port, tls=ctx, sni=sni) as c:
        assert subject(c) == "first.example"


def test_no_name_gets_the_first_certificate(site, certs):
    with fl.Client(site.port, tls=context(certs), sni="127.0.0.1") as c:      # python sends no SNI for addresses
        assert subject(c) == "first.example"


def test_unknown_name_refused(fairlead, origins, certs):
    s = tls_site(fairlead, origins, certs, "unknown-sni refuse")
    with fl.Client(s.port, tls=context(certs), sni="first.example") as c:
        assert c.get("/").status == 200
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        fl.Client(s.port, tls=context(certs), sni="other.example")
    s.f.wait_stat("vserver", "web", lambda r: r["connections"] == 0)
    fl.wait_for("it is counted", lambda: sum(r["tls_failures"] for r in s.f.json("stat", "listener", "--all")) == 1)


def test_policy_sees_name_and_version(site, certs):
    with fl.Client(site.port, tls=context(certs, V13), sni="s3.example") as c:
        assert c.get("/").body == b"third s3.example TLSv1.3"


def test_service_hears_of_https(site, certs):
    site.o.log.clear()
    with fl.Client(site.port, tls=context(certs), sni="first.example") as c:
        c.get("/")
    assert site.o.log[0].get("X-Forwarded-Proto") == "https"


@pytest.mark.parametrize("offer,chosen", [(("http/1.1",), "http/1.1"), (("h2", "http/1.1"), "http/1.1"),
                                          (("h3", "x", "http/1.1"), "http/1.1"), ((), None)])
def test_alpn(site, certs, offer, chosen):
    with fl.Client(site.port, tls=context(certs, alpn=offer), sni="first.example") as c:
        assert c.sock.selected_alpn_protocol() == chosen
        assert c.get("/").status == 200


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("size", [1, 16384, 16385, 3000000])
def test_bodies(site, certs, version, size):
    data = pattern(size)
    with fl.Client(site.port, tls=context(certs, version), sni="first.example", timeout=30) as c:
        assert c.get(f"/bytes/{size}").body == data
        c.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % min(size, 100000) + data[:100000])
        assert c.response().body == data[:100000]
        assert c.get(f"/chunked/{size}/5000").body == data


def test_upgrade_over_tls(site, certs):
    with fl.Client(site.port, tls=context(certs), sni="first.example") as c:
        r = c.request("GET /upgrade HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert r.status == 101 and c.read_exact(6) == b"hello\n"
        c.send(b"ping")
        assert c.read_exact(4) == b"ping"


def test_end_of_the_connection_is_said(site, certs):
    """close_notify: a client can tell an end from a cut."""
    ctx = context(certs)
    with socket.create_connection(("127.0.0.1", site.port), 10) as raw:
        s = ctx.wrap_socket(raw, server_hostname="first.example", suppress_ragged_eofs=False)
        s.sendall(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        data = b""
        while True:
            piece = s.recv(65536)           # raises SSLEOFError without close_notify
            if not piece:
                break
            data += piece
        assert data.startswith(b"HTTP/1.1 200 ")


# Versions, bad input

@pytest.mark.parametrize("options,good,bad", [("", [V12, V13], []), ("min-version 1.3", [V13], [V12])])
def test_versions(fairlead, origins, certs, options, good, bad):
    s = tls_site(fairlead, origins, certs, options)
    for v in good:
        with fl.Client(s.port, tls=context(certs, v), sni="first.example") as c:
            assert c.get("/").status == 200
    for v in bad:
        with pytest.raises(ssl.SSLError):
            fl.Client(s.port, tls=context(certs, v), sni="first.example")


def test_old_versions_are_refused(site):
    p = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-tls1_1", "-cipher",
                        "DEFAULT@SECLEVEL=0"], input=b"", capture_output=True, timeout=20)
    assert p.returncode != 0 and b"protocol version" in p.stderr


def test_ciphers_of_the_configuration(fairlead, origins, certs):
    s = tls_site(fairlead, origins, certs, 'ciphers "ECDHE-ECDSA-CHACHA20-POLY1305"; '
                 'ciphersuites "TLS_AES_128_GCM_SHA256"; groups "P-256"')
    for v, name in ((V12, "ECDHE-ECDSA-CHACHA20-POLY1305"), (V13, "TLS_AES_128_GCM_SHA256")):
        with fl.Client(s.port, tls=context(certs, v), sni="first.example") as c:
            assert c.sock.cipher()[0] == name


@pytest.mark.parametrize("pieces", [("GET / HTTP/1.1\r\nHost: t\r\n\r\n",), ("PROPFIND / HTTP/1.1\r\n\r\n",), ("G", "ET /"),
                                    ("get / HTTP/1.1\r\n\r\n",), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",)],
                         ids=["get", "webdav", "split", "lower-case", "h2"])
def test_plain_http_on_the_tls_port(site, pieces):
    with fl.Client(site.port) as c:
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        c.send(pieces[0])
        r = c.response()
        for p in pieces[1:]:
            try:
                c.send(p)
            except OSError:
                pass
        assert r.status == 400 and b"TLS" in r.body.upper()
        assert c.read_to_end() == b""


@pytest.mark.parametrize("junk", [b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10", b"\x16\x03\x01\xff\xff" + b"x" * 70000,
                                  bytes(1000), b"\x15\x03\x03\x00\x02\x02\x28", b"\x17\x03\x03\x00\x05hello",
                                  b"\x16\x03\x01\x00\x04\x01\xff\xff\xff" + b"\x16\x03\x01\x40\x00" + b"x" * 16384],
                         ids=["sslv2", "record-too-long", "zeros", "alert", "data-first", "message-too-long"])
def test_junk_is_closed(site, junk):
    with fl.Client(site.port) as c:
        try:
            c.send(junk)
        except OSError:
            pass
        c.sock.settimeout(15 * fl.SLOW)
        answer = c.read_to_end()
        assert not answer or answer[:1] == b"\x15" or answer.startswith(b"HTTP/1.1 400")


def hello(certs):
    """The first flight of a client, and the object that made it."""
    inc, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    obj = context(certs).wrap_bio(inc, out, server_hostname="first.example")
    with pytest.raises(ssl.SSLWantReadError):
        obj.do_handshake()
    return obj, inc, out, out.read()


def finish(sock, obj, inc, out):
    while True:
        try:
            obj.do_handshake()
            break
        except ssl.SSLWantReadError:
            data = sock.recv(65536)
            assert data, "closed inside the handshake"
            inc.write(data)
    sock.sendall(out.read())
    obj.write(b"GET /frag HTTP/1.1\r\nHost: t\r\n\r\n")
    sock.sendall(out.read())
    while True:
        try:
            return obj.read(65536)
        except ssl.SSLWantReadError:
            data = sock.recv(65536)
            assert data
            inc.write(data)


@pytest.mark.parametrize("how", ["segments", "records"])
def test_hello_in_single_bytes(site, certs, how):
    obj, inc, out, data = hello(certs)
    with socket.create_connection(("127.0.0.1", site.port), 10 * fl.SLOW) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if how == "segments":
            for b in data:
                s.send(bytes([b]))
        else:
            assert len(data) == 5 + int.from_bytes(data[3:5], "big")
            s.sendall(b"".join(data[:3] + b"\0\1" + bytes([b]) for b in data[5:]))
        assert finish(s, obj, inc, out).startswith(b"HTTP/1.1 200 ")


def test_silent_handshake_ends_in_time(fairlead, origins, certs):
    s = tls_site(fairlead, origins, certs, vs="head-timeout 400ms")
    for start in (b"", b"\x16", hello(certs)[3][:50]):
        with fl.Client(s.port) as c:
            c.send(start)
            t = time.monotonic()
            c.read_to_end()
            assert time.monotonic() - t < 4 * fl.SLOW
    s.f.wait_stat("vserver", "web", lambda r: r["connections"] == 0)


def tls_failures(s):
    """Of the listener and of the processes."""
    rows = [r["tls_failures"] for r in s.f.json("stat", "listener", "--all") if str(s.port) in r["name"]]
    assert len(rows) == 1
    return rows[0], sum(r["tls_failures"] for r in s.f.json("stat", "core", "--all"))


def test_each_failure_is_counted_once_and_logged_by_client(fairlead, origins, certs):
    """Whatever the peer did: rubbish, silence, its end in the middle, a hello without end."""
    s = tls_site(fairlead, origins, certs, vs="head-timeout 400ms")
    first = hello(certs)[3]
    for n, (data, end) in enumerate([(b"\x16\x05\x01\0\5hello", None), (bytes(20), None), (first[:50], None), (b"", None),
                                     (first[:50], socket.SHUT_WR), (b"GET / HTTP/1.1\r\n\r\n", None),
                                     (b"\x16\x03\x01\x40\0\1\1\xff\0" + bytes(16380) + (b"\x16\x03\x01\x40\0" + bytes(16384)) * 4,
                                      None)], 1):
        with fl.Client(s.port) as c:
            try:
                c.send(data)
                if end is not None:
                    c.sock.shutdown(end)
            except OSError:
                pass
            answer = c.read_to_end()
        assert answer[:1] in (b"\x15", b"H") if data and end is None else answer == b"", (n, answer)
        fl.wait_for(f"failure {n} is counted", lambda: tls_failures(s) == (n, n), 5)
    with fl.Client(s.port):                 # a probe that only connects is no failed handshake
        pass
    for _ in range(40):
        with fl.Client(s.port) as c:
            c.send(bytes(20))
            c.read_to_end()
    fl.wait_for("all are counted", lambda: tls_failures(s) == (47, 47), 5)
    lines = [line for line in s.f.output().splitlines() if " tls-fail " in line]
    assert 5 <= len(lines) < 25, "one client, not one line for each of its ports"


def test_a_handshake_has_five_seconds(fairlead, origins, certs):
    """Less than head-timeout, and single bytes do not prolong it."""
    s = tls_site(fairlead, origins, certs, vs="head-timeout 60s")
    first = hello(certs)[3]
    t = time.monotonic()
    with fl.Client(s.port) as c:
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        c.sock.settimeout(0.25)
        for b in first[:200]:
            try:
                c.send(bytes([b]))
                if not c.sock.recv(100).startswith(b"\x15"):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 4.5 < time.monotonic() - t < 8 * fl.SLOW
    with fl.Client(s.port, tls=context(certs), sni="first.example") as c:
        time.sleep(5.5)                     # head-timeout rules from here
        assert c.get().status == 200


def test_renegotiation_is_refused(site):
    p = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-tls1_2"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    p.stdin.write(b"R\n")
    p.stdin.flush()
    time.sleep(0.5 * fl.SLOW)
    out, _ = p.communicate(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", timeout=20 * fl.SLOW)
    assert b"RENEGOTIATING" in out
    assert b"no renegotiation" in out.lower() or b"alert" in out.lower() or b"HTTP/1.1 200" not in out


# Resumption

class Resumer:
    """Connects again and again, each time with the session of the time before."""

    def __init__(self, port, ctx):
        self.port, self.ctx, self.session = port, ctx, None
        self.tries = self.resumed = 0

    def once(self):
        with socket.create_connection(("127.0.0.1", self.port), 10 * fl.SLOW) as raw:
            s = self.ctx.wrap_socket(raw, server_hostname="first.example", session=self.session)
            s.sendall(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            data = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                data += piece
            assert data.startswith(b"HTTP/1.1 200 ")
            if self.session is not None:
                self.tries += 1
                self.resumed += s.session_reused
            self.session = s.session


@pytest.mark.parametrize("version", [V12, V13])
def test_resumption_over_workers_reloads_and_kills(fairlead, origins, certs, version):
    """More than 99 % of 200, over 2 workers, 5 reloads and 5 killed workers."""
    s = tls_site(fairlead, origins, certs, workers=2)
    r = Resumer(s.port, context(certs, version))
    r.once()
    for i in range(10):
        for _ in range(20):
            r.once()
        if i % 2:
            s.f.reload()
        else:
            victim = s.f.workers()[i // 2 % 2]
            os.kill(victim, signal.SIGKILL)
            fl.wait_for("there is a new worker", lambda v=victim: v not in s.f.workers() and len(s.f.workers()) == 2)
    assert r.tries == 200 and r.resumed > 198, f"{r.resumed} of {r.tries}"
    rows = s.f.json("stat", "core", "--all")
    assert sum(row["tls_resumed"] for row in rows) >= 198


def test_tickets_off(fairlead, origins, certs):
    s = tls_site(fairlead, origins, certs, "tickets off")
    for version in (V12, V13):
        r = Resumer(s.port, context(certs, version))
        for _ in range(5):
            r.once()
        assert r.resumed == 0


def test_ticket_keys_of_a_file_are_shared(fairlead, origins, certs, tmp_path):
    """A ticket of one appliance resumes at another; one of a stranger is a full handshake, nothing worse."""
    import base64
    for name in ("a", "b"):
        (tmp_path / f"{name}.keys").write_text(base64.b64encode(os.urandom(80)).decode() + "\n")
        os.chmod(tmp_path / f"{name}.keys", 0o600)
    one, two, other = (tls_site(fairlead, origins, certs, top=f"ticket-keys {tmp_path}/{k}.keys") for k in "aab")
    r = Resumer(one.port, context(certs, V12))
    for _ in range(3):
        r.once()
    assert r.resumed == 2
    r.port = two.port
    r.once()
    assert r.resumed == 3
    r.port = other.port
    r.once()
    assert r.resumed == 3


# Client certificates

CLIENT = "client-ca {ca}; client-verify {mode}"


def test_client_certificate_required(fairlead, origins, certs):
    s = tls_site(fairlead, origins, certs, CLIENT.format(ca=certs.ca, mode="required"),
                 vs='policy p when http.host == "t" { set-header X-Subject "{tls.client.subject}" }')
    alice = certs.make("alice", client=True)
    for v in (V12, V13):
        with fl.Client(s.port, tls=context(certs, v, cert=alice), sni="first.example") as c:
            assert c.get("/", host="t").status == 200
        assert "CN=alice" in s.o.log[-1].get("X-Subject")
        with pytest.raises((ssl.SSLError, EOFError, ConnectionResetError)):
            with fl.Client(s.port, tls=context(certs, v), sni="first.example") as c:
                c.get("/")


def test_client_certificate_of_a_stranger(fairlead, origins, certs, tmp_path):
    s = tls_site(fairlead, origins, certs, CLIENT.format(ca=certs.ca, mode="optional"))
    stranger = tmp_path / "s.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3",
                    "-subj", "/CN=alice", "-keyout", str(tmp_path / "s.key"), "-out", str(tmp_path / "s.crt")],
                   check=True, capture_output=True)
    stranger.write_text((tmp_path / "s.crt").read_text() + (tmp_path / "s.key").read_text())
    with pytest.raises((ssl.SSLError, EOFError, ConnectionResetError)):
        with fl.Client(s.port, tls=context(certs, cert=stranger), sni="first.example") as c:
            c.get("/")
    assert not s.o.log


def test_client_certificate_optional(fairlead, origins, certs):
    s = tls_site(fairlead, origins, certs, CLIENT.format(ca=certs.ca, mode="optional"),
                 vs='policy p when tls.client.subject contains "alice" { respond 200 "hello alice" }\n'
                    'default respond 200 "hello you"')
    with fl.Client(s.port, tls=context(certs), sni="first.example") as c:
        assert c.get("/").body == b"hello you"
    with fl.Client(s.port, tls=context(certs, cert=certs.make("alice", client=True)), sni="first.example") as c:
        assert c.get("/").body == b"hello alice"


# Stapling

def test_ocsp_stapling(fairlead, origins, certs, tmp_path):
    pem = certs.make("staple.example")
    crt = certs.dir / "staple.example.crt"
    serial = subprocess.run(["openssl", "x509", "-in", str(crt), "-noout", "-serial"], capture_output=True, text=True,
                            check=True).stdout.strip().split("=")[1]
    index = tmp_path / "index"
    index.write_text(f"V\t351231235959Z\t\t{serial}\tunknown\t/CN=staple.example\n")
    der = tmp_path / "staple.der"
    subprocess.run(["openssl", "ocsp", "-index", str(index), "-CA", str(certs.ca), "-rsigner", str(certs.ca), "-rkey",
                    str(certs.key), "-issuer", str(certs.ca), "-cert", str(crt), "-respout", str(der), "-ndays", "1"],
                   check=True, capture_output=True)
    o, port = origins("o1"), fl.free_port()
    f = fairlead(fl.web(port, o.addr, listen=f"tls {{ cert {pem}; ocsp {der} }}"))

    def status(*more):
        return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-status", "-CAfile", str(certs.ca),
                               "-servername", "staple.example", *more], input=b"", capture_output=True, timeout=20).stdout
    for v in ("-tls1_2", "-tls1_3"):
        out = status(v)
        assert b"OCSP Response Status: successful" in out and b"Cert Status: good" in out
    # of another certificate: told at load, and left out
    other = certs.make("other-staple.example")
    p = f.reload(fl.web(port, o.addr, listen=f"tls {{ cert {other}; ocsp {der} }}"), check=False)
    if p.returncode == 0:
        assert b"Cert Status: good" not in status("-tls1_3")


# Towards services

@pytest.fixture
def tls_origin(origins, certs):
    def start(name="app.internal", client_ca=False):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(certs.make(name))
        seen = []
        ctx.sni_callback = lambda _sock, sni, _ctx: seen.append(sni)
        if client_ca:
            ctx.load_verify_locations(certs.ca)
            ctx.verify_mode = ssl.CERT_REQUIRED
        o = origins("secure", tls=ctx)
        o.sni = seen
        return o
    return start


def test_tls_to_the_service(fairlead, certs, tls_origin):
    o, port = tls_origin(), fl.free_port()
    fairlead(fl.web(port, o.addr, pool=f"tls {{ ca {certs.ca}; sni app.internal }}"))
    with fl.Client(port) as c:
        for i in range(10):
            assert c.get(f"/{i}").body == b"secure /%d\n" % i
        assert c.get("/bytes/3000000").body == pattern(3000000)
        data = pattern(200000)
        c.send(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n" + data)
        assert c.response().body == data
    assert set(o.sni) == {"app.internal"} and o.accepted == 1


def test_tls_to_the_service_by_the_requests_host(fairlead, certs, tls_origin):
    """Connections of one name are not used for another."""
    o, port = tls_origin(), fl.free_port()
    fairlead(fl.web(port, o.addr, pool=f"tls {{ ca {certs.ca} }}"))
    assert fl.get(port, "/", host="app.internal").status == 200
    assert fl.get(port, "/", host="app.internal:8080").status == 200
    assert fl.get(port, "/", host="evil.internal").status in (502, 503)
    assert [q.get("Host") for q in o.log] == ["app.internal", "app.internal:8080"]


@pytest.mark.parametrize("options,status", [
    ("ca {ca}; sni wrong.internal", (502, 503)),        # the name
    ("ca {other}; sni app.internal", (502, 503)),       # the issuer
    ("sni app.internal", (502, 503)),                   # the system's issuers
    ("verify off", (200,)), ("verify off; sni anything", (200,)), ("ca {ca}; sni app.internal", (200,))])
def test_verification_of_the_service(fairlead, certs, tls_origin, tmp_path, options, status):
    o, port = tls_origin(), fl.free_port()
    other = tmp_path / "other.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3",
                    "-subj", "/CN=other ca", "-keyout", "/dev/null", "-out", str(other)], check=True, capture_output=True)
    f = fairlead(fl.web(port, o.addr, pool=f"tls {{ {options.format(ca=certs.ca, other=other)} }}"))
    assert fl.get(port, "/", host="t").status in status
    if status != (200,):
        assert not o.log
        f.wait_stat("service", "app/a1", lambda r: r["connection_failures"] >= 1)


def test_client_certificate_to_the_service(fairlead, certs, tls_origin):
    o, port = tls_origin(client_ca=True), fl.free_port()
    cert = certs.make("fairlead-client", client=True)
    f = fairlead(fl.web(port, o.addr, pool=f"tls {{ ca {certs.ca}; sni app.internal; cert {cert} }}"))
    assert fl.get(port, "/").status == 200
    f.reload(fl.web(port, o.addr, pool=f"tls {{ ca {certs.ca}; sni app.internal }}"))
    assert fl.get(port, "/").status in (502, 503)


def test_plain_service_where_tls_is_expected(fairlead, origins):
    o, port = origins("plain"), fl.free_port()
    fairlead(fl.web(port, o.addr, pool="connect-timeout 1s\n tls { verify off }"))
    assert fl.get(port, "/").status in (502, 503, 504)
    assert not o.log


def test_tls_in_front_of_tcp(fairlead, origins, certs):
    o, port = origins("o1"), fl.free_port()
    pem = certs.make("first.example", "first.example", "127.0.0.1")
    fairlead(fl.web(port, o.addr, vs="protocol tcp", listen=f"tls {{ cert {pem} }}"))
    with fl.Client(port, tls=context(certs), sni="first.example") as c:
        assert c.get("/bytes/300000").body == pattern(300000)
        assert not c.get("/x").get("Via")


# Certificates at load

def check_config(tmp_path, text):
    conf = tmp_path / "t.conf"
    conf.write_text(text)
    return subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf)], capture_output=True, text=True, timeout=30 * fl.SLOW)


def test_expired_certificate_is_a_warning(tmp_path, certs):
    pem = certs.make("old.example", days=0)
    p = check_config(tmp_path, fl.web(8443, "127.0.0.1:1", listen=f"tls {{ cert {pem} }}"))
    assert p.returncode == 0 and "expired" in p.stdout + p.stderr


def test_certificate_that_expires_soon_is_a_warning(tmp_path, certs):
    pem, good = certs.make("soon.example", days=10), certs.make("later.example", days=30)
    p = check_config(tmp_path, fl.web(8443, "127.0.0.1:1", listen=f"tls {{ cert {pem}; cert {good} }}"))
    text = p.stdout + p.stderr
    assert p.returncode == 0 and re.search("soon.example.pem\" expires in (9|10) days", text)
    assert f"{good}\" expires" not in text


def test_certificate_that_expires_while_it_is_served(fairlead, origins, certs):
    pem = certs.make("short.example", seconds=6 * fl.SLOW)
    o, port = origins("o1"), fl.free_port()
    f = fairlead(fl.web(port, o.addr, workers=2, listen=f"tls {{ cert {pem} }}"))
    fl.wait_for("the warning", lambda: re.search(r" cert-expiry .*short.example.pem expires in 0 days", f.output()))
    fl.wait_for("its end is said", lambda: re.search(r" cert-expiry .*short.example.pem has expired", f.output()),
                20)
    ctx = ssl._create_unverified_context()
    with fl.Client(port, tls=ctx, sni="short.example") as c:
        assert c.get("/").status == 200             # served all the same
    assert f.output().count(" cert-expiry ") == 2   # one worker says it for all


def test_key_of_another_certificate_is_an_error(tmp_path, certs):
    certs.make("k1.example")
    certs.make("k2.example")
    crt, key = certs.dir / "k1.example.crt", certs.dir / "k2.example.key"
    p = check_config(tmp_path, fl.web(8443, "127.0.0.1:1", listen=f"tls {{ cert {crt} {key} }}"))
    text = p.stdout + p.stderr
    assert p.returncode == 1 and "key" in text and re.search(r"t\.conf:\d+:\d+", text)


def test_cert_and_key_in_two_files(fairlead, origins, certs):
    certs.make("two.example")
    o, port = origins("o1"), fl.free_port()
    fairlead(fl.web(port, o.addr, listen=f"tls {{ cert {certs.dir}/two.example.crt {certs.dir}/two.example.key }}"))
    with fl.Client(port, tls=context(certs), sni="two.example") as c:
        assert c.get("/").status == 200


def test_new_certificate_by_reload(fairlead, origins, certs):
    o, port = origins("o1"), fl.free_port()
    one, two = certs.make("one.example", "same.example"), certs.make("two-b.example", "same.example")
    f = fairlead(fl.web(port, o.addr, listen=f"tls {{ cert {one} }}"))
    with fl.Client(port, tls=context(certs), sni="same.example") as c:
        assert subject(c) == "one.example"
        f.reload(fl.web(port, o.addr, listen=f"tls {{ cert {two} }}"))
        assert c.get("/").status == 200             # the old connection goes on
        with fl.Client(port, tls=context(certs), sni="same.example") as d:
            assert subject(d) == "two-b.example"


# A storm of handshakes

def test_storm_of_handshakes_does_not_hold_up_the_others(fairlead, origins, certs):
    """400 hellos at once: who is connected is served many times before the last of them has its answer."""
    s = tls_site(fairlead, origins, certs, vs="head-timeout 60s\n default respond 200 hi", workers=1)
    data, storm = hello(certs)[3], []
    with fl.Client(s.port, tls=context(certs), sni="first.example") as c, fl.Client(s.port) as _:
        assert c.get("/").status == 200
        for _ in range(400):
            storm.append(socket.create_connection(("127.0.0.1", s.port), 10 * fl.SLOW))
        for raw in storm:
            raw.sendall(data)
        served = 0
        poll = select.poll()
        poll.register(storm[-1], select.POLLIN)
        while not poll.poll(0):
            assert c.get("/").body == b"hi"
            served += 1
        for raw in storm:
            assert raw.recv(1) == b"\x16"
            raw.close()
    assert served >= 5
    fl.wait_for("waiting is counted", lambda: sum(r["tls_deferred"] for r in s.f.json("stat", "core", "--all")) > 100)


def test_one_certificate_of_many_is_replaced(fairlead, origins, certs, tmp_path):
    """A new file and a reload; a damaged one is refused by name, and everybody is served as before."""
    o, port, names = origins("o1"), fl.free_port(), [f"many{i}.example" for i in range(12)]
    files = {}
    for n in names:
        files[n] = tmp_path / f"{n}.pem"
        files[n].write_bytes(pathlib.Path(certs.make(n)).read_bytes())
    f = fairlead(fl.web(port, o.addr, listen="tls { " + "; ".join(f"cert {p}" for p in files.values()) + " }"))

    def serial(name):
        with fl.Client(port, tls=context(certs), sni=name) as c:
            assert c.get("/", host=name).status == 200          # the name was verified
            return c.sock.getpeercert()["serialNumber"]
    before = {n: serial(n) for n in names}
    with fl.Client(port, tls=context(certs), sni=names[3]) as old:
        assert old.get("/").status == 200
        files[names[3]].write_bytes(pathlib.Path(certs.make("renewed", names[3])).read_bytes())
        f.reload()
        assert old.get("/").status == 200
    after = {n: serial(n) for n in names}
    assert [n for n in names if after[n] != before[n]] == [names[3]]
    good = files[names[7]].read_bytes()
    files[names[7]].write_bytes(good[:good.index(b"-----END")] + b"-----END CERTIFICATE-----\n")
    p = f.reload(check=False)
    assert p.returncode != 0 and files[names[7]].name in p.stdout + p.stderr
    assert {n: serial(n) for n in names} == after


# What explain says is what happens

@pytest.mark.parametrize("split", [False, True])
def test_explain_decides_as_the_handshake_does(fairlead, origins, certs, split):
    """Control has no keys: it knows certificates from what everybody may see, in one file with the key or not."""
    o, port = origins("o1"), fl.free_port()
    a, b = certs.make("a.explain"), certs.make("b.explain")
    if split:
        a, b = (f"{certs.dir}/{n}.explain.crt {certs.dir}/{n}.explain.key" for n in "ab")
    f = fairlead(fl.web(port, o.addr, listen=f"tls {{ cert {a}; cert {b}; unknown-sni refuse; client-verify optional; "
                        f"client-ca {certs.ca} }}"))

    def said(host, *more):
        return f.json("explain", "request", f"GET https://{host}:{port}/", "--from", "192.0.2.1", *more)

    for name in ("a.explain", "b.explain"):
        row = said(name)
        assert row["tls"]["certificates"] == [str(certs.dir / (name + (".crt" if split else ".pem")))]
        assert row["tls"]["alpn"] == "http/1.1" and row["tls"]["client_verify"] == "optional"
        assert row["service"] == "app/a1" and row["tls"]["sni"] == name
        ctx = ssl.create_default_context(cafile=certs.ca)
        ctx.set_alpn_protocols(["http/1.1"])
        with socket.create_connection(("127.0.0.1", port), 10) as s, ctx.wrap_socket(s, server_hostname=name) as t:
            assert t.getpeercert()["subjectAltName"] == (("DNS", name),) and t.selected_alpn_protocol() == "http/1.1"
    for host, more, code, alert in (("other.explain", (), "unknown-sni", 112), ("a.explain", ("--alpn", "h9"), "no-alpn", 120),
                                    ("a.explain", ("--sni", "x"), "unknown-sni", 112)):
        row = said(host, *more)
        assert row["tls"]["refused"] == code and row["tls"]["alert"] == alert
        assert "service" not in row and "policies" not in row and str(alert) in row["result"]
    text = f.ctl("explain", "request", f"GET https://other.explain:{port}/", "--from", "192.0.2.1").stdout
    assert re.search(r"^result +the TLS handshake ends with alert 112", text, re.M) and "service" not in text
    assert said("127.0.0.1")["tls"]["sni"] is None and said("127.0.0.1")["service"] == "app/a1"


def test_ports_are_told(fairlead, origins, certs):
    s = tls_site(fairlead, origins, certs, vs='policy p { respond 200 "{tcp.srcport} {tcp.dstport}" }')
    with fl.Client(s.port, tls=context(certs), sni="first.example") as c:
        assert c.get("/", host="first.example").body.decode() == f"{c.sock.getsockname()[1]} {s.port}"

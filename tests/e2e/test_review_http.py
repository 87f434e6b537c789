# SPDX-License-Identifier: Apache-2.0
"""Uploads that go wrong, clients that take nothing, and what a service must not be made to believe."""
import json
import socket
import ssl
import struct
import threading
import time

import fl

MANY = 40_000_000


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def upload(port, method="POST", n=MANY):
    """A client inside a long body that is moved unseen by now."""
    c = fl.Client(port)
    c.send(f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n" + "x" * 1000)
    return c


def no_request_is_left(f):
    f.wait_stat("vserver", "web", lambda r: r["requests_active"] == 0)
    f.wait_stat("service", "app/a1", lambda r: r["requests_active"] == 0)


def test_service_resets_an_upload(fairlead, origins):
    o, port = origins(), fl.free_port()
    begun, go = threading.Event(), threading.Event()

    def hook(conn, head):
        conn.exact(1)
        begun.set()
        go.wait(10)
        reset(conn.sock)
        raise EOFError

    o.hook = hook
    f = fairlead(fl.web(port, o.addr, vs="body-timeout 20s", pool="response-timeout 20s"))
    with upload(port) as c:
        assert begun.wait(10)
        c.send("y" * 1000)
        time.sleep(0.2)         # let it become a pump
        go.set()
        r = c.response("POST")
        assert r.status == 502
    no_request_is_left(f)


def test_client_stops_inside_an_upload(fairlead, origins):
    o, port = origins(), fl.free_port()
    o.hook = lambda conn, head: conn.exact(MANY)
    f = fairlead(fl.web(port, o.addr, vs="body-timeout 500ms", pool="response-timeout 500ms"))
    with upload(port) as c:
        time.sleep(0.2)
        c.send("y" * 1000)
        assert c.response("POST").status == 408
    no_request_is_left(f)


def test_service_takes_nothing_of_an_upload(fairlead, origins):
    o, port = origins(), fl.free_port()
    over = threading.Event()
    o.hook = lambda conn, head: over.wait(30)
    f = fairlead(fl.web(port, o.addr, vs="body-timeout 500ms", pool="response-timeout 500ms"))
    try:
        for framing in ("length", "chunked"):
            with fl.Client(port) as c:
                if framing == "length":
                    c.send(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {MANY}\r\n\r\n")
                else:
                    c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                piece = b"z" * 65536 if framing == "length" else b"10000\r\n" + b"z" * 65536 + b"\r\n"

                def send():
                    try:
                        for _ in range(600):
                            c.send(piece)
                    except OSError:
                        pass

                t = threading.Thread(target=send)
                t.start()
                assert c.response("POST").status == 504, framing
                c.sock.shutdown(socket.SHUT_RDWR)
                t.join()
        no_request_is_left(f)
    finally:
        over.set()


def test_part_of_an_upload_is_never_repeated(fairlead, origins):
    o, port = origins(), fl.free_port()
    heads = []

    def hook(conn, head):
        if head.method != "PUT":
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            return True
        heads.append(head)
        if len(heads) == 1:
            conn.exact(300000)
            raise EOFError
        conn.exact(1000)
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        raise EOFError

    o.hook = hook
    fairlead(fl.web(port, o.addr, pool="retries 2"))
    with fl.Client(port) as c:
        assert c.get("/").status == 200
        c.send(f"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {MANY}\r\n\r\n")
        time.sleep(0.2)

        def send():
            try:
                for _ in range(MANY // 65536):
                    c.send(b"z" * 65536)
            except OSError:
                pass

        t = threading.Thread(target=send)
        t.start()
        assert c.response("PUT").status == 502
        c.sock.shutdown(socket.SHUT_RDWR)
        t.join()
    assert len(heads) == 1


def test_expected_100_comes_before_a_long_body(fairlead, origins):
    o, port = origins(), fl.free_port()
    n = 3_000_000

    def hook(conn, head):
        conn.exact(n)
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    o.hook = hook
    fairlead(fl.web(port, o.addr))
    with fl.Client(port) as c:
        c.send(f"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {n}\r\n\r\n")
        assert c.head().status == 100
        c.send(b"z" * n)
        assert c.response("PUT").status == 200


def test_pipelining_without_reading_is_bounded(fairlead):
    port = fl.free_port()
    f = fairlead(fl.web(port, "127.0.0.1:1", vs="body-timeout 1s\n    policy r { respond 200 \"%s\" }" % ("r" * 1500)))
    worker = f.workers()[0]
    before = fl.rss(worker)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", port))
    s.settimeout(0.5)
    requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2000
    sent = 0
    try:
        while sent < 6_000_000:
            sent += s.send(requests)
    except socket.timeout:
        pass                    # it stopped reading us, as it should
    assert sent < 6_000_000
    assert fl.rss(worker) - before < (8 << 20) * fl.SLOW

    def is_cut():
        row = f.stat("vserver", "web")
        return row["connections"] == 0

    fl.wait_for("the client that takes nothing is cut", is_cut, 10)
    s.close()


def test_pipelining_goes_on_when_the_client_reads(fairlead):
    port = fl.free_port()
    fairlead(fl.web(port, "127.0.0.1:1", vs="policy r { respond 200 \"%s\" }" % ("r" * 1500)))
    with fl.Client(port) as c:
        n = 4000
        t = threading.Thread(target=lambda: c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * n))
        t.start()
        time.sleep(0.3)
        for _ in range(n):
            assert c.response().status == 200
        t.join()

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_old_client_without_a_host(fairlead, origins):
    o, port = origins(), fl.free_port()
    fairlead(fl.web(port, o.addr))
    with fl.Client(port) as c:
        c.send("GET /head HTTP/1.0\r\n\r\n")
        assert f"\r\nHost: {o.addr}\r\n".encode() in c.response().body + b"\r\n"


def test_what_untrusted_clients_say_about_themselves_is_dropped(fairlead, origins):
    o, port = origins(), fl.free_port()
    fairlead(fl.web(port, o.addr, vs="forwarded off"))
    said = "".join(f"{n}: 6.6.6.6\r\n" for n in ("X_Forwarded_For", "x-forwarded_for", "X-Real-IP", "X_REAL_IP",
                                                  "X_Forwarded_Host", "X-Forwarded-Port"))
    with fl.Client(port) as c:
        body = c.get("/head", fields=said + "X-Real-IPs: kept\r\nX-Real: kept\r\n").body
    assert b"6.6.6.6" not in body and body.count(b"kept") == 2


def test_set_host_is_a_host_or_nothing(fairlead, origins):
    o, port = origins(), fl.free_port()
    fairlead(fl.web(port, o.addr, vs=r'policy h { set-header Host "{http.request.headers[\"x-h\"]}" }'))
    with fl.Client(port) as c:
        assert b"\r\nHost: Good.test:81" in c.get("/head", fields="X-H: Good.test:81\r\n").body
        for bad in ("a b", "a/b", "a@b", "a,b", ""):
            assert b"\r\nHost: test\r\n" in c.get("/head", fields=f"X-H: {bad}\r\n").body + b"\r\n", bad


def test_only_a_true_101_becomes_a_tunnel(fairlead, origins):
    o, port = origins(), fl.free_port()
    fairlead(fl.web(port, o.addr))
    for fields in ("", "Connection: upgrade\r\n", "Upgrade: websocket\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\n"):
        def hook(conn, head, fields=fields):
            conn.send(f"HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n".encode())
            return False

        o.hook = hook
        with fl.Client(port) as c:
            assert c.get("/", fields="Connection: upgrade\r\nUpgrade: websocket\r\n").status == 502, fields


def test_204_that_claims_a_body_is_not_reused(fairlead, origins):
    o, port = origins(), fl.free_port()
    claims = ["Content-Length: 5\r\n"]

    def hook(conn, head):
        if head.path == "/204":
            conn.send(f"HTTP/1.1 204 No\r\n{claims[0]}\r\n".encode())
        else:
            conn.send(OK)
        return True

    o.hook = hook
    fairlead(fl.web(port, o.addr))
    with fl.Client(port) as c:
        assert c.get("/204").status == 204
        assert c.get("/").status == 200
        assert o.accepted == 2
        claims[0] = "Content-Length: 0\r\n"
        assert c.get("/204").status == 204
        assert c.get("/").status == 200
        assert o.accepted == 2


def test_backup_pool_has_its_own_tls_name(fairlead, origins, certs):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(certs.make("back.test"))
    names = []
    ctx.sni_callback = lambda sock, name, context: names.append(name)
    o, port = origins(tls=ctx), fl.free_port()
    f = fairlead(fl.web(port, f"127.0.0.1:{fl.free_port()}", pool="backup back",
                        top=f"pool back {{ monitor none; tls {{ ca {certs.ca} }}; service b {o.addr} }}"))
    f.ctl("disable", "service", "app/a1")
    f.wait_service("app/a1", "MAINT")
    with fl.Client(port) as c:
        assert c.get("/", host="back.test").status == 200
    assert names == ["back.test"]


def test_a_tunnel_is_in_the_services_books(fairlead, origins):
    o, port = origins(), fl.free_port()
    f = fairlead(fl.web(port, o.addr))
    with fl.Client(port) as c:
        assert c.get("/upgrade", fields="Connection: upgrade\r\nUpgrade: websocket\r\n").status == 101
        c.send(b"u" * 100_000)
        assert c.read_exact(100_006)[:6] == b"hello\n"
        f.wait_stat("vserver", "web", lambda r: r["upgrades"] == 1)
        assert f.stat("service", "app/a1")["connections"] == 1
    f.wait_stat("service", "app/a1", lambda r: r["connections"] == 0 and r["bytes_out"] > 100_000)
    row = f.stat("service", "app/a1")
    assert 100_000 < row["bytes_in"] < 101_000 and 100_006 < row["bytes_out"] < 100_500


def test_tcp_obeys_the_pools_idle_timeout(fairlead, origins):
    o, port = origins(), fl.free_port()
    fairlead(fl.web(port, o.addr, vs="protocol tcp\n    idle-timeout 60s", pool="idle-timeout 500ms"))
    with fl.Client(port) as c:
        assert c.get("/").status == 200
        begin = time.monotonic()
        assert c.is_closed(8)
        assert time.monotonic() - begin > 0.4


def test_log_lines_are_whole_whatever_the_values(fairlead, origins, tmp_path):
    o, port = origins(), fl.free_port()
    folder = tmp_path / "log"
    folder.mkdir()
    folder.chmod(0o777)
    logs = {kind: folder / f"{kind}.log" for kind in ("json", "combined")}
    fairlead(f"access-log {logs['combined']} combined\n" + fl.web(port, o.addr, vs=f"max-head 64k\n    access-log {logs['json']} json"))
    agents = ["\x80" * 5000, '"' * 5000, "\\" * 7000, "é" * 3000, "a" * 7000, "short"]
    for agent in agents:
        with fl.Client(port) as c:
            value = agent.encode("utf-8" if "é" in agent else "latin-1")
            c.send(f"GET /{'p' * 3000}?{'%22' * 1500} HTTP/1.1\r\nHost: {'h' * 60}\r\n".encode() +
                   b"Referer: " + value + b"\r\nUser-Agent: " + value + b"\r\n\r\n")
            assert c.response().status == 200
    fl.wait_for("all lines", lambda: logs["json"].read_bytes().count(b"\n") == len(agents))
    for line, agent in zip(logs["json"].read_bytes().splitlines(), agents):
        row = json.loads(line.decode())
        assert row["host"] == "h" * 60 and row["path"].startswith("/ppp") and "reason" in row
        assert "\x80" in agent or agent.startswith(row["user_agent"]) and row["user_agent"]

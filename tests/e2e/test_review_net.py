# SPDX-License-Identifier: Apache-2.0
"""The transport at its limits: descriptors that run out, heads above every limit, streams that are cut."""
import os
import socket
import ssl
import time

import pytest

import fl
from test_tcp import Server, server, tcp                # noqa: F401 (server is a fixture)


def head_of(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            raise OSError("end of input")
        data += part


def answer_all(sock):
    while True:
        head_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_idle_clients_do_not_take_the_last_descriptors(fairlead, server, tmp_path):  # noqa: F811
    few = tmp_path / "few"
    few.write_text(f'#!/bin/sh\nulimit -n 128\nexec {fl.FAIRLEAD} "$@"\n')
    few.chmod(0o755)
    port = fl.free_port()
    f = fairlead(fl.web(port, server(answer_all).addr, pool="monitor m",
                        top="monitor m tcp { every 500ms; timeout 400ms; fall 2 }"), program=str(few))
    f.wait_service("app/a1", "UP")
    hold = [socket.socket() for _ in range(150)]
    try:
        for s in hold:
            s.connect(("127.0.0.1", port))
        worker = f.workers()[0]
        fl.wait_for("many clients are held", lambda: len(os.listdir(f"/proc/{worker}/fd")) > 90)
        before = f.stat("service", "app/a1")["probes"]
        f.wait_stat("service", "app/a1", lambda r: r["probes"] >= before + 5, 10)
        assert f.service("app/a1")["state"] == "UP"
        assert f.stat("service", "app/a1")["probe_failures"] == 0

        def served():                   # an idle one made room; this one may still be turned away at first
            with fl.Client(port, timeout=3) as c:
                return c.get("/").status == 200
        fl.wait_for("a new client is served", served, 20)
    finally:
        for s in hold:
            s.close()


@pytest.mark.parametrize("fields,size", [(12, 8000), (6, 20000)])
def test_heads_above_every_limit_are_refused_at_once(fairlead, server, fields, size):  # noqa: F811
    big = b"".join(b"X-%d: %s\r\n" % (i, b"a" * size) for i in range(fields))

    def big_answer(sock):
        head_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n" + big + b"Content-Length: 0\r\n\r\n")
        sock.recv(1)
    port = fl.free_port()
    fairlead(fl.web(port, server(big_answer).addr, pool="response-timeout 30s", vs="max-head 64k\n head-timeout 30s"))
    start = time.monotonic()
    with fl.Client(port, timeout=20) as c:
        assert c.get("/").status == 502
    with fl.Client(port, timeout=20) as c:
        c.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + big + b"\r\n")
        assert c.response().status == 431
    assert time.monotonic() - start < 15 * fl.SLOW


@pytest.mark.parametrize("orderly", [True, False])
def test_a_relayed_tls_stream_that_is_cut_ends_by_reset(fairlead, server, certs, orderly):  # noqa: F811
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(certs.make("cut.example", "127.0.0.1"))

    def service(sock):
        with ctx.wrap_socket(sock.dup(), server_side=True) as t:
            t.recv(100)
            t.sendall(b"partial")
            if orderly:
                t.settimeout(5)
                t.unwrap()
            else:
                t.shutdown(socket.SHUT_WR)
                head_of(sock)
    port = fl.free_port()
    fairlead(tcp(port, server(service).addr, pool="tls verify off"))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as c:
        c.sendall(b"hello")
        assert c.recv(100) == b"partial"
        if orderly:
            assert c.recv(100) == b""
        else:
            with pytest.raises(ConnectionResetError):
                c.recv(100)

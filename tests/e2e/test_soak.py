# SPDX-License-Identifier: Apache-2.0
"""The soak in small: it runs, finds what it should, and its parts see what they are there for."""
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading

import pytest

import chaoslib
import fl

BENCH = pathlib.Path(__file__).resolve().parents[1] / "bench"
sys.path.insert(0, str(BENCH))

import benchlib  # noqa: E402

EXACT = ("mixups", "failed-unattributed", "fd-leak", "shm-leak", "zombies")


@pytest.fixture(scope="module")
def soak():
    return benchlib.load_script(BENCH / "soak", "soak")


def test_soak_of_some_seconds_holds_every_goal_that_is_a_count():
    run = subprocess.run([BENCH / "soak", "--minutes", "0.1", "--scale", str(0.2 / fl.SLOW)], capture_output=True, text=True,
                         env={**os.environ, "FAIRLEAD_BUILD": str(chaoslib.BUILD)})
    goals = {m[1]: m for m in re.finditer(r"^GOAL soak\.(\S+) (\S+) (\S+) (pass|fail)", run.stdout, re.M)}
    assert run.returncode == 0, run.stdout + run.stderr
    assert all(goals[name][4] == "pass" for name in EXACT), run.stdout
    assert float(goals["requests"][2]) > 100
    shapes = re.findall(r"^(\S+)\s+(\d+) answered", run.stdout, re.M)
    assert len(shapes) >= 11 and all(int(n) > 0 for _, n in shapes), run.stdout


def test_drift_is_that_of_the_last_two_thirds(soak):
    still = [(t, 100) for t in range(30)]
    assert soak.drift_percent(still) == 0
    warming_up = [(t, min(100, 50 + 10 * t)) for t in range(30)]
    assert soak.drift_percent(warming_up) == 0
    growing = [(t, 100 + t / 10) for t in range(31)]
    assert 1.9 < soak.drift_percent(growing) < 2
    assert soak.drift_percent(still[:2]) is None


class Liar:
    """A server whose answers are those to the request before."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        before = "0" * 16
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            with conn:
                head = conn.recv(65536).decode("latin-1")
                body = f"id={before};"
                conn.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
                before = re.search(r"X-Load-Id: (\S+)", head)[1]

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)    # wakes accept(); close alone leaves it listening, for tests to come
        self.thread.join()
        self.sock.close()


def test_load_sees_an_answer_to_somebody_else():
    liar = Liar()
    try:
        report = chaoslib.Load(liar.port, seconds=1, new=50).wait()
    finally:
        liar.close()
    assert report["ok"] == 0 and chaoslib.counts(report)["wrong_id"] == report["failed"] > 0


def test_origin_sees_a_request_body_of_somebody_else():
    origin = chaoslib.Origin()
    own, other = b"id=0000000000000001;" * 2, b"id=0000000000000001;id=0000000000000002;"
    with fl.Client(origin.port) as c:
        for body in (own, other, own):
            c.send(b"POST / HTTP/1.1\r\nHost: x\r\nX-Load-Id: 1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert c.response("POST").body == b"id=0000000000000001;"
    assert origin.stop() == {"connections": 1, "requests": 3, "cut": 0, "wrong": 1}


def test_datagrams_see_what_they_did_not_send():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(10 * fl.SLOW)
        load = chaoslib.DatagramLoad(s.getsockname()[1], keep=1, think=1)
        data, client = s.recvfrom(2000)
        s.sendto(data.replace(b"1;", b"2;"), client)
        s.sendto(data, client)
        data, client = s.recvfrom(2000)
        report = load.stop()
    assert report["ok"] == 1 and report["keep"]["wrong_id"] == report["failed"] == 1

# SPDX-License-Identifier: Apache-2.0
"""One client process of test_nginx.py: mixed requests through the proxy, every body compared byte by
byte with the file that nginx serves. Prints a JSON line of counts; errors are words."""
import collections
import json
import pathlib
import random
import socket
import ssl
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import fl       # noqa: E402

port, upgrade_host, root, n, seed, cafile = (int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3]), int(sys.argv[4]),
                                             int(sys.argv[5]), sys.argv[6])
rnd = random.Random(seed)
files = {p.name: p.read_bytes() for p in root.iterdir() if p.is_file()}
small = [f for f in files if len(files[f]) <= 100000]
big = [f for f in files if len(files[f]) > 100000]
tls = None
if cafile != "-":
    tls = ssl.create_default_context(cafile=cafile)
done, errors = collections.Counter(), []


def connect():
    return fl.Client(port, timeout=30, tls=tls, sni="front.example" if tls else None)


def chunks(data):
    out, at = [], 0
    while at < len(data):
        k = rnd.choice((1, 7, 1000, 16384, 40000))
        out.append(b"%x\r\n" % len(data[at:at + k]) + data[at:at + k] + b"\r\n")
        at += k
    return b"".join(out) + b"0\r\n\r\n"


def one(c, kind):
    name = rnd.choice(big if rnd.random() < 0.02 else small)
    data = files[name]
    if kind == "get":
        r = c.get(f"/f/{name}")
        assert r.status == 200 and r.body == data, f"get {name}: {r.status} {len(r.body)}"
    elif kind == "close":
        r = c.get(f"/f/{name}", fields="Connection: close\r\n")
        assert r.status == 200 and r.body == data
        return False
    elif kind == "pipeline":
        names = [rnd.choice(small) for _ in range(5)]
        c.send("".join(f"GET /f/{x} HTTP/1.1\r\nHost: t\r\n\r\n" for x in names))
        for x in names:
            assert c.response().body == files[x], f"pipeline {x}"
    elif kind == "head":
        r = c.get(f"/f/{name}", method="HEAD")
        assert r.status == 200 and r.get("Content-Length") == str(len(data))
    elif kind == "range":
        name = rnd.choice([f for f in files if len(files[f]) > 10])
        r = c.get(f"/f/{name}", fields="Range: bytes=3-8\r\n")
        assert r.status == 206 and r.body == files[name][3:9]
    elif kind == "chunked":
        r = c.get(f"/gzip/{name}")      # proxied by nginx to itself with buffering off: no length
        assert r.status == 200 and r.body == data, f"chunked {name}: {r.status} {len(r.body)}"
    elif kind == "missing":
        assert c.get("/f/none").status == 404
    elif kind in ("post", "expect", "post-chunked"):
        body = files[rnd.choice(small)]
        head = "POST /up HTTP/1.1\r\nHost: t\r\n"
        framed = f"Content-Length: {len(body)}\r\n" if kind != "post-chunked" else "Transfer-Encoding: chunked\r\n"
        if kind == "expect" and body:
            c.send(head + framed + "Expect: 100-continue\r\n\r\n")
            first = c.response("POST", interim=False)
            assert first.status == 100, first.status
            c.send(body)
        else:
            c.send((head + framed + "\r\n").encode() + (body if kind != "post-chunked" else chunks(body)))
        r = c.response("POST")
        assert r.status == 200 and int(r.body) == len(body), f"{kind}: {r.status} {r.body!r} for {len(body)}"
    elif kind == "upgrade":
        r = c.get("/upgrade", host=upgrade_host, fields="Connection: Upgrade\r\nUpgrade: websocket\r\n")
        assert r.status == 101 and c.read_exact(6) == b"hello\n"
        data = data[:20000] or b"x"
        c.send(data)
        assert c.read_exact(len(data)) == data
        c.sock.close() if tls else c.sock.shutdown(socket.SHUT_WR)
        return False
    return True


KINDS = (["get"] * 40 + ["pipeline"] * 4 + ["head"] * 10 + ["range"] * 5 + ["chunked"] * 15 + ["post"] * 10 +
         ["post-chunked"] * 8 + ["expect"] * 5 + ["missing"] * 2 + ["close"] * 3 + ["upgrade"] * 2)
c = connect()
while sum(done.values()) < n:
    kind = rnd.choice(KINDS)
    try:
        keep = one(c, kind)
    except (AssertionError, OSError, EOFError) as e:
        errors.append(f"{kind}: {type(e).__name__} {e}"[:300])
        keep = False
    done[kind] += 5 if kind == "pipeline" else 1
    if not keep:
        c.close()
        c = connect()
print(json.dumps({"done": dict(done), "errors": errors}))

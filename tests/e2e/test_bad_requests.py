# SPDX-License-Identifier: Apache-2.0
"""ROBUSTNESS 6.2, row by row: what must be refused, with which status, however the bytes come; the
connection closes, nothing of the request reaches the service, and it is counted."""
import socket
import types

import pytest

import fl

H = b"Host: t\r\n"


def get(fields=H, line=b"GET / HTTP/1.1\r\n"):
    return line + fields + b"\r\n"


def post(fields, body=b"", line=b"POST / HTTP/1.1\r\n"):
    return line + H + fields + b"\r\n" + body


def chunks(body):
    return post(b"Transfer-Encoding: chunked\r\n", body)


# name, bytes, status
HEADS = [
    # framing
    ("cl-and-te", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    ("te-and-cl", post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"), 400),
    ("two-cl-differ", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"), 400),
    ("two-cl-same", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), 400),
    ("cl-list", post(b"Content-Length: 5, 5\r\n", b"hello"), 400),
    ("cl-empty", post(b"Content-Length:\r\n"), 400),
    ("cl-plus", post(b"Content-Length: +5\r\n", b"hello"), 400),
    ("cl-minus", post(b"Content-Length: -5\r\n", b"hello"), 400),
    ("cl-blank-inside", post(b"Content-Length: 1 0\r\n", b"hello"), 400),
    ("cl-hex", post(b"Content-Length: 0x5\r\n", b"hello"), 400),
    ("cl-2-63", post(b"Content-Length: 9223372036854775808\r\n"), 400),
    ("cl-2-64-and-5", post(b"Content-Length: 18446744073709551621\r\n", b"hello"), 400),
    ("cl-dot", post(b"Content-Length: 5.0\r\n", b"hello"), 400),
    ("te-unknown", post(b"Transfer-Encoding: nonsense\r\n"), 501),
    ("te-gzip-chunked", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    ("te-identity", post(b"Transfer-Encoding: identity\r\n"), 501),
    ("te-chunked-not-last", post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"), 400),
    ("te-chunked-twice", post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), 400),
    ("te-two-fields", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    ("te-vertical-tab", post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400),
    ("te-http10", post(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"POST / HTTP/1.0\r\n"), 400),
    # field lines
    ("space-colon", get(b"Host : t\r\n"), 400),
    ("tab-colon", get(H + b"X-A\t: 1\r\n"), 400),
    ("te-space-colon", post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), 400),
    ("no-name", get(H + b": 1\r\n"), 400),
    ("no-colon", get(H + b"X-A\r\n"), 400),
    ("name-not-token", get(H + b"X(A): 1\r\n"), 400),
    ("name-high-byte", get(H + b"X-\xe4: 1\r\n"), 400),
    ("obs-fold", get(H + b"X-A: 1\r\n 2\r\n"), 400),
    ("obs-fold-tab", get(H + b"X-A: 1\r\n\t2\r\n"), 400),
    ("blank-first", get(b" Host: t\r\n"), 400),
    ("bare-lf", b"GET / HTTP/1.1\nHost: t\n\n", 400),
    ("bare-lf-in-field", b"GET / HTTP/1.1\r\nHost: t\nX: 1\r\n\r\n", 400),
    ("bare-lf-at-end", b"GET / HTTP/1.1\r\nHost: t\r\n\n", 400),
    ("bare-cr", get(H + b"X-A: 1\r2\r\n"), 400),
    ("bare-cr-in-line", b"GET /\r HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ("nul-in-value", get(H + b"X-A: 1\x002\r\n"), 400),
    ("control-in-value", get(H + b"X-A: 1\x012\r\n"), 400),
    ("del-in-value", get(H + b"X-A: 1\x7f2\r\n"), 400),
    ("nul-in-name", get(H + b"X\x00A: 1\r\n"), 400),
    # request line
    ("method-not-token", get(line=b"G[T / HTTP/1.1\r\n"), 400),
    ("method-empty", get(line=b" / HTTP/1.1\r\n"), 400),
    ("two-blanks", get(line=b"GET  / HTTP/1.1\r\n"), 400),
    ("tab-for-blank", get(line=b"GET\t/\tHTTP/1.1\r\n"), 400),
    ("blank-at-end", get(line=b"GET / HTTP/1.1 \r\n"), 400),
    ("blank-in-target", get(line=b"GET /a b HTTP/1.1\r\n"), 400),
    ("no-version", get(line=b"GET /\r\n"), 400),
    ("lower-case-version", get(line=b"GET / http/1.1\r\n"), 400),
    ("version-1.2", get(line=b"GET / HTTP/1.2\r\n"), 400),
    ("version-1.10", get(line=b"GET / HTTP/1.10\r\n"), 400),
    ("version-3.0", get(line=b"GET / HTTP/3.0\r\n"), 505),
    ("version-garbage", get(line=b"GET / HTP/1.1\r\n"), 400),
    ("high-byte-in-target", get(line=b"GET /\xe4 HTTP/1.1\r\n"), 400),
    ("control-in-target", get(line=b"GET /\x01 HTTP/1.1\r\n"), 400),
    ("h2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421),
    ("binary", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    # host and target
    ("no-host", get(b"X: 1\r\n"), 400),
    ("two-hosts", get(H + b"Host: u\r\n"), 400),
    ("two-hosts-same", get(H + H), 400),
    ("host-comma", get(b"Host: a, b\r\n"), 400),
    ("host-userinfo", get(b"Host: u@a\r\n"), 400),
    ("host-path", get(b"Host: a/b\r\n"), 400),
    ("host-blank", get(b"Host: a b\r\n"), 400),
    ("host-port-letters", get(b"Host: a:8x\r\n"), 400),
    ("host-port-65536", get(b"Host: a:65536\r\n"), 400),
    ("host-two-ports", get(b"Host: a:1:2\r\n"), 400),
    ("host-open-bracket", get(b"Host: [::1\r\n"), 400),
    ("host-query", get(b"Host: a?b\r\n"), 400),
    ("absolute-userinfo", get(line=b"GET http://u@t/ HTTP/1.1\r\n"), 400),
    ("absolute-no-host", get(line=b"GET http:/// HTTP/1.1\r\n"), 400),
    ("authority-without-connect", get(line=b"GET t:80 HTTP/1.1\r\n"), 400),
    ("asterisk-without-options", get(line=b"GET * HTTP/1.1\r\n"), 400),
    ("fragment", get(line=b"GET /a#b HTTP/1.1\r\n"), 400),
    ("connect", get(line=b"CONNECT t:443 HTTP/1.1\r\n"), 405),
    # path tricks
    ("nul-in-path", get(line=b"GET /a%00b HTTP/1.1\r\n"), 400),
    ("newline-in-path", get(line=b"GET /a%0d%0ab HTTP/1.1\r\n"), 400),
    ("dots-and-encoded-slash", get(line=b"GET /a/..%2fb HTTP/1.1\r\n"), 400),
    ("encoded-dots-and-slash", get(line=b"GET /a/%2e%2e%2fb HTTP/1.1\r\n"), 400),
    ("backslash", get(line=b"GET /a\\..\\b HTTP/1.1\r\n"), 400),
    ("dots-and-parameter", get(line=b"GET /a/..;/b HTTP/1.1\r\n"), 400),
    ("above-the-root", get(line=b"GET /../../etc/passwd HTTP/1.1\r\n"), 400),
    ("above-the-root-encoded", get(line=b"GET /%2e%2e/etc/passwd HTTP/1.1\r\n"), 400),
    ("broken-percent", get(line=b"GET /a%zz HTTP/1.1\r\n"), 400),
    ("half-percent", get(line=b"GET /a%2 HTTP/1.1\r\n"), 400),
    ("overlong-utf8", get(line=b"GET /a/%c0%ae%c0%ae/ HTTP/1.1\r\n"), 400),
    # expectations
    ("expect-other", post(b"Expect: 200-ok\r\nContent-Length: 0\r\n"), 417),
]

LONG = [
    ("line-8k", get(line=b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n"), 414),
    ("line-without-end", b"GET /" + b"a" * 70000, 414),
    ("method-without-end", b"A" * 70000, 414),
    ("field-8k", get(H + b"X-A: " + b"a" * 9000 + b"\r\n"), 431),
    ("name-8k", get(H + b"X" * 9000 + b": a\r\n"), 431),
    ("field-without-end", b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"a" * 70000, 431),
    ("all-32k", get(H + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 4000) for i in range(10))), 431),
    ("101-fields", get(H + b"".join(b"X-%d: 1\r\n" % i for i in range(100))), 431),
]

# The head of these is good and may have gone to the service; the request as a whole may not
BODIES = [
    ("chunk-17-digits", chunks(b"00000000000000005\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk-2-63", chunks(b"8000000000000000\r\nhello"), 400),
    ("chunk-2-64", chunks(b"10000000000000000\r\nhello"), 400),
    ("chunk-0x", chunks(b"0x5\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk-plus", chunks(b"+5\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk-minus", chunks(b"-5\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk-empty-size", chunks(b"\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk-blank-first", chunks(b" 5\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk-not-hex", chunks(b"g\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk-no-crlf-after", chunks(b"5\r\nhelloX0\r\n\r\n"), 400),
    ("chunk-lf-after", chunks(b"5\r\nhello\n0\r\n\r\n"), 400),
    ("chunk-lf-only", chunks(b"5\nhello\r\n0\r\n\r\n"), 400),
    ("chunk-cr-only", chunks(b"5\rhello\r\n0\r\n\r\n"), 400),
    ("chunk-content-too-long", chunks(b"3\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk-extension-257", chunks(b"5;" + b"a" * 257 + b"\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk-extension-lf", chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk-extension-nul", chunks(b"5;a\x00b\r\nhello\r\n0\r\n\r\n"), 400),
    ("last-chunk-lf", chunks(b"5\r\nhello\r\n0\n\n"), 400),
    ("trailer-no-colon", chunks(b"5\r\nhello\r\n0\r\nX-A\r\n\r\n"), 400),
    ("trailer-fold", chunks(b"5\r\nhello\r\n0\r\nX-A: 1\r\n 2\r\n\r\n"), 400),
    ("trailer-space-colon", chunks(b"5\r\nhello\r\n0\r\nX-A : 1\r\n\r\n"), 400),
    ("trailer-control", chunks(b"5\r\nhello\r\n0\r\nX-A: 1\x002\r\n\r\n"), 400),
    ("trailer-bare-lf", chunks(b"5\r\nhello\r\n0\r\nX-A: 1\nX-B: 2\r\n\r\n"), 400),
    ("chunk-extensions-16k", chunks(b"".join(b"1;" + b"a" * 200 + b"\r\nx\r\n" for _ in range(100)) + b"0\r\n\r\n"), 400),
]


@pytest.fixture(scope="module")
def site(shared_fairlead, shared_origins):
    o, port = shared_origins("o1"), fl.free_port()
    f = shared_fairlead(fl.web(port, o.addr))
    return types.SimpleNamespace(f=f, o=o, port=port)


def talk(port, *pieces):
    """Sends the pieces one packet each; the answer and what is behind it. The peer may answer and close
    at any piece."""
    with fl.Client(port) as c:
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for p in pieces:
                c.send(p)
        except OSError:
            pass
        r = c.response()
        return r, c.read_to_end()


def split(data, how):
    if how == "whole":
        return [data]
    if how == "halves":
        return [data[:len(data) // 2], data[len(data) // 2:]]
    return [data[i:i + 1] for i in range(len(data))]


def check(site, data, status, how, body=False):
    site.o.log.clear()
    before = site.f.stat("vserver", "web")["requests_malformed"]
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"
    r, rest = talk(site.port, *split(data + smuggled, how))
    assert r.status == status
    assert r.get("Connection") == "close" and rest == b""
    assert r.body, "an error says what is wrong"
    assert not any("smuggled" in q.path for q in site.o.log)
    if body:
        assert not any(q.done for q in site.o.log), "the service took it for a whole request"
    else:
        assert not site.o.log, "the request reached the service"
    site.f.wait_stat("vserver", "web", lambda row: row["requests_malformed"] == before + 1)


HOW = ["whole", "halves", "bytes"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name,data,status", HEADS, ids=[row[0] for row in HEADS])
def test_bad_head(site, name, data, status, how):
    check(site, data, status, how)


@pytest.mark.parametrize("how", HOW[:2])
@pytest.mark.parametrize("name,data,status", LONG, ids=[row[0] for row in LONG])
def test_too_long(site, name, data, status, how):
    check(site, data, status, how)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name,data,status", BODIES, ids=[row[0] for row in BODIES])
def test_bad_body(site, name, data, status, how):
    check(site, data, status, how, body=True)


def test_names_are_unique():
    names = [row[0] for row in HEADS + LONG + BODIES]
    assert len(set(names)) == len(names)


def test_good_requests_still_pass(site):
    """The same site: strictness that refuses everything would pass all of the above."""
    for data in (get(), get(b"hOsT:t\r\n"), get(b"Host: [::1]:80\r\n"), get(H + b"X: \xe4\t\x80\r\n"),
                 post(b"Content-Length: 0\r\n"), post(b"Content-Length: 005\r\n", b"hello"),
                 chunks(b"005\r\nhello\r\n000\r\n\r\n"), chunks(b"5;a=b;c=\"d\"\r\nhello\r\n0;x\r\nX-A: 1\r\n\r\n")):
        with fl.Client(site.port) as c:
            c.send(data)
            assert c.response().status == 200, data


def test_dangerous_trailers_never_reach_the_service(site):
    """Framing, routing and authentication fields in trailers: the field is dropped, or the request refused."""
    for name in ("Content-Length", "Transfer-Encoding", "Host", "Authorization", "Connection", "X-Forwarded-For"):
        site.o.log.clear()
        with fl.Client(site.port) as c:
            c.send(chunks(f"5\r\nhello\r\n0\r\n{name}: 1\r\nX-Good: 1\r\n\r\n".encode()))
            assert c.response().status in (200, 400)
        assert not any(t.lower().startswith(name.lower()) for q in site.o.log for t in q.trailers), name


@pytest.fixture(scope="module")
def ruled(shared_fairlead, shared_origins):
    """A site whose rules decide about some names, in both directions."""
    o, port = shared_origins("o2"), fl.free_port()
    f = shared_fairlead(fl.web(port, o.addr, vs='policy p { remove-header X-User; set-header X-Role "guest"; '
                                                'set-response-header X-Frame "no"; '
                                                'remove-response-header X-Secret }'))
    return types.SimpleNamespace(f=f, o=o, port=port)


def trailers_through(site, *lines):
    site.o.log.clear()
    with fl.Client(site.port) as c:
        c.send(chunks("5\r\nhello\r\n0\r\n{}\r\n\r\n".format("\r\n".join(lines)).encode()))
        assert c.response().status == 200
    return site.o.log[0].trailers


def test_identity_and_authentication_in_trailers_is_dropped(site):
    """`_` counts as `-`: that is how many services read it."""
    assert trailers_through(site, "X_Forwarded_For: 6.6.6.6", "X-Real_IP: 6.6.6.6", "True-Client-IP: 6.6.6.6",
                            "Content_Length: 3", "WWW-Authenticate: z", "X-Good: 1") == ["X-Good: 1"]


def test_rules_hold_for_trailers(ruled):
    """What a rule sets or removes does not come back behind the body, nor a second time what the head said."""
    assert trailers_through(ruled, "X-User: root", "x_role: admin", "X-Role: admin", "Via: 1.1 x", "X-Frame: a",
                            "X-Secret: b") == ["X-Frame: a", "X-Secret: b"]
    ruled.o.raw = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-User: 1\r\nX_Secret: 2\r\n"
                   b"x-frame: 3\r\nWWW_Authenticate: 4\r\nX-Tag: 5\r\n\r\n")
    with fl.Client(ruled.port) as c:
        c.send("GET /raw HTTP/1.1\r\nHost: t\r\n\r\n")
        c.head()
        assert c.read_until(b"\r\n\r\n").endswith(b"0\r\nX-User: 1\r\nX-Tag: 5")


def test_refusals_are_logged_with_reason_and_escaped_bytes(site):
    talk(site.port, get(H + b"X-A: 1\x012\r\n"))
    fl.wait_for("the event is logged", lambda: "bad-field-value" in site.f.output() or "malformed" in site.f.output(), 5)
    assert "\x01" not in site.f.output()

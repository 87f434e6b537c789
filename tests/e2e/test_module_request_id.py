# SPDX-License-Identifier: Apache-2.0
"""The module request_id in the running appliance: service, client and access log see the same id."""
import re
import subprocess
import types

import pytest

import fl

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
LOG = 'access-log @DIR@/access.log custom `{http.request.uri.path} {http.request.headers["X-Request-ID"]}`'
RULES = """
    policy own when http.request.headers["X-Request-ID"] == "known" { respond 200 "by its id\\n" }
    policy no when http.request.uri.path == "/no" { reject }
    policy hide when http.request.uri.path == "/hide" { remove-header X-Request-ID; remove-response-header X-Request-ID }
"""


def config(port, addr, line):
    return fl.web(port, addr, vs=f"{line}\n    {LOG}\n{RULES}")


@pytest.fixture(scope="module")
def site(shared_fairlead, shared_origins):
    """Two vservers before one origin: ids made for all, ids of clients trusted."""
    o, ports = shared_origins("o1"), [fl.free_port(), fl.free_port()]
    text = config(ports[0], o.addr, "request-id")
    text += f"vserver trusting {{\n listen 127.0.0.1:{ports[1]}\n request-id trust\n {LOG}\n{RULES}\n default use app\n}}\n"
    f = shared_fairlead(text)
    return types.SimpleNamespace(f=f, o=o, port=ports[0], trusting=ports[1])


def logged(site, path):
    """The ids of the access log's lines for that path, once there are any."""
    def ids():
        lines = (site.f.dir / "access.log").read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if line.split(" ")[0] == path]
    return fl.wait_for(f"log line of {path}", ids)


def test_service_client_and_log_see_the_same_id(site):
    with fl.Client(site.port) as c:
        ids = [c.get("/same").get("X-Request-ID") for _ in range(3)]
    assert all(UUID7.fullmatch(i) for i in ids) and len(set(ids)) == 3, ids
    assert [r.all("X-Request-ID") for r in site.o.requests("/same")] == [[i] for i in ids]
    fl.wait_for("three lines", lambda: len(logged(site, "/same")) == 3)
    assert logged(site, "/same") == ids


def test_a_clients_id_is_replaced(site):
    r = fl.get(site.port, "/mine", fields="x-request-id: mine\r\nX-Request-ID: too\r\n")
    assert UUID7.fullmatch(r.get("X-Request-ID"))
    assert site.o.requests("/mine")[0].all("X-Request-ID") == [r.get("X-Request-ID")]
    assert logged(site, "/mine") == [r.get("X-Request-ID")]


def test_trust_keeps_a_clients_id(site):
    before = site.f.stat("vserver", "trusting")["request_ids_kept"]
    r = fl.get(site.trusting, "/kept", fields="X-Request-ID: order-66\r\n")
    assert r.all("X-Request-ID") == ["order-66"]
    assert site.o.requests("/kept")[0].all("X-Request-ID") == ["order-66"]
    assert logged(site, "/kept") == ["order-66"]
    site.f.wait_stat("vserver", "trusting", lambda row: row["request_ids_kept"] == before + 1)


@pytest.mark.parametrize("bad", ["a b", 'a"b', "a,b", "", "a" * 129, "one\r\nX-Request-ID: two"])
def test_trust_does_not_keep_what_is_no_id(site, bad):
    r = fl.get(site.trusting, "/bad", fields=f"X-Request-ID: {bad}\r\n")
    assert UUID7.fullmatch(r.get("X-Request-ID"))
    assert site.o.requests("/bad")[-1].all("X-Request-ID") == [r.get("X-Request-ID")]


def test_our_own_answers_have_it(site):
    r = fl.get(site.port, "/no")
    assert r.status == 403 and UUID7.fullmatch(r.get("X-Request-ID"))
    assert logged(site, "/no") == [r.get("X-Request-ID")]
    # rules know the id; one of a client that is not trusted is gone before they look
    assert fl.get(site.trusting, "/", fields="X-Request-ID: known\r\n").body == b"by its id\n"
    assert fl.get(site.port, "/not", fields="X-Request-ID: known\r\n").body != b"by its id\n"


def test_rules_have_the_last_word(site):
    r = fl.get(site.port, "/hide")
    assert r.status == 200 and r.get("X-Request-ID") is None
    assert site.o.requests("/hide")[0].get("X-Request-ID") is None
    assert UUID7.fullmatch(logged(site, "/hide")[0])


def test_with_and_without_by_reload(fairlead, origins):
    o, port = origins("o1"), fl.free_port()
    f = fairlead(config(port, o.addr, ""))
    r = fl.get(port, "/", fields="X-Request-ID: mine\r\n")
    assert r.get("X-Request-ID") is None and o.requests()[-1].get("X-Request-ID") == "mine"
    f.reload(config(port, o.addr, "request-id X-Trace trust"))
    r = fl.get(port, "/", fields="X-Request-ID: mine\r\n")
    assert UUID7.fullmatch(r.get("X-Trace")) and r.get("X-Request-ID") is None
    assert o.requests()[-1].get("X-Request-ID") == "mine"
    p = f.reload(config(port, o.addr, "request-id Host"), check=False)
    assert p.returncode != 0 and "meaning of its own" in p.stdout + p.stderr
    assert UUID7.fullmatch(fl.get(port).get("X-Trace"))       # what ran goes on
    f.reload(config(port, o.addr, ""))
    assert fl.get(port).get("X-Trace") is None


def test_version_lists_the_module():
    text = subprocess.run([fl.FAIRLEAD, "-V"], check=True, capture_output=True, text=True).stdout
    assert "request_id" in text

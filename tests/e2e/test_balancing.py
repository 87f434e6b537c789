# SPDX-License-Identifier: Apache-2.0
"""How services are chosen: weights exactly, least connections, source hash, backups, limits."""
import collections
import threading

import pytest

import fl


@pytest.fixture
def pool(fairlead, origins):
    def start(*options, pool="", n=3, **kw):
        options = list(options) + [""] * (n - len(options))
        os, port = [origins(f"o{i}") for i in range(1, n + 1)], fl.free_port()
        f = fairlead(fl.web(port, *[f"{o.addr} {opt}" for o, opt in zip(os, options)], pool=pool, **kw))
        return f, os, port
    return start


def who(port, n, path="/", **kw):
    with fl.Client(port, **kw) as c:
        return [c.get(path).get("X-Origin") for _ in range(n)]


@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 2, 1), (5, 1, 1), (100, 1, 50)])
def test_round_robin_follows_the_weights_exactly(pool, weights):
    _, _, port = pool(*[f"weight {w}" for w in weights], pool="method round-robin")
    total = sum(weights)
    seen = who(port, 2 * total)
    for part in (seen[:total], seen[total:]):
        count = collections.Counter(part)
        assert tuple(count[f"o{i}"] for i in (1, 2, 3)) == weights


def test_round_robin_is_smooth(pool):
    """Not five to the first and then one to each: no service gets its turns in one burst."""
    _, _, port = pool("weight 5", "weight 1", "weight 1", pool="method round-robin")
    seen = "".join(x[1] for x in who(port, 14))
    assert "11111" not in seen


def test_round_robin_over_two_workers(pool):
    """Each worker for itself: together no service gets more than one turn per worker too many."""
    f, _, port = pool(pool="method round-robin", workers=2)
    for _ in range(60):
        assert fl.get(port, "/").status == 200
    fl.wait_for("all are counted", lambda: sum(r["requests"] for r in f.json("stat", "service", "--all")) == 60)
    for row in f.json("stat", "service", "--all"):
        assert 18 <= row["requests"] <= 22, row["name"]


def test_least_connection_avoids_the_slow_one(pool):
    """The first service holds what it is given; the others are idle."""
    f, os, port = pool(pool="method least-connection")
    gate = threading.Event()

    def hook(conn, q):
        gate.wait(30)
    os[0].hook = hook
    clients = [fl.Client(port) for _ in range(60)]
    for i, c in enumerate(clients):
        c.send(f"GET /{i} HTTP/1.1\r\nHost: t\r\n\r\n")
        if i % 3 == 2:
            fl.wait_for("the quick ones are done", lambda: all(o.requests() is not None for o in os)
                        and sum(r["requests_active"] for r in f.json("stat", "service", "--all")) <= i // 3 + 2)
    fl.wait_for("all were given away", lambda: sum(len(o.requests()) for o in os) == 60)
    held = len(os[0].requests())
    gate.set()
    for c in clients:
        assert c.response().status == 200
        c.close()
    assert held <= 6, f"{held} of 60 went to the slow service"
    assert min(len(o.requests()) for o in os[1:]) >= 15


def test_least_connection_keeps_the_weights_of_what_is_in_progress(pool):
    _, os, port = pool("weight 3", "weight 2", "weight 1", pool="method least-connection")
    gate = threading.Event()
    for o in os:
        o.hook = lambda conn, q: gate.wait(30) and None
    clients = [fl.Client(port) for _ in range(30)]
    for i, c in enumerate(clients):
        c.send("GET /x HTTP/1.1\r\nHost: t\r\n\r\n")
        fl.wait_for("it has a service", lambda: sum(len(o.requests()) for o in os) == i + 1)
    counts = [len(o.requests()) for o in os]
    gate.set()
    for c in clients:
        assert c.response().status == 200
    assert abs(counts[0] - 15) <= 1 and abs(counts[1] - 10) <= 1 and abs(counts[2] - 5) <= 1, counts


def test_source_ip_hash_is_stable_and_spreads(pool):
    f, os, port = pool(pool="method source-ip-hash", workers=2)
    homes = {}
    for i in range(1, 61):
        source = (f"127.0.0.{i}", 0)
        seen = {fl.get(port, "/", source=source).get("X-Origin") for _ in range(3)}
        assert len(seen) == 1, f"{source} was sent to {seen}"
        homes[source] = seen.pop()
    assert set(collections.Counter(homes.values())) == {"o1", "o2", "o3"}
    assert min(collections.Counter(homes.values()).values()) >= 6
    # without one service only its own clients move
    f.ctl("disable", "service", "app/a2")
    f.wait_service("app/a2", "MAINT")
    for source, home in homes.items():
        now = fl.get(port, "/", source=source).get("X-Origin")
        assert now == home if home != "o2" else now in ("o1", "o3")
    f.ctl("enable", "service", "app/a2")
    f.wait_service("app/a2", "UP")
    f.reload()
    assert all(fl.get(port, "/", source=s).get("X-Origin") == h for s, h in homes.items())


def test_weight_0_gets_nothing_new(pool):
    _, os, port = pool("weight 0", pool="method round-robin")
    assert set(who(port, 30)) == {"o2", "o3"}


def test_backup_service_only_when_all_others_are_out(pool):
    f, os, port = pool("", "", "backup on", pool="method round-robin")
    assert set(who(port, 20)) == {"o1", "o2"}
    f.ctl("disable", "service", "app/a1")
    f.wait_service("app/a1", "MAINT")
    assert set(who(port, 20)) == {"o2"}
    f.ctl("disable", "service", "app/a2")
    f.wait_service("app/a2", "MAINT")
    assert set(who(port, 20)) == {"o3"}
    f.wait_stat("pool", "app", lambda r: r["backup_picks"] == 20)
    f.ctl("enable", "service", "app/a1")
    f.wait_service("app/a1", "UP")
    assert set(who(port, 20)) == {"o1"}


def test_backup_pools_in_written_order(fairlead, origins):
    main, second, third = origins("main"), origins("second"), origins("third")
    port = fl.free_port()
    f = fairlead(fl.web(port, main.addr, pool="backup sorry\n backup last",
                        top=f"pool last {{ monitor none; service s {third.addr} }}\n"
                            f"pool sorry {{ monitor none; service s {second.addr} }}"))
    assert set(who(port, 5)) == {"main"}
    f.ctl("disable", "service", "app/a1")
    f.wait_service("app/a1", "MAINT")
    assert set(who(port, 5)) == {"second"}
    f.ctl("disable", "service", "sorry/s")
    f.wait_service("sorry/s", "MAINT")
    assert set(who(port, 5)) == {"third"}
    f.ctl("disable", "service", "last/s")
    f.wait_service("last/s", "MAINT")
    with fl.Client(port) as c:
        assert c.get("/").status == 503
    f.wait_stat("vserver", "web", lambda r: r["requests_no_service"] == 1)


def test_max_connections_skips_a_full_service(pool):
    f, os, port = pool("max-connections 2", "max-connections 3", pool="method round-robin", n=2)
    gate = threading.Event()
    for o in os:
        o.hook = lambda conn, q: gate.wait(30) and None
    clients = [fl.Client(port) for _ in range(5)]
    for i, c in enumerate(clients):
        c.send("GET /x HTTP/1.1\r\nHost: t\r\n\r\n")
        fl.wait_for("it has a service", lambda: sum(len(o.requests()) for o in os) == i + 1)
    assert [len(o.requests()) for o in os] == [2, 3]
    assert fl.get(port, "/").status == 503
    gate.set()
    for c in clients:
        assert c.response().status == 200
    assert fl.get(port, "/").status == 200


def test_drain_gives_nothing_new_and_lets_finish(pool):
    f, os, port = pool(pool="method round-robin", n=2)
    with fl.Client(port) as c, fl.Client(port) as d:
        slow = [x for x in (c, d)]
        for x in slow:
            x.send("GET /delay/800 HTTP/1.1\r\nHost: t\r\n\r\n")
        fl.wait_for("both have one", lambda: all(len(o.requests()) == 1 for o in os))
        f.ctl("drain", "service", "app/a1", "--wait", "10s")
        assert f.service("app/a1")["requests_active"] == 0
        assert all(x.response().status == 200 for x in slow)
        assert set(who(port, 10)) == {"o2"}
    f.ctl("enable", "service", "app/a1")
    f.wait_service("app/a1", "UP")
    assert set(who(port, 10)) == {"o1", "o2"}


def test_admin_word_outlives_a_reload(pool):
    f, _, port = pool(pool="method round-robin", n=2)
    f.ctl("disable", "service", "app/a1", "--reason", "new disk")
    f.wait_service("app/a1", "MAINT")
    f.reload()
    assert f.service("app/a1")["state"] == "MAINT" and "new disk" in str(f.service("app/a1")["reason"])
    assert set(who(port, 10)) == {"o2"}


def test_initial_states(pool):
    f, _, port = pool("state maint", "state drain", "", pool="method round-robin")
    assert [f.service(f"app/a{i}")["state"] for i in (1, 2, 3)] == ["MAINT", "DRAIN", "UP"]
    assert set(who(port, 10)) == {"o3"}


def test_new_services_by_reload(fairlead, origins):
    a, b, port = origins("a"), origins("b"), fl.free_port()
    f = fairlead(fl.web(port, a.addr, pool="method round-robin"))
    assert set(who(port, 6)) == {"a"}
    f.reload(fl.web(port, a.addr, b.addr, pool="method round-robin"))
    assert set(who(port, 6)) == {"a", "b"}
    f.reload(fl.web(port, b.addr, pool="method round-robin"))
    assert set(who(port, 6)) == {"b"}

# SPDX-License-Identifier: Apache-2.0
"""--json: one JSON value on stdout, whatever the verb and whatever goes wrong; the exit code stays."""
import json
import subprocess

import pytest

import fl

BAD = "vserver web { listen 127.0.0.1:8080; defalt use app }\n"


@pytest.fixture(scope="module")
def site(shared_fairlead, shared_origins):
    f = shared_fairlead(fl.web(fl.free_port(), shared_origins("o1").addr))
    (f.dir / "bad.conf").write_text(BAD)
    (f.dir / "good.conf").write_text("pool app {\nmonitor none\n service a 127.0.0.1:1\n}\n")
    return f


def ask(f, *args, code=0, socket=None):
    p = subprocess.run([fl.FAIRLEADCTL, "-s", socket or f.socket, *args], capture_output=True, text=True, timeout=30)
    assert p.returncode == code, (args, p.returncode, p.stdout, p.stderr)
    assert p.stderr == ""
    return json.loads(p.stdout)


@pytest.mark.parametrize("args, code, word", [
    (("--json", "shw", "service"), 2, "unknown command"),
    (("show", "servce", "--json"), 2, "service"),
    (("--json", "drain", "service"), 2, "NAME is missing"),
    (("--json", "drain", "service", "app/none"), 1, "no service named"),
    (("--json", "drain", "service", "app/a1", "--wait", "5"), 2, "--wait needs"),
    (("--json",), 2, "no command"),
    (("--json", "-y", "status"), 2, "unknown option"),
    (("--json", "help", "nonsense"), 2, "unknown command"),
    (("--json", "fmt", "/nonexistent"), 1, "/nonexistent"),
    (("--json", "top", "--once", "--interval", "5"), 2, "--interval needs"),
])
def test_errors_are_an_object(site, args, code, word):
    row = ask(site, *args, code=code)
    assert row["ok"] is False and word in row["error"]


def test_unreachable_is_an_object(site):
    row = ask(site, "--json", "status", code=3, socket=str(site.dir / "none.sock"))
    assert row["ok"] is False and "none.sock" in row["error"]


def test_files_with_mistakes_give_diagnostics(site):
    for args in (("diff", "config", str(site.dir / "bad.conf")),):
        row = ask(site, "--json", *args, code=1)
        assert row["ok"] is False and row["diagnostics"][0]["line"] == 1 and "defalt" in row["diagnostics"][0]["text"]
    (site.dir / "open.conf").write_text('pool app { service a "x\n')
    row = ask(site, "--json", "fmt", str(site.dir / "open.conf"), code=1)
    assert row["ok"] is False and row["diagnostics"]


def test_fmt(site):
    path = site.dir / "good.conf"
    row = ask(site, "--json", "fmt", str(path))
    assert row["ok"] is True and row["file"] == str(path) and "    service a" in row["text"].expandtabs(4)
    assert ask(site, "--json", "fmt", "--write", str(path)) == {"ok": True, "file": str(path), "changed": True}
    assert ask(site, "--json", "fmt", "--write", str(path))["changed"] is False


def test_top_and_help(site):
    row = ask(site, "--json", "top", "--once")
    assert {r["name"] for r in row["services"]} == {"app/a1"} and row["status"] and row["vservers"] and row["cores"]
    rows = ask(site, "--json", "help")
    assert {"verb": "top", "kind": "", "level": "read"}.items() <= next(r for r in rows if r["verb"] == "top").items()
    assert [r["verb"] for r in ask(site, "--json", "help", "drain")] == ["drain"]


def test_changes_say_what_is_so_now(site):
    row = ask(site, "--json", "drain", "service", "app/a1")
    assert {"ok": True, "service": "app/a1", "state": "DRAIN", "was": "READY", "requests": 0}.items() <= row.items()
    row = ask(site, "--json", "enable", "service", "app/a1")
    assert row["state"] == "READY" and row["was"] == "DRAIN"
    before = site.generation()
    row = ask(site, "--json", "reload")
    assert row["ok"] is True and row["generation"] == before + 1
    good = site.conf.read_text()
    site.conf.write_text(good + BAD)
    row = ask(site, "--json", "reload", code=1)
    assert row["ok"] is False and "defalt" in row["error"] and row["generation"] == before + 1
    site.conf.write_text(good)


def check(path, *args):
    p = subprocess.run([fl.FAIRLEAD, "-c", str(path), *args], capture_output=True, text=True, timeout=30)
    assert p.stderr == ""
    return p.returncode, json.loads(p.stdout)


def test_check(site):
    code, row = check(site.dir / "bad.conf", "-t", "--json")
    assert code == 1 and row["ok"] is False and row["errors"] >= 1
    first = next(d for d in row["diagnostics"] if d["severity"] == "error")
    assert first["file"].endswith("bad.conf") and first["line"] == 1 and first["column"] > 1
    code, row = check(site.conf, "-t", "--json")
    # what this machine lacks may be warned about
    assert code == 0 and row["ok"] is True and row["errors"] == 0 and len(row["diagnostics"]) == row["warnings"]


def test_explain_without_an_appliance(site):
    code, row = check(site.conf, "explain", "--json", "request", "GET http://h:1/", "--from", "192.0.2.1")
    assert code == 1 and row["ok"] is False and "nothing listens" in row["error"]
    code, row = check(site.dir / "bad.conf", "explain", "--json", "request", "GET http://h:1/", "--from", "192.0.2.1")
    assert code == 1 and row["ok"] is False and row["errors"] >= 1

# SPDX-License-Identifier: Apache-2.0
"""Configurations that are wrong in many ways: each is refused as a whole with a place, the line, a caret
and what to write; a running appliance goes on. And the ones that are right: -t, --print-config, show,
diff, fmt."""
import os
import re
import select
import socket
import subprocess

import pytest

import fl

P = "pool p { service s 10.0.0.1:80 }\n"
V = "vserver v { listen :80; default use p }\n"

# name, text ("^" and "$" around what the caret is at), words of the message or hint
BAD = [
    ("unknown-directive", "^wrokers 2", "workers"),
    ("unknown-in-block", P + "vserver v { ^lisen :80 }", "listen"),
    ("unknown-in-line", "pool p { service s 10.0.0.1:80 ^wieght 3 }", "weight"),
    ("wrong-place", "^every 2s", "monitor"),
    ("twice", "workers 1\n^workers 2", "line 1"),
    ("missing-argument", "^user", "argument"),
    ("too-many-arguments", "user a ^b", "too many"),
    ("open-brace", "pool p ^{\n service s 10.0.0.1:80\n", "closed"),
    ("stray-brace", P + "^}", "without"),
    ("open-string", 'user ^"abc\n', "string"),
    ("bad-escape", 'user "a^\\qb"', "escape"),
    ("no-unit", "shutdown-grace ^10", "unit"),
    ("unknown-unit", "shutdown-grace ^10sec", "unit"),
    ("overflow-with-unit", "shutdown-grace ^9999999999999d", "too large"),
    ("out-of-range", "workers ^0", "1024"),
    ("negative", "workers ^-1", "count"),
    ("size-for-count", "max-objects ^1k", "count"),
    ("bool", "pool p { service s 10.0.0.1:80 backup ^yes }", "on"),
    ("enum", "pool p { service s 10.0.0.1:80; method ^least-conn }", "least-connection"),
    ("bad-address", "pool p { service s ^10.0.0.300:80 }", "address"),
    ("port-0", "vserver v { listen ^127.0.0.1:0; default reject }", "65535"),
    ("port-65536", "vserver v { listen ^127.0.0.1:65536; default reject }", "65535"),
    ("v6-without-brackets", "vserver v { listen ^::1:80; default reject }", "bracket"),
    ("cidr-host-bits", P + "vserver v { listen :80; trust-forwarded ^10.0.0.1/8; default use p }", "10.0.0.0/8"),
    ("undefined-pool", P + "vserver v { listen :80; default use ^q }", "not defined"),
    ("misspelt-pool", "pool apps { service s 10.0.0.1:80 }\nvserver v { listen :80; default use ^app }", "apps"),
    ("undefined-monitor", "pool p { service s 10.0.0.1:80; monitor ^m }", "not defined"),
    ("duplicate-pool", P + "pool ^p { service s 10.0.0.2:80 }", "twice"),
    ("duplicate-service", "pool p { service s 10.0.0.1:80; service ^s 10.0.0.2:80 }", "twice"),
    ("backup-circle", "pool a { service s 10.0.0.1:1; backup b }\npool b { service s 10.0.0.1:1; backup ^a }", "a -> b -> a"),
    ("vserver-circle", "vserver a { listen :80; default use vserver b }\nvserver b { default use vserver ^a }", "a -> b -> a"),
    ("empty-pool", "^pool p { }", "no service"),
    ("overlapping-listeners", P + V + "vserver w { listen ^:80; default use p }", "same"),
    ("wildcard-and-one-address", P + V + "vserver w { listen ^127.0.0.1:80; default use p }", "overlaps"),
    ("access-log-folder", P + V + "access-log ^/tmp\n", "directory"),
    ("access-log-folder-of-a-vserver", P + "vserver v { listen :80; access-log ^/tmp json; default use p }", "directory"),
    ("error-log-folder", P + V + "error-log ^/tmp info\n", "directory"),
    ("ticket-keys-missing", P + V + "ticket-keys ^/nonexistent/keys\n", "no such file"),
    ("ticket-keys-folder", P + V + "ticket-keys ^/tmp\n", "directory"),
    ("ticket-keys-garbage", P + V + "ticket-keys ^/etc/passwd\n", "base64"),
    ("congestion-of-a-pool", "pool p { service s 10.0.0.1:80; congestion ^nope }\n" + V, "nope"),
    ("congestion-of-a-listener", P + "vserver v { listen :80 { congestion ^nope }; default use p }", "nope"),
    ("more-objects-than-rows", P + V + "max-objects ^256\n" + "".join(f"pool q{i} {{ service s 10.0.0.1:80 }}\n" for i in range(130)),
     "max-objects 256 is less than the "),
    ("mapped-duplicate", P + "vserver v { listen 127.0.0.1:80; listen ^[::ffff:127.0.0.1]:80; default use p }", "same"),
    ("timeout-above-interval", "monitor m tcp every 1s ^timeout 2s", "below"),
    ("option-of-another-type", "monitor m ping { ^send x }", "fit"),
    ("unknown-field", P + "vserver v { listen :80; policy a when ^http.hots == \"x\" { reject } }", "http.host"),
    ("wrong-type", P + "vserver v { listen :80; policy a when ip.src == ^\"x\" { reject } }", ""),
    ("half-an-expression", P + "vserver v { listen :80; policy a when http.host ==^ { reject } }", ""),
    ("bad-regex", P + "vserver v { listen :80; policy a when http.host matches \"a(^\" { reject } }", ""),
    ("field-of-another-plane", P + "vserver v { listen :80; policy a when ^http.response.code == 200 { reject } }", ""),
    ("http-field-in-tcp", P + "vserver v { listen :80; protocol tcp; policy a when ^http.host == \"x\" { reject } default use p }", ""),
    ("two-final-actions", P + "vserver v { listen :80; policy a { reject; ^use p } }", ""),
    ("policy-does-nothing", P + "vserver v { listen :80; ^policy a { } default use p }", ""),
    ("redirect-status", P + "vserver v { listen :80; policy a { redirect ^200 \"/x\" } }", "30"),
    ("respond-status", P + "vserver v { listen :80; policy a { respond ^99 } }", ""),
    ("template", P + "vserver v { listen :80; policy a { set-header X \"{^http.hots}\" } }", "http.host"),
    ("bad-header-name", P + "vserver v { listen :80; policy a { set-header X^(Y) \"1\" } }", ""),
    ("missing-certificate", P + "vserver v { listen :80 tls { cert ^/nowhere/x.pem }; default use p }", "No such file"),
    ("certificate-is-a-folder", P + "vserver v { listen :80 tls { cert ^/tmp }; default use p }", ""),
    ("tls-without-cert", P + "vserver v { listen :80 ^tls { }; default use p }", "cert"),
    ("missing-include", "include ^nowhere.conf", "No such file"),
    ("include-folder", "include ^/tmp", ""),
    ("unset-variable", "user ^${FL_NOT_SET_AT_ALL}", "FL_NOT_SET_AT_ALL"),
    ("nul-byte", "user a^\x00b", ""),
    ("invalid-utf8", "user ^\udcff", "UTF-8"),
    ("log-in-no-folder", "error-log ^/nowhere/x.log\n", "No such file"),
    ("access-log-in-no-folder", P + V + "access-log ^/nowhere/x.log json\n", "No such file"),
    ("access-log-is-a-folder", P + "vserver v { listen :80; access-log ^/tmp; default use p }", "directory"),
    ("congestion-of-no-kernel", P + "vserver v { listen :80 { congestion ^nosuch }; default use p }", "cubic"),
    ("congestion-of-a-pool", "pool p { service s 10.0.0.1:80; congestion ^nosuch }\n" + V, "cubic"),
    ("address-of-another-machine", P + "vserver v { listen ^203.0.113.77:8099; default use p }", "not on this machine"),
    ("ticket-keys", "ticket-keys ^/etc/hostname\n", "base64"),
    ("unknown-group", P + "vserver v { listen :80 tls { groups ^P-256:X99; cert /nowhere/x.pem }; default use p }", '"X99"'),
    ("unknown-cipher", P + "vserver v { listen :80 tls { ciphers ^NOSUCH; cert /nowhere/x.pem }; default use p }", '"NOSUCH"'),
    ("not-built-yet", P + "vserver v { listen :80; protocol ^dns; default use p }", ""),
    ("not-built-directive", "^gslb www.example.net { ttl 30s }", "unknown"),
]


def check(folder, text, *args):
    conf = folder / "t.conf"
    conf.write_bytes(text.encode("utf-8", "surrogateescape"))
    return subprocess.run([fl.FAIRLEAD, "-t", "-c", str(conf), *args], capture_output=True, timeout=60 * fl.SLOW,
                          encoding="utf-8", errors="surrogateescape")


def place(text):
    """The text without its mark, and line and column of the mark."""
    at = text.index("^") if text.count("^") == 1 else text.rindex("^")
    before = text[:at]
    return before + text[at + 1:], before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1


@pytest.mark.parametrize("name,text,says", BAD, ids=[row[0] for row in BAD])
def test_wrong_configuration(tmp_path, name, text, says):
    text, line, col = place(text)
    p = check(tmp_path, text)
    out = p.stdout + p.stderr
    assert p.returncode == 1, out
    m = re.search(r"t\.conf:(\d+):(\d+): error: \S", out)
    assert m, f"no file:line:column in\n{out}"
    assert (int(m[1]), int(m[2])) == (line, col), out
    assert says.lower() in out.lower(), out
    lines = out.splitlines()
    caret = next((i for i, s in enumerate(lines) if re.match(r"\s*\|\s*\^~*( \S|$)", s)), None)
    assert caret, f"no caret in\n{out}"


def test_there_are_many():
    assert len(BAD) >= 30


def test_all_errors_in_one_run(tmp_path):
    p = check(tmp_path, "wrokers 1\npool p { service s 10.0.0.300:80 }\nvserver v { listen :0; default use q }\n")
    places = re.findall(r"t\.conf:(\d+):\d+: error", p.stdout + p.stderr)
    assert places[0] == "1" and "2" in places and places.count("3") == 2


def test_what_does_not_hang_on_a_mistake_is_checked_too(tmp_path):
    """Certificates, ciphers and the machine do not wait for the syntax to be right."""
    p = check(tmp_path, "error-log /nowhere/x.log\npool p {\n mehtod x\n service s 10.0.0.1:80\n tls { ca /nowhere/ca.pem }\n}\n"
              "vserver v {\n listen :80 tls { cert /nowhere/x.pem; ciphers NOSUCH }\n listen 203.0.113.77:81\n default use q\n}\n")
    assert re.findall(r"t\.conf:(\d+):\d+: error", p.stderr) == ["1", "3", "5", "8", "8", "9", "10"], p.stderr


def test_account_that_is_named_must_exist(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root changes its account")
    p = check(tmp_path, "user nosuchaccount\n" + P + V)
    assert p.returncode == 1 and re.search(r't\.conf:1:6: error: the account "nosuchaccount" does not exist', p.stderr)


def test_folder_of_the_control_socket(tmp_path):
    p = check(tmp_path, "admin { socket /nowhere/at/all/ctl.sock }\n" + P + V)
    assert p.returncode == 1 and re.search(r"t\.conf:1:16: error: .*No such file", p.stderr)
    (tmp_path / "open").mkdir()
    os.chmod(tmp_path / "open", 0o777)
    p = check(tmp_path, f"admin {{ socket {tmp_path}/open/ctl.sock }}\n" + P + V)
    assert p.returncode == 1 and re.search(r"t\.conf:1:16: error: .*not ours", p.stderr)


def test_folder_of_the_control_socket_that_others_can_read(tmp_path):
    (tmp_path / "open").mkdir()
    os.chmod(tmp_path / "open", 0o755)
    p = check(tmp_path, f"admin {{ socket {tmp_path}/open/ctl.sock }}\n" + P + V)
    assert p.returncode == 0 and re.search(r"t\.conf:1:16: warning: .*open to others", p.stderr), p.stderr


def test_more_connections_than_descriptors(tmp_path):
    """-t has the limits of a shell, a start its own; a vserver's number is for all workers' clients at most."""
    few = ["sh", "-c", 'ulimit -n 200; exec "$0" "$@"', fl.FAIRLEAD]

    def run(text, *args):
        (tmp_path / "t.conf").write_text(text)
        return subprocess.run([*few, "-c", str(tmp_path / "t.conf"), *args], capture_output=True, text=True,
                              timeout=20 * fl.SLOW)
    top = "max-connections 10000\n" + P + V
    p = run(top, "-t")
    assert p.returncode == 0 and re.search(r"t\.conf:1:17: warning: .*200 descriptors", p.stderr), p.stderr
    p = run(top)
    assert p.returncode == 1 and re.search(r"t\.conf:1:17: error: .*200 descriptors", p.stderr), p.stderr
    p = run(P + "vserver v { listen :80; max-connections 10000; default use p }\n", "-t")
    assert p.returncode == 0 and "warning" in p.stderr and "200 descriptors" in p.stderr, p.stderr


def test_rows_are_counted_as_they_are_taken(fairlead, tmp_path):
    """The largest configuration that -t takes starts; one object more is refused by both."""
    def text(n):
        return (f"workers auto\nmax-objects 256\npool app {{\nmonitor none\nservice s 127.0.0.1:1\n" +
                "".join(f"service s{i} 127.0.0.1:1\n" for i in range(n)) +
                f"}}\nvserver v {{ listen 127.0.0.1:{port}; default use app }}\n")
    port = fl.free_port()
    n = 256 - (len(os.sched_getaffinity(0)) + 5 + 4)       # CPUs, reasons, app, s, v, listener
    p = check(tmp_path, text(n + 1))
    assert n > 0 and p.returncode == 1 and "max-objects 256 is less than the 257" in p.stderr, p.stderr
    p = check(tmp_path, text(n))
    assert p.returncode == 0, p.stderr
    fairlead(text(n))


def test_a_fifo_that_is_a_log_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "log")
    fd = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    p = check(tmp_path, f"error-log {tmp_path}/log\n" + P + V)
    assert p.returncode == 0, p.stderr
    assert poll.poll(0) == []            # a writer that came and went leaves POLLHUP
    os.close(fd)


def test_check_and_start_refuse_the_same(tmp_path):
    """What -t finds a start finds, in the same words."""
    for name, text, _ in BAD:
        text = place(text)[0]
        a = check(tmp_path, text)
        b = subprocess.run([fl.FAIRLEAD, "-c", str(tmp_path / "t.conf")], capture_output=True, timeout=20 * fl.SLOW,
                           encoding="utf-8", errors="surrogateescape")
        assert b.returncode == 1 and a.stderr.startswith(b.stderr), f"{name}\n{a.stderr}\n{b.stderr}"


def test_names_that_do_not_resolve_are_a_warning(tmp_path):
    p = check(tmp_path, "pool p { service s nosuch.invalid:80; service t localhost:80 }\n" + V)
    assert p.returncode == 0 and re.search(r't\.conf:1:20: warning: "nosuch\.invalid" does not resolve now', p.stderr), p.stderr
    assert "localhost" not in re.findall(r'warning: "(.*?)"', p.stderr)


def test_print_config_prints_what_loads(tmp_path):
    for to, says in (("127.0.0.1", "lacks a port"), ("http://h:9", "HOST:PORT"), ("127.0.0.1:0", "")):
        p = subprocess.run([fl.FAIRLEAD, "--from", ":8080", "--to", to, "--print-config"], capture_output=True, text=True)
        assert p.returncode == 1 and p.stdout == "" and says in p.stderr, (to, p.stdout, p.stderr)


def test_error_in_an_included_file_has_its_name(tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/10-a.conf").write_text(P)
    (tmp_path / "conf.d/20-b.conf").write_text("\n\nvserver v { listen :80; default use q }\n")
    p = check(tmp_path, "include conf.d/*.conf\n")
    assert p.returncode == 1 and re.search(r"20-b\.conf:3:37: error", p.stdout + p.stderr)


def test_include_loop(tmp_path):
    (tmp_path / "a.conf").write_text("include b.conf\n")
    (tmp_path / "b.conf").write_text("include a.conf\n")
    p = check(tmp_path, "include a.conf\n")
    assert p.returncode == 1 and re.search(r"[ab]\.conf:1:\d+: error", p.stdout + p.stderr)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.conf", tmp_path):
        p = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(path)], capture_output=True, text=True, timeout=20 * fl.SLOW)
        assert p.returncode == 1 and str(path) in p.stdout + p.stderr


def test_huge_files_and_lines(tmp_path):
    p = check(tmp_path, "user " + "a" * (1 << 20))
    assert p.returncode == 1 and len(p.stdout + p.stderr) < 20000
    p = check(tmp_path, "# comment\n" * (10 << 20))
    assert p.returncode == 1 and len(p.stdout + p.stderr) < 20000


def test_bom_and_crlf(tmp_path):
    for text in ("\ufeff" + P + V, (P + V).replace("\n", "\r\n")):
        p = check(tmp_path, text)
        assert p.returncode in (0, 1)
        if p.returncode:
            assert re.search(r"t\.conf:1:\d+: error", p.stdout + p.stderr)


def test_json_diagnostics_or_none(tmp_path):
    p = check(tmp_path, P + V)
    assert p.returncode == 0 and "error" not in p.stdout + p.stderr


def test_warning_does_not_refuse(tmp_path):
    p = check(tmp_path, "pool p { service s 10.0.0.1:80 weight 0 }\n" + V)
    assert p.returncode == 0 and re.search(r"t\.conf:\d+:\d+: warning", p.stdout + p.stderr)


def test_sample_of_the_distribution(tmp_path):
    sample = fl.TOP / "etc/fairlead.conf.sample"
    p = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(sample)], capture_output=True, text=True, timeout=20 * fl.SLOW)
    assert p.returncode == 0, p.stdout + p.stderr


# A running appliance

def test_reload_of_each_keeps_the_old_one(fairlead, origins):
    """The whole table against one appliance: its answers, its generation and its file of record stay."""
    o, port = origins("o"), fl.free_port()
    good = fl.web(port, o.addr)
    f = fairlead(good)
    generation, workers = f.generation(), f.workers()
    for name, text, _ in BAD:
        if name == "more-objects-than-rows":
            continue                    # a reload keeps the value that the appliance started with
        text, line, col = place(text)
        data = f"admin {{ socket {f.socket} }}\n".encode() + text.encode("utf-8", "surrogateescape")
        f.conf.write_bytes(data)
        p = f.ctl("reload", check=False)
        assert p.returncode != 0, name
        assert re.search(rf"{f.conf.name}:{line + 1}:{col}: error", p.stdout + p.stderr), f"{name}: {p.stdout}{p.stderr}"
        with fl.Client(port) as c:
            assert c.get("/x").body == b"o /x\n", name
    assert f.generation() == generation and f.workers() == workers
    f.reload(good)
    assert f.generation() > generation and fl.get(port, "/y").status == 200


def test_hup_reloads(fairlead, origins):
    import signal
    o, port, second = origins("o"), fl.free_port(), fl.free_port()
    f = fairlead(fl.web(port, o.addr))
    f.write(fl.web(port, o.addr) + f"vserver two {{ listen 127.0.0.1:{second}; default respond 200 two }}\n")
    f.signal(signal.SIGHUP)
    fl.wait_for("the new listener", lambda: fl.get(second, "/").body == b"two")
    f.write("nonsense")
    f.signal(signal.SIGHUP)
    fl.wait_for("the refusal is logged", lambda: "reload-failed" in f.output())
    assert fl.get(second, "/").body == b"two"


def test_listener_in_use_is_refused(fairlead, origins):
    import socket
    o, port = origins("o"), fl.free_port()
    f = fairlead(fl.web(port, o.addr))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        taken = s.getsockname()[1]
        p = f.reload(fl.web(port, o.addr) + f"vserver two {{ listen 127.0.0.1:{taken}; default reject }}\n", check=False)
        assert p.returncode != 0 and re.search(rf"fl0\.conf:\d+:22: error: cannot listen on 127\.0\.0\.1:{taken}", p.stderr)
    assert fl.get(port, "/").status == 200


def test_show_config_is_a_configuration(fairlead, origins, tmp_path):
    o, port = origins("o"), fl.free_port()
    f = fairlead(fl.web(port, f"{o.addr} weight 3", vs='policy a when http.host matches "^a\\\\." { respond 200 "x {ip.src}" }'))
    text = f.ctl("show", "config").stdout
    (tmp_path / "shown.conf").write_text(text)
    p = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(tmp_path / "shown.conf")], capture_output=True, text=True, timeout=20)
    assert p.returncode == 0, p.stdout + p.stderr
    assert "weight 3" in text and str(port) in text
    p = f.ctl("diff", "config", str(tmp_path / "shown.conf"), check=False)
    assert p.returncode == 0, p.stdout
    (tmp_path / "shown.conf").write_text(text.replace("weight 3", "weight 4"))
    p = f.ctl("diff", "config", str(tmp_path / "shown.conf"), check=False)
    assert p.returncode == 1 and "weight" in p.stdout and "a1" in p.stdout


def test_fmt_keeps_comments_and_meaning(fairlead, tmp_path):
    ugly = tmp_path / "ugly.conf"
    ugly.write_text("# top\npool   p{service s 10.0.0.1:80 weight 2;   # the first\n}\nvserver v { listen :80\ndefault use p }\n")
    f = fairlead(f"vserver v {{ listen 127.0.0.1:{fl.free_port()}; default reject }}\n")
    out = f.ctl("fmt", str(ugly)).stdout
    assert "# top" in out and "# the first" in out and "weight 2" in out
    once = tmp_path / "once.conf"
    once.write_text(out)
    assert f.ctl("fmt", str(once)).stdout == out, "fmt of its own output changes it"
    f.ctl("fmt", str(ugly), "--write")
    assert ugly.read_text() == out


def fmt(*args, **kw):
    return subprocess.run([fl.FAIRLEADCTL, "fmt", *map(str, args)], capture_output=True, text=True, timeout=20 * fl.SLOW, **kw)


def test_fmt_of_a_stream(tmp_path):
    text, house = "pool p{service s 10.0.0.1:80}", "pool p {\n\tservice s 10.0.0.1:80\n}\n"
    for name in ("-", "/dev/stdin"):
        p = fmt(name, input=text)
        assert (p.returncode, p.stdout) == (0, house), p.stderr
    assert fmt("-", "--write", input=text).returncode == 2
    p = fmt("-", input="")
    assert (p.returncode, p.stdout) == (0, "")


def test_fmt_shows_where_it_stopped(tmp_path):
    p = fmt("-", input="workers 1\npool p {\n  service s 10.0.0.1:80\n")
    assert p.returncode == 1 and p.stdout == ""
    assert p.stderr == "<stdin>:2:8: error: nothing closes this { [E0103]\n  2 | pool p {\n    |        ^\n"


def test_fmt_changes_no_meaning(tmp_path):
    """Over the sample, the corpus of the fuzzer and what this file knows: what loaded, loads as the same."""
    files = [fl.TOP / "etc/fairlead.conf.sample", *(fl.TOP / "tests/fuzz/corpus/config").iterdir()]
    for i, text in enumerate([P + V, *(place(row[1])[0] for row in BAD)]):
        (tmp_path / f"{i}.conf").write_bytes(text.encode("utf-8", "surrogateescape"))
        files.append(tmp_path / f"{i}.conf")
    shown, done = {}, 0
    for f in files:
        p = subprocess.run([fl.FAIRLEADCTL, "fmt", str(f)], capture_output=True)
        if p.returncode:
            continue
        (tmp_path / "b.conf").write_bytes(p.stdout)
        for k, name in enumerate((f, tmp_path / "b.conf")):
            q = subprocess.run([fl.FAIRLEAD, "-t", "-c", str(name)], capture_output=True)
            words = re.sub(rb"\S+\.conf:\d+(:\d+)?|line \d+", b"PLACE", q.stderr)      # those change
            shown[k] = (q.returncode, sorted(re.findall(rb"(?:error|warning): .*", words)))
        assert shown[0] == shown[1], f
        done += 1
    assert done > 20


def test_print_config_of_a_one_liner(tmp_path, origins):
    o, port = origins("o"), fl.free_port()
    p = subprocess.run([fl.FAIRLEAD, "--from", f"127.0.0.1:{port}", "--to", o.addr, "127.0.0.1:1", "--print-config"],
                       capture_output=True, text=True, timeout=20 * fl.SLOW)
    assert p.returncode == 0 and o.addr in p.stdout and str(port) in p.stdout
    q = check(tmp_path, p.stdout)
    assert q.returncode == 0, q.stdout + q.stderr


def test_one_liner_serves(tmp_path, origins):
    o, port = origins("o"), fl.free_port()
    env = {**os.environ, "FAIRLEAD_SOCKET": str(tmp_path / "run/ctl.sock"), "XDG_RUNTIME_DIR": str(tmp_path)}
    (tmp_path / "run").mkdir(mode=0o700)
    p = subprocess.Popen([fl.FAIRLEAD, "--from", f"127.0.0.1:{port}", "--to", o.addr], env=env, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        fl.wait_for("it serves", lambda: fl.get(port, "/one").body == b"o /one\n", 20)
    finally:
        p.terminate()
        p.wait(20)


def test_secrets_are_hidden(fairlead, origins, certs):
    o, port = origins("o"), fl.free_port()
    f = fairlead(fl.web(port, o.addr, listen=f"tls {{ cert {certs.make('first.example', 'first.example', '127.0.0.1')} }}"))
    assert "PRIVATE KEY" not in f.ctl("show", "config").stdout


def test_demo_is_what_it_prints(tmp_path):
    """--print-config names the ports that the demo's origins have, unless somebody else has them."""
    with socket.socket() as a, socket.socket() as b:
        for s, port in ((a, 9001), (b, 9002)):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"port {port} is not free")
    printed = subprocess.run([fl.FAIRLEAD, "--demo", "--print-config"], capture_output=True, text=True).stdout
    (tmp_path / "run").mkdir(mode=0o700)
    env = {**os.environ, "FAIRLEAD_SOCKET": str(tmp_path / "run/ctl.sock")}
    p = subprocess.Popen([fl.FAIRLEAD, "--demo"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                         start_new_session=True)
    try:
        shown = subprocess.run([fl.FAIRLEADCTL, "status", "--wait", "10s"], env=env, capture_output=True, text=True)
        if p.poll() is not None and "in use" in p.stderr.read():
            pytest.skip("the demo's own ports are not free")
        assert shown.returncode == 0, shown.stdout + shown.stderr
        shown = subprocess.run([fl.FAIRLEADCTL, "show", "config"], env=env, capture_output=True, text=True).stdout
        assert re.findall(r"service \w (\S+)", shown) == re.findall(r"service \w (\S+)", printed) == \
            ["127.0.0.1:9001", "127.0.0.1:9002"]
    finally:
        p.terminate()
        p.wait(20)


def test_version_names_every_library():
    out = subprocess.run([fl.FAIRLEAD, "-V"], capture_output=True, text=True).stdout
    for name in ("OpenSSL", "libev", "c-ares", "PCRE2", "zlib", "net-snmp"):
        assert re.search(rf"{name} \S+", out), name


def test_codes_are_the_tables(tmp_path):
    """Each code that the sources use has its row, each row is used, and each diagnostic has one."""
    out = subprocess.run([fl.FAIRLEAD, "-x", "diagnostics"], capture_output=True, text=True, check=True).stdout
    table = [line.split("\t")[0] for line in out.splitlines()[1:]]
    used = {"E0502", "W0502"}       # all of net/'s
    for path in [*(fl.TOP / "src").rglob("*.c"), *(fl.TOP / "modules").rglob("*.c")]:
        used |= set(re.findall(r'"\[([EW]\d{4})\] ', path.read_text()))
    assert len(table) == len(set(table)) and set(table) == used
    for name, text, _ in BAD:
        p = check(tmp_path, place(text)[0])
        first = re.search(r"t\.conf:\d+:\d+: error: .*", p.stderr)[0]
        assert re.search(r" \[E\d{4}\]$", first), f"{name}: {first}"

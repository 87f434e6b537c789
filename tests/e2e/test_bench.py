# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own parts: configurations of our target, rooms of the profile, verdicts. No harness is needed."""
import collections
import os
import pathlib
import subprocess
import sys

import pytest

import fl

BENCH = pathlib.Path(__file__).resolve().parents[1] / "bench"
sys.path.insert(0, str(BENCH))

import benchlib  # noqa: E402


@pytest.fixture(scope="module")
def profile():
    return benchlib.load_script(BENCH / "profile", "profile")


@pytest.fixture(scope="module")
def every():
    return benchlib.load_script(BENCH / "all", "every")


@pytest.fixture
def lib_sh(tmp_path):
    """The harness's part of a target script: run the verb."""
    (tmp_path / "lib.sh").write_text('"$@"\n')
    return tmp_path


def target(script, verb, folder, **more):
    env = {**os.environ, "BENCH_LIB": str(folder), "BENCH_DIR": str(folder), "BENCH_PORT": "1", "BENCH_ORIGIN": "2",
           "BENCH_WORKERS": "1", "BENCH_N": "3", "BENCH_GEN": "7", "FAIRLEAD_BIN": fl.FAIRLEAD, **more}
    return subprocess.run(["bash", BENCH / script, verb], env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("script", ["fairlead.sh", "fairlead-log.sh", "fairlead-x25519.sh"])
def test_every_role_of_our_target_is_a_valid_configuration(script, lib_sh, certs):
    roles = target(script, "roles", lib_sh).split()
    assert {"http", "https", "tcp", "rules", "backends", "reload"} <= set(roles)
    for role in roles:
        conf = lib_sh / role
        conf.write_text(target(script, "config", lib_sh, BENCH_ROLE=role, BENCH_CERT=str(certs.make("bench"))))
        check = subprocess.run([fl.FAIRLEAD, "-t", "-c", conf], capture_output=True, text=True)
        assert check.returncode == 0, f"{role}: {check.stdout}{check.stderr}"


def test_log_variant_has_log_and_policies(lib_sh):
    plain, log = (target(s, "config", lib_sh, BENCH_ROLE="http") for s in ("fairlead.sh", "fairlead-log.sh"))
    assert "access-log" not in plain and "policy" not in plain
    assert "access-log" in log and log.count("policy ") == 3


# Profile

def test_static_functions_have_a_room(profile):
    functions = profile.Functions(fl.FAIRLEAD)
    rooms = collections.Counter(functions.room)
    for room in ("base", "conf", "stat", "net", "http", "policy", "lb", "proc", "modules", "main"):
        assert rooms[room] > 0, rooms
    at = functions.start[functions.name.index("main")]
    assert functions.at(0x1000000 + at, [(0x1000000 + functions.vaddr, 1 << 30, functions.offset)]) == ("main", "main")


SAMPLES = """\
fl-worker0.1
\tffffffff82021dee tcp_rcv_established ([kernel.kallsyms])
\tffffffff82010ddb tcp_sendmsg ([kernel.kallsyms])
\tffffffff81e314b0 __x64_sys_sendto ([kernel.kallsyms])
\tffffffff821ef691 do_syscall_64 ([kernel.kallsyms])
\t    7f21fd1f1111 send (/usr/lib/libc.so.6)

fl-worker1.1
\tffffffff82021dee sock_write_iter ([kernel.kallsyms])
\tffffffff81e314b0 do_writev ([kernel.kallsyms])
\tffffffff821ef691 do_syscall_64 ([kernel.kallsyms])

fl-logd
\tffffffff82021dee ext4_file_write_iter ([kernel.kallsyms])
\tffffffff81e314b0 __x64_sys_write ([kernel.kallsyms])
\tffffffff821ef691 do_syscall_64 ([kernel.kallsyms])

fairlead
\tffffffff821ef691 do_syscall_64 ([kernel.kallsyms])

fl-worker0.1
\t    7f21fd1f1111 [unknown] (/usr/lib/libcrypto.so.3)

"""


def test_samples_are_put_into_rooms(profile):
    samples = list(profile.read_samples(SAMPLES))
    rooms = [profile.place(s, None, [], "/nowhere")[0] for s in samples]
    assert rooms == ["kernel: send", "kernel: send", "kernel: file", "kernel: entry", "openssl"]
    _, roles, symbols = profile.budget(samples, 5000, None, [], "/nowhere")
    assert roles == {"worker": 3000, "logd": 1000, "master": 1000}
    assert sum(symbols.values()) == 5000


# Goals

def goal(every, **kw):
    return every.Goal(**{"id": "perf.x.haproxy", "scenario": "x", "variant": "plain", "metric": "cpu", "versus": "haproxy",
                         "bound": 0.75, **kw})


def test_goals_name_what_there_is(every):
    goals = every.read_goals()
    assert len({g.id for g in goals}) == len(goals) > 30
    assert {g.metric for g in goals} <= {"cpu", "p50", "p99", "bytes"}
    for variant in {g.variant for g in goals} - {"plain"}:
        for name in ("fairlead", *every.VARIANT_PEERS):
            assert (BENCH / f"{name}-{variant}.sh").exists()


def test_a_verdict_is_a_ratio_of_medians(every):
    runs = {"fairlead": [{"cpu_us": c} for c in (9, 7, 8)], "haproxy": [{"cpu_us": c} for c in (10, 10, 99)]}
    line = every.goal_line(every.judge(goal(every), {("x", "plain"): runs}, {}))
    assert line == "GOAL perf.x.haproxy 0.80 0.75 fail"
    idle = {"fairlead": {"per_conn": [399, 380]}}
    line = every.goal_line(every.judge(goal(every, metric="bytes", versus="-", bound=400), {("x", "plain"): idle}, {}))
    assert line == "GOAL perf.x.haproxy 399 400 pass"


def test_a_run_with_errors_fails_and_a_noisy_one_says_nothing(every):
    def line(ours, theirs, **kw):
        return every.goal_line(every.judge(goal(every, **kw), {("x", "plain"): {"fairlead": ours, "haproxy": theirs}}, {}))
    ours, theirs = {"cpu_us": 5, "noise": 0.1, "errors": 0}, {"cpu_us": 10, "noise": 0.1, "errors": 0}
    assert line([ours], [theirs]) == "GOAL perf.x.haproxy 0.50 0.75 pass"
    assert line([ours, {**ours, "errors": 2}], [theirs]) == "GOAL perf.x.haproxy 0.50 0.75 fail (2 errors)"
    assert line([ours], [{**theirs, "errors": 2}]).endswith("pass")
    for noisy in (([{**ours, "noise": 0.3}], [theirs]), ([ours], [{**theirs, "noise": 0.3}])):
        assert line(*noisy) == "GOAL perf.x.haproxy - 0.75 missing (noise)"


def test_what_was_not_measured_is_missing(every):
    line = every.goal_line(every.judge(goal(every), {}, {"x": "no role udp"}))
    assert line == "GOAL perf.x.haproxy - 0.75 missing (no role udp)"
    runs = {("x", "plain"): {"fairlead": [{"cpu_us": 1}]}}
    assert every.judge(goal(every), runs, {}).word == "missing"


# The namespace

def test_namespace_pins_the_congestion_control():
    probe = subprocess.run(["unshare", "--net", "--map-root-user", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("no network namespaces here")
    show = ["bash", "-c", "cat /proc/sys/net/ipv4/tcp_congestion_control; ip -o link | wc -l"]
    run = subprocess.run([BENCH / "netns", *show], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["reno", "1"]
    refused = subprocess.run([BENCH / "netns", "--congestion", "nosuch", "true"], capture_output=True, text=True)
    assert refused.returncode == 1 and "nosuch" in refused.stderr

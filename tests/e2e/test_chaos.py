# SPDX-License-Identifier: Apache-2.0
"""The chaos programme's own parts: what its goals print, and how several tries become one figure."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

import fl

CHAOS = pathlib.Path(__file__).resolve().parents[1] / "chaos"
sys.path.insert(0, str(CHAOS))

import goals  # noqa: E402

LINE = re.compile(r"^GOAL (G\d+-[a-z0-9-]+) (\S+) (\S+) (pass|fail) \((\w+)\)$", re.M)


def lines(text):
    assert len(LINE.findall(text)) == text.count("GOAL"), text
    return LINE.findall(text)


def test_one_line_for_each_figure(capsys):
    assert goals.tell([goals.ms("G3-ready-p99", 0.0125, 20), goals.Figure("G1-failed", 0)])
    assert lines(capsys.readouterr().out) == [("G3-ready-p99", "12.5", "20", "pass", "ms"),
                                              ("G1-failed", "0", "0", "pass", "requests")]


def test_a_count_fails_at_once_and_a_duration_far_beyond_its_bound_only(capsys):
    assert not goals.tell([goals.Figure("G1-failed", 1)])
    assert goals.tell([goals.ms("G5-replaced", 1.5, 1000)])
    assert not goals.tell([goals.ms("G5-replaced", 11 * fl.SLOW, 1000)])
    assert [x[3] for x in lines(capsys.readouterr().out)] == ["fail"] * 3


def test_the_best_of_three_counts_and_nothing_lost_is_forgotten():
    slow, quick = goals.ms("G6-adopted", 0.9, 500), goals.ms("G6-adopted", 0.1, 500)
    lost, none = goals.Figure("G6-failed", 2), goals.Figure("G6-failed", 0)
    assert not goals.is_settled(goals.best_of([[slow, none]]))
    assert goals.best_of([[slow, lost], [quick, none]]) == [quick, lost]
    assert goals.is_settled(goals.best_of([[slow, lost], [quick, none]]))


def run(*args, **env):
    return subprocess.run([CHAOS / "run", "--goals", "--seconds", "20", "--seed", "7", "--rate", "200", *args],
                          capture_output=True, text=True, timeout=300 * fl.SLOW, env={**os.environ, **env})


def test_a_short_run():
    p = run("--only", "G6")
    assert p.returncode == 0, p.stdout + p.stderr
    assert [x[0] for x in lines(p.stdout)] == ["G6-failed", "G6-adopted"]
    assert lines(p.stdout)[0][1:4] == ("0", "0", "pass")
    assert p.stdout.startswith("seed 7\n") and p.stdout.rstrip().endswith("pass: seed 7")


@pytest.mark.parametrize("says, code, value", [("100%: Checks: 3, Failures: 0, Errors: 0", 0, "0"),
                                               ("33%: Checks: 3, Failures: 1, Errors: 1", 1, "2"),
                                               ("", 1, "1"), ("100%: Checks: 3, Failures: 0, Errors: 0", 1, "1")])
def test_what_the_crash_test_says_is_g20(tmp_path, says, code, value):
    program = tmp_path / "a/b/c/test_crash"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    program.chmod(0o755)
    p = run("--only", "G20", FL_CRASH_TEST=str(program))
    assert p.returncode == code
    assert lines(p.stdout) == [("G20-failed", value, "0", "fail" if code else "pass", "tests")]


def test_a_goal_that_does_not_exist_is_refused():
    p = run("--only", "G99")
    assert p.returncode == 2 and "G99" in p.stderr

# SPDX-License-Identifier: Apache-2.0
"""What every pytest suite below tests/ gets: a time limit per test, skips that are allowed by
name only, sanitizer reports that fail the run, and a count for ./dev test.

Environment (all set by ./dev, none needed by hand):
  FL_SLOW=N          everything may take N times as long (sanitizers)
  FL_STRICT_SKIPS=1  a skip must be listed in tests/skips
  FL_TEST_REPORT     file to write "PASSED FAILED SKIPPED" to

A test that failed because something was late (a wait of the harness ran out) is tried again, best of 3: a
duration is not a count. Whatever else fails, fails at once. Each repeat is listed at the end.
"""
import contextlib
import fnmatch
import os
import pathlib
import re
import signal

import pytest
from _pytest.runner import runtestprotocol

HERE = pathlib.Path(__file__).resolve().parent
SLOW = float(os.environ.get("FL_SLOW") or 1)
LIMIT_S = 120
SANITIZER = re.compile(rb"ERROR: (?:Address|Leak)Sanitizer|: runtime error: |: bug: .*ASSERT\(")

TRIES = 3
LATE = re.compile(r"not (?:so|done) after [\d.]+ s")

skips = []          # (test id, reason)
late = []           # (test id, what was late)
broken = []         # lines that fail the run without being a test


# A test that hangs is stopped and reported as failed; its fixtures still clean up.

@contextlib.contextmanager
def time_limit(item):
    mark = item.get_closest_marker("limit")
    limit = (mark.args[0] if mark else LIMIT_S) * SLOW

    def stop(_signo, _frame):
        raise pytest.fail.Exception(f"not done after {limit:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    with time_limit(item):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    with time_limit(item):
        yield


# Lateness

def was_late(reports):
    """What was late, when that is all that failed."""
    failed = [r for r in reports if r.failed]
    words = [LATE.search(str(getattr(r.longrepr, "reprcrash", None) or r.longrepr)) for r in failed]
    return words[0].group() if failed and all(words) else None


def pytest_runtest_protocol(item, nextitem):
    for attempt in range(1, TRIES + 1):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        words = was_late(reports)
        if words and attempt < TRIES:
            late.append((item.nodeid, words))
            item._initrequest()
            continue
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True


# Skips

def allowed_skips():
    lines = (HERE / "skips").read_text().splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


def note_skip(nodeid, longrepr):
    reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    skips.append((nodeid, reason.removeprefix("Skipped: ")))


def pytest_runtest_logreport(report):
    if report.skipped and not hasattr(report, "wasxfail"):
        note_skip(report.nodeid, report.longrepr)


def pytest_collectreport(report):
    if report.skipped:
        note_skip(report.nodeid, report.longrepr)


# Sanitizers: a worker that died of one is respawned, and its test may pass all the same

def sanitizer_reports(config):
    factory = getattr(config, "_tmp_path_factory", None)
    base = getattr(factory, "_basetemp", None)
    if not base:
        return
    for path in sorted(pathlib.Path(base).rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 26:
            found = SANITIZER.search(path.read_bytes())
            if found:
                yield path, found.group().decode()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    if os.environ.get("FL_STRICT_SKIPS"):
        allowed = allowed_skips()
        for nodeid, reason in skips:
            if not any(fnmatch.fnmatch(nodeid, pattern) for pattern in allowed):
                broken.append(f"skipped, and not listed in tests/skips: {nodeid} ({reason})")
    for path, words in sanitizer_reports(session.config):
        broken.append(f"{words.strip()} in {path}")
    if broken and exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    for nodeid, reason in skips:
        terminalreporter.write_line(f"SKIPPED {nodeid}: {reason}")
    for nodeid, words in late:
        terminalreporter.write_line(f"LATE {nodeid}: {words}; tried again")
    for line in broken:
        terminalreporter.write_line(f"error: {line}", red=True)
    report = os.environ.get("FL_TEST_REPORT")
    if not report:
        return
    stats = terminalreporter.stats

    def number(*kinds):
        return sum(len(stats.get(kind, [])) for kind in kinds)

    with open(report, "w") as out:
        print(number("passed", "xfailed"), number("failed", "error", "xpassed") + len(broken),
              number("skipped"), file=out)

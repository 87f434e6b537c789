# SPDX-License-Identifier: Apache-2.0
"""README's commands, as they are pasted: every block from the first minute on, in one shell, in order."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess

import fl

BUILD = ("autoreconf", "./configure", "make", "apt-get")        # the other tests stand on these
SCREEN = "fairleadctl top"                                      # wants a person


def sections():
    """(heading, its indented lines) of README."""
    heading, lines = "", []
    for line in (fl.TOP / "README").read_text().splitlines():
        if line.startswith("#"):
            yield heading, lines
            heading, lines = line.strip("# "), []
        elif line.startswith("    "):
            lines.append(line[4:])
    yield heading, lines


def moved(text, ports):
    """The same on ports that are free here."""
    return re.sub(r"\b(8080|8404|9000|9001)\b", lambda m: str(ports[m[1]]), text)


def end_session(sid):
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[3]) == sid:
                os.kill(int(stat.parent.name), signal.SIGKILL)


def test_every_command_pasted(tmp_path):
    ports = {p: fl.free_port() for p in ("8080", "8404", "9000", "9001")}
    (tmp_path / "run").mkdir(mode=0o700)
    blocks = {h: [x for x in lines if not x.startswith(BUILD)] for h, lines in sections()}
    wanted = ["The first minute", "A configuration", "Running it", "Watching it"]
    assert all(blocks.get(w) for w in wanted), f"README has no commands below one of {wanted}"
    script = []
    for line in sum((blocks[w] for w in wanted), []):
        if line.startswith("PATH="):
            line = f"PATH={pathlib.Path(fl.FAIRLEAD).resolve().parent}:{pathlib.Path(fl.FAIRLEADCTL).resolve().parent}:$PATH"
        script.append(line.replace(SCREEN, SCREEN + " --once") if line.startswith(SCREEN) else line)
    (tmp_path / "pasted").write_text(moved("\n".join(script) + "\n", ports))
    env = {**os.environ, "FAIRLEAD_SOCKET": str(tmp_path / "run/ctl.sock"), "XDG_RUNTIME_DIR": str(tmp_path)}
    with open(tmp_path / "out", "wb") as out:
        p = subprocess.Popen(["bash", "-e", "-o", "pipefail", "-x", "pasted"], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL,
                             stdout=out, stderr=out, start_new_session=True)
    try:
        code = p.wait(60 * fl.SLOW)
    finally:
        end_session(p.pid)
    text = (tmp_path / "out").read_text()
    assert code == 0, text
    assert "HTTP/1.1 200" in text and "HTTP/1.1 503" not in text, text
    assert "my.conf: OK" in text and "301" in text and "requests_total" in text, text

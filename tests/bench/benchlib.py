# SPDX-License-Identifier: Apache-2.0
"""What the programs of this folder share: the harness as a module, and the scripts of targets."""
import argparse
import contextlib
import importlib.machinery
import importlib.util
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
HARNESS = pathlib.Path(os.environ.get("FAIRLEAD_BENCH") or TOP.parent / "shared/bench/run").resolve()
FAIRLEAD = os.environ.get("FAIRLEAD_BIN") or str(TOP / "build/bin/fairlead")


def load_script(path, name):
    """A Python program without .py as a module."""
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def load_harness():
    if not HARNESS.is_file():
        sys.exit(f"{HARNESS} is missing; FAIRLEAD_BENCH=PATH names the harness")
    return load_script(HARNESS, "harness")


def target_script(name, harness=HARNESS):
    """tests/bench/NAME.sh when there is one, else the harness's target of that name."""
    ours = HERE / f"{name}.sh"
    return ours if ours.exists() else harness.parent / "targets" / f"{name}.sh"


def ask_target(script, verb, harness=HARNESS):
    """What `script VERB` prints; "" when the program is not there."""
    env = dict(os.environ, BENCH_LIB=str(harness.parent / "targets"))
    run = subprocess.run(["bash", str(script), verb], env=env, capture_output=True, text=True)
    missing = run.returncode != 0 or "not found" in run.stdout + run.stderr
    return "" if missing else run.stdout.strip()


@contextlib.contextmanager
def one_target(harness, scenario, name, base_port):
    """Origin and one target of a scenario, both started; the target and its scenario."""
    sc = harness.SCENARIOS[scenario]
    harness.args = argparse.Namespace(workers=1, base_port=base_port, max_noise=9, tries=1)
    harness.workdir = tempfile.mkdtemp(prefix="bench.")
    os.chmod(harness.workdir, 0o755)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        harness.make_inputs()
        harness.backend = harness.Backend(sc)
        target = harness.Target(f"{name}={target_script(name)}", base_port + 1, sc)
        try:
            if sc.role not in target.call("roles").split():
                sys.exit(f"{name} has no role {sc.role}")
            target.start()
            yield target
        finally:
            target.stop()
            harness.terminate(harness.backend.pid)
    finally:
        shutil.rmtree(harness.workdir, ignore_errors=True)

# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests: everything started in a test is stopped with it."""
import pathlib
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import fl      # noqa: E402
import origin  # noqa: E402


@pytest.fixture
def fairlead(tmp_path):
    """fairlead(config) starts an appliance; see fl.Fairlead."""
    running = []

    def start(config, **kw):
        f = fl.Fairlead(tmp_path, config, name=f"fl{len(running)}", **kw)
        running.append(f)
        return f

    yield start
    for f in running:
        f.stop()


@pytest.fixture
def origins():
    """origins(name, ...) starts scripted origins; see origin.Origin."""
    running = []

    def start(name="origin", **kw):
        o = origin.Origin(name, **kw)
        running.append(o)
        return o

    yield start
    for o in running:
        o.stop()


@pytest.fixture(scope="module")
def shared_fairlead(tmp_path_factory):
    """As fairlead, for the whole file: a start costs more than most tests."""
    folder, running = tmp_path_factory.mktemp("shared"), []

    def start(config, **kw):
        f = fl.Fairlead(folder, config, name=f"fl{len(running)}", **kw)
        running.append(f)
        return f

    yield start
    for f in running:
        f.stop()


@pytest.fixture(scope="module")
def shared_origins():
    """As origins, for the whole file."""
    running = []

    def start(name="origin", **kw):
        o = origin.Origin(name, **kw)
        running.append(o)
        return o

    yield start
    for o in running:
        o.stop()


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    """A small PKI: certs.ca, certs.make(name, *sans) -> (pem with chain and key)."""
    folder = tmp_path_factory.mktemp("pki")

    class Pki:
        def __init__(self):
            self.dir = folder
            self.ca = folder / "ca.pem"
            self.key = folder / "ca.key"
            self._run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                      "-keyout", self.key, "-out", self.ca, "-subj", "/CN=fairlead test CA",
                      "-addext", "basicConstraints=critical,CA:TRUE")

        @staticmethod
        def _run(*args, **kw):
            subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, **kw)

        def make(self, name, *sans, days=30, rsa=False, client=False, seconds=None):
            pem, csr, key = folder / f"{name}.pem", folder / f"{name}.csr", folder / f"{name}.key"
            if pem.exists():
                return pem
            alg = ["-newkey", "rsa:2048"] if rsa else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            self._run("req", *alg, "-nodes", "-keyout", key, "-out", csr, "-subj", f"/CN={name}")
            ext = folder / f"{name}.ext"
            names = ",".join(("IP:" if s[0].isdigit() else "DNS:") + s for s in (sans or (name,)))
            ext.write_text(f"subjectAltName={names}\nextendedKeyUsage={'clientAuth' if client else 'serverAuth'}\n")
            crt = folder / f"{name}.crt"
            if days > 0 and seconds is None:
                self._run("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial",
                          "-out", crt, "-extfile", ext, "-days", days)
            else:           # expired or about to be: only `ca` can set both dates
                end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds)) if seconds else "20200201000000Z"
                (folder / "index.txt").write_text("")
                (folder / "serial").write_text("99\n")
                cnf = folder / "ca.cnf"
                cnf.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index.txt\nserial={folder}/serial\n"
                               f"new_certs_dir={folder}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
                self._run("ca", "-batch", "-config", cnf, "-in", csr, "-cert", self.ca, "-keyfile", self.key,
                          "-startdate", "20200101000000Z", "-enddate", end, "-extfile", ext,
                          "-notext", "-out", crt)
            pem.write_text(crt.read_text() + self.ca.read_text() + key.read_text())
            return pem

    return Pki()

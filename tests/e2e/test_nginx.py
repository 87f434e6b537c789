# SPDX-License-Identifier: Apache-2.0
"""Ten thousand mixed requests through fairlead to a real nginx, byte by byte, in clear and over TLS."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

import fl
from origin import pattern

CONF = """daemon off;
worker_processes 1;
error_log {dir}/error.log;
pid {dir}/nginx.pid;
{user}
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
    scgi_temp_path {dir}/s;
    client_max_body_size 0;
    keepalive_requests 500;
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port};
        location /f/ {{ alias {dir}/files/; }}
        location /gzip/ {{ proxy_pass http://127.0.0.1:{port}/inner/; proxy_buffering off; proxy_http_version 1.0; }}
        location /inner/ {{ alias {dir}/files/; ssi on; ssi_types application/octet-stream; }}
        location /up {{ proxy_pass http://127.0.0.1:{port}/count; proxy_set_header X-Len $content_length; proxy_buffering off; }}
        location /count {{ client_body_in_single_buffer on; return 200 $content_length; }}
    }}
}}
"""
SIZES = [0, 1, 2, 100, 999, 1000, 4096, 8191, 8192, 8193, 16383, 16384, 16385, 20000, 32768, 65535, 65536, 65537, 99999,
         1 << 20, 3 << 20, 10 << 20]


@pytest.fixture
def nginx(tmp_path):
    if not shutil.which("nginx", path="/usr/sbin:/usr/bin"):
        pytest.skip("no nginx")
    port = fl.free_port()
    (tmp_path / "files").mkdir()
    for n in SIZES:
        (tmp_path / f"files/{n}").write_bytes(pattern(n))
    conf = tmp_path / "nginx.conf"
    conf.write_text(CONF.format(dir=tmp_path, port=port, user="user root;" if os.geteuid() == 0 else ""))
    p = subprocess.Popen([shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-c", str(conf), "-p", str(tmp_path)],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    fl.wait_for("nginx answers", lambda: fl.get(port, "/f/100").status == 200)
    yield f"127.0.0.1:{port}"
    p.send_signal(signal.SIGTERM)
    p.wait(10)


def run(port, root, n, cafile="-", processes=4):
    script = pathlib.Path(__file__).with_name("nginx_load.py")
    ps = [subprocess.Popen([sys.executable, str(script), str(port), "upgrade.example", str(root), str(n // processes), str(i),
                            str(cafile)], stdout=subprocess.PIPE, text=True) for i in range(processes)]
    total, errors = 0, []
    for p in ps:
        out, _ = p.communicate()
        result = json.loads(out.splitlines()[-1])
        total += sum(result["done"].values())
        errors += result["errors"]
    return total, errors


@pytest.mark.limit(240)
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_ten_thousand_mixed_requests(fairlead, origins, nginx, certs, tmp_path, tls):
    o, port = origins("up"), fl.free_port()
    pem = certs.make("front.example")
    f = fairlead(fl.web(port, nginx, workers=2, listen=f"tls {{ cert {pem} }}" if tls else "",
                        top=f"pool up {{ monitor none; service s {o.addr} }}",
                        vs='policy up when http.host == "upgrade.example" { use up }'))
    pids = f.workers()
    total, errors = run(port, tmp_path / "files", 10000, certs.ca if tls else "-")
    assert total >= 10000 and not errors, f"{len(errors)} errors of {total}: {errors[:5]}\n{f.output()[-2000:]}"
    f.wait_stat("vserver", "web", lambda r: r["connections"] == 0 and r["requests_active"] == 0)
    row = f.stat("vserver", "web")
    assert row["requests"] >= 10000 and row["responses_5xx"] == 0 and row["aborts_server"] == 0
    assert f.workers() == pids, "a worker died"

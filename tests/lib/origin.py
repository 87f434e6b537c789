# SPDX-License-Identifier: Apache-2.0
"""A scripted HTTP origin in threads of the test process. What it does is in the request's path:

  /bytes/N        N bytes of a pattern, by Content-Length        /chunked/N/PIECE   the same in chunks
  /status/CODE    that status                                    /delay/MS          waits first
  /echo           the request body comes back                    /head              the request head comes back as text
  /close          close-delimited body                           /early/CODE        answers before it reads the body
  /upgrade        101, then echoes bytes                         /trailers          chunked with a trailer
  /raw            bytes of origin.raw as they are, then closes   anything else      200, "name PATH\n"

Every answer has X-Origin: its name, and X-Request-Count: requests on this connection. What came in is in
.log (method, path, head bytes, body length, trailers); .hook(conn, head) may take over a request.
"""
import re
import socket
import threading
import time


def pattern(n):
    """n bytes that differ everywhere: a shifted, lost or doubled piece is seen."""
    out = bytearray()
    i = 0
    while len(out) < n:
        out += b"%08x" % i
        i += 1
    return bytes(out[:n])


class Request:
    def __init__(self, method, path, version, fields, head):
        self.method, self.path, self.version, self.fields, self.head = method, path, version, fields, head
        self.body, self.trailers, self.body_error = b"", [], None
        self.done = False               # the whole body came

    def get(self, name, default=None):
        return next((v for k, v in self.fields if k.lower() == name.lower()), default)

    def all(self, name):
        return [v for k, v in self.fields if k.lower() == name.lower()]


class Conn:
    def __init__(self, sock):
        self.sock, self.buf, self.count = sock, b"", 0

    def until(self, mark):
        while mark not in self.buf:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.buf += data
        head, _, self.buf = self.buf.partition(mark)
        return head

    def exact(self, n):
        parts, have = [self.buf], len(self.buf)
        while have < n:
            data = self.sock.recv(1 << 18)
            if not data:
                raise EOFError
            parts.append(data)
            have += len(data)
        data = b"".join(parts)
        self.buf = data[n:]
        return data[:n]

    def send(self, data):
        self.sock.sendall(data)


class Origin:
    def __init__(self, name="origin", host="127.0.0.1", port=0, tls=None):
        self.name, self.raw, self.hook, self.tls = name, b"", None, tls
        self.log, self.connections, self.accepted = [], [], 0
        self.lock = threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(1024)
        self.host, self.port = self.listener.getsockname()[:2]
        self.running = True
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def addr(self):
        return f"{self.host}:{self.port}"

    def requests(self, path=None):
        with self.lock:
            return [r for r in self.log if path is None or r.path == path]

    def stop(self):
        """Refuses new connections and breaks the old ones off."""
        self.running = False
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join()
        self.listener.close()
        self.drop_connections()

    def drop_connections(self):
        with self.lock:
            conns, self.connections = self.connections, []
        for c in conns:
            try:
                c.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            c.sock.close()

    def restart(self):
        self.__init__(self.name, self.host, self.port, self.tls)

    def _accept(self):
        while self.running:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            conn = Conn(sock)
            with self.lock:
                self.connections.append(conn)
                self.accepted += 1
            while self._request(conn):
                pass
        except (EOFError, OSError, ValueError):
            pass
        finally:
            try:
                sock.close()
            except OSError:
                pass
            with self.lock:
                self.connections = [c for c in self.connections if c.sock is not sock]

    def _request(self, conn):
        raw = conn.until(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        method, path, version = lines[0].split(" ")
        fields = [tuple(p.strip() for p in line.split(":", 1)) for line in lines[1:]]
        req = Request(method, path, version, fields, raw)
        conn.count += 1
        with self.lock:
            self.log.append(req)
        if self.hook:
            taken = self.hook(conn, req)
            if taken is not None:
                return taken
        if path.startswith("/early/"):
            self.answer(conn, req, int(path.split("/")[2]), b"early\n", extra="Connection: close\r\n")
            return False
        if (req.get("Expect") or "").lower() == "100-continue":
            conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.read_body(conn, req)
        req.done = True
        return self._answer(conn, req)

    def read_body(self, conn, req):
        if (req.get("Transfer-Encoding") or "").lower() == "chunked":
            while True:
                size = int(conn.until(b"\r\n"), 16)
                if size == 0:
                    break
                req.body += conn.exact(size)
                assert conn.exact(2) == b"\r\n"
            while True:
                line = conn.until(b"\r\n")
                if not line:
                    break
                req.trailers.append(line.decode("latin-1"))
        elif req.get("Content-Length"):
            req.body = conn.exact(int(req.get("Content-Length")))

    def answer(self, conn, req, status, body, extra=""):
        head = (f"HTTP/1.1 {status} {'OK' if status == 200 else 'Status'}\r\nX-Origin: {self.name}\r\n"
                f"X-Request-Count: {conn.count}\r\n{extra}")
        bodyless = status in (204, 304) or status < 200
        if not bodyless:
            head += f"Content-Length: {len(body)}\r\n"
        conn.send(head.encode() + b"\r\n" + (b"" if bodyless or req.method == "HEAD" else body))

    def _answer(self, conn, req):
        path, _, _ = req.path.partition("?")
        parts = path.split("/")
        m = re.match(r"/delay/(\d+)", path)
        if m:
            time.sleep(int(m[1]) / 1000)
        if len(parts) < 2:
            self.answer(conn, req, 200, b"")                  # OPTIONS *
        elif parts[1] == "bytes":
            self.answer(conn, req, 200, pattern(int(parts[2])))
        elif parts[1] == "status":
            self.answer(conn, req, int(parts[2]), b"status\n")
        elif parts[1] == "echo":
            self.answer(conn, req, 200, req.body)
        elif parts[1] == "head":
            self.answer(conn, req, 200, req.head)
        elif parts[1] in ("chunked", "trailers"):
            n, piece = (int(parts[2]), int(parts[3])) if parts[1] == "chunked" else (100, 10)
            conn.send(f"HTTP/1.1 200 OK\r\nX-Origin: {self.name}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            if req.method == "HEAD":
                return True
            body = pattern(n)
            for i in range(0, n, piece):
                data = body[i:i + piece]
                conn.send(b"%x\r\n" % len(data) + data + b"\r\n")
            conn.send(b"0\r\n" + (b"X-Check: yes\r\n" if parts[1] == "trailers" else b"") + b"\r\n")
        elif parts[1] == "close":
            conn.send(f"HTTP/1.1 200 OK\r\nX-Origin: {self.name}\r\nConnection: close\r\n\r\n".encode() + pattern(5000))
            return False
        elif parts[1] == "raw":
            conn.send(self.raw)
            return False
        elif parts[1] == "upgrade":
            conn.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\nhello\n"
                      % (req.get("Upgrade") or "websocket").encode())
            while True:
                data = conn.buf or conn.sock.recv(65536)
                conn.buf = b""
                if not data:
                    return False
                conn.send(data)
        else:
            self.answer(conn, req, 200, f"{self.name} {req.path}\n".encode())
        return (req.get("Connection") or "").lower() != "close" and req.version == "HTTP/1.1"

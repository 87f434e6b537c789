# SPDX-License-Identifier: Apache-2.0
"""UDP services and clients of the tests. A service answers "NAME PORT DATA": who it is, from which port it was
asked, and what it was told, so that a client sees where its flow goes and that the answer is its own."""
import socket
import threading

import fl

UDP_SEGMENT, UDP_GRO = 103, 104


class Server:
    """.asked: (port, data) of every datagram. .answer may be replaced: fn(server, data, peer)."""

    def __init__(self, name, host="127.0.0.1", port=0, answer=None):
        self.name, self.host, self.asked = name, host, []
        self.answer = answer or Server.echo
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind((host, port))
        self.sock.settimeout(0.1)                # close() wakes nobody
        self.port = self.sock.getsockname()[1]
        self.addr = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.running = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.running:
            try:
                data, peer = self.sock.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            self.asked.append((peer[1], data))
            self.answer(self, data, peer)

    def echo(self, data, peer):
        self.sock.sendto(self.line(data, peer), peer)

    def line(self, data, peer):
        return b"%s %d " % (self.name.encode(), peer[1]) + data

    def ports(self):
        return {p for p, _ in self.asked}

    def stop(self):
        if self.running:
            self.running = False
            self.thread.join()
            self.sock.close()


class Client:
    """One socket: one flow."""

    def __init__(self, port, host="127.0.0.1", source=None, timeout=5):
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.settimeout(timeout * fl.SLOW)
        if source:
            self.sock.bind((source, 0))
        self.to = (host, port)

    def send(self, data):
        self.sock.sendto(data, self.to)

    def get(self):
        """(service, its view of our port, data); the answer must come from whom it was asked."""
        line, peer = self.sock.recvfrom(65536)
        assert peer[:2] == self.to, f"asked {self.to}, answered by {peer}"
        name, port, data = line.split(b" ", 2)
        return name.decode(), int(port), data

    def ask(self, data=b"x"):
        self.send(data)
        name, port, back = self.get()
        assert back == data
        return name, port

    def hears_nothing(self, seconds=0.3):
        before = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            return f"got {self.sock.recv(65536)!r}" and False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(before)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def udp_port(host="127.0.0.1"):
    """A UDP port that nobody has, free for TCP too."""
    while True:
        port = fl.free_port(host)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.bind((host, port))
                return port
            except OSError:
                continue


def train(sock, to, data, size):
    """Sends data as one message of datagrams of `size` bytes (UDP_SEGMENT)."""
    control = [(socket.IPPROTO_UDP, UDP_SEGMENT, size.to_bytes(2, "little"))]
    return sock.sendmsg([data], control, 0, to)


def conf(port, *services, vs="", pool="", top="", workers=1, listen=None):
    """vserver `u` on udp `port` in front of pool `app` with services a1, a2, ..."""
    lines = "\n".join(f"    service a{i} {s}" for i, s in enumerate(services, 1))
    if "monitor" not in pool:
        pool += "\n    monitor none"
    if "default" not in vs:
        vs += "\n    default use app"
    return (f"workers {workers}\n{top}\npool app {{\n    {pool}\n{lines}\n}}\n"
            f"vserver u {{\n    protocol udp\n    listen {listen or f'127.0.0.1:{port}'}\n    {vs}\n}}\n")

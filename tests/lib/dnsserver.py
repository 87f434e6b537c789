# SPDX-License-Identifier: Apache-2.0
"""A scripted name server on UDP and TCP of one loopback port (dnspython). .zone maps (name, type) to
(ttl, [values]), or to "nxdomain", "servfail", "silent"; .asked is what it was asked."""
import contextlib
import socket
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class DnsServer:
    def __init__(self):
        self.zone, self.asked = {}, []
        while True:
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            self.tcp = socket.socket()
            with contextlib.suppress(OSError):
                self.tcp.bind(("127.0.0.1", self.port))
                break
            self.udp.close()
            self.tcp.close()
        self.tcp.listen(16)
        self.running = True
        self.udp.settimeout(0.1)                # close() wakes nobody: the threads look for themselves
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self._udp, self._tcp)]
        for t in self.threads:
            t.start()

    @property
    def addr(self):
        return f"127.0.0.1:{self.port}"

    def set(self, name, values, ttl=1, kind="A"):
        self.zone[name, kind] = values if isinstance(values, str) else (ttl, values)

    def times(self, name, kind="A"):
        return [t for t, n, k in self.asked if (n, k) == (name, kind)]

    def stop(self):
        self.running = False
        self.tcp.shutdown(socket.SHUT_RDWR)
        for t in self.threads:
            t.join()
        self.udp.close()
        self.tcp.close()

    def answer(self, wire):
        query = dns.message.from_wire(wire)
        q = query.question[0]
        name, kind = q.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(q.rdtype)
        self.asked.append((time.monotonic(), name, kind))
        what = self.zone.get((name, kind))
        if what == "silent":
            return None
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if what == "servfail":
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif isinstance(what, tuple):
            reply.answer.append(dns.rrset.from_text_list(q.name, what[0], "IN", kind, what[1]))
        elif what == "nxdomain" or not any(n == name for n, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()

    def _udp(self):
        while self.running:
            try:
                wire, peer = self.udp.recvfrom(4096)
                reply = self.answer(wire)
                if reply:
                    self.udp.sendto(reply, peer)
            except TimeoutError:
                continue
            except OSError:
                return

    def _tcp(self):
        while True:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                sock.settimeout(5)
                n = int.from_bytes(sock.recv(2), "big")
                reply = self.answer(sock.recv(n))
                if reply:
                    sock.sendall(len(reply).to_bytes(2, "big") + reply)

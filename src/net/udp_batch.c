/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_batch.c - many datagrams per system call: reading with UDP_GRO, sending with UDP_SEGMENT
 *
 * Trains. The kernel may give several datagrams of equal size as one message, and takes such a
 * message as one. Datagrams that go the same way are coupled when all have one size; the last
 * may be shorter, and ends the train. A way that refuses trains (the size is above the path's
 * MTU, or a device cannot sum them up) gets them singly, and is remembered. ENGINE section 7:
 * 1.8 times cheaper when trains come, no dearer when not.
 */
#include "config.h"

#include "net/udp_int.h"

#include <netinet/udp.h>
#include <string.h>
#include <sys/mman.h>

#include "base/env.h"
#include "base/err.h"

/* Reading ---------------------------------------------------------------------------------- */

int udp_in_init(struct udp_in *b, bool names)
{
	/* pages that no datagram reaches are never touched */
	b->mem = env_mmap((size_t)UDP_STRIDE * UDP_BATCH, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!b->mem)
		return FL_ENOMEM_;
	for (unsigned i = 0; i < UDP_BATCH; i++) {
		b->iov[i] = (struct iovec){ udp_in_data(b, i), UDP_BUF };
		b->mm[i].msg_hdr = (struct msghdr){
			.msg_name = names ? &b->from[i] : NULL,
			.msg_namelen = names ? sizeof(b->from[i]) : 0,
			.msg_iov = &b->iov[i],
			.msg_iovlen = 1,
			.msg_control = &b->ctl[i],
			.msg_controllen = sizeof(b->ctl[i]),
		};
	}
	return 0;
}

void udp_in_fini(struct udp_in *b)
{
	if (b->mem)
		(void)env_munmap(b->mem, (size_t)UDP_STRIDE * UDP_BATCH);
	b->mem = NULL;
}

static void ip_of(struct ip *ip, uint8_t family, const void *p, size_t n)
{
	memset(ip, 0, sizeof(*ip));
	ip->family = family;
	memcpy(ip->b, p, n);
}

/* What the kernel says beside the bytes. */
static void read_control(struct udp_in *b, unsigned i)
{
	struct msghdr *h = &b->mm[i].msg_hdr;
	uint32_t len = b->mm[i].msg_len;
	int seg = 0;

	b->local[i].family = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		struct in_pktinfo v4;
		struct in6_pktinfo v6;

		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&seg, CMSG_DATA(c), sizeof(seg));
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&v4, CMSG_DATA(c), sizeof(v4));
			ip_of(&b->local[i], AF_INET, &v4.ipi_spec_dst, 4);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&v6, CMSG_DATA(c), sizeof(v6));
			ip_of(&b->local[i], AF_INET6, &v6.ipi6_addr, 16);
		}
	}
	if (seg <= 0 || (uint32_t)seg >= len)
		seg = 0;
	b->len[i] = len;
	b->seg[i] = (uint16_t)seg;
	b->count[i] = 1;
	if (seg)
		b->count[i] = (uint16_t)((len + (unsigned)seg - 1) / (unsigned)seg);
	if (h->msg_flags & MSG_TRUNC)
		b->count[i] = 0;
	/* as the next call wants it: only what was used has changed */
	h->msg_namelen = h->msg_name ? sizeof(b->from[i]) : 0;
	h->msg_controllen = sizeof(b->ctl[i]);
}

int udp_in_read(struct udp_in *b, int fd, unsigned at, unsigned n)
{
	int got = env_recvmmsg(fd, b->mm + at, n, 0);

	for (unsigned i = at; got > 0 && i < at + (unsigned)got; i++)
		read_control(b, i);
	return got;
}

/* Collecting ------------------------------------------------------------------------------- */

static bool joins(const struct udp_out *o, uint32_t len, uint16_t seg, unsigned count)
{
	unsigned k = o->n - 1;

	return !o->shut && len > 0 && o->bytes > 0 && o->bytes + len <= UDP_TRAIN_MAX &&
	       o->count[k] + count <= UDP_TRAIN_SEGS &&
	       (seg ? seg == o->seg[k] : len <= o->seg[k]);
}

bool udp_out_add(struct udp_out *o, void *p, uint32_t len, uint16_t seg, bool join)
{
	unsigned count = seg ? (len + seg - 1) / seg : 1;
	uint32_t last = seg ? (len - 1) % seg + 1 : len;
	bool begin = !join || !o->n || !joins(o, len, seg, count);
	unsigned k;

	if (begin) {
		k = o->n++;
		o->mm[k].msg_hdr = (struct msghdr){ .msg_iov = &o->iov[o->n_iov] };
		o->seg[k] = seg ? seg : (uint16_t)len;
		o->count[k] = 0;
		o->bytes = 0;
	}
	k = o->n - 1;
	o->iov[o->n_iov++] = (struct iovec){ p, len };
	o->mm[k].msg_hdr.msg_iovlen++;
	o->count[k] = (uint16_t)(o->count[k] + count);
	o->bytes += len;
	o->shut = last < o->seg[k];
	return begin;
}

static void add_control(struct udp_out *o, unsigned k, int level, int type, const void *p, size_t n)
{
	struct msghdr *h = &o->mm[k].msg_hdr;
	struct cmsghdr *c = (struct cmsghdr *)(void *)(o->ctl[k].b + h->msg_controllen);

	memset(c, 0, CMSG_SPACE(n));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), p, n);
	h->msg_control = o->ctl[k].b;
	h->msg_controllen += CMSG_SPACE(n);
}

void udp_out_from(struct udp_out *o, const struct ip *local)
{
	struct in_pktinfo v4 = { 0 };
	struct in6_pktinfo v6 = { 0 };

	if (local->family == AF_INET) {
		memcpy(&v4.ipi_spec_dst, local->b, 4);
		add_control(o, o->n - 1, IPPROTO_IP, IP_PKTINFO, &v4, sizeof(v4));
	} else if (local->family == AF_INET6) {
		memcpy(&v6.ipi6_addr, local->b, 16);
		add_control(o, o->n - 1, IPPROTO_IPV6, IPV6_PKTINFO, &v6, sizeof(v6));
	}
}

/* Sending ---------------------------------------------------------------------------------- */

bool udp_is_unreachable(int err)
{
	return err == -ECONNREFUSED || err == -EHOSTUNREACH || err == -ENETUNREACH ||
	       err == -EHOSTDOWN;
}

static bool train_refused(int err)
{
	return err == -EINVAL || err == -EIO || err == -EMSGSIZE || err == -EOPNOTSUPP;
}

static uint64_t message_bytes(const struct udp_out *o, unsigned k)
{
	uint64_t n = 0;

	for (size_t i = 0; i < o->mm[k].msg_hdr.msg_iovlen; i++)
		n += o->mm[k].msg_hdr.msg_iov[i].iov_len;
	return n;
}

static void drop(struct udp_out *o, unsigned from, unsigned to, struct udp_sent *s)
{
	for (unsigned k = from; k < to; k++)
		s->drops += o->count[k];
}

/* The datagrams of a message one by one. None goes over the border of two pieces of memory. */
static void send_singly(struct udp_out *o, int fd, unsigned k, size_t controllen,
			struct udp_sent *s)
{
	struct msghdr h = o->mm[k].msg_hdr;
	const struct iovec *iov = h.msg_iov;
	size_t n_iov = h.msg_iovlen;

	h.msg_iovlen = 1;
	h.msg_controllen = controllen;
	for (size_t i = 0; i < n_iov; i++)
		for (size_t at = 0; at < iov[i].iov_len || at == 0;
		     at += o->seg[k] ? o->seg[k] : 1) {
			struct iovec one = { (char *)iov[i].iov_base + at,
					     FL_MIN(iov[i].iov_len - at, (size_t)o->seg[k]) };

			h.msg_iov = &one;
			if (env_sendmsg(fd, &h, 0) < 0) {
				s->drops++;
				continue;
			}
			s->datagrams++;
			s->bytes += one.iov_len;
		}
}

/* Message s->next failed. False: stop. */
static bool failed(struct udp_out *o, int fd, bool connected, int err, struct udp_sent *s)
{
	unsigned k = s->next;

	if (connected && udp_is_unreachable(err))
		return false;
	s->next++;
	if (err == -EAGAIN || err == -ENOBUFS) {        /* so will the others */
		drop(o, k, o->n, s);
		s->next = o->n;
	} else if (train_refused(err) && (o->count[k] > 1 || err == -EMSGSIZE)) {
		size_t len = o->mm[k].msg_hdr.msg_controllen;

		/* a single one meets EMSGSIZE when the path has just become narrower: again */
		s->no_trains |= o->count[k] > 1;
		send_singly(o, fd, k, o->count[k] > 1 ? len - CMSG_SPACE(sizeof(uint16_t)) : len,
			    s);
	} else {
		drop(o, k, k + 1, s);
	}
	return true;
}

bool udp_out_send(struct udp_out *o, int fd, bool connected, struct udp_sent *s)
{
	for (; o->n_sealed < o->n; o->n_sealed++)
		if (o->count[o->n_sealed] > 1)
			add_control(o, o->n_sealed, IPPROTO_UDP, UDP_SEGMENT, &o->seg[o->n_sealed],
				    sizeof(o->seg[0]));
	while (s->next < o->n) {
		unsigned n = o->n - s->next, first = s->next;
		int sent;

		if (n == 1 && connected && o->count[first] == 1) {
			ssize_t r = env_send(fd, o->iov[o->n_iov - 1].iov_base,
					     o->iov[o->n_iov - 1].iov_len, 0);

			sent = r < 0 ? (int)r : 1;
		} else {
			sent = env_sendmmsg(fd, o->mm + first, n, 0);
		}
		for (unsigned k = first; sent > 0 && k < first + (unsigned)sent; k++) {
			s->datagrams += o->count[k];
			s->bytes += message_bytes(o, k);
		}
		s->next += sent > 0 ? (unsigned)sent : 0;
		if (sent < 0 && !failed(o, fd, connected, sent, s))
			return false;
	}
	return true;
}

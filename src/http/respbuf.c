/* SPDX-License-Identifier: Apache-2.0 */
/*
 * respbuf.c - response content that the client does not take yet (see respbuf.h)
 *
 * Giving goes on until there is no room: only then the client's mux is sure to tell that there is
 * some again.
 */
#include "config.h"

#include "http/respbuf.h"

#include "http/inside.h"

size_t respbuf_room(const struct respbuf *b, struct txn *t)
{
	size_t direct = b->kept.len ? 0 : txn_up_room(t);
	size_t keep = b->kept.len < b->max && !room_is_full() ? b->max - b->kept.len : 0;

	return FL_MAX(direct, keep);
}

int respbuf_take(struct respbuf *b, struct txn *t, struct str s)
{
	while (s.n && !b->kept.len) {
		size_t n = FL_MIN(s.n, txn_up_room(t));

		if (!n)
			break;
		txn_up_data(t, str_n(s.p, n));
		if (t->over)
			return 0;
		s.p += n;
		s.n -= n;
	}
	return s.n ? bufq_add(&b->kept, s.p, s.n) : 0;
}

void respbuf_drain(struct respbuf *b, struct txn *t)
{
	while (b->kept.len) {
		struct str s = bufq_front(&b->kept);
		size_t n = FL_MIN(s.n, txn_up_room(t));

		if (!n)
			return;
		txn_up_data(t, str_n(s.p, n));
		if (t->over)
			return;
		bufq_drop(&b->kept, n);
	}
	if (b->ended)
		txn_up_end(t, b->trailers);
}

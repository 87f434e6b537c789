/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set.c - members of a set as sorted ranges without overlap; a look-up is one binary search
 *
 * A single value is a range of one, a CIDR or MAC prefix a range of addresses. The members are
 * in order of pol_val_cmp(); IPv4 stands before IPv6 and no range spans both.
 */
#include "config.h"

#include <limits.h>

#include "policy/expr.h"

/* Total order inside a set: as pol_val_cmp, and families one after the other. */
static int order(const struct pol_val *a, const struct pol_val *b)
{
	int r = 0;

	if (pol_val_cmp(a, b, &r))
		return r;
	return a->ip.family == AF_INET ? -1 : 1;
}

/* Heap sort: no memory, no bad case. */
static void sift(struct pol_range *r, size_t at, size_t n)
{
	for (;;) {
		size_t kid = 2 * at + 1;
		struct pol_range t;

		if (kid >= n)
			return;
		if (kid + 1 < n && order(&r[kid].lo, &r[kid + 1].lo) < 0)
			kid++;
		if (order(&r[at].lo, &r[kid].lo) >= 0)
			return;
		t = r[at];
		r[at] = r[kid];
		r[kid] = t;
		at = kid;
	}
}

static void sort_ranges(struct pol_range *r, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift(r, i, n);
	for (size_t end = n; end > 1; end--) {
		struct pol_range t = r[0];

		r[0] = r[end - 1];
		r[end - 1] = t;
		sift(r, 0, end - 1);
	}
}

static bool touches(const struct pol_range *a, const struct pol_range *b)
{
	if (order(&b->lo, &a->hi) <= 0)
		return true;
	return a->hi.type == POL_INT && a->hi.i < INT64_MAX && b->lo.i == a->hi.i + 1;
}

static unsigned merge_ranges(struct pol_range *r, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 1; i < n; i++) {
		if (!touches(&r[kept], &r[i]))
			r[++kept] = r[i];
		else if (order(&r[i].hi, &r[kept].hi) > 0)
			r[kept].hi = r[i].hi;
	}
	return kept + 1;
}

static void range_of_cidr(struct cidr p, struct pol_range *r)
{
	unsigned bytes = p.ip.family == AF_INET ? 4 : 16;

	r->lo = (struct pol_val){ .type = POL_IP, .ip = p.ip };
	r->hi = r->lo;
	for (unsigned i = 0; i < bytes; i++) {
		unsigned keep = p.bits > i * 8 ? FL_MIN(p.bits - i * 8, 8u) : 0;

		r->hi.ip.b[i] |= (uint8_t)(0xffu >> keep);
	}
}

/* 02:00:00 or 02:00:00:00:00:00/24 among MAC addresses */
static bool range_of_mac(struct pol_ctx *c, struct pol_node *n, struct pol_range *r)
{
	struct str w = str_n(c->src.p + n->off, n->len), rest = w, addr = str_cut(&rest, '/');
	uint8_t raw[6];
	size_t len = pol_bytes_parse(addr, raw, sizeof(raw));
	uint64_t bits = len * 8;
	char *lo, *hi, show[POL_SHOW_MAX];

	if (addr.n < w.n && (!str_u64(rest, &bits) || bits > len * 8))
		len = 0;
	if (!len) {
		pol_fail(c, n->off, n->len, "\"%s\" is not a MAC address or prefix",
			 pol_show(w, show));
		return false;
	}
	lo = pol_mem(c, 6);
	hi = pol_mem(c, 6);
	if (!lo || !hi)
		return false;
	memcpy(lo, raw, len);
	for (unsigned i = 0; i < 6; i++) {
		unsigned keep = bits > i * 8 ? (unsigned)FL_MIN(bits - i * 8, 8u) : 0;

		lo[i] = (char)((unsigned char)lo[i] & (0xff00u >> keep));
		hi[i] = (char)((unsigned char)lo[i] | (0xffu >> keep));
	}
	r->lo = (struct pol_val){ .type = POL_MAC, .s = str_n(lo, 6) };
	r->hi = (struct pol_val){ .type = POL_MAC, .s = str_n(hi, 6) };
	return true;
}

/* One end of a range or a single member into *v. */
static bool member_value(struct pol_ctx *c, struct pol_node *n, enum pol_type type, bool bytes_ok)
{
	char show[POL_SHOW_MAX];

	if (n->kind == N_WORD)
		return pol_literal_read(c, n, type, bytes_ok);
	if (n->kind == N_CONST && n->quoted && (type == POL_STR || type == POL_BYTES)) {
		n->val.type = type;
		n->type = (uint8_t)type;
		return true;
	}
	if (n->kind == N_CONST) {
		pol_fail(c, n->off, n->len, "the set must have members that are %s, not text",
			 pol_type_text(type));
		pol_hint(c, "write it without quotes");
		return false;
	}
	pol_fail(c, n->off, n->len, "members of a set are values: \"%s\" is not",
		 pol_show(str_n(c->src.p + n->off, n->len), show));
	return false;
}

static bool range_of_ends(struct pol_ctx *c, struct pol_node *n, enum pol_type type, bool bytes_ok,
			  struct pol_range *r)
{
	int cmp = 0;

	if (!member_value(c, n->a, type, bytes_ok) || !member_value(c, n->b, type, bytes_ok))
		return false;
	if (n->a->kind == N_CIDR || n->b->kind == N_CIDR) {
		pol_fail(c, n->off, n->len,
			 "a range goes from address to address, not to a prefix");
		return false;
	}
	r->lo = n->a->val;
	r->hi = n->b->val;
	if (!pol_val_cmp(&r->lo, &r->hi, &cmp)) {
		pol_fail(c, n->off, n->len,
			 "the ends of the range are of different kinds (IPv4 and IPv6)");
		return false;
	}
	if (cmp > 0) {
		pol_fail(c, n->off, n->len, "the range ends before it begins");
		return false;
	}
	return true;
}

static bool range_of(struct pol_ctx *c, struct pol_node *n, enum pol_type type, bool bytes_ok,
		     struct pol_range *r)
{
	if (n->kind == N_RANGE)
		return range_of_ends(c, n, type, bytes_ok, r);
	if (n->kind == N_WORD && type == POL_MAC)
		return range_of_mac(c, n, r);
	if (!member_value(c, n, type, bytes_ok))
		return false;
	if (n->kind == N_CIDR)
		range_of_cidr(n->cidr, r);
	else
		r->lo = r->hi = n->val;
	return true;
}

struct pol_set *pol_set_build(struct pol_ctx *c, struct pol_node *members, enum pol_type type,
			      bool bytes_ok)
{
	struct pol_set *s = pol_mem(c, sizeof(*s));
	unsigned n = 0;

	for (struct pol_node *m = members; m; m = m->next)
		n++;
	if (!s)
		return NULL;
	s->type = type;
	s->r = pol_mem(c, n * sizeof(struct pol_range));
	if (!s->r)
		return NULL;
	for (struct pol_node *m = members; m; m = m->next)
		if (!range_of(c, m, type, bytes_ok, &s->r[s->n++]))
			return NULL;
	sort_ranges(s->r, s->n);
	s->n = merge_ranges(s->r, s->n);
	return s;
}

bool pol_set_has(const struct pol_set *s, const struct pol_val *v)
{
	unsigned lo = 0, hi = s->n;

	/* the last range that begins at or before v */
	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (order(&s->r[mid].lo, v) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 && order(v, &s->r[lo - 1].hi) <= 0;
}

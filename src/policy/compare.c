/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare.c - equality and order of two values
 *
 * Text and bytes are ordered byte by byte, a beginning before the whole. IPv4 and IPv6 have no
 * order between them.
 */
#include "config.h"

#include "policy/expr.h"

static bool is_text(const struct pol_val *v)
{
	return v->type == POL_STR || v->type == POL_BYTES || v->type == POL_MAC;
}

bool pol_val_eq(const struct pol_val *a, const struct pol_val *b)
{
	if (is_text(a) && is_text(b))
		return str_eq(a->s, b->s);
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case POL_BOOL: return a->b == b->b;
	case POL_INT:  return a->i == b->i;
	case POL_IP:   return ip_eq(a->ip, b->ip);
	default:       return false;
	}
}

static int bytes_cmp(struct str a, struct str b)
{
	size_t n = FL_MIN(a.n, b.n);
	int r = n ? memcmp(a.p, b.p, n) : 0;

	return r ? r : (a.n > b.n) - (a.n < b.n);
}

bool pol_val_cmp(const struct pol_val *a, const struct pol_val *b, int *out)
{
	if (is_text(a) && is_text(b)) {
		*out = bytes_cmp(a->s, b->s);
		return true;
	}
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case POL_INT:
		*out = (a->i > b->i) - (a->i < b->i);
		return true;
	case POL_IP:
		if (a->ip.family != b->ip.family)
			return false;
		*out = memcmp(a->ip.b, b->ip.b, a->ip.family == AF_INET ? 4 : 16);
		return true;
	default:
		return false;
	}
}

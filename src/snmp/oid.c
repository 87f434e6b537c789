/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oid.c - see oid.h
 */
#include "config.h"

#include "snmp/oid.h"

#include "base/err.h"

/* One arc: decimal digits without zeros in front, so that there is one text for each. */
static int take_arc(struct str s, uint32_t *arc)
{
	uint64_t v;

	if (!s.n || (s.n > 1 && s.p[0] == '0'))
		return FL_ESYNTAX_;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return FL_ESYNTAX_;
	if (!str_u64(s, &v) || v > UINT32_MAX)
		return FL_ERANGE_;
	*arc = (uint32_t)v;
	return 0;
}

int objid_parse(struct str s, struct objid *out)
{
	out->n = 0;
	if (s.n && s.p[0] == '.')
		s = str_n(s.p + 1, s.n - 1);
	if (!s.n || s.p[s.n - 1] == '.')
		return FL_ESYNTAX_;
	while (s.n) {
		int err;

		if (out->n == OID_ARCS_MAX)
			return FL_ELIMIT_;
		err = take_arc(str_cut(&s, '.'), &out->arc[out->n++]);
		if (err)
			return err;
	}
	if (out->n < 2)
		return FL_ESYNTAX_;
	return out->arc[0] > 2 || (out->arc[0] < 2 && out->arc[1] > 39) ? FL_ERANGE_ : 0;
}

void objid_text(const struct objid *o, struct sb *b)
{
	for (unsigned i = 0; i < o->n; i++) {
		if (i)
			sb_ch(b, '.');
		sb_u64(b, o->arc[i]);
	}
}

int objid_cmp(const struct objid *a, const struct objid *b)
{
	for (unsigned i = 0; i < a->n && i < b->n; i++)
		if (a->arc[i] != b->arc[i])
			return a->arc[i] < b->arc[i] ? -1 : 1;
	return (a->n > b->n) - (a->n < b->n);
}

bool objid_is_under(const struct objid *o, const struct objid *top)
{
	return o->n >= top->n && memcmp(o->arc, top->arc, top->n * sizeof(o->arc[0])) == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number.c - counts, times, sizes and rates: exact whole numbers of their smallest unit, or refused
 */
#include "config.h"

#include "conf/inside.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

struct unit {
	const char *name;
	int64_t     of;
};
static const struct unit time_units[] = {
	{ "d", 86400000000 }, { "h", 3600000000 }, { "m", 60000000 }, { "s", 1000000 },
	{ "ms", 1000 },       { "us", 1 },         { NULL, 0 },
};
static const struct unit size_units[] = {
	{ "g", 1 << 30 }, { "m", 1 << 20 }, { "k", 1 << 10 }, { NULL, 0 }
};
static const struct unit rate_units[] = {
	{ "gbit", 1000000000 }, { "mbit", 1000000 }, { "kbit", 1000 }, { NULL, 0 }
};

/* digits[.digits] then a unit; exact or refused. `bare`: what a number without unit means, 0 =
 * refused. */
static bool number(struct str s, const struct unit *units, int64_t bare, const char *example,
		   int64_t *out, struct val_fail *f)
{
	size_t i = 0, dot;
	int64_t v = 0, of = bare, frac = 0, scale = 1;
	struct str unit;

	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, s.p[i++] - '0', &v))
			goto too_large;
	if (i == 0)
		return false;
	dot = i;
	if (i < s.n && s.p[i] == '.') {
		for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
			if (scale > INT64_MAX / 1000)
				return false;
			frac = frac * 10 + (s.p[i] - '0');
			scale *= 10;
		}
		if (i == dot + 1)
			return false;
	}
	unit = str_n(s.p + i, s.n - i);
	if (unit.n) {
		const struct unit *u = units;

		while (u && u->name && !str_eq(unit, str_c(u->name)))
			u++;
		if (!u || !u->name) {
			VAL_SAY(f, "[E0305] unknown unit in \"%.40s\"", s.p);
			VAL_HINT(f, "write it as in %s", example);
			return false;
		}
		of = u->of;
	} else if (!bare) {
		VAL_SAY(f, "[E0305] \"%.40s\" needs a unit", s.p);
		VAL_HINT(f, "write it as in %s", example);
		return false;
	}
	if (__builtin_mul_overflow(v, of, &v))
		goto too_large;
	if (frac) {
		__int128 part = (__int128)frac * of;

		if (part % scale) {
			VAL_SAY(f, "[E0302] \"%.40s\" is finer than can be kept", s.p);
			return false;
		}
		if (__builtin_add_overflow(v, (int64_t)(part / scale), &v))
			goto too_large;
	}
	*out = v;
	return true;
too_large:
	VAL_SAY(f, "[E0302] \"%.40s\" is too large", s.p);
	return false;
}

void val_number_text(enum conf_type type, int64_t v, struct sb *b)
{
	const struct unit *u = type == CV_TIME ? time_units : type == CV_SIZE ? size_units :
			       type == CV_RATE ? rate_units : NULL;

	for (; u && u->name; u++)
		if (v && v % u->of == 0) {
			sb_fmt(b, "%" PRId64 "%s", v / u->of, u->name);
			return;
		}
	if (type == CV_RATE && v)        /* there is no smaller unit */
		sb_fmt(b, "%" PRId64 ".%03" PRId64 "kbit", v / 1000, v % 1000);
	else
		sb_fmt(b, "%" PRId64 "%s", v, type == CV_TIME ? "s" : type == CV_RATE ? "kbit" : "");
}

static bool count(struct tok *t, struct conf_val *v, struct val_fail *f)
{
	uint64_t n;

	if (str_u64(t->text, &n) && n <= INT64_MAX) {
		v->i = (int64_t)n;
		return true;
	}
	for (size_t i = 0; i < t->text.n; i++)
		if (!isdigit((unsigned char)t->text.p[i])) {
			if (i)
				VAL_HINT(f, "counts are plain numbers, without unit or fraction");
			return false;
		}
	if (t->text.n)
		VAL_SAY(f, "[E0302] \"%.40s\" is too large", t->text.p);
	return false;
}

bool val_number(enum conf_type type, struct tok *t, struct conf_val *v, struct val_fail *f)
{
	switch (type) {
	case CV_TIME: return number(t->text, time_units, 0, "5s, 500ms or 1.5m", &v->i, f);
	case CV_SIZE: return number(t->text, size_units, 1, "4096, 64k or 1.5m", &v->i, f);
	case CV_RATE: return number(t->text, rate_units, 0, "500kbit, 100mbit or 1gbit", &v->i, f);
	default:      return count(t, v, f);
	}
}

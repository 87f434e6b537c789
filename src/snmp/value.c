/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.c - see value.h
 */
#include "config.h"

#include "snmp/value.h"

#include <inttypes.h>
#include <math.h>

#include "base/env.h"

static const char *const names[SNMP_T__COUNT] = {
	[SNMP_T_INTEGER] = "integer", [SNMP_T_COUNTER32] = "counter32", [SNMP_T_GAUGE32] = "gauge32",
	[SNMP_T_TIMETICKS] = "timeticks", [SNMP_T_COUNTER64] = "counter64", [SNMP_T_OCTETS] = "octets",
	[SNMP_T_OBJID] = "oid", [SNMP_T_IP] = "ip", [SNMP_T_OPAQUE] = "opaque", [SNMP_T_FLOAT] = "float",
	[SNMP_T_NULL] = "null", [SNMP_T_NO_OBJECT] = "noSuchObject", [SNMP_T_NO_INSTANCE] = "noSuchInstance",
	[SNMP_T_END] = "endOfMibView",
};

/* Bytes of a character of UTF-8 (RFC 3629) that may stand in a line; 0: none. */
static size_t character(const uint8_t *p, size_t n)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 :
		     p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;

	if (len == 1)
		return p[0] >= 0x20 && p[0] < 0x7f;
	if (len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* overlong forms, surrogates, beyond the last, and the control characters U+0080 to U+009F */
	if ((len == 3 && p[0] == 0xe0 && p[1] < 0xa0) || (len == 3 && p[0] == 0xed && p[1] > 0x9f) ||
	    (len == 4 && p[0] == 0xf0 && p[1] < 0x90) || (len == 4 && p[0] == 0xf4 && p[1] > 0x8f) ||
	    (len == 2 && p[0] == 0xc2 && p[1] < 0xa0))
		return 0;
	return len;
}

static bool is_printable(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		size_t len = character(p + i, n - i);

		if (!len)
			return false;
		i += len;
	}
	return true;
}

const char *snmp_value_type(const struct snmp_value *v)
{
	if (v->type == SNMP_T_OCTETS && !is_printable(v->bytes.p, v->bytes.n))
		return "hex";
	return (unsigned)v->type < SNMP_T__COUNT ? names[v->type] : "?";
}

static void hex(const uint8_t *p, size_t n, struct sb *b)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n && !b->over; i++) {
		if (i)
			sb_ch(b, ':');
		sb_add(b, (char[]){ digits[p[i] >> 4], digits[p[i] & 15] }, 2);
	}
}

/* Hundredths of a second. */
static void ticks(uint64_t t, struct sb *b)
{
	static const struct { unsigned s; char unit; } units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' } };
	uint64_t s = t / 100;

	sb_fmt(b, "%" PRIu64 " (", t);
	for (size_t i = 0; i < FL_ARRAY_LEN(units); i++)
		if (t / 100 >= units[i].s) {
			sb_fmt(b, "%" PRIu64 "%c", s / units[i].s, units[i].unit);
			s %= units[i].s;
		}
	sb_fmt(b, "%" PRIu64 ".%02us)", s, (unsigned)(t % 100));
}

static void octets(const struct snmp_value *v, struct sb *b)
{
	if (v->type == SNMP_T_OCTETS && is_printable(v->bytes.p, v->bytes.n))
		sb_add(b, v->bytes.p, v->bytes.n);
	else
		hex(v->bytes.p, v->bytes.n, b);
}

void snmp_value_text(const struct snmp_value *v, struct sb *b)
{
	switch (v->type) {
	case SNMP_T_INTEGER:
		sb_fmt(b, "%" PRId64, v->i);
		break;
	case SNMP_T_COUNTER32:
	case SNMP_T_GAUGE32:
	case SNMP_T_COUNTER64:
		sb_u64(b, v->u);
		break;
	case SNMP_T_TIMETICKS:
		ticks(v->u, b);
		break;
	case SNMP_T_OCTETS:
	case SNMP_T_OPAQUE:
		octets(v, b);
		break;
	case SNMP_T_OBJID:
		objid_text(&v->oid, b);
		break;
	case SNMP_T_IP:
		sb_fmt(b, "%u.%u.%u.%u", v->ip[0], v->ip[1], v->ip[2], v->ip[3]);
		break;
	case SNMP_T_FLOAT:
		sb_fmt(b, "%g", v->d);
		break;
	default:
		sb_ch(b, '-');
	}
}

void snmp_value_json(const struct snmp_value *v, struct sb *b)
{
	struct sb text;

	switch (v->type) {
	case SNMP_T_TIMETICKS:
		sb_u64(b, v->u);
		return;
	case SNMP_T_INTEGER:
	case SNMP_T_COUNTER32:
	case SNMP_T_GAUGE32:
	case SNMP_T_COUNTER64:
		snmp_value_text(v, b);
		return;
	case SNMP_T_FLOAT:
		if (isfinite(v->d))
			sb_fmt(b, "%.17g", v->d);
		else
			sb_c(b, "null");
		return;
	case SNMP_T_OCTETS:
	case SNMP_T_OPAQUE:
	case SNMP_T_OBJID:
	case SNMP_T_IP:
		sb_init_heap(&text);
		snmp_value_text(v, &text);
		b->over |= text.over;
		sb_json_str(b, sb_get(&text));
		sb_free(&text);
		return;
	default:
		sb_c(b, "null");
	}
}

void snmp_value_clear(struct snmp_value *v)
{
	if (v->type == SNMP_T_OCTETS || v->type == SNMP_T_OPAQUE)
		env_free(v->bytes.p);
	*v = (struct snmp_value){ .type = SNMP_T_NULL };
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.h - what an object holds: typed (RFC 2578 section 7), as text and as JSON
 *
 * Pure; knows nothing of net-snmp.
 */
#ifndef FL_SNMP_VALUE_H
#define FL_SNMP_VALUE_H

#include "snmp/oid.h"

enum snmp_type {
	SNMP_T_INTEGER,
	SNMP_T_COUNTER32,
	SNMP_T_GAUGE32,
	SNMP_T_TIMETICKS,
	SNMP_T_COUNTER64,
	SNMP_T_OCTETS,
	SNMP_T_OBJID,
	SNMP_T_IP,
	SNMP_T_OPAQUE,               /* bytes */
	SNMP_T_FLOAT,                /* net-snmp's, inside of Opaque; float and double */
	SNMP_T_NULL,
	/* no value, and why */
	SNMP_T_NO_OBJECT,
	SNMP_T_NO_INSTANCE,
	SNMP_T_END,
	SNMP_T__COUNT
};

struct snmp_value {
	enum snmp_type type;
	union {
		int64_t      i;      /* INTEGER */
		uint64_t     u;      /* counters, gauge, ticks */
		double       d;
		uint8_t      ip[4];
		struct objid oid;
		struct { uint8_t *p; size_t n; } bytes;     /* OCTETS, OPAQUE: env_malloc, the owner's */
	};
};

/* "counter64", "octets", "hex" (octets that are no text), "noSuchObject" ... */
const char *snmp_value_type(const struct snmp_value *v);
static inline bool snmp_has_value(enum snmp_type t) { return t < SNMP_T_NO_OBJECT; }
/* As a person reads it: octets as text where they are printable UTF-8 without line ends, else hex "00:1b:..."; ticks as
 * "12345 (2m3.45s)". "-" when there is no value. */
void snmp_value_text(const struct snmp_value *v, struct sb *b);
/* As a program reads it: a number, a string, or null. Octets as above. */
void snmp_value_json(const struct snmp_value *v, struct sb *b);
void snmp_value_clear(struct snmp_value *v);     /* frees bytes */

#endif

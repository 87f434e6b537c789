/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oid.h - object identifiers: text to arcs and back, order, subtrees
 *
 * Numeric only: names would need MIB files of the machine, which nothing here reads. Pure.
 */
#ifndef FL_SNMP_OID_H
#define FL_SNMP_OID_H

#include "base/str.h"

#define OID_ARCS_MAX 128             /* RFC 2578 section 3.5 */
#define OID_TEXT_MAX 1408            /* all of them with ten digits, dots and NUL */

struct objid {
	unsigned n;
	uint32_t arc[OID_ARCS_MAX];
};

/* "1.3.6.1.2.1.1.3.0", also with a dot in front: 2 to 128 arcs, as BER writes the first two as one: 0, 1 or 2, and
 * behind 0 and 1 at most 39. 0, FL_ESYNTAX_, FL_ERANGE_ (an arc too large), FL_ELIMIT_ (too many). */
int  objid_parse(struct str s, struct objid *out);
void objid_text(const struct objid *o, struct sb *b);
/* Lexicographic, as GETNEXT goes: negative, 0, positive. */
int  objid_cmp(const struct objid *a, const struct objid *b);
/* Is o below `top`, or `top` itself? */
bool objid_is_under(const struct objid *o, const struct objid *top);

#endif

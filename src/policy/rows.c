/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.c - the table of the fields, made from tbl/fields.def
 *
 * Alone in its file, so that a test can bring rows of its own.
 */
#include "config.h"

#include "policy/expr.h"

/* the short words of fields.def */
enum {
	CONN = POL_CONN,
	HELLO = POL_HELLO,
	REQ = POL_REQ,
	RESP = POL_RESP | POL_LOG,      /* what a response's head knows, its end knows */
	DGRAM = POL_DGRAM,
	LOG = POL_LOG,
};
enum { KEY_NONE, KEY_NAME, KEY_OBJ };
enum { HAS_ONE, HAS_MULTI };

const struct pol_field_row pol_field_rows[POL_F__COUNT] = {
#define F(id, fname, ftype, fplanes, fkey, fmulti, ftext) \
	[POL_F_##id] = {                                  \
		.name = fname,                            \
		.type = POL_##ftype,                      \
		.planes = fplanes,                        \
		.needs_key = KEY_##fkey != KEY_NONE,      \
		.object_key = KEY_##fkey == KEY_OBJ,      \
		.multi = HAS_##fmulti == HAS_MULTI,       \
		.text = ftext,                            \
	},
#include "tbl/fields.def"
#undef F
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.c - rows of the operators and functions, from tbl/operators.def and tbl/functions.def
 */
#include "config.h"

#include "policy/expr.h"

const struct pol_op_row pol_op_rows[POL_OP__COUNT] = {
	[POL_OP_NONE] = { "", "", "", "" },
#define O(id, s, w, o, t) [POL_OP_##id] = { s, w, o, t },
#include "tbl/operators.def"
#undef O
	[POL_OP_EXISTS] = { "", "", "", "" },
	[POL_OP_STARTS] = { "", "starts_with", "", "" },
	[POL_OP_ENDS] = { "", "ends_with", "", "" },
};

const struct pol_fn_row pol_fn_rows[POL_FN__COUNT] = {
#define P(id, fname, fmin, fmax, fresult, fuse, ftext) \
	[POL_FN_##id] = { fname, fmin, fmax, POL_##fresult, fuse, ftext },
#include "tbl/functions.def"
#undef P
};

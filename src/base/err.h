/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.h - results of functions that can fail in operation
 *
 * 0 or positive is success; negative is one of these or a negated errno (-1..-4095).
 * Rows live in tbl/errors.def: E(id, "text"). Never for bugs (ASSERT) and never for
 * configuration mistakes (conf/diag.h).
 */
#ifndef FL_BASE_ERR_H
#define FL_BASE_ERR_H

#include <errno.h>

enum fl_err {
	FL_OK = 0,
	FL_ERR__BASE = -10000,
#define E(id, text) FL_E##id,
#include "tbl/errors.def"
#undef E
	FL_ERR__END
};

/* A text for any negative code; never NULL; static memory or strerror's own (main thread use). */
const char *fl_err_text(int err);
/* The row's id ("AGAIN", "CLOSED", ...) or the errno name's number as text; for logs and tests. */
const char *fl_err_name(int err);

#endif

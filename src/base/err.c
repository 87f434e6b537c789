/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.c - names and texts of result codes, from tbl/errors.def
 */
#include "config.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"

struct err_row {
	const char *name;
	const char *text;
};

/* The trailing underscore of the ids only keeps them apart from errno's macros. */
static const struct err_row err_rows[] = {
#define E(id, text) { #id, text },
#include "tbl/errors.def"
#undef E
};
#define ERR_ROWS FL_ARRAY_LEN(err_rows)

static long err_row(int err)
{
	long i = (long)err - (FL_ERR__BASE + 1);

	return i >= 0 && i < (long)ERR_ROWS ? i : -1;
}

const char *fl_err_text(int err)
{
	long i = err_row(err);

	if (err >= 0)
		return "success";
	if (i >= 0)
		return err_rows[i].text;
	if (err >= -4095)
		return strerror(-err);
	return "unknown error";
}

const char *fl_err_name(int err)
{
	static _Thread_local char text[24];
	long i = err_row(err);
	const char *z;

	if (err >= 0)
		return "OK";
	if (i >= 0) {
		snprintf(text, sizeof(text), "%.*s", (int)strlen(err_rows[i].name) - 1,
			 err_rows[i].name);
		return text;
	}
	z = err >= -4095 ? strerrorname_np(-err) : NULL;
	if (z)
		return z;
	snprintf(text, sizeof(text), "%d", err);
	return text;
}

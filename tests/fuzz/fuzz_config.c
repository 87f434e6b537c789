/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_config.c - any bytes as a configuration: no crash; what loads comes back equal from its dump
 *
 * The text is loaded through an image, so that `include` and file: of an input never touch the file
 * system.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/env.h"
#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct conf_src *closed_src(struct str text, char **image)
{
	struct conf_src *s = conf_src_text("fuzz.conf", text), *out;
	size_t len;

	if (!s || conf_src_image(s, true, image, &len))
		abort();
	out = conf_src_from_image(str_n(*image, len));
	if (!out)
		abort();
	conf_src_free(&s);
	return out;
}

/* Loads; when that goes well the dump is in *dump. */
static int load(struct str text, struct sb *dump, unsigned flags)
{
	struct conf_diag *d = conf_diag_new();
	struct conf *c;
	struct sb said;
	char *image;
	struct conf_src *s = closed_src(text, &image);
	int rc = conf_load(s, d, &c);

	sb_init_heap(&said);
	conf_diag_print(d, &said, text.n % 2);
	if ((rc == 0) != (conf_diag_errors(d) == 0))
		abort();
	if (rc == 0) {
		sb_init_heap(dump);
		conf_dump(c, NULL, flags, dump);
		conf_dump(c, NULL, CONF_DUMP_JSON | CONF_DUMP_DEFAULTS, &said);
	}
	sb_free(&said);
	conf_free(&c);
	conf_src_free(&s);
	env_free(image);
	conf_diag_free(&d);
	return rc;
}

/* Formatting twice is formatting once; what loads is formatted, and says the same afterwards (expressions apart, whose
 * line breaks a dump shows). dump: of the text, NULL when it does not load. */
static void format(struct str text, const struct sb *dump)
{
	struct conf_diag *d = conf_diag_new();
	struct sb once, twice, said;
	int rc;

	sb_init_heap(&once);
	sb_init_heap(&twice);
	rc = conf_fmt(text, "fuzz.conf", d, &once);
	if (rc == 0 && (conf_fmt(sb_get(&once), "fuzz.conf", d, &twice) ||
			!str_eq(sb_get(&once), sb_get(&twice))))
		abort();
	if (dump && (rc || load(once.n ? sb_get(&once) : STR(""), &said, 0)))
		abort();
	if (dump && str_find(sb_get(dump), STR(" when ")) < 0 && !str_eq(sb_get(dump), sb_get(&said)))
		abort();
	if (dump)
		sb_free(&said);
	sb_free(&once);
	sb_free(&twice);
	conf_diag_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_n(data, size);
	struct sb once, twice;

	if (load(text, &once, 0) == 0) {
		if (once.n &&
		    (load(sb_get(&once), &twice, 0) || !str_eq(sb_get(&once), sb_get(&twice))))
			abort();
		if (once.n)
			sb_free(&twice);
		format(text, &once);
		sb_free(&once);
	} else {
		format(text, NULL);
	}
	return 0;
}

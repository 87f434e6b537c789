/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_admin_line.c - any bytes as a line of the control socket
 *
 * A line is cut into commands, words and a call. Words that came out must go in again quoted and
 * come out the same; a call that fits its row must fit it again when its words are written anew; a
 * refusal must say something printable.
 */
#include "config.h"

#include <stdlib.h>

#include "admin/verbs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond) do { if (!(cond)) abort(); } while (0)

static void again(const struct words *w, const struct verb_call *call)
{
	static struct words w2;
	struct verb_call call2;
	const char *why = NULL;
	struct sb line, err;

	sb_init_heap(&line);
	sb_init_heap(&err);
	for (unsigned i = 0; i < w->n; i++) {
		sb_c(&line, i ? " " : "");
		words_quote(&line, w->w[i]);
	}
	CHECK(words_command_end(sb_get(&line)) == line.n);
	if (line.n < LINE_MAX_BYTES) {
		CHECK(words_split(sb_get(&line), &w2, &why));
		CHECK(w2.n == w->n);
		for (unsigned i = 0; i < w->n; i++)
			CHECK(str_eq(w2.w[i], w->w[i]));
		CHECK(verb_parse(w2.w, w2.n, &call2, &err) == (call != NULL));
		CHECK(!call || (call2.id == call->id && call2.n_pos == call->n_pos &&
				call2.n_opt == call->n_opt));
	}
	sb_free(&line);
	sb_free(&err);
}

static void command(struct str s)
{
	static struct words w;
	struct verb_call call;
	const char *why = NULL;
	struct sb err;
	uint64_t ms;

	if (!words_split(s, &w, &why)) {
		CHECK(why && *why);
		return;
	}
	sb_init_heap(&err);
	if (verb_parse(w.w, w.n, &call, &err)) {
		CHECK(call.row && call.n_pos <= VERB_POS_MAX && call.n_opt <= VERB_OPT_MAX);
		(void)text_duration_ms(verb_opt(&call, "--wait", 0), &ms);
		again(&w, &call);
	} else {
		CHECK(err.n > 0);
		for (size_t i = 0; i < err.n; i++)
			CHECK((unsigned char)err.p[i] >= 0x20);
		again(&w, NULL);
	}
	sb_free(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n(data, size);

	for (unsigned i = 0; i < 8; i++) {
		size_t end = words_command_end(rest);

		CHECK(end <= rest.n);
		command(str_n(rest.p, end));
		if (end == rest.n)
			break;
		rest = str_n(rest.p + end + 1, rest.n - end - 1);
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex.c - patterns: PCRE2 for matches, * globs for wildcard
 *
 * A compiled pattern lives in the pool, but for its machine code, which PCRE2 takes from the
 * system: pol_expr_release() gives that back, and the end of the process does. Without a right
 * to make executable memory PCRE2 interprets: slower, the same answers up to the limits.
 *
 * Limits bound the work on one value; reaching one is UNDEF. PCRE2's own match limit starts anew
 * at each place where a match may begin, so 64 KiB of chosen text could take seconds. Patterns
 * therefore call back between their items (callouts: 10 to 50 ns for a usual match), and what
 * they do is added up: METER_CALL for each call and one for each byte that they moved.
 *
 * What a match needs beside the pattern exists once per process and is made with the first
 * pattern, so that evaluation takes no memory; the interpreter may grow it, up to HEAP_KIB, and
 * keeps it. Patterns work on bytes: \C and UTF mode are refused.
 */
#include "config.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/env.h"
#include "policy/expr.h"

#define METER_CALL  64u
#define METER_LIMIT (16u << 20)   /* a few milliseconds */
#define MATCH_LIMIT 1000000u      /* steps from one place */
#define DEPTH_LIMIT 5000u         /* nested backtracking of the interpreter */
#define HEAP_KIB    1024u
#define JIT_STACK   (256u * 1024u)

struct pol_regex {
	pcre2_code       *code;
	struct str        text;
	struct pol_regex *next;
};

static struct {
	pcre2_general_context *general;
	pcre2_match_context   *match;
	pcre2_match_data      *data;
	pcre2_jit_stack       *stack;
	uint64_t               work;         /* of the running match */
	size_t                 at;           /* where its last callout was */
} shared;
static bool want_jit = true;

void pol_regex_use_jit(bool on)
{
	want_jit = on;
}

static void *from_pool(PCRE2_SIZE n, void *pool)
{
	return pool_alloc(pool, n);
}

static void to_pool(void *p, void *pool)
{
	(void)p;
	(void)pool;
}

static void *from_heap(PCRE2_SIZE n, void *unused)
{
	(void)unused;
	return env_malloc(n);
}

static void to_heap(void *p, void *unused)
{
	(void)unused;
	env_free(p);
}

static int meter(pcre2_callout_block *b, void *unused)
{
	size_t at = b->current_position;

	(void)unused;
	shared.work += METER_CALL + (at > shared.at ? at - shared.at : shared.at - at);
	shared.at = at;
	return shared.work > METER_LIMIT ? PCRE2_ERROR_MATCHLIMIT : 0;
}

static bool shared_ready(void)
{
	if (shared.data)
		return true;
	if (!shared.general)
		shared.general = pcre2_general_context_create(from_heap, to_heap, NULL);
	if (!shared.general)
		return false;
	if (!shared.match)
		shared.match = pcre2_match_context_create(shared.general);
	if (!shared.match)
		return false;
	pcre2_set_match_limit(shared.match, MATCH_LIMIT);
	pcre2_set_depth_limit(shared.match, DEPTH_LIMIT);
	pcre2_set_heap_limit(shared.match, HEAP_KIB);
	pcre2_set_callout(shared.match, meter, NULL);
	/* without it the machine code has 32 KiB of our own stack */
	shared.stack = pcre2_jit_stack_create(32 * 1024, JIT_STACK, shared.general);
	if (shared.stack)
		pcre2_jit_stack_assign(shared.match, NULL, shared.stack);
	shared.data = pcre2_match_data_create(1, shared.general);
	return shared.data != NULL;
}

static void fail_pattern(struct pol_ctx *c, const struct pol_node *pattern, int code, size_t at)
{
	struct pol_tok t = { .kind = TK_STRING, .off = pattern->off, .len = pattern->len };
	PCRE2_UCHAR text[128];

	if (code == PCRE2_ERROR_HEAP_FAILED) {
		c->nomem = true;
		pol_fail(c, pattern->off, pattern->len, "out of memory");
		return;
	}
	if (pcre2_get_error_message(code, text, sizeof(text)) < 0)
		text[0] = 0;
	pol_fail(c, pol_lex_string_place(c->src, &t, at), 1, "regular expression: %s",
		 (const char *)text);
}

struct pol_regex *pol_regex_compile(struct pol_ctx *c, const struct pol_node *pattern)
{
	struct pol_regex *r = pol_mem(c, sizeof(*r));
	pcre2_general_context *g = pcre2_general_context_create(from_pool, to_pool, c->pool);
	pcre2_compile_context *cc = g ? pcre2_compile_context_create(g) : NULL;
	const uint32_t flags = PCRE2_CASELESS | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP |
			       PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
	PCRE2_SIZE at = 0;
	int code = PCRE2_ERROR_HEAP_FAILED;

	if (r && cc && shared_ready())
		r->code = pcre2_compile((PCRE2_SPTR)pattern->val.s.p, pattern->val.s.n, flags,
					&code, &at, cc);
	if (!r || !r->code) {
		fail_pattern(c, pattern, code, at);
		return NULL;
	}
	if (want_jit)
		(void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
	r->text = pattern->val.s;
	r->next = c->regexes;
	c->regexes = r;
	return r;
}

enum pol_result pol_regex_match(const struct pol_regex *r, struct str s)
{
	int rc;

	if (!shared_ready())
		return POL_UNDEF;
	shared.work = 0;
	shared.at = 0;
	rc = pcre2_match(r->code, (PCRE2_SPTR)(s.n ? s.p : ""), s.n, 0, 0, shared.data,
			 shared.match);
	if (rc >= 0)
		return POL_TRUE;
	return rc == PCRE2_ERROR_NOMATCH ? POL_FALSE : POL_UNDEF;
}

struct str pol_regex_text(const struct pol_regex *r)
{
	return r->text;
}

void pol_regex_release(struct pol_regex *r)
{
	for (; r; r = r->next) {
		pcre2_code_free(r->code);
		r->code = NULL;
	}
}

/* --- globs: * is any run of bytes, \* and \\ stand for themselves --- */

/* The literal byte at p[*i], *i moved past it. */
static unsigned char glob_byte(struct str p, size_t *i, bool fold)
{
	unsigned char ch;

	if (p.p[*i] == '\\' && *i + 1 < p.n)
		(*i)++;
	ch = (unsigned char)p.p[(*i)++];
	return fold ? fl_lower(ch) : ch;
}

/* Only the last * can need another try, so the work is at most pattern x text. */
bool pol_glob_match(struct str pattern, struct str s, bool fold)
{
	size_t i = 0, k = 0, star_i = 0, star_k = 0;
	bool star = false;

	for (;;) {
		size_t next = i;
		unsigned char ch;

		if (i < pattern.n && pattern.p[i] == '*') {
			star = true;
			star_i = ++i;
			star_k = k;
			continue;
		}
		if (i == pattern.n && k == s.n)
			return true;
		if (i < pattern.n && k < s.n) {
			ch = (unsigned char)s.p[k];
			if (glob_byte(pattern, &next, fold) == (fold ? fl_lower(ch) : ch)) {
				i = next;
				k++;
				continue;
			}
		}
		if (!star || star_k >= s.n)
			return false;
		k = ++star_k;
		i = star_i;
	}
}

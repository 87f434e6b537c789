/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.h - bodies that say in every byte whose they are
 *
 * A body is "id=NNNNNNNNNNNNNNNN;" again and again, NNN being the id of its request. `at` is the offset in the
 * body of the first byte that is written or looked at.
 */
#ifndef FL_TESTS_TOOLS_TOKEN_H
#define FL_TESTS_TOOLS_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define TOKEN 20

static inline void token_set(char token[TOKEN + 1], uint64_t id)
{
	snprintf(token, TOKEN + 1, "id=%016llx;", (unsigned long long)id);
}

static inline void token_fill(char *p, size_t n, const char *token, uint64_t at)
{
	size_t have = 0, piece;

	for (; have < n && have < TOKEN; have++)
		p[have] = token[(at + have) % TOKEN];
	for (; have < n; have += piece) {
		piece = have < n - have ? have : n - have;
		memcpy(p + have, p, piece);
	}
}

/* What has the right first token and repeats after TOKEN bytes is right everywhere. */
static inline bool token_match(const char *p, size_t n, const char *token, uint64_t at)
{
	size_t first = n < TOKEN ? n : TOKEN;

	for (size_t i = 0; i < first; i++)
		if (p[i] != token[(at + i) % TOKEN])
			return false;
	return memcmp(p + first, p, n - first) == 0;
}

#endif

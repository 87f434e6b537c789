/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.c - a command line as words, and words as a line
 */
#include "config.h"

#include "admin/verbs.h"

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

bool words_split(struct str line, struct words *out, const char **why)
{
	size_t m = 0, i = 0;

	out->n = 0;
	if (line.n >= sizeof(out->mem)) {
		*why = "the line is longer than 4095 bytes";
		return false;
	}
	for (size_t k = 0; k < line.n; k++) {
		if (((unsigned char)line.p[k] < 0x20 && line.p[k] != '\t') || line.p[k] == 0x7f) {
			*why = "the line holds bytes that are not text";
			return false;
		}
	}
	while (i < line.n) {
		char quote = 0;
		size_t start = m;

		if (is_blank(line.p[i])) {
			i++;
			continue;
		}
		for (; i < line.n && (quote || !is_blank(line.p[i])); i++) {
			char c = line.p[i];

			if (quote ? c == quote : c == '\'' || c == '"') {
				quote = quote ? 0 : c;
				continue;
			}
			if (c == '\\' && quote != '\'' && i + 1 < line.n)
				c = line.p[++i];
			out->mem[m++] = c;
		}
		if (quote) {
			*why = "a quote is not closed";
			return false;
		}
		if (out->n == WORDS_MAX) {
			*why = "too many words";
			return false;
		}
		out->w[out->n++] = str_n(out->mem + start, m - start);
	}
	return true;
}

size_t words_command_end(struct str line)
{
	char quote = 0;

	for (size_t i = 0; i < line.n; i++) {
		char c = line.p[i];

		if (c == '\\' && quote != '\'' && i + 1 < line.n)
			i++;
		else if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '\'' || c == '"')
			quote = c;
		else if (c == ';')
			return i;
	}
	return line.n;
}

void words_quote(struct sb *b, struct str w)
{
	bool plain = w.n > 0;

	for (size_t i = 0; i < w.n; i++)
		if (is_blank(w.p[i]) || w.p[i] == '\'' || w.p[i] == '"' || w.p[i] == '\\' ||
		    w.p[i] == ';')
			plain = false;
	if (plain) {
		sb_str(b, w);
		return;
	}
	sb_ch(b, '"');
	for (size_t i = 0; i < w.n; i++) {
		if (w.p[i] == '"' || w.p[i] == '\\')
			sb_ch(b, '\\');
		sb_ch(b, w.p[i]);
	}
	sb_ch(b, '"');
}

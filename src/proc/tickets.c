/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tickets.c - see tickets.h
 */
#include "config.h"

#include "proc/tickets.h"

#include <string.h>

#include "base/env.h"
#include "base/err.h"

void tickets_make(struct tickets *t, uint64_t now_ms)
{
	t->n = TICKET_KEYS;
	t->made_ms = now_ms;
	env_random(t->key, sizeof(t->key));
}

void tickets_rotate(struct tickets *t, uint64_t now_ms)
{
	memcpy(t->key[1], t->key[0], TICKET_KEY_LEN);
	memcpy(t->key[0], t->key[2], TICKET_KEY_LEN);
	env_random(t->key[2], TICKET_KEY_LEN);
	t->n = TICKET_KEYS;
	t->made_ms = now_ms;
}

static int digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* 80 bytes are 106 digits and two bits of padding, with or without "==". */
static int decode(struct str s, uint8_t out[TICKET_KEY_LEN])
{
	uint32_t acc = 0;
	unsigned bits = 0, n = 0;

	while (s.n && s.p[s.n - 1] == '=')
		s.n--;
	for (size_t i = 0; i < s.n; i++) {
		int d = digit(s.p[i]);

		if (d < 0)
			return FL_ESYNTAX_;
		acc = acc << 6 | (uint32_t)d;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (n == TICKET_KEY_LEN)
			return FL_ERANGE_;
		out[n++] = (uint8_t)(acc >> bits);
	}
	return n == TICKET_KEY_LEN ? 0 : FL_ERANGE_;
}

int tickets_parse(struct str text, uint8_t keys[TICKET_KEYS][TICKET_KEY_LEN], unsigned *n)
{
	*n = 0;
	while (text.n) {
		struct str line = str_trim(str_cut(&text, '\n'));
		int err;

		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n == 0 || line.p[0] == '#')
			continue;
		if (*n == TICKET_KEYS)
			return FL_ERANGE_;
		err = decode(line, keys[*n]);
		if (err)
			return err;
		++*n;
	}
	return *n ? 0 : FL_ESYNTAX_;
}

int tickets_read_file(struct conf_src *src, const char *path, uint8_t keys[TICKET_KEYS][TICKET_KEY_LEN], unsigned *n)
{
	struct str text;
	int err = conf_src_read(src, path, true, &text);

	*n = 0;
	return err < 0 ? err : tickets_parse(text, keys, n);
}

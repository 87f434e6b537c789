/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_body.c - where the content of a message is in the bytes that follow its head
 *
 * RFC 9112 sections 6.3 and 7.1. Content is never copied: each call names one run of it in the
 * input. A chunked body:
 *
 *   SIZE hex+ [";" EXT] CR LF  ->  DATA  ->  CR LF  ->  SIZE ...
 *   size 0: { LINE name ":" value CR LF }* CR LF
 *
 * Strict (ROBUSTNESS 6.2): at most 16 digits and 2^63-1, CRLF only, extensions bounded. Trailer
 * lines are the only thing that is copied, since they may come in pieces; those that would change
 * what the head said are dropped.
 */
#include "config.h"

#include "http/h1.h"

#include "base/err.h"
#include "http/h1_inside.h"

#define MAX_SIZE_DIGITS 16
#define MAX_EXT 256
#define MAX_EXT_TOTAL (16u * 1024)

enum body_state {
	B_SIZE,
	B_EXT,
	B_SIZE_LF,
	B_DATA,
	B_DATA_CR,
	B_DATA_LF,
	B_LINE,
	B_NAME,
	B_VALUE,
	B_LINE_LF,
	B_END_LF,
};

void h1_body_init(struct h1_body *b, const struct http_head *h)
{
	*b = (struct h1_body){ .kind = h->body };
	if (h->body == HB_LENGTH)
		b->left = h->length;
	b->done = h->body == HB_NONE || (h->body == HB_LENGTH && h->length == 0);
}

/* ---------- chunk lines ---------- */

static enum h1_reason size_byte(struct h1_body *b, uint8_t c)
{
	int digit = h1_hex(c);

	if (digit >= 0) {
		if (b->line++ == MAX_SIZE_DIGITS || b->left > (uint64_t)INT64_MAX >> 4)
			return H1_BAD_CHUNK;
		b->left = b->left << 4 | (unsigned)digit;
		return H1_OK;
	}
	if (b->line == 0 || (c != ';' && c != '\r'))
		return H1_BAD_CHUNK;
	b->line = 0;
	b->state = B_SIZE_LF;
	if (c == '\r')
		return H1_OK;
	b->state = B_EXT;
	return b->ext_total++ >= MAX_EXT_TOTAL ? H1_CHUNK_EXT : H1_OK;
}

static enum h1_reason ext_byte(struct h1_body *b, uint8_t c)
{
	if (c == '\r') {
		b->line = 0;
		b->state = B_SIZE_LF;
		return H1_OK;
	}
	if (!h1_is(c, HC_VALUE))
		return H1_BAD_CHUNK;
	return ++b->line >= MAX_EXT || b->ext_total++ >= MAX_EXT_TOTAL ? H1_CHUNK_EXT : H1_OK;
}

/* ---------- trailers ---------- */

static enum h1_reason keep_text(struct h1_body *b, struct pool *pool, const uint8_t *p, size_t n)
{
	size_t have = b->line - n; /* b->line counts the line's bytes, these included */

	if (b->line > b->text_cap) {
		size_t cap = b->text_cap ? b->text_cap : 128;
		char *more;

		while (cap < b->line)
			cap *= 2;
		more = pool_alloc(pool, cap);
		if (!more)
			return H1_NOMEM;
		if (have)
			memcpy(more, b->text, have);
		b->text = more;
		b->text_cap = (uint32_t)cap;
	}
	if (n)
		memcpy(b->text + have, p, n);
	return H1_OK;
}

/* b->text[0..b->line) is a whole line: name ":" value CR LF. */
static enum h1_reason keep_trailer(struct h1_body *b, struct pool *pool, struct http_head *trailers)
{
	struct str value = str_n(b->text, b->line - 2), name = str_cut(&value, ':');
	enum http_fid id = http_field_id(name);
	int rc;

	if (id != HF_ETAG && h1_field_is_protected(name, id))
		return H1_OK;
	rc = head_add(pool, trailers, name, value);
	b->text = NULL;
	b->text_cap = 0;
	if (rc == FL_ELIMIT_)
		return H1_TOO_MANY_FIELDS;
	return rc ? H1_NOMEM : H1_OK;
}

static enum h1_reason trailer_byte(struct h1_body *b, uint8_t c)
{
	if (++b->trailer_bytes > h1_limits_default.max_head)
		return H1_HEAD_TOO_LONG;
	switch (b->state) {
	case B_LINE:
		if (c == '\r') {
			b->state = B_END_LF;
			return H1_OK;
		}
		if (!h1_is(c, HC_TOKEN))
			return H1_BAD_TRAILER;
		if (++b->n_trailers > h1_limits_default.max_fields)
			return H1_TOO_MANY_FIELDS;
		b->line = 0;
		b->state = B_NAME;
		break;
	case B_NAME:
		if (c == ':')
			b->state = B_VALUE;
		else if (!h1_is(c, HC_TOKEN))
			return H1_BAD_TRAILER;
		break;
	case B_VALUE:
		if (c == '\r')
			b->state = B_LINE_LF;
		else if (!h1_is(c, HC_VALUE))
			return H1_BAD_TRAILER;
		break;
	case B_LINE_LF:
		if (c != '\n')
			return H1_BAD_TRAILER;
		b->state = B_LINE;
		break;
	default:
		if (c != '\n')
			return H1_BAD_TRAILER;
		b->done = true;
		return H1_OK;
	}
	return ++b->line > h1_limits_default.max_field + 2 ? H1_FIELD_TOO_LONG : H1_OK;
}

/* The trailer section from p[*used] on. */
static enum h1_reason trailer_run(struct h1_body *b, const uint8_t *p, size_t n, size_t *used,
				  struct pool *pool, struct http_head *trailers)
{
	size_t from = *used, i;
	bool keep = pool && trailers;
	enum h1_reason why = H1_OK;

	for (i = from; i < n && !b->done; i++) {
		bool line_ends = b->state == B_LINE_LF;

		why = trailer_byte(b, p[i]);
		*used = i;
		if (why)
			return why;
		if (!line_ends)
			continue;
		if (keep)
			why = keep_text(b, pool, p + from, i + 1 - from);
		if (keep && !why)
			why = keep_trailer(b, pool, trailers);
		if (why)
			return why;
		from = i + 1;
	}
	*used = i;
	if (keep && b->state >= B_NAME && b->state <= B_LINE_LF && i > from)
		why = keep_text(b, pool, p + from, i - from);
	return why;
}

/* ---------- bodies ---------- */

/* One byte of chunk framing outside of the trailer section. */
static enum h1_reason frame_byte(struct h1_body *b, uint8_t c)
{
	switch (b->state) {
	case B_SIZE: return size_byte(b, c);
	case B_EXT: return ext_byte(b, c);
	case B_SIZE_LF:
		if (c != '\n')
			return H1_BAD_CHUNK;
		b->state = b->left ? B_DATA : B_LINE;
		return H1_OK;
	case B_DATA_CR: b->state = B_DATA_LF; return c == '\r' ? H1_OK : H1_CHUNK_END;
	default: b->state = B_SIZE; return c == '\n' ? H1_OK : H1_CHUNK_END;
	}
}

static struct str take_data(struct h1_body *b, const uint8_t *p, size_t n, size_t *used)
{
	struct str data = str_n(p + *used, n - *used);

	if (data.n > b->left)
		data.n = (size_t)b->left;
	b->left -= data.n;
	*used += data.n;
	return data;
}

static enum h1_reason chunked_run(struct h1_body *b, const uint8_t *p, size_t n, size_t *used,
				  struct str *data, struct pool *pool, struct http_head *trailers)
{
	while (*used < n && !b->done) {
		enum h1_reason why;

		if (b->state >= B_LINE)
			return trailer_run(b, p, n, used, pool, trailers);
		if (b->state == B_DATA) {
			*data = take_data(b, p, n, used);
			if (b->left == 0)
				b->state = B_DATA_CR;
			return H1_OK;
		}
		why = frame_byte(b, p[*used]);
		if (why)
			return why;
		(*used)++;
	}
	return H1_OK;
}

int h1_body_next(struct h1_body *b, const uint8_t *p, size_t n, size_t *used, struct str *data,
		 struct pool *pool, struct http_head *trailers, enum h1_reason *why)
{
	*used = 0;
	*data = STR_NULL;
	if (b->done || n == 0)
		return 0;
	switch (b->kind) {
	case HB_LENGTH:
		*data = take_data(b, p, n, used);
		b->done = b->left == 0;
		return 0;
	case HB_CLOSE:
		*data = str_n(p, n);
		*used = n;
		return 0;
	case HB_CHUNKED:
		*why = chunked_run(b, p, n, used, data, pool, trailers);
		return *why ? -1 : 0;
	case HB_NONE: break;
	}
	return 0;
}

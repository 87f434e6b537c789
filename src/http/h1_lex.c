/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_lex.c - a message head as lines and parts: the only code that looks at every byte of it
 *
 * A state machine over bytes (RFC 9112 sections 2 to 5; strict, ROBUSTNESS 6.2): any prefix of a
 * head leads to the same state however it was cut, so a refusal comes at the first byte that proves
 * it, limits included. The whole state fits in one size_t, which makes heads that come in pieces
 * cost linear time. Each state runs over a class of bytes (h1_span.h) up to `stop`, the nearest of
 * the input's end, the line's limit and the head's limit. Field lines that are whole and correct are
 * taken many at a time; a line that is not is looked at again by the states, which alone refuse.
 *
 *   request:   EMPTY (CRLF)* METHOD SP TARGET SP VERSION CR LF
 *   response:  VERSION SP STATUS [SP REASON] CR LF
 *   both:      { LINE NAME ":" VALUE CR LF }* CR LF
 *
 * What fields mean is h1_head.c's business.
 */
#include "config.h"

#include "http/h1_inside.h"

/* clang-format off */
/* Sums of HC_*, sixteen to a line: control characters, then from SP, "0", "@", "P", "`", "p". */
const uint8_t h1_class[256] = {
	  0,   0,   0,   0,   0,   0,   0,   0,   0,   2,   0,   0,   0,   0,   0,   0,
	  0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
	  2,  31,   6,   3,  31,  23,  31,  31,  30,  30,  31,  31,  30, 127,  87,  30,
	127, 127, 127, 127, 127, 127, 127, 127, 127, 127,  30,  22,   6,  30,   6,  22,
	 30,  95,  95,  95,  95,  95,  95,  95,  95,  95,  95,  95,  95,  95,  95,  95,
	 95,  95,  95,  95,  95,  95,  95,  95,  95,  95,  95,   6,   6,   6,   7, 127,
	  7, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127,
	127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127,   6,   7,   6,  95,   0,
	  2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
	  2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
	  2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
	  2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
	  2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
	  2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
	  2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
	  2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,   2,
};
/* clang-format on */

enum lex_state {
	S_EMPTY,
	S_EMPTY_LF,
	S_METHOD,
	S_TARGET,
	S_VERSION, /* VERSION + 0..7: "HTTP/1.x" */
	S_VERSION_END = S_VERSION + 8,
	S_STATUS, /* STATUS + 0..2: digits */
	S_STATUS_END = S_STATUS + 3,
	S_REASON,
	S_START_LF,
	S_LINE,
	S_NAME,
	S_VALUE,
	S_LF,
	S_END_LF,
	S__COUNT
};

#define MAX_EMPTY_LINES 2

/* The mark: pos, line, state, n_lines from the lowest bit up. */
#define MARK_POS_BITS 24
#define MARK_STATE_BITS 5
#define MARK_LINE_SHIFT MARK_POS_BITS
#define MARK_STATE_SHIFT (2 * MARK_POS_BITS)
#define MARK_COUNT_SHIFT (MARK_STATE_SHIFT + MARK_STATE_BITS)
#define MARK_POS_MAX (((size_t)1 << MARK_POS_BITS) - 1)
_Static_assert(sizeof(size_t) == 8, "the lexer's mark needs 64 bits");
_Static_assert(S__COUNT <= 1 << MARK_STATE_BITS, "too many states for the mark");
_Static_assert(HEAD_FIELDS_MAX < 1 << (64 - MARK_COUNT_SHIFT), "too many fields for the mark");

int h1_hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void h1_lex_init(struct h1_lex *x, bool is_response, const struct h1_limits *l,
		 struct h1_line *lines)
{
	*x = (struct h1_lex){ .is_response = is_response, .l = *l, .lines = lines };
	x->state = is_response ? S_VERSION : S_EMPTY;
	x->l.max_head = FL_MIN(l->max_head, MARK_POS_MAX);
	x->l.max_request_line = FL_MIN(l->max_request_line, MARK_POS_MAX);
	x->l.max_field = FL_MIN(l->max_field, MARK_POS_MAX);
	x->l.max_fields = FL_MIN(l->max_fields, HEAD_FIELDS_MAX);
}

size_t h1_lex_mark(const struct h1_lex *x)
{
	if (x->pos == 0)
		return 0;
	return x->pos | x->line << MARK_LINE_SHIFT | (size_t)x->state << MARK_STATE_SHIFT |
	       (size_t)x->n_lines << MARK_COUNT_SHIFT;
}

void h1_lex_resume(struct h1_lex *x, size_t mark)
{
	if (mark == 0)
		return;
	x->pos = mark & MARK_POS_MAX;
	x->line = mark >> MARK_LINE_SHIFT & MARK_POS_MAX;
	x->state = mark >> MARK_STATE_SHIFT & ((1u << MARK_STATE_BITS) - 1);
	x->n_lines = (unsigned)(mark >> MARK_COUNT_SHIFT);
	x->lines = NULL;
}

/* ---------- how a step ends ---------- */

static enum h1_lexed more(struct h1_lex *x, size_t pos, unsigned state)
{
	x->pos = pos;
	x->state = state;
	return H1L_MORE;
}

static enum h1_lexed bad(struct h1_lex *x, size_t pos, enum h1_reason why)
{
	x->pos = pos;
	x->why = x->p[pos] == '\n' ? H1_BARE_LF : why;
	return H1L_BAD;
}

static enum h1_lexed next_line(struct h1_lex *x, size_t pos)
{
	x->pos = x->line = pos;
	x->state = S_LINE;
	return H1L_DONE;
}

/* ---------- start lines ---------- */

/* "HTTP/1.0" or "HTTP/1.1" at p[pos..stop); x->state says how much of it was there before. Leaves
 * pos behind what it took. DONE: the whole. */
static enum h1_lexed lex_version(struct h1_lex *x, size_t *pos, size_t stop)
{
	static const char want[] = "HTTP/1.";
	const uint8_t *v = x->p + *pos;

	if (x->state == S_VERSION && stop - *pos >= 8 && memcmp(v, want, 7) == 0 &&
	    (v[7] == '0' || v[7] == '1')) { /* as it nearly always is */
		x->minor = v[7] - '0';
		*pos += 8;
		return H1L_DONE;
	}
	for (unsigned k = x->state - S_VERSION; k < 8; k++, (*pos)++) {
		uint8_t c;

		if (*pos == stop)
			return more(x, *pos, S_VERSION + k);
		c = x->p[*pos];
		if (k == 7 && (c == '0' || c == '1')) {
			x->minor = c - '0';
			continue;
		}
		if (k < 7 && c == (uint8_t)want[k])
			continue;
		if (x->is_response)
			return bad(x, *pos, k < 5 ? H1_BAD_STATUS : H1_BAD_VERSION);
		if (k != 5 || c < '0' || c > '9')
			return bad(x, *pos, H1_BAD_VERSION);
		/* the preface of HTTP/2 (RFC 9113 section 3.4) is a request line of its own */
		return bad(x, *pos,
			   c == '2' && *pos - x->line == 11 &&
					   memcmp(x->p + x->line, "PRI * ", 6) == 0
				   ? H1_H2_PREFACE
				   : H1_VERSION);
	}
	return H1L_DONE;
}

static enum h1_lexed lex_empty(struct h1_lex *x, size_t *pos, size_t stop)
{
	for (;;) {
		if (*pos == stop)
			return more(x, *pos, x->state);
		if (x->state == S_EMPTY) {
			if (x->p[*pos] != '\r' || x->line >= 2 * MAX_EMPTY_LINES)
				return H1L_DONE;
			x->state = S_EMPTY_LF;
		} else {
			if (x->p[*pos] != '\n')
				return bad(x, *pos, H1_BARE_CR);
			x->state = S_EMPTY;
			x->line += 2;
		}
		(*pos)++;
	}
}

static enum h1_lexed lex_request_line(struct h1_lex *x, size_t stop)
{
	const uint8_t *p = x->p;
	size_t i = x->pos;
	enum h1_lexed r;

	if (x->state <= S_EMPTY_LF) {
		size_t line = x->line;

		r = lex_empty(x, &i, stop);
		if (r != H1L_DONE)
			return r;
		x->start = x->pos = i;
		x->state = S_METHOD;
		if (x->line != line)
			return H1L_DONE; /* it begins later than `stop` was made for */
	}
	if (x->state == S_METHOD) { /* too short for a span */
		while (i < stop && h1_is(p[i], HC_TOKEN))
			i++;
		if (i == stop)
			return more(x, i, S_METHOD);
		if (p[i] != ' ' || i == x->line)
			return bad(x, i, H1_BAD_METHOD);
		x->part1 = i++;
		x->state = S_TARGET;
	}
	if (x->state == S_TARGET) {
		i = h1_span->target(p, i, stop);
		if (i == stop)
			return more(x, i, S_TARGET);
		if (p[i] != ' ') /* "GET /" CR: HTTP/0.9 */
			return bad(x, i, p[i] == '\r' ? H1_BAD_VERSION : H1_BAD_TARGET);
		if (p[i - 1] == ' ')
			return bad(x, i, H1_BAD_TARGET);
		x->part2 = i++;
		x->state = S_VERSION;
	}
	if (x->state < S_VERSION_END) {
		r = lex_version(x, &i, stop);
		if (r != H1L_DONE)
			return r;
		x->state = S_VERSION_END;
	}
	if (x->state == S_VERSION_END) {
		if (i == stop)
			return more(x, i, S_VERSION_END);
		if (p[i++] != '\r')
			return bad(x, i - 1, H1_BAD_VERSION);
	}
	if (i == stop)
		return more(x, i, S_START_LF);
	return p[i] == '\n' ? next_line(x, i + 1) : bad(x, i, H1_BARE_CR);
}

/* A missing SP before an absent reason is accepted: many services send "HTTP/1.1 200" CRLF. */
static enum h1_lexed lex_status_line(struct h1_lex *x, size_t stop)
{
	const uint8_t *p = x->p;
	size_t i = x->pos;

	if (x->state < S_VERSION_END) {
		enum h1_lexed r = lex_version(x, &i, stop);

		if (r != H1L_DONE)
			return r;
		x->state = S_VERSION_END;
	}
	if (x->state == S_VERSION_END) {
		if (i == stop)
			return more(x, i, S_VERSION_END);
		if (p[i++] != ' ')
			return bad(x, i - 1, H1_BAD_STATUS);
		x->state = S_STATUS;
	}
	for (; x->state < S_STATUS_END; x->state++, i++) {
		if (i == stop)
			return more(x, i, x->state);
		if (p[i] < '0' || p[i] > '9' ||
		    (x->state == S_STATUS && (p[i] < '1' || p[i] > '5')))
			return bad(x, i, H1_BAD_STATUS);
		x->status = (uint16_t)(x->status * 10 + (p[i] - '0'));
	}
	if (x->state == S_STATUS_END) {
		if (i == stop)
			return more(x, i, S_STATUS_END);
		if (p[i] != ' ' && p[i] != '\r')
			return bad(x, i, H1_BAD_STATUS);
		x->part1 = p[i] == ' ' ? ++i : i;
		x->state = S_REASON;
	}
	if (x->state == S_REASON) {
		i = h1_span->value(p, i, stop);
		if (i == stop)
			return more(x, i, S_REASON);
		if (p[i] != '\r')
			return bad(x, i, H1_BAD_STATUS);
		x->part2 = i++;
	}
	if (i == stop)
		return more(x, i, S_START_LF);
	return p[i] == '\n' ? next_line(x, i + 1) : bad(x, i, H1_BARE_CR);
}

/* ---------- fields ---------- */

static enum h1_reason line_begins(const struct h1_lex *x, uint8_t c)
{
	if (c == ' ' || c == '\t')
		return H1_OBS_FOLD;
	if (x->n_lines >= x->l.max_fields)
		return H1_TOO_MANY_FIELDS;
	return h1_is(c, HC_TOKEN) ? H1_OK : H1_BAD_FIELD_NAME;
}

/* One field line. DONE with state S_LINE: more lines; with S_END_LF: the head ends before x->pos.
 * */
static enum h1_lexed lex_field(struct h1_lex *x, size_t stop)
{
	const uint8_t *p = x->p;
	size_t i = x->pos;
	enum h1_reason why;

	switch (x->state) {
	case S_LINE:
		if (i == stop)
			return more(x, i, S_LINE);
		if (p[i] == '\r') {
			i++;
			goto end;
		}
		why = line_begins(x, p[i]);
		if (why)
			return bad(x, i, why);
		/* fall through */
	case S_NAME:
		i = h1_span->token(p, i, stop);
		if (i == stop)
			return more(x, i, S_NAME);
		if (p[i] != ':')
			return bad(x, i,
				   p[i] == ' ' || p[i] == '\t' ? H1_SPACE_COLON
							       : H1_BAD_FIELD_NAME);
		if (x->lines)
			x->lines[x->n_lines].colon = (uint32_t)i;
		i++;
		/* fall through */
	case S_VALUE:
		i = h1_span->value(p, i, stop);
		if (i == stop)
			return more(x, i, S_VALUE);
		if (p[i] != '\r')
			return bad(x, i, H1_BAD_FIELD_VALUE);
		i++;
		/* fall through */
	case S_LF:
		if (i == stop)
			return more(x, i, S_LF);
		if (p[i] != '\n')
			return bad(x, i, H1_BARE_CR);
		if (x->lines) {
			x->lines[x->n_lines].name = (uint32_t)x->line;
			x->lines[x->n_lines].end = (uint32_t)i - 1;
		}
		x->n_lines++;
		return next_line(x, i + 1);
	default: break;
	}
end:
	if (i == stop)
		return more(x, i, S_END_LF);
	if (p[i] != '\n')
		return bad(x, i, H1_BARE_CR);
	x->pos = i + 1;
	x->state = S_END_LF;
	return H1L_DONE;
}

/* The lines that are there as a whole and in order, in one go. Whatever comes then (the end of the
 * head, a piece, a mistake, a limit) is lex_field()'s to tell. */
static void take_whole_lines(struct h1_lex *x)
{
	size_t stop = FL_MIN(x->n, x->l.max_head);

	if (x->pos >= stop || x->n_lines >= x->l.max_fields)
		return;
	x->n_lines += h1_span->lines(x->p, &x->pos, stop, x->l.max_field,
				     x->lines ? x->lines + x->n_lines : NULL,
				     x->l.max_fields - x->n_lines);
	x->line = x->pos;
}

enum h1_lexed h1_lex_run(struct h1_lex *x, const uint8_t *p, size_t n)
{
	ASSERT(x->pos <= n);
	x->p = p;
	x->n = n;
	for (;;) {
		bool first = x->state < S_LINE;
		size_t line_end, limit, stop;
		enum h1_lexed r;

		if (x->state == S_LINE)
			take_whole_lines(x);
		/* a line's limit counts its text; 2 for CRLF */
		line_end = x->line + (first ? x->l.max_request_line : x->l.max_field) + 2;
		limit = FL_MIN(line_end, x->l.max_head);
		stop = FL_MIN(n, limit);
		if (x->pos > stop) { /* limits became smaller between calls */
			x->why = H1_HEAD_TOO_LONG;
			return H1L_BAD;
		}
		if (!first)
			r = lex_field(x, stop);
		else
			r = x->is_response ? lex_status_line(x, stop) : lex_request_line(x, stop);
		if (r == H1L_BAD || (r == H1L_DONE && x->state == S_END_LF))
			return r;
		if (r == H1L_MORE && n > limit && x->pos == limit) {
			x->why = limit < line_end ? H1_HEAD_TOO_LONG
				 : first          ? H1_LINE_TOO_LONG
						  : H1_FIELD_TOO_LONG;
			return H1L_BAD;
		}
		if (r == H1L_MORE)
			return r;
	}
}

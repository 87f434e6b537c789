/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_h1_span.c - every implementation against the byte classes, and against each other
 *
 * Texts end where a page ends behind which nothing may be read, and again begin behind such a page;
 * so all alignments come along, and a read outside faults in every build.
 */
#include "config.h"

#include <sys/mman.h>
#include <unistd.h>

#include "http/h1_inside.h"
#include "tests/unit/base/unit.h"

#define LENGTH_MAX 80
#define POSITION_MAX 70

/* The first and the last byte that may be touched. */
static uint8_t *room, *room_end;

static void make_room(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *mem = mmap(NULL, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(mem != MAP_FAILED);
	room = mem + page;
	room_end = room + 2 * page;
	ck_assert_int_eq(mprotect(room, 2 * page, PROT_READ | PROT_WRITE), 0);
}

struct run {
	const char *name;
	unsigned cls;
	h1_run_fn *fn;
};
#define RUNS 5

static void list_runs(const struct h1_span *s, struct run out[RUNS])
{
	const struct run runs[RUNS] = {
		{ "token", HC_TOKEN, s->token }, { "target", HC_TARGET, s->target },
		{ "value", HC_VALUE, s->value }, { "path", HC_PATH, s->path },
		{ "query", HC_QUERY, s->query },
	};

	memcpy(out, runs, sizeof(runs));
}

static size_t want_run(unsigned cls, const uint8_t *p, size_t i, size_t stop)
{
	while (i < stop && h1_is(p[i], cls))
		i++;
	return i;
}

/* One call for text[0, stop) from i on. */
static void check_run(const struct h1_span *s, const struct run *r, const uint8_t *p, size_t i,
		      size_t stop)
{
	size_t got = r->fn(p, i, stop), want = want_run(r->cls, p, i, stop);

	if (got != want) /* check makes a note of each assertion, and here are millions */
		ck_abort_msg("%s %s from %zu to %zu, at page + %zu: %zu, want %zu", s->name,
			     r->name, i, stop, (size_t)(p - room), got, want);
}

static void check_place(const struct h1_span *s, const struct run *r, uint8_t *p, size_t stop)
{
	memset(p, 'a', stop); /* a member of every class */
	for (size_t i = 0; i <= stop; i++)
		check_run(s, r, p, i, stop);
	for (size_t at = 0; at < stop && at <= POSITION_MAX; at++) {
		for (unsigned c = 0; c < 256; c++) {
			p[at] = (uint8_t)c;
			check_run(s, r, p, 0, stop);
			check_run(s, r, p, at / 2, stop);
			check_run(s, r, p, at, stop);
			check_run(s, r, p, at + 1, stop);
		}
		p[at] = 'a';
	}
}

START_TEST(every_byte_everywhere)
{
	const struct h1_span *s = h1_span_nth((unsigned)_i);
	struct run runs[RUNS];

	list_runs(s, runs);
	make_room();
	for (size_t stop = 0; stop <= LENGTH_MAX; stop++)
		for (unsigned k = 0; k < RUNS; k++) {
			check_place(s, &runs[k], room_end - stop, stop);
			check_place(s, &runs[k], room, stop);
		}
}
END_TEST

/* What lies around the text is not looked at, wherever it begins. */
START_TEST(every_alignment)
{
	const struct h1_span *s = h1_span_nth((unsigned)_i);
	struct run runs[RUNS];

	list_runs(s, runs);
	make_room();
	for (int around = 0; around < 2; around++)
		for (size_t start = 0; start < 64; start++)
			for (size_t stop = 0; stop <= LENGTH_MAX; stop++) {
				memset(room, around ? 'a' : '\0', 256);
				memset(room + start, 'a', stop);
				for (unsigned k = 0; k < RUNS; k++)
					for (size_t i = 0; i <= stop; i++)
						check_run(s, &runs[k], room + start, i, stop);
			}
}
END_TEST

START_TEST(random_texts)
{
	static const char common[] = "aB0-_./?;%&=:, \t\r\n\"\\\x7f\x80\xff";
	const struct h1_span *s = h1_span_nth((unsigned)_i);
	struct run runs[RUNS];
	uint64_t seed = 1;

	list_runs(s, runs);
	make_room();
	for (int round = 0; round < 4000; round++) {
		size_t n = unit_rand(&seed) % 300;
		uint8_t *p = room_end - n;

		for (size_t i = 0; i < n; i++) {
			uint64_t x = unit_rand(&seed);

			p[i] = x % 8 ? 'a' : (uint8_t)common[(x >> 8) % (sizeof(common) - 1)];
		}
		for (unsigned k = 0; k < RUNS; k++)
			for (size_t i = 0; i <= n; i++)
				check_run(s, &runs[k], p, i, n);
	}
}
END_TEST

/* Lines ------------------------------------------------------------------------------------ */

#define LINES_MAX 64

struct outcome {
	unsigned n;
	size_t pos;
	struct h1_line lines[LINES_MAX + 1];
};

static void take(const struct h1_span *s, const uint8_t *p, size_t pos, size_t stop, size_t max_len,
		 unsigned max_lines, struct outcome *o)
{
	memset(o, 0, sizeof(*o));
	o->pos = pos;
	o->n = s->lines(p, &o->pos, stop, max_len, o->lines, max_lines);
}

static void check_lines(const struct h1_span *s, const uint8_t *p, size_t pos, size_t stop,
			size_t max_len, unsigned max_lines)
{
	const struct h1_span *scalar = s;
	struct outcome got, want;
	size_t end = pos;

	for (unsigned k = 0; h1_span_nth(k); k++)
		scalar = h1_span_nth(k);
	take(scalar, p, pos, stop, max_len, max_lines, &want);
	take(s, p, pos, stop, max_len, max_lines, &got);
	if (memcmp(&got, &want, sizeof(want)) != 0)
		ck_abort_msg("%s: from %zu to %zu (%zu, %u): %u lines to %zu, want %u to %zu",
			     s->name, pos, stop, max_len, max_lines, got.n, got.pos, want.n,
			     want.pos);
	if (s->lines(p, &end, stop, max_len, NULL, max_lines) != want.n || end != want.pos)
		ck_abort_msg("%s: from %zu to %zu: another result without room for lines", s->name,
			     pos, stop);
}

START_TEST(line_table)
{
	static const struct {
		const char *text;
		size_t max_len;
		unsigned max_lines, want;
	} rows[] = {
		{ "A: b\r\n", 4, 9, 1 },
		{ "A: b\r\n", 3, 9, 0 },
		{ "A: b\r\nCc:\r\n\r\n", 99, 9, 2 },
		{ "A: b\r\nCc:\r\n\r\n", 99, 1, 1 },
		{ "A: b\r\nCc:\r\n\r\n", 99, 0, 0 },
		{ "A:\t\xe4\r\nB:b:b\r\nC", 99, 9, 2 },
		{ "A: b\r\nB: c\r", 99, 9, 1 },
		{ "A: b\r\nB: c", 99, 9, 1 },
		{ "A: b\r\nB", 99, 9, 1 },
		{ "", 99, 9, 0 },
		{ "\r\n", 99, 9, 0 },
		{ ":\r\n", 99, 9, 0 },
		{ ": b\r\n", 99, 9, 0 },
		{ "A\r\n", 99, 9, 0 },
		{ "A : b\r\n", 99, 9, 0 },
		{ " A: b\r\n", 99, 9, 0 },
		{ "A: b\n", 99, 9, 0 },
		{ "A: b\r\r\n", 99, 9, 0 },
		{ "A: b\x7f\r\n", 99, 9, 0 },
		{ "A: b\r\nB: c\rD: e\r\n", 99, 9, 1 },
	};
	const struct h1_span *s = h1_span_nth((unsigned)_i);

	make_room();
	for (size_t k = 0; k < FL_ARRAY_LEN(rows); k++)
		for (size_t pad = 0; pad < 130; pad++) { /* a line in front, long or short */
			size_t n = strlen(rows[k].text);
			uint8_t *p = room_end - n - pad;
			struct outcome o;

			memset(p, 'a', pad);
			memcpy(p + pad, rows[k].text, n);
			take(s, p, pad, pad + n, rows[k].max_len, rows[k].max_lines, &o);
			ck_assert_msg(o.n == rows[k].want, "%s: row %zu behind %zu: %u lines",
				      s->name, k, pad, o.n);
		}
}
END_TEST

/* Lines around the sizes of blocks. */
static size_t make_lines(uint8_t *text, size_t cap)
{
	static const size_t names[] = { 1, 4, 15, 16, 31, 33, 70 };
	static const size_t values[] = { 0, 3, 61, 64, 130 };
	size_t n = 0;

	for (size_t k = 0; k < FL_ARRAY_LEN(names); k++) {
		size_t value = values[k % FL_ARRAY_LEN(values)];

		ck_assert_uint_le(n + names[k] + value + 3, cap);
		memset(text + n, 'n', names[k]);
		text[n += names[k]] = ':';
		memset(text + n + 1, 'v', value);
		memcpy(text + n + 1 + value, "\r\n", 2);
		n += value + 3;
	}
	return n;
}

START_TEST(every_byte_in_lines)
{
	const struct h1_span *s = h1_span_nth((unsigned)_i);
	static uint8_t text[1024];
	size_t n = make_lines(text, sizeof(text));
	uint8_t *p;

	make_room();
	p = memcpy(room_end - n, text, n);
	for (size_t at = 0; at < n; at++) {
		for (unsigned c = 0; c < 256; c++) {
			p[at] = (uint8_t)c;
			check_lines(s, p, 0, n, 200, LINES_MAX);
		}
		p[at] = text[at];
	}
}
END_TEST

START_TEST(every_part_of_lines)
{
	const struct h1_span *s = h1_span_nth((unsigned)_i);
	static uint8_t text[1024];
	size_t n = make_lines(text, sizeof(text));

	make_room();
	for (size_t stop = 0; stop <= n; stop++) {
		uint8_t *p = memcpy(room_end - stop, text, stop);

		for (size_t pos = 0; pos <= stop; pos++)
			check_lines(s, p, pos, stop, 100, LINES_MAX);
	}
}
END_TEST

START_TEST(random_lines)
{
	/* the last three are wrong and not in every text */
	static const char *const pieces[] = { "A",        "name", ":",    ": ",  "value",
					      "\r\n",     "\r\n", "\r\n", ": v", "Host",
					      "a: b\r\n", "\t",   "\r",   "\n" };
	const struct h1_span *s = h1_span_nth((unsigned)_i);
	static uint8_t text[2048];
	uint64_t seed = 1;

	make_room();
	for (int round = 0; round < 40000; round++) {
		size_t n = 0, to = unit_rand(&seed) % 400;
		unsigned bad = unit_rand(&seed) % 2 ? 11 : FL_ARRAY_LEN(pieces);

		while (n < to) {
			const char *one = pieces[unit_rand(&seed) % bad];
			size_t k = strlen(one), times = unit_rand(&seed) % 40 ? 1 : 70;

			for (; times; times--, n += k)
				memcpy(text + n, one, k);
		}
		check_lines(s, memcpy(room_end - n, text, n), unit_rand(&seed) % (n + 1), n,
			    unit_rand(&seed) % 100, (unsigned)(unit_rand(&seed) % LINES_MAX));
	}
}
END_TEST

/* Choice ----------------------------------------------------------------------------------- */

START_TEST(choice)
{
	const struct h1_span *best = h1_span_nth(0);
	unsigned n = 0;

	ck_assert_ptr_nonnull(best);
	ck_assert_ptr_eq(h1_span, best);
	for (; h1_span_nth(n); n++) {
		ck_assert(h1_span_use(h1_span_nth(n)->name));
		ck_assert_ptr_eq(h1_span, h1_span_nth(n));
		ck_assert(!h1_span_use("scala"));
		ck_assert(!h1_span_use(""));
		ck_assert_ptr_eq(h1_span, h1_span_nth(n));
	}
	ck_assert_str_eq(h1_span->name, "scalar");
	ck_assert(h1_span_use(NULL));
	ck_assert_ptr_eq(h1_span, best);
#if defined(__x86_64__)
	ck_assert_int_eq(h1_span_use("avx2"), !!__builtin_cpu_supports("avx2"));
	ck_assert_int_eq(h1_span_use("ssse3"), !!__builtin_cpu_supports("ssse3"));
#endif
}
END_TEST

/* Each test once for each implementation, whose number it gets as _i. */
#define SPAN_CASE(suite, name, fn) \
	do { \
		TCase *tc_ = tcase_create(name); \
		tcase_set_timeout(tc_, 60); \
		tcase_add_loop_test(tc_, fn, 0, n); \
		suite_add_tcase(suite, tc_); \
	} while (0)

int main(void)
{
	Suite *s = suite_create("http/h1_span");
	int n = 0;

	while (h1_span_nth((unsigned)n))
		n++;
	SPAN_CASE(s, "every byte everywhere", every_byte_everywhere);
	SPAN_CASE(s, "every alignment", every_alignment);
	SPAN_CASE(s, "random texts", random_texts);
	SPAN_CASE(s, "line table", line_table);
	SPAN_CASE(s, "every byte in lines", every_byte_in_lines);
	SPAN_CASE(s, "every part of lines", every_part_of_lines);
	SPAN_CASE(s, "random lines", random_lines);
	UNIT_CASE(s, "choice", choice);
	return unit_run(s);
}

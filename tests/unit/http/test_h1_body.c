/* SPDX-License-Identifier: Apache-2.0 */
/* test_h1_body.c - framing of bodies: content, end and refusal are the same for every split */
#include "config.h"

#include <stdio.h>
#include <time.h>

#include "http/h1.h"
#include "tests/unit/base/unit.h"

struct row {
	const char *name;
	struct str input;
	/* content|trailers, then "!code@offset", "..." when not done, "+n" for bytes left */
	const char *want;
};
#define ROW(name, input, want) \
	{ \
		name, { input, sizeof(input) - 1 }, want \
	}

static const struct row chunked[] = {
	ROW("empty", "0\r\n\r\n", "|"),
	ROW("one", "5\r\nhello\r\n0\r\n\r\n", "hello|"),
	ROW("two", "5\r\nhello\r\n1\r\n \r\n0\r\n\r\n", "hello |"),
	ROW("hex in both cases", "a\r\n0123456789\r\nA\r\nabcdefghij\r\n0\r\n\r\n",
	    "0123456789abcdefghij|"),
	ROW("leading zeros", "0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n", "abc|"),
	ROW("next message follows", "1\r\na\r\n0\r\n\r\nGET", "a|+3"),
	ROW("content like framing", "7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n\r\n|"),
	ROW("extension", "1;a=b\r\nx\r\n0;c=\"d e\"\r\n\r\n", "x|"),
	ROW("empty extension", "1;\r\nx\r\n0\r\n\r\n", "x|"),
	ROW("largest size", "7fffffffffffffff\r\nabc", "abc|..."),
	ROW("incomplete size", "5", "|..."),
	ROW("incomplete content", "5\r\nab", "ab|..."),
	ROW("incomplete end", "0\r\n\r", "|..."),
	ROW("trailers", "0\r\nA: b\r\nC:\t d e \r\n\r\n", "|A: b|C: d e"),
	ROW("trailers after content", "1\r\nx\r\n0\r\nETag: y\r\n\r\nz", "x|ETag: y+1"),
	ROW("empty trailer", "0\r\nA:\r\n\r\n", "|A: "),
	ROW("trailer value with colons", "0\r\nA: b:c\r\n\r\n", "|A: b:c"),
	ROW("trailers that are dropped",
	    "0\r\nContent-Length: 5\r\nA: 1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n"
	    "Authorization: y\r\n"
	    "Cookie: z\r\nX-Forwarded-For: q\r\nSet-Cookie: r\r\n"
	    "Content-Encoding: gzip\r\nB: 2\r\n\r\n",
	    "|A: 1|B: 2"),
	ROW("trailers that are dropped, with _ for -",
	    "0\r\nX_Forwarded_For: 1\r\nX-Real_IP: 1\r\nContent_Length: 3\r\nProxy_Authorization: a\r\n"
	    "WWW-Authenticate: z\r\nIf-None-Match: *\r\nx-original_url: /admin\r\nE_Tag: 1\r\n\r\n",
	    "|E_Tag: 1"),
	ROW("incomplete trailer", "0\r\nA: b\r\nC: d", "|A: b..."),
	/* sizes */
	ROW("no size", "\r\n", "|!bad-chunk@0"),
	ROW("blank before size", " 5\r\nhello", "|!bad-chunk@0"),
	ROW("blank after size", "5 \r\nhello", "|!bad-chunk@1"),
	ROW("tab after size", "5\t\r\nhello", "|!bad-chunk@1"),
	ROW("0x", "0x5\r\nhello", "|!bad-chunk@1"),
	ROW("plus", "+5\r\nhello", "|!bad-chunk@0"),
	ROW("minus", "-5\r\nhello", "|!bad-chunk@0"),
	ROW("not hex", "g\r\n", "|!bad-chunk@0"),
	ROW("only extension", ";a\r\n", "|!bad-chunk@0"),
	ROW("2^63", "8000000000000000\r\n", "|!bad-chunk@15"),
	ROW("2^64-1", "ffffffffffffffff\r\n", "|!bad-chunk@15"),
	ROW("17 digits", "00000000000000001\r\na", "|!bad-chunk@16"),
	ROW("LF only", "5\nhello", "|!bad-chunk@1"),
	ROW("CR only", "5\rhello", "|!bad-chunk@2"),
	ROW("LF in extension", "5;a\nhello", "|!bad-chunk@3"),
	ROW("CR in extension", "5;a\rb\nhello", "|!bad-chunk@4"),
	ROW("NUL in extension", "5;\0\r\nhello", "|!bad-chunk@2"),
	ROW("LF only for last", "0\n\n", "|!bad-chunk@1"),
	/* ends */
	ROW("no CRLF after content", "1\r\naX", "a|!chunk-end@4"),
	ROW("LF after content", "1\r\na\n0\r\n\r\n", "a|!chunk-end@4"),
	ROW("CR X after content", "1\r\na\rX", "a|!chunk-end@5"),
	ROW("content too long", "2\r\nabc\r\n", "ab|!chunk-end@5"),
	/* trailers */
	ROW("trailer without colon", "0\r\nA\r\n\r\n", "|!bad-trailer@4"),
	ROW("trailer with blank before colon", "0\r\nA : b\r\n\r\n", "|!bad-trailer@4"),
	ROW("trailer without name", "0\r\n: b\r\n\r\n", "|!bad-trailer@3"),
	ROW("trailer folded", "0\r\nA: b\r\n c\r\n\r\n", "|A: b!bad-trailer@9"),
	ROW("trailer with control", "0\r\nA: \x01\r\n\r\n", "|!bad-trailer@6"),
	ROW("trailer ends with LF", "0\r\nA: b\n\r\n", "|!bad-trailer@7"),
	ROW("trailer with CR", "0\r\nA: b\rc\r\n\r\n", "|!bad-trailer@8"),
	ROW("trailer section ends with LF", "0\r\nA: b\r\n\n", "|A: b!bad-trailer@9"),
	ROW("trailer section ends with CR X", "0\r\n\rX", "|!bad-trailer@4"),
};

/* Feeds pieces that end at `first`, then every `step`; the outcome as in the rows. */
static void feed(const struct http_head *h, struct str in, size_t first, size_t step, bool keep,
		 struct sb *out)
{
	struct pool *pool = pool_new("test", 0);
	struct http_head trailers = { 0 };
	struct h1_body b;
	enum h1_reason why = H1_OK;
	size_t at = 0, end = first, used;
	struct str data;
	int rc = 0;

	out->n = 0;
	out->p[0] = '\0';
	h1_body_init(&b, h);
	for (;;) {
		size_t n = end - at;
		uint8_t *copy = malloc(n ? n : 1);

		ck_assert(copy != NULL);
		memcpy(copy, in.p + at, n);
		rc = h1_body_next(&b, copy, n, &used, &data, keep ? pool : NULL,
				  keep ? &trailers : NULL, &why);
		ck_assert_uint_le(used, n);
		ck_assert(data.n == 0 ||
			  (data.p >= (char *)copy && data.p + data.n <= (char *)copy + n));
		ck_assert(data.n <= used);
		sb_str(out, data);
		free(copy);
		at += used;
		if (rc || b.done)
			break;
		if (used)
			continue;
		ck_assert_uint_eq(at, end); /* all is consumed, always */
		if (end == in.n)
			break;
		end = FL_MIN(end + step, in.n);
	}
	sb_ch(out, '|');
	for (unsigned i = 0; i < trailers.n_fields; i++)
		sb_fmt(out, "%s" STR_FMT ": " STR_FMT, i ? "|" : "",
		       STR_ARG(trailers.fields[i].name), STR_ARG(trailers.fields[i].value));
	if (rc)
		sb_fmt(out, "!%s@%zu", h1_reason_code(why), at);
	else if (!b.done)
		sb_c(out, "...");
	else if (at < in.n)
		sb_fmt(out, "+%zu", in.n - at);
	pool_free(&pool);
}

static void all_splits(const char *name, const struct http_head *h, struct str in, struct sb *whole)
{
	static char mem[1 << 17];
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	feed(h, in, in.n, 1, true, whole);
	feed(h, in, 0, 1, true, &b);
	ck_assert_msg(str_eq(sb_get(whole), sb_get(&b)), "%s: whole \"%s\", byte by byte \"%s\"",
		      name, whole->p, b.p);
	for (size_t cut = 0; cut<in.n; cut += in.n> 2000 ? 97 : 1) {
		feed(h, in, cut, in.n, true, &b);
		ck_assert_msg(str_eq(sb_get(whole), sb_get(&b)),
			      "%s: whole \"%s\", cut at %zu \"%s\"", name, whole->p, cut, b.p);
	}
}

static const struct http_head is_chunked = { .body = HB_CHUNKED };

START_TEST(chunked_table)
{
	static char mem[4096];

	for (size_t i = 0; i < FL_ARRAY_LEN(chunked); i++) {
		struct sb b;
		char *bar;

		sb_init(&b, mem, sizeof(mem));
		all_splits(chunked[i].name, &is_chunked, chunked[i].input, &b);
		ck_assert_msg(strcmp(b.p, chunked[i].want) == 0, "%s: got \"%s\", want \"%s\"",
			      chunked[i].name, b.p, chunked[i].want);
		/* without memory for trailers the framing is the same */
		feed(&is_chunked, chunked[i].input, 0, 1, false, &b);
		bar = strrchr(b.p, '|');
		ck_assert_ptr_nonnull(bar);
		ck_assert_msg(str_ends(str_c(chunked[i].want), str_c(bar + 1)), "%s: %s",
			      chunked[i].name, b.p);
	}
}
END_TEST

START_TEST(other_kinds)
{
	static const struct {
		const char *name;
		struct http_head h;
		struct str in;
		const char *want;
	} rows[] = {
		{ "none", { .body = HB_NONE }, { "abc", 3 }, "|+3" },
		{ "length", { .body = HB_LENGTH, .length = 2 }, { "abc", 3 }, "ab|+1" },
		{ "length zero", { .body = HB_LENGTH }, { "abc", 3 }, "|+3" },
		{ "length, incomplete",
		  { .body = HB_LENGTH, .length = 4 },
		  { "abc", 3 },
		  "abc|..." },
		{ "until close", { .body = HB_CLOSE }, { "abc", 3 }, "abc|..." },
	};
	static char mem[256];

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct sb b;

		sb_init(&b, mem, sizeof(mem));
		all_splits(rows[i].name, &rows[i].h, rows[i].in, &b);
		ck_assert_msg(strcmp(b.p, rows[i].want) == 0, "%s: %s", rows[i].name, b.p);
	}
}
END_TEST

static char big[1 << 17];

/* head, then `times` times unit of `n` bytes and the end. */
static struct str repeat(const char *head, const char *unit, size_t times, const char *end)
{
	struct sb b;

	sb_init(&b, big, sizeof(big));
	sb_c(&b, head);
	while (times--)
		sb_c(&b, unit);
	sb_c(&b, end);
	ck_assert(!b.over);
	return sb_get(&b);
}

static void check_end(struct str in, const char *want)
{
	static char mem[1 << 17];
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	all_splits(want, &is_chunked, in, &b);
	ck_assert_msg(str_ends(sb_get(&b), str_c(want)), "got \"...%s\", want \"%s\"",
		      b.n > 60 ? b.p + b.n - 60 : b.p, want);
}

START_TEST(limits)
{
	static char ext[400];

	check_end(repeat("1;", "x", 255, "\r\na\r\n0\r\n\r\n"), "a|");
	check_end(repeat("1;", "x", 256, "\r\na\r\n0\r\n\r\n"), "|!chunk-ext@257");
	check_end(repeat("1;", "x", 5000, ""), "|!chunk-ext@257");
	memset(ext, 'x', sizeof(ext));
	memcpy(ext, "1;", 2);
	memcpy(ext + 257, "\r\na\r\n", 6); /* 256 bytes of extension each */
	check_end(repeat("", ext, 64, "0\r\n\r\n"), "a|");
	check_end(repeat("", ext, 64, "0;\r\n\r\n"), "!chunk-ext@16769");
	check_end(repeat("0\r\n", "A:\r\n", 100, "\r\n"), "|A: ");
	check_end(repeat("0\r\n", "A:\r\n", 101, "\r\n"), "!too-many-fields@403");
	check_end(repeat("0\r\nA:", "x", 8190, "\r\n\r\n"), "x");
	check_end(repeat("0\r\nA:", "x", 8191, "\r\n\r\n"), "|!field-too-long@8197");
	/* 90 lines of 392 bytes */
	memset(ext, 'x', sizeof(ext));
	memcpy(ext, "A:", 2);
	memcpy(ext + 390, "\r\n", 3);
	check_end(repeat("0\r\n", ext, 90, "\r\n"), "!head-too-long@32771");
}
END_TEST

START_TEST(no_memory_for_trailers)
{
	struct pool *pool = pool_new("test", 1);
	struct http_head trailers = { 0 };
	enum h1_reason why = H1_OK;
	struct h1_body b;
	struct str data, in = STR("0\r\nA: b\r\n\r\n");
	size_t used;

	h1_body_init(&b, &is_chunked);
	ck_assert_int_eq(
		h1_body_next(&b, (const uint8_t *)in.p, in.n, &used, &data, pool, &trailers, &why),
		-1);
	ck_assert_int_eq(why, H1_NOMEM);
	pool_free(&pool);
}
END_TEST

START_TEST(sizes_come_back)
{
	static const size_t sizes[] = {
		0, 1, 9, 10, 15, 16, 255, 256, 0x1a2b, 65536, SIZE_MAX >> 1
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(sizes); i++) {
		char out[20], want[24];
		unsigned n = h1_put_chunk_size(out, sizes[i]);
		struct h1_body b;
		struct str data;
		enum h1_reason why;
		size_t used;

		snprintf(want, sizeof(want), "%zx\r\n", sizes[i]);
		ck_str(str_n(out, n), str_c(want));
		h1_body_init(&b, &is_chunked);
		ck_assert_int_eq(
			h1_body_next(&b, (uint8_t *)out, n, &used, &data, NULL, NULL, &why), 0);
		ck_assert_uint_eq(b.left, sizes[i]);
		ck_assert_uint_eq(used, n);
	}
}
END_TEST

START_TEST(last_chunk)
{
	struct http_field f[] = { { STR("A"), STR("b"), HF_OTHER },
				  { STR("C"), STR(""), HF_OTHER } };
	struct http_head h = { .fields = f, .n_fields = 2 };
	char mem[64];
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	h1_put_last_chunk(&b, NULL);
	ck_assert_str_eq(mem, "0\r\n\r\n");
	sb_init(&b, mem, sizeof(mem));
	h1_put_last_chunk(&b, &h);
	ck_assert_str_eq(mem, "0\r\nA: b\r\nC: \r\n\r\n");
}
END_TEST

static double feed_seconds(struct str in)
{
	double best = 1e9;

	for (int round = 0; round < 7; round++) {
		struct pool *pool = pool_new("test", 0);
		struct http_head trailers = { 0 };
		struct timespec t0, t1;
		enum h1_reason why;
		struct h1_body b;
		struct str data;
		size_t used;

		h1_body_init(&b, &is_chunked);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);
		for (size_t i = 0; i < in.n; i++)
			ck_assert_int_eq(h1_body_next(&b, (const uint8_t *)in.p + i, 1, &used,
						      &data, pool, &trailers, &why),
					 0);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t1);
		ck_assert(b.done);
		pool_free(&pool);
		best = FL_MIN(best, (double)(t1.tv_sec - t0.tv_sec) +
					    (double)(t1.tv_nsec - t0.tv_nsec) / 1e9);
	}
	return best;
}

START_TEST(cost_is_linear)
{
	double one, two;

	one = feed_seconds(repeat("", "1\r\na\r\n", 10000, "0\r\n\r\n"));
	two = feed_seconds(repeat("", "1\r\na\r\n", 20000, "0\r\n\r\n"));
	ck_assert_msg(two / one < 2.5, "twice the chunks cost %.2f times", two / one);
	one = feed_seconds(repeat("0\r\nA:", "x", 4000, "\r\n\r\n"));
	two = feed_seconds(repeat("0\r\nA:", "x", 8000, "\r\n\r\n"));
	ck_assert_msg(two / one < 2.5, "a trailer twice as long costs %.2f times", two / one);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http/h1_body");

	UNIT_CASE(s, "chunked", chunked_table);
	UNIT_CASE(s, "other kinds", other_kinds);
	UNIT_CASE(s, "limits", limits);
	UNIT_CASE(s, "no memory", no_memory_for_trailers);
	UNIT_CASE(s, "sizes", sizes_come_back);
	UNIT_CASE(s, "last chunk", last_chunk);
	UNIT_CASE(s, "cost", cost_is_linear);
	return unit_run(s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* test_h1_response.c - response heads, at every split, and what we send to clients */
#include "config.h"

#include "tests/unit/http/h1_unit.h"

struct row {
	const char *name;
	enum http_method method;
	struct str input;
	const char *want;
};
#define ROW(name, method, input, want) \
	{ \
		name, HM_##method, { input, sizeof(input) - 1 }, want \
	}
#define OK "HTTP/1.1 200 OK\r\n"
#define E "\r\n\r\n"

static const struct row accepted[] = {
	ROW("until close", GET, "HTTP/1.1 200 OK" E, "200 OK x 1"),
	ROW("length", GET, OK "Content-Length: 5" E "hello", "200 OK 5 1k"),
	ROW("length zero", GET, OK "Content-Length: 0" E, "200 OK 0 1k"),
	ROW("chunked", GET, OK "Transfer-Encoding: Chunked\r\nTrailer: x" E,
	    "200 OK c 1k|Trailer: x"),
	ROW("fields", GET, OK "Server: s\r\nContent-Length: 1\r\nSet-Cookie: a\r\nSet-Cookie: b" E,
	    "200 OK 1 1k|Server: s|Set-Cookie: a|Set-Cookie: b"),
	ROW("reason with blanks", GET, "HTTP/1.1 404  Not \t here \r\nContent-Length: 1" E,
	    "404 Not \t here 1 1k"),
	ROW("reason with obs-text", GET, "HTTP/1.1 404 n\xe4\r\nContent-Length: 1" E,
	    "404 n\xe4 1 1k"),
	ROW("empty reason", GET, "HTTP/1.1 200 \r\nContent-Length: 1" E, "200  1 1k"),
	ROW("no reason", GET, "HTTP/1.1 200\r\nContent-Length: 1" E, "200  1 1k"),
	ROW("599", GET, "HTTP/1.1 599 X\r\nContent-Length: 1" E, "599 X 1 1k"),
	ROW("unknown status", GET, "HTTP/1.1 299 X\r\nContent-Length: 1" E, "299 X 1 1k"),
	/* no body */
	ROW("HEAD", HEAD, "HTTP/1.1 200 OK" E, "200 OK - 1k"),
	ROW("HEAD keeps the length as a field", HEAD, OK "A: b\r\nContent-Length: 5" E,
	    "200 OK - 1k|A: b|Content-Length: 5"),
	ROW("HEAD and chunked", HEAD, OK "Transfer-Encoding: chunked" E, "200 OK - 1k"),
	ROW("204", GET, "HTTP/1.1 204 No Content" E, "204 No Content - 1k"),
	ROW("204 with length", GET, "HTTP/1.1 204 No Content\r\nContent-Length: 5" E,
	    "204 No Content - 1"),
	ROW("204 with no length", GET, "HTTP/1.1 204 No Content\r\nContent-Length: 0" E,
	    "204 No Content - 1k"),
	ROW("304 keeps the length as a field", GET,
	    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5" E,
	    "304 Not Modified - 1k|Content-Length: 5"),
	ROW("304 with chunked", GET, "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked" E,
	    "304 Not Modified - 1k"),
	ROW("100", POST, "HTTP/1.1 100 Continue" E, "100 Continue - 1k"),
	ROW("103", GET, "HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 4" E,
	    "103 Early Hints - 1k|Link: x"),
	ROW("101", GET,
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade" E,
	    "101 Switching Protocols - 1ku=websocket"),
	ROW("101 without Upgrade", GET, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade" E,
	    "101 Switching Protocols - 1k"),
	ROW("Upgrade without 101", GET,
	    OK "Upgrade: h2\r\nConnection: upgrade\r\nContent-Length: 0" E, "200 OK 0 1k"),
	/* connection */
	ROW("close", GET, OK "Content-Length: 1\r\nConnection: close" E, "200 OK 1 1"),
	ROW("1.0", GET, "HTTP/1.0 200 OK\r\nContent-Length: 1" E, "200 OK 1 0"),
	ROW("1.0 keep-alive", GET,
	    "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive" E, "200 OK 1 0k"),
	ROW("1.0 keep-alive without length", GET, "HTTP/1.0 200 OK\r\nConnection: keep-alive" E,
	    "200 OK x 0"),
	ROW("nominated", GET,
	    OK "Connection: a, content-length\r\nA: 1\r\nContent-Length: 2\r\nKeep-Alive: x" E,
	    "200 OK 2 1k"),
	ROW("Host and Expect mean nothing", GET,
	    OK "Host: a b\r\nExpect: x\r\nContent-Length: 2\r\nHost: c" E,
	    "200 OK 2 1k|Host: a b|Expect: x|Host: c"),
};

static const struct row refused[] = {
	ROW("not HTTP", GET, "SSH-2.0-x\r\n", "!bad-status@0"),
	ROW("ICY", GET, "ICY 200 OK" E, "!bad-status@0"),
	ROW("empty line before", GET, "\r\nHTTP/1.1 200 OK" E, "!bad-status@0"),
	ROW("HTTP/2", GET, "HTTP/2 200" E, "!bad-version@5"),
	ROW("HTTP/1.2", GET, "HTTP/1.2 200 OK" E, "!bad-version@7"),
	ROW("tab", GET, "HTTP/1.1\t200 OK" E, "!bad-status@8"),
	ROW("two blanks", GET, "HTTP/1.1  200 OK" E, "!bad-status@9"),
	ROW("no status", GET, "HTTP/1.1 \r\n", "!bad-status@9"),
	ROW("two digits", GET, "HTTP/1.1 20 OK" E, "!bad-status@11"),
	ROW("four digits", GET, "HTTP/1.1 2000 OK" E, "!bad-status@12"),
	ROW("status 099", GET, "HTTP/1.1 099 X" E, "!bad-status@9"),
	ROW("status 600", GET, "HTTP/1.1 600 X" E, "!bad-status@9"),
	ROW("signed", GET, "HTTP/1.1 +20 X" E, "!bad-status@9"),
	ROW("status and letter", GET, "HTTP/1.1 200x" E, "!bad-status@12"),
	ROW("control in reason", GET, "HTTP/1.1 200 O\x01K" E, "!bad-status@14"),
	ROW("NUL in reason", GET, "HTTP/1.1 200 O\0K" E, "!bad-status@14"),
	ROW("LF after reason", GET, "HTTP/1.1 200 OK\n\n", "!bare-lf@15"),
	ROW("CR in reason", GET, "HTTP/1.1 200 O\rK" E, "!bare-cr@15"),
	ROW("LF after a field", GET, OK "A: b\n\n", "!bare-lf@21"),
	ROW("LF ends the head", GET, OK "A: b\r\n\n", "!bare-lf@23"),
	ROW("fold", GET, OK "A: b\r\n c" E, "!obs-fold@23"),
	ROW("blank before colon", GET, OK "Content-Length : 5" E, "!space-colon@31"),
	ROW("empty name", GET, OK ": 5" E, "!bad-field-name@17"),
	ROW("NUL in a value", GET, OK "A: \0" E, "!bad-field-value@20"),
	ROW("TE and CL", GET, OK "Content-Length: 5\r\nTransfer-Encoding: chunked" E,
	    "!te-and-cl@66"),
	ROW("TE and CL for HEAD", HEAD, OK "Content-Length: 5\r\nTransfer-Encoding: chunked" E,
	    "!te-and-cl@66"),
	ROW("two CLs", GET, OK "Content-Length: 5\r\nContent-Length: 5" E, "!two-cl@51"),
	ROW("CL list", GET, OK "Content-Length: 5,6" E, "!two-cl@32"),
	ROW("CL malformed for 204", GET, "HTTP/1.1 204 X\r\nContent-Length: x" E, "!bad-cl@31"),
	ROW("CL 2^63", GET, OK "Content-Length: 9223372036854775808" E, "!bad-cl@32"),
	ROW("TE in 1.0", GET, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked" E, "!te-http10@47"),
	ROW("TE gzip, chunked", GET, OK "Transfer-Encoding: gzip, chunked" E, "!unknown-te@35"),
	ROW("TE chunked, gzip", GET, OK "Transfer-Encoding: chunked, gzip" E, "!bad-te@35"),
	ROW("TE identity", GET, OK "Transfer-Encoding: identity" E, "!unknown-te@35"),
};

static void check_rows(const struct row *rows, size_t n, bool accept)
{
	static char mem[65536];

	for (size_t i = 0; i < n; i++) {
		struct h1_input in = { .is_response = true, .method = rows[i].method };
		struct sb b;

		sb_init(&b, mem, sizeof(mem));
		unit_all_splits(&in, rows[i].name, rows[i].input, &b);
		ck_assert_msg(strcmp(b.p, rows[i].want) == 0, "%s: got \"%s\", want \"%s\"",
			      rows[i].name, b.p, rows[i].want);
		if (accept)
			unit_same_again(&in, rows[i].name, rows[i].input);
	}
}

START_TEST(takes)
{
	check_rows(accepted, FL_ARRAY_LEN(accepted), true);
}
END_TEST

START_TEST(refuses)
{
	check_rows(refused, FL_ARRAY_LEN(refused), false);
}
END_TEST

START_TEST(limits)
{
	static const struct h1_limits l = { 64, 400, 100, 2 };
	static const struct row rows[] = {
		ROW("line", GET,
		    "HTTP/1.1 200 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		    "!line-too-long@66"),
		ROW("fields", GET, OK "A: 1\r\nB: 2\r\nC", "!too-many-fields@29"),
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct h1_input in = { .is_response = true, .limits = &l };
		char mem[256];
		struct sb b;

		sb_init(&b, mem, sizeof(mem));
		unit_all_splits(&in, rows[i].name, rows[i].input, &b);
		ck_assert_str_eq(b.p, rows[i].want);
	}
}
END_TEST

/* ---------- output ---------- */

static const char *put(struct http_head *h, bool close, bool to_http10)
{
	static char mem[1024];
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	if (h->is_response)
		h1_put_response(&b, h, close, to_http10);
	else
		h1_put_request(&b, h, close);
	return mem;
}

START_TEST(writes_responses)
{
	struct http_field f[] = {
		{ STR("Connection"), STR("evil"), HF_CONNECTION },
		{ STR("Content-Length"), STR("9"), HF_CONTENT_LENGTH },
		{ STR("Transfer-Encoding"), STR("chunked"), HF_TRANSFER_ENCODING },
		{ STR("A"), STR("b"), HF_OTHER },
	};
	struct http_head h = { .is_response = true,
			       .status = 200,
			       .body = HB_LENGTH,
			       .length = 3,
			       .fields = f,
			       .n_fields = 4 };

	ck_assert_str_eq(put(&h, false, false), OK "A: b\r\nContent-Length: 3" E);
	ck_assert_str_eq(put(&h, true, false),
			 OK "A: b\r\nContent-Length: 3\r\nConnection: close" E);
	ck_assert_str_eq(put(&h, false, true),
			 OK "A: b\r\nContent-Length: 3\r\nConnection: keep-alive" E);
	h.body = HB_CHUNKED;
	ck_assert_str_eq(put(&h, false, false), OK "A: b\r\nTransfer-Encoding: chunked" E);
	ck_assert_str_eq(put(&h, false, true), OK "A: b\r\nConnection: close" E);
	h.body = HB_CLOSE;
	ck_assert_str_eq(put(&h, false, false), OK "A: b\r\nConnection: close" E);
	h.body = HB_NONE;
	ck_assert_str_eq(put(&h, false, false), OK "Content-Length: 9\r\nA: b" E);
	h.status = 204;
	ck_assert_str_eq(put(&h, false, false), "HTTP/1.1 204 No Content\r\nA: b" E);
	h.status = 100;
	ck_assert_str_eq(put(&h, true, true), "HTTP/1.1 100 Continue\r\nA: b" E);
	h.status = 101;
	h.upgrade = true;
	h.upgrade_proto = STR("websocket");
	ck_assert_str_eq(
		put(&h, false, false),
		"HTTP/1.1 101 Switching Protocols\r\nA: b\r\nConnection: upgrade\r\n"
			 "Upgrade: websocket" E);
	h.status = 299;
	h.upgrade = false;
	h.n_fields = 0;
	ck_assert_str_eq(put(&h, false, false), "HTTP/1.1 299 Success" E);
}
END_TEST

START_TEST(writes_requests)
{
	struct http_field f[] = {
		{ STR("Host"), STR("evil"), HF_HOST },
		{ STR("A"), STR("b"), HF_OTHER },
		{ STR("Expect"), STR("x"), HF_EXPECT },
		{ STR("TE"), STR("x"), HF_TE },
	};
	struct http_head h = { .method_s = STR("PUT"),
			       .path = STR("/p"),
			       .query = STR("q"),
			       .authority = STR("a:1"),
			       .body = HB_LENGTH,
			       .length = 0,
			       .fields = f,
			       .n_fields = 4,
			       .minor = 0 };

	ck_assert_str_eq(put(&h, false, false),
			 "PUT /p?q HTTP/1.1\r\nHost: a:1\r\nA: b\r\nContent-Length: 0" E);
	h.query = STR_NULL;
	h.body = HB_CHUNKED;
	h.expect_continue = h.te_trailers = true;
	ck_assert_str_eq(put(&h, true, false),
			 "PUT /p HTTP/1.1\r\nHost: a:1\r\nA: b\r\nTransfer-Encoding: chunked\r\n"
			 "Expect: 100-continue\r\nConnection: close, TE\r\nTE: trailers" E);
	h.body = HB_NONE;
	h.expect_continue = h.te_trailers = false;
	h.upgrade = true;
	h.upgrade_proto = STR("websocket");
	h.authority = STR_NULL;
	ck_assert_str_eq(
		put(&h, false, false),
		"PUT /p HTTP/1.1\r\nHost: \r\nA: b\r\nConnection: upgrade\r\nUpgrade: websocket" E);
}
END_TEST

START_TEST(full_is_seen)
{
	struct http_head h = { .is_response = true, .status = 200, .body = HB_LENGTH, .length = 3 };
	char mem[64];

	for (size_t cap = 1; cap <= sizeof(mem); cap++) {
		struct sb b;

		sb_init(&b, mem, cap);
		h1_put_response(&b, &h, false, false);
		ck_assert_int_eq(b.over, cap <= sizeof(OK "Content-Length: 3" E) - 1);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http/h1_response");

	H1_CASE(s, "takes", takes);
	H1_CASE(s, "refuses", refuses);
	H1_CASE(s, "limits", limits);
	UNIT_CASE(s, "writes responses", writes_responses);
	UNIT_CASE(s, "writes requests", writes_requests);
	UNIT_CASE(s, "full is seen", full_is_seen);
	return unit_run(s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_txn.c - an exchange between fakes: a mux with two transactions on one "connection", a fake
 * service, filters
 *
 * Nothing here has a connection, a descriptor or a protocol: what passes is what txn.h promises
 * to any codec.
 */
#include "config.h"

#include "tests/unit/base/unit.h"

#include <stdio.h>

#include "http/txn.h"

/* ---------- the fake mux: two streams that write tagged events into one log ---------- */
static char wire[65536];
static struct sb out;

struct stream {
	struct txn *t;
	char        tag;
	size_t      room;
	unsigned    closed, resets, credits;
	enum txn_code reset_code;
};
static struct stream streams[2];

static void say(const struct txn *t, const char *what, struct str s)
{
	const struct stream *st = t->down;

	sb_fmt(&out, "%c:%s(" STR_FMT ") ", st->tag, what, STR_ARG(s));
}

static void d_head(struct txn *t, const struct http_head *h)
{
	char text[80];

	snprintf(text, sizeof(text), "%u %d %llu", h->status, (int)h->body,
		 (unsigned long long)h->length);
	say(t, "head", str_c(text));
}

static void d_info(struct txn *t, const struct http_head *h)
{
	char text[20];

	snprintf(text, sizeof(text), "%u", h->status);
	say(t, "info", str_c(text));
}

static void d_data(struct txn *t, struct str s)
{
	struct stream *st = t->down;

	st->room -= FL_MIN(st->room, s.n);
	say(t, "data", s);
}

static void d_end(struct txn *t, const struct http_head *trailers)
{
	say(t, "end", trailers && trailers->n_fields ? trailers->fields[0].name : STR(""));
}

static void d_reset(struct txn *t, enum txn_code why, bool hard)
{
	struct stream *st = t->down;

	st->resets++;
	st->reset_code = why;
	say(t, "reset", hard ? STR("hard") : STR("soft"));
}

static size_t d_room(struct txn *t) { return ((struct stream *)t->down)->room; }
static void d_credit(struct txn *t) { ((struct stream *)t->down)->credits++; }
static int sink_token;
static void *d_raw(struct txn *t) { (void)t; return &sink_token; }
static void d_closed(struct txn *t)
{
	struct stream *st = t->down;

	st->closed++;
	st->t = NULL;
}

static const struct txn_down_ops down_ops = { .head = d_head,
					      .info = d_info,
					      .data = d_data,
					      .end = d_end,
					      .reset = d_reset,
					      .room = d_room,
					      .credit = d_credit,
					      .raw = d_raw,
					      .closed = d_closed };

/* ---------- the fake service ---------- */
struct service {
	struct http_head *head;
	char        got[4096];
	size_t      n_got, room;
	unsigned    ends, resets, credits;
	enum txn_code why;
	bool        answers_in_head;
};
static struct service services[2];

static void u_head(struct txn *t, struct http_head *h)
{
	struct service *s = t->up;

	s->head = h;
	if (s->answers_in_head)
		txn_up_fail(t, TXN_CONNECT_FAILED);
}

static void u_data(struct txn *t, struct str d)
{
	struct service *s = t->up;

	ck_assert_uint_le(s->n_got + d.n, sizeof(s->got));
	memcpy(s->got + s->n_got, d.p, d.n);
	s->n_got += d.n;
}

static void u_end(struct txn *t, const struct http_head *trailers)
{
	(void)trailers;
	((struct service *)t->up)->ends++;
}
static size_t u_room(struct txn *t) { return ((struct service *)t->up)->room; }
static void u_credit(struct txn *t) { ((struct service *)t->up)->credits++; }
static void u_reset(struct txn *t, enum txn_code why)
{
	struct service *s = t->up;

	s->resets++;
	s->why = why;
}

static const struct txn_up_ops up_ops = { .head = u_head,
					  .data = u_data,
					  .end = u_end,
					  .room = u_room,
					  .credit = u_credit,
					  .reset = u_reset };

/* ---------- the fake host ---------- */
static unsigned finished;
static struct filter *join[4];
static unsigned n_join;
static bool local_answer;

static void h_decide(struct txn *t)
{
	static const struct http_head none = { .status = 200 };
	struct http_head *h;

	if (local_answer) {
		h = head_copy(t->pool, &none);
		ck_assert_ptr_nonnull(h);
		txn_answer(t, h, STR("local"));
		return;
	}
	for (unsigned i = 0; i < n_join; i++)
		txn_add_filter(t, join[i]);
	h = head_copy(t->pool, t->req);
	txn_forward(t, h, &up_ops, &services[((struct stream *)t->down)->tag - 'a']);
}
static void h_finished(struct txn *t) { (void)t; finished++; }
static const struct txn_host host = { .decide = h_decide, .finished = h_finished };

static void setup(void)
{
	memset(streams, 0, sizeof(streams));
	memset(services, 0, sizeof(services));
	for (unsigned i = 0; i < 2; i++) {
		streams[i].tag = (char)('a' + i);
		streams[i].room = services[i].room = 1000;
	}
	finished = n_join = 0;
	local_answer = false;
	sb_init(&out, wire, sizeof(wire));
}
static void teardown(void) { txn_fini(); }

static struct txn *begin(unsigned k, enum http_method m, enum http_body body, bool ended)
{
	struct txn *t = txn_new(&host, &down_ops, &streams[k]);
	struct http_head *h;

	ck_assert_ptr_nonnull(t);
	h = pool_zalloc(t->pool, sizeof(*h));
	ck_assert_ptr_nonnull(h);
	h->method = m;
	h->method_s = STR("GET");
	h->path = STR("/");
	h->body = body;
	streams[k].t = t;
	txn_begin(t, h, ended);
	return t;
}

static struct http_head resp(unsigned status, enum http_body body, uint64_t n)
{
	return (struct http_head){
		.is_response = true, .status = (uint16_t)status, .body = body, .length = n
	};
}

#define WIRE(text) ck_assert_str_eq(wire, text)

START_TEST(passes_both_messages)
{
	struct txn *t = begin(0, HM_POST, HB_LENGTH, false);
	struct http_head h = resp(200, HB_LENGTH, 4), trailers = { 0 };
	struct http_field f = { STR("X-T"), STR("1"), HF_OTHER };

	txn_data(t, STR("abc"));
	txn_data(t, STR("def"));
	txn_end(t, NULL);
	ck_assert(str_eq(str_n(services[0].got, services[0].n_got), STR("abcdef")));
	ck_assert_uint_eq(services[0].ends, 1);
	txn_up_head(t, &h);
	txn_up_data(t, STR("wx"));
	txn_up_data(t, STR("yz"));
	trailers.fields = &f;
	trailers.n_fields = 1;
	txn_up_end(t, &trailers);
	WIRE("a:head(200 1 4) a:data(wx) a:data(yz) a:end(X-T) ");
	ck_assert_uint_eq(streams[0].closed, 1);
	ck_assert_uint_eq(finished, 1);
	ck_assert_uint_eq(services[0].resets, 1);
	ck_assert_int_eq(services[0].why, TXN_OK);
}
END_TEST

/* Two exchanges in progress on one mux: any order of their parts, and nothing of one in the
 * other. */
START_TEST(two_transactions_interleave)
{
	struct txn *a = begin(0, HM_POST, HB_CHUNKED, false),
		   *b = begin(1, HM_POST, HB_CHUNKED, false);
	struct http_head ha = resp(200, HB_CHUNKED, 0), hb = resp(404, HB_LENGTH, 1);

	txn_data(a, STR("A1"));
	txn_data(b, STR("B1"));
	txn_up_head(b, &hb);
	txn_data(a, STR("A2"));
	txn_up_head(a, &ha);
	txn_up_data(a, STR("x"));
	txn_up_data(b, STR("y"));
	txn_end(b, NULL);
	txn_up_end(b, NULL);
	txn_end(a, NULL);
	txn_up_data(a, STR("z"));
	txn_up_end(a, NULL);
	WIRE("b:head(404 1 1) a:head(200 2 0) a:data(x) b:data(y) b:end() a:data(z) a:end() ");
	ck_assert(str_eq(str_n(services[0].got, services[0].n_got), STR("A1A2")));
	ck_assert(str_eq(str_n(services[1].got, services[1].n_got), STR("B1")));
	ck_assert_uint_eq(streams[0].closed + streams[1].closed, 2);
	ck_assert_uint_eq(finished, 2);
}
END_TEST

START_TEST(room_and_credit_go_both_ways)
{
	struct txn *t = begin(0, HM_POST, HB_CHUNKED, false);
	struct http_head h = resp(200, HB_CHUNKED, 0);

	services[0].room = 7;
	ck_assert_uint_eq(txn_room(t), 7);
	services[0].room = 0;
	ck_assert_uint_eq(txn_room(t), 0);
	txn_up_credit(t);
	ck_assert_uint_eq(streams[0].credits, 1);
	streams[0].room = 3;
	txn_up_head(t, &h);
	ck_assert_uint_eq(txn_up_room(t), 3);
	txn_up_data(t, STR("abc"));
	ck_assert_uint_eq(txn_up_room(t), 0);
	streams[0].room = 5;
	txn_credit(t);
	ck_assert_uint_eq(services[0].credits, 1);
	ck_assert_uint_eq(txn_up_room(t), 5);
	/* the request is whole: no more credit for it */
	txn_end(t, NULL);
	txn_up_credit(t);
	ck_assert_uint_eq(streams[0].credits, 1);
	txn_up_end(t, NULL);
}
END_TEST

START_TEST(a_client_that_leaves_frees_the_service)
{
	struct txn *t = begin(0, HM_GET, HB_NONE, true);

	ck_assert_uint_eq(services[0].ends, 1);
	txn_abort(t, TXN_CLIENT_ABORT);
	ck_assert_uint_eq(services[0].resets, 1);
	ck_assert_int_eq(services[0].why, TXN_CLIENT_ABORT);
	ck_assert_uint_eq(streams[0].closed, 1);
	WIRE("");
}
END_TEST

START_TEST(failure_before_the_head_is_answered)
{
	struct txn *t = begin(0, HM_GET, HB_NONE, true);

	txn_up_fail(t, TXN_SERVICE_TIMEOUT);
	ck_assert_msg(strncmp(wire, "a:head(504 1 ", 13) == 0, "%s", wire);
	ck_assert_ptr_nonnull(strstr(wire, "service-timeout"));
	ck_assert_uint_eq(streams[0].closed, 1);
	ck_assert_uint_eq(services[0].resets, 0);       /* it had said so itself */
	ck_assert_uint_eq(finished, 1);
}
END_TEST

START_TEST(failure_inside_decide_is_answered)
{
	services[0].answers_in_head = true;
	begin(0, HM_GET, HB_NONE, true);
	ck_assert_msg(strncmp(wire, "a:head(503 1 ", 13) == 0, "%s", wire);
	ck_assert_uint_eq(streams[0].closed, 1);
	ck_assert_uint_eq(services[0].ends, 0);
}
END_TEST

START_TEST(failure_behind_the_head_is_never_a_whole_answer)
{
	struct txn *t = begin(0, HM_GET, HB_NONE, true);
	struct http_head h = resp(200, HB_LENGTH, 10);

	txn_up_head(t, &h);
	txn_up_data(t, STR("abc"));
	txn_up_fail(t, TXN_SERVICE_CUT);
	WIRE("a:head(200 1 10) a:data(abc) a:reset(soft) ");
	ck_assert_int_eq(streams[0].reset_code, TXN_SERVICE_CUT);
	ck_assert_uint_eq(streams[0].closed, 1);
}
END_TEST

START_TEST(an_early_answer_ends_it)
{
	struct txn *t = begin(0, HM_POST, HB_LENGTH, false);
	struct http_head h = resp(413, HB_LENGTH, 0);

	txn_data(t, STR("abc"));
	txn_up_head(t, &h);
	txn_up_end(t, NULL);
	ck_assert_uint_eq(streams[0].closed, 1);
	ck_assert_uint_eq(services[0].resets, 1);
	ck_assert_uint_eq(services[0].ends, 0);
}
END_TEST

START_TEST(local_answers_and_HEAD)
{
	local_answer = true;
	begin(0, HM_GET, HB_NONE, true);
	begin(1, HM_HEAD, HB_NONE, true);
	WIRE("a:head(200 1 5) a:data(local) a:end() b:head(200 1 5) b:end() ");
	ck_assert_uint_eq(finished, 2);
}
END_TEST

START_TEST(interim_answers_pass_before_the_final_one_only)
{
	struct txn *t = begin(0, HM_GET, HB_NONE, true);
	struct http_head i = resp(103, HB_NONE, 0), h = resp(200, HB_NONE, 0);

	txn_up_info(t, &i);
	txn_up_head(t, &h);
	txn_up_info(t, &i);
	txn_up_end(t, NULL);
	WIRE("a:info(103) a:head(200 0 0) a:end() ");
}
END_TEST

/* ---------- filters ---------- */
struct counting {
	struct filter    f;
	enum filter_need need;
	unsigned         until;         /* READ: done after so many calls; 0 never */
	uint64_t         bytes[2];
	unsigned         calls[2], ends, dones;
	bool             saw_bytes;
};

static enum filter_need c_head(struct filter *f, enum txn_dir d, struct http_head *h)
{
	(void)d;
	(void)h;
	return ((struct counting *)f)->need;
}

static enum filter_need c_data(struct filter *f, enum txn_dir d, struct str s)
{
	struct counting *c = (struct counting *)f;

	c->bytes[d] += s.n;
	c->calls[d]++;
	c->saw_bytes |= s.p != NULL;
	return c->until && c->calls[d] >= c->until ? FILTER_DONE : c->need;
}
static void c_end(struct filter *f, enum txn_dir d) { (void)d; ((struct counting *)f)->ends++; }
static void c_done(struct filter *f) { ((struct counting *)f)->dones++; }
static const struct filter_ops counting_ops = { "counting", c_head, c_data, c_end, c_done };

/* Each byte twice; the end adds a mark. */
static enum filter_need twice_data(struct filter *f, enum txn_dir d, struct str s)
{
	char two[200];

	ck_assert_uint_le(s.n * 2, sizeof(two));
	for (size_t i = 0; i < s.n; i++)
		two[2 * i] = two[2 * i + 1] = s.p[i];
	filter_emit(f, d, str_n(two, 2 * s.n));
	return FILTER_REWRITE;
}
static enum filter_need twice_head(struct filter *f, enum txn_dir d, struct http_head *h)
{
	(void)f;
	(void)h;
	return d == TXN_RESP ? FILTER_REWRITE : FILTER_NONE;
}
static void twice_end(struct filter *f, enum txn_dir d) { filter_emit(f, d, STR("!")); }
static const struct filter_ops twice_ops = { "twice", twice_head, twice_data, twice_end, NULL };

START_TEST(a_length_filter_counts_without_seeing)
{
	struct counting c = { .f.ops = &counting_ops, .need = FILTER_LENGTH };
	struct http_head h = resp(200, HB_LENGTH, 100);
	struct txn *t;

	join[n_join++] = &c.f;
	t = begin(0, HM_POST, HB_LENGTH, false);
	txn_data(t, STR("abc"));
	txn_end(t, NULL);
	txn_up_head(t, &h);
	txn_up_data(t, STR("0123456789"));
	ck_assert_ptr_eq(txn_raw(t, TXN_RESP), &sink_token);
	txn_moved(t, TXN_RESP, 90);
	txn_up_end(t, NULL);
	ck_assert_uint_eq(c.bytes[TXN_REQ], 3);
	ck_assert_uint_eq(c.bytes[TXN_RESP], 100);
	ck_assert(!c.saw_bytes);
	ck_assert_uint_eq(c.ends, 2);
	ck_assert_uint_eq(c.dones, 1);
}
END_TEST

START_TEST(a_reading_filter_forbids_moving_until_done)
{
	struct counting c = { .f.ops = &counting_ops, .need = FILTER_READ, .until = 2 };
	struct http_head h = resp(200, HB_LENGTH, 100);
	struct txn *t;

	join[n_join++] = &c.f;
	t = begin(0, HM_GET, HB_NONE, true);
	txn_up_head(t, &h);
	txn_up_data(t, STR("one"));
	ck_assert_ptr_null(txn_raw(t, TXN_RESP));
	txn_up_data(t, STR("two"));
	ck_assert_ptr_eq(txn_raw(t, TXN_RESP), &sink_token);
	txn_up_data(t, STR("three"));
	txn_up_end(t, NULL);
	ck_assert_uint_eq(c.bytes[TXN_RESP], 6);
	WIRE("a:head(200 1 100) a:data(one) a:data(two) a:data(three) a:end() ");
}
END_TEST

START_TEST(a_rewriting_filter_changes_length_and_etag)
{
	struct filter twice = { .ops = &twice_ops };
	struct counting c = { .f.ops = &counting_ops, .need = FILTER_READ };
	struct http_head h = resp(200, HB_LENGTH, 3);
	struct http_field f[2] = { { STR("ETag"), STR("\"v1\""), HF_ETAG },
				   { STR("X-A"), STR("b"), HF_OTHER } };
	struct txn *t;

	join[n_join++] = &twice;
	join[n_join++] = &c.f;
	h.fields = f;
	h.n_fields = h.cap_fields = 2;
	t = begin(0, HM_GET, HB_NONE, true);
	txn_up_head(t, &h);
	ck_assert_ptr_nonnull(head_get(&h, HF_ETAG));
	ck_assert(str_eq(head_get(&h, HF_ETAG)->value, STR("W/\"v1\"")));
	txn_up_data(t, STR("abc"));
	ck_assert_ptr_null(txn_raw(t, TXN_RESP));
	txn_up_end(t, NULL);
	WIRE("a:head(200 2 0) a:data(aabbcc) a:data(!) a:end() ");
	ck_assert_uint_eq(c.bytes[TXN_RESP], 7);        /* it stands behind and sees what goes on */
}
END_TEST

START_TEST(a_cut_body_has_no_end_for_filters)
{
	struct counting c = { .f.ops = &counting_ops, .need = FILTER_READ };
	struct http_head h = resp(200, HB_LENGTH, 10);
	struct txn *t;

	join[n_join++] = &c.f;
	t = begin(0, HM_GET, HB_NONE, true);
	ck_assert_uint_eq(c.ends, 1);                   /* the request's */
	txn_up_head(t, &h);
	txn_up_data(t, STR("abc"));
	txn_up_fail(t, TXN_SERVICE_CUT);
	ck_assert_uint_eq(c.ends, 1);
	ck_assert_uint_eq(c.dones, 1);
}
END_TEST

START_TEST(an_unknown_length_becomes_delimited)
{
	struct txn *t = begin(0, HM_GET, HB_NONE, true);
	struct http_head h = resp(200, HB_CLOSE, 0);

	txn_up_head(t, &h);
	txn_up_end(t, NULL);
	WIRE("a:head(200 2 0) a:end() ");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("txn");
	TCase *t = tcase_create("exchange");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, passes_both_messages);
	tcase_add_test(t, two_transactions_interleave);
	tcase_add_test(t, room_and_credit_go_both_ways);
	tcase_add_test(t, a_client_that_leaves_frees_the_service);
	tcase_add_test(t, failure_before_the_head_is_answered);
	tcase_add_test(t, failure_inside_decide_is_answered);
	tcase_add_test(t, failure_behind_the_head_is_never_a_whole_answer);
	tcase_add_test(t, an_early_answer_ends_it);
	tcase_add_test(t, local_answers_and_HEAD);
	tcase_add_test(t, interim_answers_pass_before_the_final_one_only);
	tcase_add_test(t, a_length_filter_counts_without_seeing);
	tcase_add_test(t, a_reading_filter_forbids_moving_until_done);
	tcase_add_test(t, a_rewriting_filter_changes_length_and_etag);
	tcase_add_test(t, a_cut_body_has_no_end_for_filters);
	tcase_add_test(t, an_unknown_length_becomes_delimited);
	suite_add_tcase(s, t);
	return unit_run(s);
}

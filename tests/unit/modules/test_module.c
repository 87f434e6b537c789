/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_module.c - when hooks of modules run, for whom and in which order
 *
 * This program brings its own list of modules in place of modules/modules.c.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>

#include "base/err.h"
#include "http/answer.h"
#include "http/module.h"

static char trace_mem[256];
static struct sb trace;
static int request_result[3], forward_result, config_result, init_result;
static bool used[3];

static int module_number(void *conf)
{
	return *(int *)conf;
}

static void note(const char *what, void *conf)
{
	sb_fmt(&trace, "%s%d ", what, module_number(conf));
}

/* --- three modules: 0 and 1 have every hook, 2 has none of the phases --- */

static int numbers[3] = { 0, 1, 2 };

static int config_of(int i, void **conf)
{
	if (used[i])
		*conf = &numbers[i];
	return 0;
}

static int config0(const struct lb_vserver *vs, const struct module_build *b, void **conf)
{
	(void)vs;
	ck_assert_ptr_nonnull(b->mem);
	return config_of(0, conf);
}

static int config1(const struct lb_vserver *vs, const struct module_build *b, void **conf)
{
	(void)vs;
	(void)b;
	return config_result ? config_result : config_of(1, conf);
}

static int config2(const struct lb_vserver *vs, const struct module_build *b, void **conf)
{
	(void)vs;
	(void)b;
	return config_of(2, conf);
}

static void config_free(void *conf)
{
	note("free", conf);
}

static int request(struct txn *t, void *conf)
{
	int r = request_result[module_number(conf)];

	note("request", conf);
	if (r > 0)
		answer_error(t, 429, "busy", "too many");
	return r;
}

static int forward(struct txn *t, void *conf, struct http_head *fwd)
{
	(void)t;
	ck_assert(!fwd->is_response);
	note("forward", conf);
	return forward_result;
}

static void response(struct txn *t, void *conf, struct http_head *h)
{
	ck_assert(h->is_response);
	note("response", conf);
	ck_assert_int_eq(head_set(t->pool, h, STR("X-Module"), STR("was here")), 0);
}

static void finished(struct txn *t, void *conf)
{
	ck_assert(t->over);
	note("finished", conf);
}

static int init0(const struct http_worker *w)
{
	(void)w;
	sb_c(&trace, "init0 ");
	return 0;
}

static int init1(const struct http_worker *w)
{
	(void)w;
	sb_c(&trace, "init1 ");
	return init_result;
}

static void fini0(void)
{
	sb_c(&trace, "fini0 ");
}

static void fini1(void)
{
	sb_c(&trace, "fini1 ");
}

static const struct module m0 = {
	.name = "m0", .abi = MODULE_ABI, .text = "is the first",
	.config = config0, .config_free = config_free,
	.worker_init = init0, .worker_fini = fini0,
	.request = request, .forward = forward, .response = response, .finished = finished,
};
static const struct module m1 = {
	.name = "m1", .abi = MODULE_ABI, .text = "is the second",
	.config = config1, .config_free = config_free,
	.worker_init = init1, .worker_fini = fini1,
	.request = request, .forward = forward, .response = response, .finished = finished,
};
static const struct module m2 = {
	.name = "m2", .abi = MODULE_ABI, .text = "does nothing", .config = config2,
};

const struct module *const modules[] = { &m0, &m1, &m2, NULL };

/* --- an exchange between fakes --- */

static struct lb_vserver vs;
static struct pool *mem;
static struct conf_diag *diag;
static unsigned status;
static bool marked, forwarded;

static void down_head(struct txn *t, const struct http_head *h)
{
	(void)t;
	status = h->status;
	marked = head_find(h, STR("x-module")) != NULL;
}

static void down_data(struct txn *t, struct str s)
{
	(void)t;
	(void)s;
}

static void down_end(struct txn *t, const struct http_head *trailers)
{
	(void)t;
	(void)trailers;
}

static void down_closed(struct txn *t)
{
	(void)t;
}

static const struct txn_down_ops down_ops = {
	.head = down_head, .data = down_data, .end = down_end, .closed = down_closed,
};

/* As steer.c does it, with an answer of 404 in place of a service. */
static void decide(struct txn *t)
{
	if (module_on_request(t))
		return;
	if (module_on_forward(t, t->req) < 0) {
		txn_fail(t, TXN_NO_MEMORY);
		return;
	}
	forwarded = true;
	answer_error(t, 404, "none", "nothing here");
}

static const struct txn_host host = { .decide = decide, .finished = module_on_finished };

static void run(void)
{
	struct txn *t = txn_new(&host, &down_ops, NULL);
	struct http_head *h = pool_zalloc(t->pool, sizeof(*h));

	h->method = HM_GET;
	t->vs = &vs;
	txn_begin(t, h, true);
}

static void setup(void)
{
	sb_init(&trace, trace_mem, sizeof(trace_mem));
	memset(request_result, 0, sizeof(request_result));
	forward_result = config_result = init_result = 0;
	memset(used, 0, sizeof(used));
	memset(&vs, 0, sizeof(vs));
	mem = pool_new("test", 0);
	diag = conf_diag_new();
	status = 0;
	marked = forwarded = false;
}

static void teardown(void)
{
	pool_free(&mem);
	conf_diag_free(&diag);
	txn_fini();
}

static void use(bool a, bool b, bool c)
{
	used[0] = a;
	used[1] = b;
	used[2] = c;
	ck_assert_int_eq(module_config(&vs, mem, diag), 0);
}

START_TEST(without_modules_nothing_runs)
{
	use(false, false, false);
	ck_assert_ptr_null(vs.modules);
	run();
	ck_assert_uint_eq(status, 404);
	ck_assert(!marked);
	ck_assert_str_eq(trace.p, "");
}
END_TEST

START_TEST(phases_run_in_order)
{
	use(true, true, true);
	run();
	ck_assert_str_eq(trace.p, "request0 request1 forward0 forward1 response0 response1 "
				  "finished0 finished1 ");
	ck_assert_uint_eq(status, 404);
	ck_assert(marked);
}
END_TEST

START_TEST(only_what_the_vserver_configures_runs)
{
	use(false, true, true);
	run();
	ck_assert_str_eq(trace.p, "request1 forward1 response1 finished1 ");
}
END_TEST

START_TEST(a_module_answers)
{
	use(true, true, true);
	request_result[0] = 1;
	run();
	/* the second never saw the request: its later phases do not come either */
	ck_assert_str_eq(trace.p, "request0 response0 finished0 ");
	ck_assert_uint_eq(status, 429);
	ck_assert(!forwarded);
}
END_TEST

START_TEST(a_module_without_memory_costs_the_request)
{
	use(true, true, false);
	request_result[1] = FL_ENOMEM_;
	run();
	ck_assert_str_eq(trace.p, "request0 request1 response0 response1 "
				  "finished0 finished1 ");
	ck_assert_uint_eq(status, txn_code_status(TXN_NO_MEMORY));
	ck_assert(!forwarded);
}
END_TEST

START_TEST(forward_stops_at_the_first_failure)
{
	use(true, true, false);
	forward_result = FL_ENOMEM_;
	run();
	ck_assert_str_eq(trace.p, "request0 request1 forward0 response0 response1 "
				  "finished0 finished1 ");
	ck_assert_uint_eq(status, txn_code_status(TXN_NO_MEMORY));
	ck_assert(!forwarded);
}
END_TEST

START_TEST(configuration_is_given_back)
{
	use(true, true, true);
	module_config_free(&vs);
	ck_assert_ptr_null(vs.modules);
	/* the third has nothing to give back */
	ck_assert_str_eq(trace.p, "free0 free1 ");
	module_config_free(&vs);
	ck_assert_str_eq(trace.p, "free0 free1 ");
}
END_TEST

START_TEST(configuration_without_memory)
{
	used[0] = used[1] = true;
	config_result = FL_ENOMEM_;
	ck_assert_int_eq(module_config(&vs, mem, diag), FL_ENOMEM_);
	/* what was configured before is given back with the rest */
	module_config_free(&vs);
	ck_assert_str_eq(trace.p, "free0 ");
}
END_TEST

START_TEST(workers_start_what_is_used)
{
	struct lb_config lc = { .vservers = &vs, .n_vservers = 1 };
	struct http_worker w = { .lc = &lc };

	use(false, true, true);
	ck_assert_int_eq(module_worker_init(&w), 0);
	ck_assert_str_eq(trace.p, "init1 ");
	module_worker_fini();
	ck_assert_str_eq(trace.p, "init1 fini1 ");
	module_worker_fini();
	ck_assert_str_eq(trace.p, "init1 fini1 ");
}
END_TEST

START_TEST(a_worker_that_cannot_start)
{
	struct lb_config lc = { .vservers = &vs, .n_vservers = 1 };
	struct http_worker w = { .lc = &lc };

	use(true, true, true);
	init_result = FL_ENOMEM_;
	ck_assert_int_eq(module_worker_init(&w), FL_ENOMEM_);
	ck_assert_str_eq(trace.p, "init0 init1 fini0 ");
	w.lc = NULL;
	ck_assert_int_eq(module_worker_init(&w), 0);
}
END_TEST

START_TEST(the_list_is_printed)
{
	struct sb b;

	sb_init_heap(&b);
	module_list(&b);
	ck_assert_str_eq(b.p, "  m0: is the first\n  m1: is the second\n  m2: does nothing\n");
	sb_free(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("module");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, without_modules_nothing_runs);
	tcase_add_test(t, phases_run_in_order);
	tcase_add_test(t, only_what_the_vserver_configures_runs);
	tcase_add_test(t, a_module_answers);
	tcase_add_test(t, a_module_without_memory_costs_the_request);
	tcase_add_test(t, forward_stops_at_the_first_failure);
	tcase_add_test(t, configuration_is_given_back);
	tcase_add_test(t, configuration_without_memory);
	tcase_add_test(t, workers_start_what_is_used);
	tcase_add_test(t, a_worker_that_cannot_start);
	tcase_add_test(t, the_list_is_printed);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_manager.c - jobs against an agent of our own, which answers what the test wants
 *
 * The agent sends a request back with another PDU type: its request id and objects are right then, the values are null.
 * What a real agent says is tests/e2e/test_snmp.py's.
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "snmp/manager.h"

#ifdef HAVE_NETSNMP

#define PDU_AT 13             /* SEQUENCE, version, community "public" */

static struct engine *e;
static struct engine_watch agent;
static struct addr agent_addr;
static struct timer limit;
static unsigned n_asked, n_ended, n_wanted, n_cancelled, stop_at;
static size_t (*answer)(uint8_t *p, size_t n);
static char reason[32];
static struct snmp_value first;

static size_t echo(uint8_t *p, size_t n)
{
	p[PDU_AT] = 0xa2;
	return n;
}

static size_t silence(uint8_t *p, size_t n)
{
	(void)p;
	(void)n;
	return 0;
}

static size_t broken(uint8_t *p, size_t n)
{
	p[PDU_AT] = 0xa2;
	for (unsigned i = 0; i < 1 + n_asked % 4; i++)
		p[(size_t)rand() % n] ^= (uint8_t)(1u << rand() % 8);
	return n_asked % 5 ? n : (size_t)rand() % n + 1;
}

/* error-status behind the request id, whose length is found in front of it */
static size_t too_big(uint8_t *p, size_t n)
{
	size_t id = PDU_AT + 2;

	p[PDU_AT] = 0xa2;
	p[id + 2 + p[id + 1] + 2] = 1;
	return n;
}

static void on_request(struct engine_watch *w, unsigned events)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	uint8_t p[2048];
	ssize_t n = env_recvfrom(w->fd, p, sizeof(p), 0, (struct sockaddr *)&from, &len);
	size_t back;

	(void)events;
	if (n <= PDU_AT + 8)
		return;
	if (++n_asked == stop_at)
		engine_stop(e);
	back = answer(p, (size_t)n);
	if (back)
		ck_assert_int_eq(env_sendto(w->fd, p, back, 0, (struct sockaddr *)&from, len), (ssize_t)back);
}

static void on_limit(struct timer *t)
{
	(void)t;
	ck_abort_msg("%u of %u jobs came back", n_ended, n_wanted);
}

static void done(struct snmp_job *j)
{
	snprintf(reason, sizeof(reason), "%s", j->reason ? j->reason : "");
	ck_assert(!j->reason || j->why[0]);
	n_cancelled += strcmp(reason, "cancelled") == 0;
	first.type = j->n ? j->row[0].value.type : SNMP_T_END;
	snmp_job_free(j);
	if (++n_ended == n_wanted)
		engine_stop(e);
}

static struct snmp_job *job(enum snmp_op op)
{
	struct snmp_job *j = snmp_job_new();

	ck_assert_ptr_nonnull(j);
	j->q.op = op;
	j->q.to = agent_addr;
	j->q.version = 2;
	memcpy(j->q.community, "public", 7);
	j->q.timeout_ms = 5000;
	j->q.rows = 5;
	j->q.n_oids = 1;
	ck_assert_int_eq(objid_parse(STR("1.3.6.1.2.1.1"), &j->q.oid[0]), 0);
	j->done = done;
	return j;
}

static void run(unsigned n)
{
	n_wanted = n;
	n_ended = 0;
	engine_timer(e, &limit, 60000);
	engine_run(e);
	timer_stop(&limit);
}

static void ask(struct snmp_job *j)
{
	ck_assert_int_eq(snmp_manager_post(j), 0);
	run(1);
}

static void set_up(void)
{
	socklen_t n = sizeof(agent_addr.in);
	struct snmp_job *j;

	e = engine_new();
	ck_assert_ptr_nonnull(e);
	agent = (struct engine_watch){ .fd = env_socket(AF_INET, SOCK_DGRAM, 0), .fn = on_request };
	ck_assert_int_ge(agent.fd, 0);
	ck_assert_int_eq(addr_parse(STR("127.0.0.1"), 0, &agent_addr), 0);
	ck_assert_int_eq(env_bind(agent.fd, &agent_addr.sa, n), 0);
	ck_assert_int_eq(getsockname(agent.fd, &agent_addr.sa, &n), 0);
	ck_assert_int_eq(engine_watch(e, &agent, ENGINE_READ), 0);
	timer_init(&limit, on_limit);
	n_asked = 0;
	j = job(SNMP_OP_GET);
	ck_assert_int_eq(snmp_manager_post(j), FL_EDEAD_);          /* nobody is there yet */
	snmp_job_free(j);
	ck_assert_int_eq(snmp_manager_open(e), 0);
}

START_TEST(an_answer_comes_back)
{
	answer = echo;
	ask(job(SNMP_OP_GET));
	ck_assert_str_eq(reason, "");
	ck_assert_int_eq(first.type, SNMP_T_NULL);
}
END_TEST

START_TEST(silence_is_a_timeout_after_the_retries)
{
	struct snmp_job *j = job(SNMP_OP_GET);

	answer = silence;
	j->q.timeout_ms = 20;
	j->q.retries = 2;
	ask(j);
	ck_assert_str_eq(reason, "timeout");
	ck_assert_uint_eq(n_asked, 3);
}
END_TEST

START_TEST(a_closed_port_is_told_at_once)
{
	struct snmp_job *j = job(SNMP_OP_GET);

	engine_unwatch(e, &agent);
	env_close(agent.fd);
	ask(j);
	ck_assert_str_eq(reason, "refused");
}
END_TEST

START_TEST(a_walk_in_circles_ends)
{
	answer = echo;
	ask(job(SNMP_OP_WALK));
	ck_assert_str_eq(reason, "notIncreasing");
	ck_assert_uint_eq(n_asked, 1);
}
END_TEST

START_TEST(too_big_is_said_and_a_walk_asks_for_less)
{
	answer = too_big;
	ask(job(SNMP_OP_GET));
	ck_assert_str_eq(reason, "tooBig");
	n_asked = 0;
	ask(job(SNMP_OP_WALK));
	ck_assert_str_eq(reason, "tooBig");
	ck_assert_uint_ge(n_asked, 3);
}
END_TEST

/* As many as may wait, and all of them are answered. */
START_TEST(many_at_once_and_no_more)
{
	unsigned n = 0;

	answer = echo;
	while (true) {
		struct snmp_job *j = job(SNMP_OP_GET);
		int err = snmp_manager_post(j);

		if (!err) {
			n++;
			continue;
		}
		ck_assert_int_eq(err, FL_ELIMIT_);
		snmp_job_free(j);
		break;
	}
	ck_assert_uint_eq(n, SNMP_WAITING_MAX);
	run(n);
	ck_assert_str_eq(reason, "");
}
END_TEST

/* Other keys of one user wait until the first are done with; the same keys do not. */
START_TEST(one_user_has_one_set_of_keys_at_a_time)
{
	answer = silence;
	for (unsigned i = 0; i < 3; i++) {
		struct snmp_job *j = job(SNMP_OP_GET);

		j->q.version = 3;
		memcpy(j->q.user, "anna", 5);
		j->q.auth = snmp_known(snmp_auths, STR("sha"));
		ck_assert_str_eq(j->q.auth, "SHA");
		snprintf(j->q.auth_pass, sizeof(j->q.auth_pass), "%s", i == 2 ? "other passphrase" : "one passphrase");
		j->q.timeout_ms = 200;
		ck_assert_int_eq(snmp_manager_post(j), 0);
	}
	n_wanted = 2;
	engine_timer(e, &limit, 60000);
	engine_run(e);
	ck_assert_uint_eq(n_ended, 2);
	ck_assert_uint_eq(n_asked, 2);
	n_wanted = 3;
	engine_run(e);
	ck_assert_uint_eq(n_asked, 3);
	ck_assert_str_eq(reason, "timeout");
}
END_TEST

/* Those at work and those that wait, and none of them stands in the way of another for the minute that they had. */
START_TEST(a_cancelled_job_comes_back_at_once)
{
	struct snmp_job *j[SNMP_ACTIVE_MAX + 10];

	answer = silence;
	for (unsigned i = 0; i < FL_ARRAY_LEN(j); i++) {
		j[i] = job(SNMP_OP_GET);
		j[i]->q.timeout_ms = 60000;
		j[i]->q.retries = 10;
		ck_assert_int_eq(snmp_manager_post(j[i]), 0);
	}
	stop_at = SNMP_ACTIVE_MAX;
	run(FL_ARRAY_LEN(j));
	ck_assert_uint_eq(n_ended, 0);
	for (unsigned i = 0; i < FL_ARRAY_LEN(j); i++)
		if (i != 1 && i != SNMP_ACTIVE_MAX)      /* one of each goes on */
			snmp_manager_cancel(j[i]);
	stop_at = SNMP_ACTIVE_MAX + 1;
	run(FL_ARRAY_LEN(j));
	ck_assert_uint_eq(n_cancelled, FL_ARRAY_LEN(j) - 2);
	ck_assert_uint_eq(n_asked, SNMP_ACTIVE_MAX + 1);
	snmp_manager_cancel(j[1]);
	snmp_manager_cancel(j[SNMP_ACTIVE_MAX]);
	run(2);
	ck_assert_uint_eq(n_cancelled, FL_ARRAY_LEN(j));
	answer = echo;
	ask(job(SNMP_OP_GET));
	ck_assert_str_eq(reason, "");
}
END_TEST

START_TEST(broken_answers_do_no_harm)
{
	answer = broken;
	srand(1);
	for (unsigned i = 0; i < 300; i++) {
		static const enum snmp_op ops[] = { SNMP_OP_GET, SNMP_OP_NEXT, SNMP_OP_BULK, SNMP_OP_WALK };
		struct snmp_job *j = job(ops[i % 4]);

		j->q.timeout_ms = 10;
		ask(j);
	}
	ck_assert_uint_ge(n_asked, 300);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("manager");
	TCase *t = tcase_create("manager");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, an_answer_comes_back);
	tcase_add_test(t, silence_is_a_timeout_after_the_retries);
	tcase_add_test(t, a_closed_port_is_told_at_once);
	tcase_add_test(t, a_walk_in_circles_ends);
	tcase_add_test(t, too_big_is_said_and_a_walk_asks_for_less);
	tcase_add_test(t, many_at_once_and_no_more);
	tcase_add_test(t, one_user_has_one_set_of_keys_at_a_time);
	tcase_add_test(t, a_cancelled_job_comes_back_at_once);
	tcase_add_test(t, broken_answers_do_no_harm);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

#else

int main(void)
{
	return snmp_is_built() ? 1 : 77;         /* skipped */
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_board.c - process entries, serving and live cores, admin states, health and DNS
 */
#include "config.h"

#include "stat/stat.h"

#include "seg_test.h"
#include "stat/crash.h"
#include "stat/owner.h"

static void dying_worker(struct stat_seg *s, void *arg)
{
	const struct stat_death d = { .signal = 4, .where = "fairlead+0x12", .what = "request web GET test /" };

	(void)arg;
	stat_death_set(s, 4711, &d);
}

START_TEST(test_last_words)
{
	struct stat_seg *s = seg_make(64, 2, 1);
	struct stat_death d = { .signal = 99 };

	ck_assert(!stat_death_get(s, 1, 4711, &d));
	seg_run(s, STAT_WORKER, 1, dying_worker, NULL);
	ck_assert(!stat_death_get(s, 1, 4712, &d));      /* of another process that had the slot */
	ck_assert(!stat_death_get(s, 0, 4711, &d));
	ck_assert(!stat_death_get(s, 1, 0, &d));
	ck_assert(!stat_death_get(s, 1000, 4711, &d));
	ck_assert_uint_eq(d.signal, 99);
	ck_assert(stat_death_get(s, 1, 4711, &d));
	ck_assert_uint_eq(d.signal, 4);
	ck_assert_str_eq(d.where, "fairlead+0x12");
	ck_assert_str_eq(d.what, "request web GET test /");
	stat_free(s);
}
END_TEST

START_TEST(test_crash_table)
{
	struct stat_seg *s = seg_make(64, 2, 1);
	struct stat_crash c = { .id = 7, .deaths = 3, .until_ms = 5, .what = "client web 127.0.0.1" }, got;
	uint64_t epoch = stat_board_epoch(s);

	for (unsigned i = 0; i <= STAT_CRASHES; i++)
		ck_assert(!stat_crash_get(s, i, &got));
	stat_crash_set(s, STAT_CRASHES - 1, &c);
	ck_assert_uint_ne(stat_board_epoch(s), epoch);   /* workers look */
	ck_assert(stat_crash_get(s, STAT_CRASHES - 1, &got));
	ck_assert_mem_eq(&got, &c, sizeof(c));
	c.what[0] = '\n';                                /* what was never written so */
	stat_crash_set(s, 0, &c);
	ck_assert(!stat_crash_get(s, 0, &got));
	memset(c.what, 'x', sizeof(c.what));
	stat_crash_set(s, 0, &c);
	ck_assert(!stat_crash_get(s, 0, &got));
	stat_crash_set(s, STAT_CRASHES - 1, NULL);
	ck_assert(!stat_crash_get(s, STAT_CRASHES - 1, &got));
	ck_assert_uint_ne(stat_crash_id(4, "a", "b"), stat_crash_id(5, "a", "b"));
	ck_assert_uint_ne(stat_crash_id(4, "a", "b"), stat_crash_id(4, "b", "b"));
	ck_assert_uint_ne(stat_crash_id(4, "a", "b"), stat_crash_id(4, "a", "c"));
	ck_assert_uint_ne(stat_crash_id(0, "", ""), 0);
	stat_free(s);
}
END_TEST

START_TEST(test_proc_entries)
{
	struct stat_seg *s = seg_make(64, 2, 1);
	struct stat_proc p;

	ck_assert(!stat_proc_get(s, 0, &p));
	ck_assert(!stat_proc_get(s, 1000, &p));
	stat_proc_set(s, 0, ST_PROC_STARTING, 0, 1, 3);
	stat_proc_set(s, 0, ST_PROC_STARTING, 77, 1, 3);
	stat_proc_set(s, 0, ST_PROC_RUNNING, 77, 1, 3);
	ck_assert(stat_proc_get(s, 0, &p));
	ck_assert_uint_eq(p.pid, 77);
	ck_assert_uint_eq(p.core, 1);
	ck_assert_uint_eq(p.generation, 3);
	ck_assert_uint_eq(p.state, ST_PROC_RUNNING);
	ck_assert_int_eq(p.role, STAT_WORKER);
	ck_assert_uint_eq(p.restarts, 0);
	ck_assert_uint_eq(p.heartbeat_ms, 0);            /* not claimed */
	ck_assert_uint_gt(p.started_ms, 0);
	/* respawned in another slot of the core, same generation: a restart; a reload is none */
	stat_proc_set(s, 0, ST_PROC_DEAD, 77, 1, 3);
	stat_proc_set(s, 3, ST_PROC_STARTING, 78, 1, 3);
	ck_assert(stat_proc_get(s, 3, &p));
	ck_assert_uint_eq(p.restarts, 1);
	stat_proc_set(s, 2, ST_PROC_STARTING, 79, 1, 4);
	ck_assert(stat_proc_get(s, 2, &p));
	ck_assert_uint_eq(p.restarts, 1);
	ck_assert_uint_eq(stat_slot_of(s, STAT_CONTROL), stat_worker_slots(s));
	ck_assert_uint_eq(stat_n_slots(s), 4 + 3);
	for (int i = 0; i < 3; i++) {
		stat_proc_set(s, stat_slot_of(s, STAT_LOGD), ST_PROC_STARTING, 80, 0, 0);
		stat_proc_set(s, stat_slot_of(s, STAT_LOGD), ST_PROC_DEAD, 80, 0, 0);
	}
	ck_assert(stat_proc_get(s, stat_slot_of(s, STAT_LOGD), &p));
	ck_assert_int_eq(p.role, STAT_LOGD);
	ck_assert_uint_eq(p.restarts, 2);
	stat_free(s);
}
END_TEST

static void beat(struct stat_seg *s, void *arg)
{
	(void)arg;
	stat_heartbeat(s, 123456);
}

START_TEST(test_heartbeat)
{
	struct stat_seg *s = seg_make(64, 2, 1);
	struct stat_proc p;

	seg_run(s, STAT_WORKER, 1, beat, NULL);
	ck_assert(stat_proc_get(s, 1, &p));
	ck_assert_uint_eq(p.heartbeat_ms, 123456);
	stat_free(s);
}
END_TEST

START_TEST(test_board_words)
{
	struct stat_seg *s = seg_make(64, 3, 1);
	uint64_t e = stat_board_epoch(s);

	ck_assert_uint_eq(stat_serving_core(s, 2), 2);
	ck_assert_uint_eq(stat_serving_core(s, 99), 99);
	stat_set_serving_core(s, 2, 0);
	ck_assert_uint_eq(stat_serving_core(s, 2), 0);
	ck_assert_uint_ne(stat_board_epoch(s), e);
	e = stat_board_epoch(s);
	stat_set_serving_core(s, 2, 0);
	ck_assert_uint_eq(stat_board_epoch(s), e);       /* no change, no word */
	ck_assert_uint_eq(stat_live_slot(s, 2), STAT_NO_SLOT);
	stat_set_live_slot(s, 2, 4);
	ck_assert_uint_eq(stat_live_slot(s, 2), 4);
	ck_assert_uint_eq(stat_live_slot(s, 99), STAT_NO_SLOT);
	ck_assert_uint_ne(stat_board_epoch(s), e);
	e = stat_board_epoch(s);
	stat_set_live_slot(s, 2, 4);
	ck_assert_uint_eq(stat_board_epoch(s), e);
	stat_set_live_slot(s, 2, STAT_NO_SLOT);
	ck_assert_uint_eq(stat_live_slot(s, 2), STAT_NO_SLOT);
	stat_free(s);
}
END_TEST

START_TEST(test_steering)
{
	struct stat_seg *s = seg_make(1, 1, 1);
	struct stat_steer v = { .state = ST_STEER_GUARD, .a = 65535, .b = 93 }, got;
	uint32_t row = seg_row(s, KIND_LISTENER, "v/*:80", 1);
	char text[96];
	struct sb b;

	stat_steer_get(s, row, &got);
	ck_assert_uint_eq(got.state, ST_STEER_NONE);
	stat_steer_set(s, row, &v);
	stat_steer_get(s, row, &got);
	ck_assert_int_eq(memcmp(&v, &got, sizeof(v)), 0);
	sb_init(&b, text, sizeof(text));
	stat_steer_text(&got, &b);
	ck_assert_str_eq(text, "kernel (guard: core 65535 took 93 %)");
	got = (struct stat_steer){ .state = ST_STEER_QUEUES, .a = 1, .b = 4 };
	sb_init(&b, text, sizeof(text));
	stat_steer_text(&got, &b);
	ck_assert_str_eq(text, "kernel (queues 1 < workers 4)");
	stat_steer_set(s, 4000, &v);
	stat_steer_get(s, 4000, &got);
	ck_assert_uint_eq(got.state, ST_STEER_NONE);
	/* another listener in the same row */
	stat_obj_commit(s, 1, 1);
	stat_obj_commit(s, 2, 2);
	ck_assert_uint_eq(seg_row(s, KIND_LISTENER, "v/*:81", 3), row);
	stat_steer_get(s, row, &got);
	ck_assert_uint_eq(got.state, ST_STEER_NONE);
	stat_free(s);
}
END_TEST

START_TEST(test_admin_states)
{
	struct stat_seg *s = seg_make(1, 1, 1);
	struct stat_admin a = { .state = ST_ADMIN_DRAIN,
				.uid = 7,
				.since_us = 9,
				.reason = "move" },
			  b;
	uint32_t row = seg_row(s, SV, "p/a", 1);
	uint64_t e = stat_board_epoch(s);

	ck_assert(!stat_admin_get(s, row, &b));
	ck_assert_uint_eq(b.state, ST_ADMIN_READY);
	ck_assert(!stat_admin_get(s, 4000, &b));
	stat_admin_set(s, 4000, &a);
	stat_admin_set(s, row, &a);
	ck_assert(stat_admin_get(s, row, &b));
	ck_assert_int_eq(memcmp(&a, &b, sizeof(a)), 0);
	ck_assert_uint_ne(stat_board_epoch(s), e);
	/* another object in the same row has no such word against it */
	stat_obj_commit(s, 1, 1);
	stat_obj_commit(s, 2, 2);
	ck_assert_uint_eq(seg_row(s, SV, "p/b", 3), row);
	ck_assert(!stat_admin_get(s, row, &b));
	ck_assert_uint_eq(b.state, ST_ADMIN_READY);
	stat_free(s);
}
END_TEST

/* Health ---------------------------------------------------------------------------------- */

static struct stat_health health(uint32_t state, const char *reason)
{
	struct stat_health h = { .state = state, .n_mon = 1, .since_us = 5 };

	snprintf(h.reason, sizeof(h.reason), "%s", reason);
	snprintf(h.mon[0].name, sizeof(h.mon[0].name), "http");
	return h;
}

static void probe_first(struct stat_seg *s, void *arg)
{
	struct stat_health h = health(ST_HEALTH_DOWN, "first");
	struct stat_dns d = { .n = 1,
			      .resolved_us = 3,
			      .addr = { { .family = AF_INET, .b = { 127, 0, 0, 1 } } } };
	uint32_t why;
	uint64_t e;

	(void)arg;
	CHILD(!stat_health_set(s, 0, &h) && !stat_dns_set(s, 0, &d));    /* not ours */
	CHILD(stat_owner_take(s, 0, &why) == 1 && stat_owner_take(s, 1, &why) == 1);
	CHILD(stat_owner_take(s, 50, &why) == 0);
	CHILD(stat_health_set(s, 0, &h));
	e = stat_health_epoch(s);
	stat_health_set(s, 0, &h);
	CHILD(stat_health_epoch(s) == e);                /* the same state is no news */
	h.state = ST_HEALTH_UP;
	stat_health_set(s, 1, &h);
	CHILD(stat_health_epoch(s) != e);
	e = stat_health_epoch(s);
	stat_dns_set(s, 1, &d);
	CHILD(stat_health_epoch(s) != e);
	e = stat_health_epoch(s);
	d.resolved_us = 99;
	stat_dns_set(s, 1, &d);
	CHILD(stat_health_epoch(s) == e);
	d.n = STAT_DNS_MAX + 1;
	CHILD(!stat_dns_set(s, 1, &d));
	CHILD(!stat_health_set(s, 50, &h) && !stat_health_set(s, 5000, &h));     /* no such row */
}

static void probe_second(struct stat_seg *s, void *arg)
{
	struct stat_health h = health(ST_HEALTH_UP, "second");
	uint32_t why;

	(void)arg;
	CHILD(!stat_health_set(s, 0, &h));
	CHILD(stat_owner_take(s, 0, &why) && stat_owner_take(s, 1, &why));
	CHILD(stat_health_set(s, 0, &h));
}

START_TEST(test_health_of_owners)
{
	struct stat_seg *s = seg_make(64, 2, 1);
	struct stat_health h;
	struct stat_dns d;
	uint64_t e;

	seg_row(s, SV, "p/a", 1);
	seg_row(s, SV, "p/b", 1);
	seg_row(s, SV, "p/c", 1);
	stat_set_live_slot(s, 0, 0);
	ck_assert_uint_eq(stat_health_state(s, 0), ST_HEALTH_UNKNOWN);
	ck_assert(!stat_health_get(s, 0, &h));
	seg_run(s, STAT_WORKER, 0, probe_first, NULL);
	ck_assert_uint_eq(stat_health_state(s, 0), ST_HEALTH_DOWN);
	ck_assert_uint_eq(stat_health_state(s, 1), ST_HEALTH_UP);
	ck_assert_uint_eq(stat_health_state(s, 2), ST_HEALTH_UNKNOWN);
	ck_assert_uint_eq(stat_health_state(s, STAT_NO_ROW), ST_HEALTH_UNKNOWN);
	ck_assert(stat_dns_get(s, 1, &d));
	ck_assert_uint_eq(d.n, 1);
	ck_assert_uint_eq(d.addr[0].b[0], 127);
	ck_assert_uint_eq(d.resolved_us, 99);
	ck_assert(!stat_dns_get(s, 0, &d));

	/* the owner is gone and another core lives: the old one's word stands until that one takes over */
	e = stat_health_epoch(s);
	stat_set_live_slot(s, 0, STAT_NO_SLOT);
	stat_set_live_slot(s, 1, 3);
	ck_assert_uint_ne(stat_health_epoch(s), e);
	ck_assert_uint_eq(stat_health_state(s, 0), ST_HEALTH_DOWN);
	e = stat_health_epoch(s);
	seg_run(s, STAT_WORKER, 3, probe_second, NULL);
	ck_assert_uint_ne(stat_health_epoch(s), e);
	ck_assert(stat_health_get(s, 0, &h));
	ck_assert_str_eq(h.reason, "second");
	ck_assert_str_eq(h.mon[0].name, "http");
	ck_assert(stat_health_get(s, 1, &h));            /* taken along */
	ck_assert_str_eq(h.reason, "first");
	ck_assert(stat_dns_get(s, 1, &d));
	/* the slot's next process goes on with what it finds */
	seg_run(s, STAT_WORKER, 3, beat, NULL);
	ck_assert_uint_eq(stat_health_state(s, 0), ST_HEALTH_UP);
	/* nobody lives: the last known */
	stat_set_live_slot(s, 1, STAT_NO_SLOT);
	ck_assert_uint_eq(stat_health_state(s, 0), ST_HEALTH_UP);
	/* and back to the first slot, whose old records are not taken for new */
	stat_set_live_slot(s, 0, 0);
	ck_assert_uint_eq(stat_health_state(s, 0), ST_HEALTH_UP);
	seg_run(s, STAT_WORKER, 0, probe_second, NULL);
	ck_assert(stat_health_get(s, 0, &h));
	ck_assert_str_eq(h.reason, "second");
	stat_free(s);
}
END_TEST

START_TEST(test_health_of_reused_row)
{
	struct stat_seg *s = seg_make(2, 1, 1);
	struct stat_health h;
	struct stat_dns d;

	seg_row(s, SV, "p/a", 1);
	seg_row(s, SV, "p/b", 1);
	stat_obj_commit(s, 1, 1);
	stat_set_live_slot(s, 0, 0);
	seg_run(s, STAT_WORKER, 0, probe_first, NULL);
	stat_obj_commit(s, 2, 2);
	seg_row(s, SV, "p/x", 3);
	seg_row(s, SV, "p/y", 3);
	for (uint32_t row = 0; row < 2; row++) {
		ck_assert_uint_eq(stat_health_state(s, row), ST_HEALTH_UNKNOWN);
		ck_assert(!stat_health_get(s, row, &h));
		ck_assert(!stat_dns_get(s, row, &d));
	}
	stat_free(s);
}
END_TEST

SEG_MAIN("stat/board", test_last_words, test_crash_table, test_proc_entries, test_heartbeat, test_board_words, test_steering,
	 test_admin_states, test_health_of_owners, test_health_of_reused_row)

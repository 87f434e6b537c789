/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_crash.c - processes killed at any instant, and a segment with flipped bits
 *
 * Random part: two workers that take services from each other, and the consolidator, are killed thousands of times
 * while readers check that nothing is torn, nothing goes backward and nobody is stuck. Builds with
 * failpoints add the exhaustive part: one kill after every single store to shared memory, each
 * followed by a check and by successors that must find nothing to complain about (ROBUSTNESS F2,
 * R24).
 */
#include "config.h"

#include "stat/stat.h"

#include <fcntl.h>

#include "seg_test.h"
#include "stat/crash.h"
#include "stat/mail.h"
#include "stat/owner.h"

#define ROWS 20u

struct truth {
	uint64_t started[8], done[8]; /* by slot: counts before and after their flush */
	uint64_t stop, rounds;
	uint64_t level_bad;
};

/* Children of the random part ------------------------------------------------------------- */

/* All counters of the pool move together, written and folded by one process, so every
 * total of it that anybody sees has them equal. */
static void control_fn(struct stat_seg *s, void *arg)
{
	struct truth *t = arg;
	struct stat_row *r = stat_row_get(s, KIND_POOL, ROWS);
	const unsigned n = CTR_POOL_REDISPATCH + 1;
	uint64_t top = 0;

	CHILD(r != NULL);
	for (unsigned i = 0; i < n; i++)
		top = FL_MAX(top, r->v[i]);
	for (unsigned i = 0; i < n; i++)
		stat_add(r, i, top - r->v[i]);
	while (!t->stop) {
		for (unsigned i = 0; i < n; i++)
			stat_inc(r, i);
		stat_flush(s, 1);
		stat_consolidate(s, 1);
		/* far more often than any interval that can be configured, but readers' tries are
		 * bounded */
		for (uint64_t until = env_now_ns() + 5000; env_now_ns() < until; )
			;
	}
}

static void check_health(struct stat_seg *s, uint32_t row, bool *seen)
{
	struct stat_health h;

	if (!stat_health_get(s, row, &h)) {
		CHILD(!*seen);                           /* once there, always there */
		return;
	}
	*seen = true;
	CHILD(h.since_us == strtoull(h.reason, NULL, 10));
	CHILD(h.state == 1 + (uint32_t)(h.since_us % 2));
}

/* Each of the two takes all rows in turn, and writes what it owns. What it reads by its own picture of the owners must be
 * as whole as what a reader sees. */
static void probe(struct stat_seg *s, uint64_t i, bool *seen)
{
	struct mail m = { .type = MAIL_NEWS, .row = (uint32_t)(i % ROWS) };
	uint32_t row = (uint32_t)(i % ROWS), why;
	struct stat_health h = { 0 };

	if (i % 7 == stat_own_slot(s))
		CHILD(stat_owner_take(s, row, &why) != 0);
	h.state = 1 + (uint32_t)(i % 2);
	h.since_us = i;
	snprintf(h.reason, sizeof(h.reason), "%llu", (unsigned long long)i);
	(void)stat_health_set(s, row, &h);
	(void)mail_put(s, !stat_own_slot(s), &m);
	while (mail_next(s, &m))
		CHILD(m.row < ROWS && m.type == MAIL_NEWS);
	CHILD(mail_torn(s) == 0);
	(void)stat_health_epoch(s);
	check_health(s, row, &seen[row]);
}

static void worker_fn(struct stat_seg *s, void *arg)
{
	volatile struct truth *t = arg;
	uint32_t slot = stat_own_slot(s);
	bool seen[ROWS] = { false };

	for (uint64_t i = 0; !t->stop; i++) {
		t->started[slot] += ROWS;
		for (uint32_t row = 0; row < ROWS; row++) {
			struct stat_row *r = stat_row_get(s, SV, row);

			CHILD(r != NULL);
			stat_inc(r, CTR_SERVICE_REQ_TOT);
			stat_inc(r, CTR_SERVICE_CONN_CUR);
		}
		stat_flush(s, 1);
		t->done[slot] += ROWS;
		probe(s, i, seen);
	}
}

static void reader_fn(struct stat_seg *s, void *arg)
{
	struct truth *t = arg;
	uint64_t out[TBL_CTR_MAX], last[ROWS] = { 0 }, pool = 0;
	bool seen[ROWS] = { false };

	while (!t->stop) {
		for (uint32_t row = 0; row < ROWS; row++) {
			CHILD(stat_total_row(s, row, out) == 0);
			CHILD(out[CTR_SERVICE_REQ_TOT] >= last[row]);
			last[row] = out[CTR_SERVICE_REQ_TOT];
			check_health(s, row, &seen[row]);
		}
		CHILD(stat_total_row(s, ROWS, out) == 0);
		for (unsigned i = 1; i <= CTR_POOL_REDISPATCH; i++)
			CHILD(out[i] == out[0]);
		CHILD(out[0] >= pool);
		pool = out[0];
		__atomic_fetch_add(&t->rounds, 1, __ATOMIC_RELAXED);
	}
}

static uint64_t total_of(const struct stat_seg *s, unsigned ctr)
{
	uint64_t sum = 0;

	for (uint32_t row = 0; row < ROWS; row++)
		sum += stat_total(s, row, ctr);
	return sum;
}

static void rows_make(struct stat_seg *s)
{
	char name[24];

	for (uint32_t i = 0; i < ROWS; i++) {
		snprintf(name, sizeof(name), "p/%u", i);
		ck_assert_uint_eq(seg_row(s, SV, name, 1), i);
	}
	ck_assert_uint_eq(seg_row(s, KIND_POOL, "p", 1), ROWS);
	stat_obj_commit(s, 1, 1);
}

START_TEST(test_random_kills)
{
	static const uint32_t victims[] = { 0, 1, 4 };
	struct stat_seg *s = seg_make(64, 2, 1);
	struct truth *t = shared_page();
	pid_t pid[5] = { 0 }, rd;
	const char *seconds = getenv("FL_CRASH_SECONDS");
	uint64_t end = env_now_us() + (seconds ? strtoull(seconds, NULL, 10) : 4) * 1000000, done = 0, started = 0, kills = 0, total;
	int st;

	ck_assert_uint_eq(stat_slot_of(s, STAT_CONTROL), 4);
	rows_make(s);
	stat_set_live_slot(s, 0, 0);
	stat_set_live_slot(s, 1, 1);
	rd = seg_spawn(s, STAT_READER, STAT_NO_SLOT, reader_fn, t);
	for (size_t i = 0; i < FL_ARRAY_LEN(victims); i++) {
		uint32_t k = victims[i];

		pid[k] = seg_spawn(s, k == 4 ? STAT_CONTROL : STAT_WORKER, k,
				   k == 4 ? control_fn : worker_fn, t);
	}
	/* on a slow machine as long as it takes; the case has its own limit */
	while (env_now_us() < end || kills <= 200 || t->rounds <= 100) {
		uint32_t k = victims[env_random_u64() % 3];

		env_sleep_us(env_random_u64() % 200);
		kill(pid[k], SIGKILL);
		st = seg_reap(s, k, pid[k]);
		ck_assert_msg(WIFSIGNALED(st), "slot %u ended by itself: %#x", k, st);
		ck_assert_int_eq(waitpid(rd, &st, WNOHANG), 0);
		kills++;
		pid[k] = seg_spawn(s, k == 4 ? STAT_CONTROL : STAT_WORKER, k,
				   k == 4 ? control_fn : worker_fn, t);
	}
	t->stop = 1;
	for (size_t i = 0; i < FL_ARRAY_LEN(victims); i++) {
		st = seg_reap(s, victims[i], pid[victims[i]]);
		ck_assert_msg(WIFEXITED(st) && WEXITSTATUS(st) == 0, "slot %u: %#x", victims[i],
			      st);
	}
	ck_assert_int_eq(waitpid(rd, &st, 0), rd);
	ck_assert_msg(WIFEXITED(st) && WEXITSTATUS(st) == 0, "reader: %#x", st);
	seg_fold(s);
	for (int k = 0; k < 8; k++) {
		done += t->done[k];
		started += t->started[k];
	}
	total = total_of(s, CTR_SERVICE_REQ_TOT);
	ck_assert_uint_ge(total, done);                  /* nothing flushed is lost */
	ck_assert_uint_le(total, started);               /* nothing is counted twice */
	ck_assert_uint_eq(total_of(s, CTR_SERVICE_CONN_CUR), 0);
	printf("kills at random: %llu\n", (unsigned long long)kills);
	fflush(stdout);
	ck_assert_uint_gt(kills, 200);
	ck_assert_uint_gt(t->rounds, 100);
	stat_free(s);
}
END_TEST

/* Flipped bits ------------------------------------------------------------------------------ */

static void fill_worker(struct stat_seg *s, void *arg)
{
	struct stat_health h = { .state = ST_HEALTH_UP, .n_mon = 2 };
	struct stat_dns d = { .n = 2 };
	struct mail m = { .type = MAIL_CLAIM };
	uint32_t why;

	(void)arg;
	for (uint32_t row = 0; row < ROWS; row++) {
		stat_inc(stat_row_get(s, SV, row), CTR_SERVICE_REQ_TOT);
		stat_owner_take(s, row, &why);
		stat_health_set(s, row, &h);
		stat_dns_set(s, row, &d);
		stat_health_epoch(s);
		stat_health_get(s, row, &h);
		mail_put(s, (stat_own_slot(s) + 1) % 4, &m);
	}
	while (mail_next(s, &m))
		CHILD(m.type == MAIL_CLAIM && m.from < stat_n_slots(s));
	stat_flush(s, 1);
	stat_death_set(s, (uint32_t)getpid(), &(struct stat_death){ .signal = 11, .where = "here", .what = "this" });
	for (uint32_t i = 0; i < 100; i++)
		stat_log_put(s, 0, 1, i, 1, "some line", 9);
}

static void read_everything(struct stat_seg *s)
{
	uint64_t out[TBL_CTR_MAX], cycle, at;
	struct stat_health h;
	struct stat_dns d;
	struct stat_admin a;
	struct stat_conf_state c;
	struct stat_proc p;
	struct stat_owner o;
	struct stat_death death;
	struct stat_crash crash;
	enum tbl_kind kind;
	struct str name;
	bool current;
	char tmp[STAT_NAME_MAX];

	for (uint32_t row = 0; row < 70; row++) {
		stat_total_row(s, row, out);
		if (stat_obj_get(s, row, &kind, &name, &current)) {
			CHILD(name.n < STAT_NAME_MAX && seg_kind_ok(kind));
			memcpy(tmp, name.p, name.n);
			stat_obj_find(s, kind, str_n(tmp, name.n));
		}
		if (stat_health_get(s, row, &h))
			CHILD(h.n_mon <= STAT_MON_MAX &&
			      strnlen(h.reason, sizeof(h.reason)) < sizeof(h.reason));
		CHILD(stat_health_state(s, row) <= ST_HEALTH_NOCHECK);
		if (stat_dns_get(s, row, &d))
			CHILD(d.n <= STAT_DNS_MAX);
		if (stat_admin_get(s, row, &a))
			CHILD(a.state <= ST_ADMIN_MAINT);
		for (uint32_t k = 0; k < stat_n_slots(s); k++)
			stat_slot_value(s, k, row, row % TBL_CTR_MAX);
	}
	for (uint32_t k = 0; k < stat_n_slots(s); k++)
		if (stat_proc_get(s, k, &p))
			CHILD(p.state <= ST_PROC_DEAD);
	CHILD(stat_obj_max(s) <= 64);
	for (uint32_t core = 0; core < 3; core++)
		CHILD(stat_live_slot(s, core) < stat_worker_slots(s) || stat_live_slot(s, core) == STAT_NO_SLOT);
	for (uint32_t row = 0; row < 70; row++) {
		uint32_t slot = stat_owner_candidate(s, row, NULL);

		CHILD(slot < stat_worker_slots(s) || slot == STAT_NO_SLOT);
		if (stat_owner_get(s, row, &o))
			CHILD(o.slot < stat_worker_slots(s) && o.core < 2 && o.why <= ST_OWNER_MOVED);
	}
	for (uint32_t k = 0; k < stat_n_slots(s); k++)
		if (stat_proc_get(s, k, &p) && stat_death_get(s, k, p.pid, &death))
			CHILD(strlen(death.where) < sizeof(death.where) && strlen(death.what) < sizeof(death.what));
	for (unsigned i = 0; i <= STAT_CRASHES; i++)
		if (stat_crash_get(s, i, &crash))
			CHILD(strlen(crash.where) < sizeof(crash.where) && strlen(crash.what) < sizeof(crash.what));
	CHILD(stat_serving_core(s, 1) < 2);
	stat_conf_get(s, &c);
	stat_cycle(s, &cycle, &at);
	stat_health_epoch(s);
}

static void read_damaged_logs(struct stat_seg *s, void *arg)
{
	struct stat_log_rec r;

	(void)arg;
	for (uint32_t k = 0; k < stat_n_slots(s); k++)
		while (stat_log_next(s, k, &r))
			CHILD(r.line.n <= SEG_LOG_LINE);
}

/* Flips bits where something is: heads, tables and the first records of every area. */
static void flip(struct stat_seg *s, char *const *map)
{
	const size_t dir[] = { 0,
			       s->dim.dir.proc,
			       s->dim.dir.core,
			       s->dim.dir.object,
			       s->dim.dir.index,
			       s->dim.dir.admin,
			       s->dim.dir.live,
			       s->dim.dir.crash };
	const size_t tot[] = { 0, s->dim.totals.folded, s->dim.totals.used, s->dim.totals.row };
	const size_t slt[] = { 0,
			       s->dim.slot.used,
			       s->dim.slot.row,
			       s->dim.slot.dirty,
			       s->dim.slot.hstate,
			       s->dim.slot.health,
			       s->dim.slot.dns,
			       s->dim.slot.cursor,
			       s->dim.slot.log,
			       s->dim.slot.claim,
			       s->dim.slot.mailhead,
			       s->dim.slot.mailseen,
			       s->dim.slot.mail,
			       s->dim.slot.death };
	uint64_t r = env_random_u64();
	unsigned i = (unsigned)(r % s->n_fd);
	size_t off = i == 0   ? dir[(r >> 8) % FL_ARRAY_LEN(dir)]
		     : i == 1 ? tot[(r >> 8) % FL_ARRAY_LEN(tot)]
			      : slt[(r >> 8) % FL_ARRAY_LEN(slt)];

	map[i][off + (r >> 16) % 4096] ^= (char)(1 << (r >> 40) % 8);
}

START_TEST(test_flipped_bits)
{
	struct stat_seg *s = seg_make(64, 2, 1);
	struct stat_admin a = { .state = ST_ADMIN_DRAIN };
	uint32_t logd = stat_slot_of(s, STAT_LOGD);
	char *map[16];

	rows_make(s);
	stat_set_live_slot(s, 0, 0);
	stat_set_live_slot(s, 1, 3);
	stat_admin_set(s, 3, &a);
	for (unsigned i = 0; i < 8; i++)
		stat_crash_set(s, i, &(struct stat_crash){ .id = i + 1, .where = "here", .what = "this" });
	for (unsigned i = 0; i < s->n_fd; i++) {
		map[i] = mmap(NULL,
			      i == 0   ? s->dim.dir.size
			      : i == 1 ? s->dim.totals.size
				       : s->dim.slot.size,
			      PROT_READ | PROT_WRITE, MAP_SHARED, s->fd[i], 0);
		ck_assert_ptr_ne(map[i], MAP_FAILED);
	}
	for (int round = 0; round < 150; round++) {
		/* whoever writes may find damage in his own slot; he must not fall over it
		 * either */
		seg_run(s, STAT_WORKER, (uint32_t)round % 4, fill_worker, NULL);
		for (int i = 0; i < 100; i++) {
			flip(s, map);
			read_everything(s);
		}
		seg_fold(s);
		read_everything(s);
		seg_run(s, STAT_LOGD, logd, read_damaged_logs, NULL);
	}
	stat_free(s);
}
END_TEST

#ifdef FL_FAILPOINTS
#include "crash_points.h"
#endif

int main(int argc, char **argv)
{
	SRunner *sr;
	Suite *suite;
	TCase *tc;
	int failed;

#ifdef FL_FAILPOINTS
	if (argc > 2 && strcmp(argv[1], "stage") == 0)
		return stage_main(argv);
#else
	(void)argc;
	(void)argv;
#endif
	suite = suite_create("stat/crash");
	tc = tcase_create("all");
	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, test_random_kills);
	tcase_add_test(tc, test_flipped_bits);
#ifdef FL_FAILPOINTS
	tcase_add_test(tc, test_every_store);
#endif
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

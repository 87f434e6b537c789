/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_count.c - counting, flushing, folding: what goes on, what vanishes, what decisions see
 */
#include "config.h"

#include "stat/reason.h"

#include "seg_test.h"

struct job {
	uint32_t row;
	uint64_t add;                 /* REQ_TOT */
	uint64_t level;               /* CONN_CUR */
	uint64_t max;                 /* VSERVER TTFB_MAX_US */
	uint32_t vrow;
	bool     die;
};

static void work(struct stat_seg *s, void *arg)
{
	struct job *j = arg;
	struct stat_row *r = stat_row_get(s, SV, j->row),
			*v = stat_row_get(s, KIND_VSERVER, j->vrow);

	CHILD(r && v);
	CHILD(r->v[CTR_SERVICE_CONN_CUR] == 0);         /* a LEVEL never outlives its process */
	stat_add(r, CTR_SERVICE_REQ_TOT, j->add);
	stat_add(r, CTR_SERVICE_CONN_CUR, j->level);
	stat_max(v, CTR_VSERVER_TTFB_MAX_US, j->max);
	CHILD(stat_is_dirty(s));
	CHILD(stat_flush(s, 1));
	CHILD(!stat_is_dirty(s) && !stat_flush(s, 1));
	if (j->die)
		raise(SIGKILL);
}

START_TEST(test_sum_goes_on_level_vanishes)
{
	struct stat_seg *s = seg_make(64, 2, 1);
	struct job j = { .add = 5, .level = 3, .max = 70, .die = true };
	uint64_t total = 0;

	j.row = seg_row(s, SV, "p/a", 1);
	j.vrow = seg_row(s, KIND_VSERVER, "v", 1);
	stat_obj_commit(s, 1, 1);
	for (int i = 0; i < 20; i++) {
		uint32_t slot = (uint32_t)i % stat_worker_slots(s);

		ck_assert(
			WIFSIGNALED(seg_reap(s, slot, seg_spawn(s, STAT_WORKER, slot, work, &j))));
		j.max = 10;
		total += 5;
		seg_fold(s);
		ck_assert_uint_eq(stat_total(s, j.row, CTR_SERVICE_REQ_TOT), total);
		ck_assert_uint_eq(stat_total(s, j.row, CTR_SERVICE_CONN_CUR), 0);
		ck_assert_uint_eq(stat_total(s, j.vrow, CTR_VSERVER_TTFB_MAX_US), 70);
	}
	/* a process that lives has its LEVEL counted; another pid in the entry does not count it */
	stat_proc_set(s, 0, ST_PROC_RUNNING, view_slot(s, 0)->pid, 0, 1);
	seg_fold(s);
	ck_assert_uint_eq(stat_total(s, j.row, CTR_SERVICE_CONN_CUR), 3);
	ck_assert_uint_eq(stat_slot_value(s, 0, j.row, CTR_SERVICE_CONN_CUR), 3);
	stat_proc_set(s, 0, ST_PROC_STARTING, view_slot(s, 0)->pid + 1, 0, 1);
	seg_fold(s);
	ck_assert_uint_eq(stat_total(s, j.row, CTR_SERVICE_CONN_CUR), 0);
	ck_assert_uint_eq(stat_slot_value(s, 0, j.row, CTR_SERVICE_CONN_CUR), 0);
	ck_assert_uint_eq(stat_slot_value(s, 0, j.row, CTR_SERVICE_REQ_TOT), 25);
	stat_free(s);
}
END_TEST

static void one(struct stat_seg *s, void *arg)
{
	struct job *j = arg;

	stat_inc(stat_row_get(s, SV, j->row), CTR_SERVICE_REQ_TOT);
	stat_flush(s, 1);
}

START_TEST(test_every_slot_counts)
{
	struct stat_seg *s = seg_make(1000, 3, 4);
	struct job j = { .row = seg_row(s, SV, "p/a", 1) };
	uint64_t out[TBL_CTR_MAX];

	for (uint32_t k = 0; k < stat_worker_slots(s); k++)
		seg_run(s, STAT_WORKER, k, one, &j);
	seg_fold(s);
	ck_assert_int_eq(stat_total_row(s, j.row, out), 0);
	ck_assert_uint_eq(out[CTR_SERVICE_REQ_TOT], 15);
	ck_assert_uint_eq(stat_total(s, j.row, TBL_CTR_MAX), 0);
	ck_assert_uint_eq(stat_total(s, UINT32_MAX, 0), 0);
	ck_assert_uint_eq(stat_slot_value(s, 99999, j.row, 0), 0);
	stat_free(s);
}
END_TEST

/* What a decision sees, step by step, with a consolidator that may stand still */
static void decide(struct stat_seg *s, void *arg)
{
	struct job *j = arg;
	struct stat_row *r = stat_row_get(s, SV, j->row);
	volatile uint32_t *step = (volatile uint32_t *)(void *)(uintptr_t)j->add;
	const unsigned c = CTR_SERVICE_CONN_CUR;

	CHILD(stat_now(s, r, c) == 3);                   /* the other worker's */
	stat_inc(r, c);
	CHILD(stat_now(s, r, c) == 4);
	stat_flush(s, 1);
	CHILD(stat_now(s, r, c) == 4); /* not folded yet: still only counted once */
	*step = 1;
	while (*step != 2)
		env_sleep_us(100);
	CHILD(stat_total(s, j->row, c) == 4 && stat_now(s, r, c) == 4);
	stat_dec(r, c);
	CHILD(stat_now(s, r, c) == 3);
	stat_flush(s, 1);
	CHILD(stat_now(s, r, c) == 3);                   /* the total still contains mine */
	for (int i = 0; i < 5; i++) { /* and any number of flushes without a fold */
		stat_add(r, c, 10);
		stat_flush(s, 1);
		CHILD(stat_now(s, r, c) == 3 + (uint64_t)(i + 1) * 10);
	}
	stat_add(r, c, (uint64_t)-50);
	CHILD(stat_now(s, r, c) == 3);
	stat_add(r, c, (uint64_t)-50);
	CHILD(stat_now(s, r, c) == 0);                   /* never below 0 */
}

static void hold_level(struct stat_seg *s, void *arg)
{
	struct job *j = arg;

	stat_add(stat_row_get(s, SV, j->row), CTR_SERVICE_CONN_CUR, 3);
	stat_flush(s, 1);
	*(volatile uint32_t *)(void *)(uintptr_t)j->add = 10;
	for (;;)
		pause();
}

START_TEST(test_now_is_exact_for_mine)
{
	struct stat_seg *s = seg_make(64, 2, 1);
	volatile uint32_t *step = shared_page();
	struct job j = { .row = seg_row(s, SV, "p/a", 1), .add = (uintptr_t)step };
	pid_t other = seg_spawn(s, STAT_WORKER, 2, hold_level, &j), me;
	int st;

	while (*step != 10)
		env_sleep_us(100);
	seg_fold(s);
	*step = 0;
	me = seg_spawn(s, STAT_WORKER, 0, decide, &j);
	while (*step != 1)
		ck_assert_int_eq(waitpid(me, &st, WNOHANG), 0);
	seg_fold(s);
	*step = 2;
	st = seg_reap(s, 0, me);
	ck_assert_msg(WIFEXITED(st) && WEXITSTATUS(st) == 0, "%#x", st);
	kill(other, SIGKILL);
	seg_reap(s, 2, other);
	stat_free(s);
}
END_TEST

static void count_many(struct stat_seg *s, void *arg)
{
	struct job *j = arg;

	for (uint32_t row = 0; row < j->row; row++)
		stat_inc(stat_row_get(s, SV, row), CTR_SERVICE_REQ_TOT);
	stat_flush(s, 1);
	for (uint32_t i = 0; i < j->add; i++) {          /* laps the dirty ring */
		stat_inc(stat_row_get(s, SV, i % j->row), CTR_SERVICE_REQ_TOT);
		stat_flush(s, 1);
	}
}

static void lap_check(struct stat_seg *s, void *arg)
{
	struct job *j = arg;
	struct job w = { .row = 64, .add = 1000 };

	stat_consolidate(s, 1);
	(void)j;
	/* control's own slot laps its ring between two folds */
	count_many(s, &w);
	CHILD(stat_consolidate(s, 2) == 64);
	CHILD(stat_consolidate(s, 3) == 0);              /* nothing dirty: nothing folded */
	stat_inc(stat_row_get(s, SV, 7), CTR_SERVICE_REQ_TOT);
	stat_flush(s, 1);
	CHILD(stat_consolidate(s, 4) == 1);
}

START_TEST(test_lapped_ring_folds_all)
{
	struct stat_seg *s = seg_make(64, 1, 0);
	uint64_t sum = 0, cycle, at;
	char name[16];

	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "p/%d", i);
		seg_row(s, SV, name, 1);
	}
	seg_run(s, STAT_CONTROL, stat_slot_of(s, STAT_CONTROL), lap_check, NULL);
	for (uint32_t row = 0; row < 64; row++)
		sum += stat_total(s, row, CTR_SERVICE_REQ_TOT);
	ck_assert_uint_eq(sum, 64 + 1000 + 1);
	stat_cycle(s, &cycle, &at);
	ck_assert_uint_eq(cycle, 4);
	ck_assert_uint_eq(at, 4);
	stat_free(s);
}
END_TEST

/* One consolidator for the whole test: folds when told, and says so. */
static void fold_on_demand(struct stat_seg *s, void *arg)
{
	volatile uint32_t *turn = arg;

	for (;;) {
		while (*turn != 1)
			env_sleep_us(50);
		stat_consolidate(s, 1);
		*turn = 0;
	}
}

static void fold_now(volatile uint32_t *turn)
{
	*turn = 1;
	while (*turn)
		env_sleep_us(50);
}

/* What a flush does up to the dirty ring, then death. */
static void store_and_die(struct stat_seg *s, void *arg)
{
	struct job *j = arg;
	uint64_t *w = (uint64_t *)(uintptr_t)view_slot_row(s, 0, j->row);

	w = (void *)(s->own + ((char *)w - s->slot[0]));
	w[SEG_ROW_CTR + CTR_SERVICE_REQ_TOT] += 11;
	raise(SIGKILL);
}

/* The rings say nothing of these changes; the state of the slot does. */
START_TEST(test_change_of_owner_folds_all)
{
	struct stat_seg *s = seg_make(64, 1, 1);
	uint32_t control = stat_slot_of(s, STAT_CONTROL), pid;
	volatile uint32_t *turn = shared_page();
	struct job j = { .add = 5, .level = 3, .max = 1, .die = true };
	pid_t fold;

	j.row = seg_row(s, SV, "p/a", 1);
	j.vrow = seg_row(s, KIND_VSERVER, "v", 1);
	fold = seg_spawn(s, STAT_CONTROL, control, fold_on_demand, (void *)(uintptr_t)turn);
	seg_reap(s, 0, seg_spawn(s, STAT_WORKER, 0, work, &j));
	pid = view_slot(s, 0)->pid;
	stat_proc_set(s, 0, ST_PROC_HUNG, pid, 0, 1);
	fold_now(turn);
	ck_assert_uint_eq(stat_total(s, j.row, CTR_SERVICE_CONN_CUR), 3);
	stat_proc_set(s, 0, ST_PROC_DEAD, pid, 0, 1);
	fold_now(turn);
	ck_assert_uint_eq(stat_total(s, j.row, CTR_SERVICE_CONN_CUR), 0);
	ck_assert_uint_eq(stat_total(s, j.row, CTR_SERVICE_REQ_TOT), 5);
	seg_reap(s, 0, seg_spawn(s, STAT_WORKER, 0, store_and_die, &j));
	fold_now(turn);
	ck_assert_uint_eq(stat_total(s, j.row, CTR_SERVICE_REQ_TOT), 16);
	kill(fold, SIGKILL);
	seg_reap(s, control, fold);
	stat_free(s);
}
END_TEST

static void add_seven(struct stat_seg *s, void *arg)
{
	struct job *j = arg;
	struct stat_row *r = stat_row_get(s, KIND_POLICY, j->row);

	CHILD(r && r->v[CTR_POLICY_HITS] == 0);
	stat_add(r, CTR_POLICY_HITS, 7);
	stat_flush(s, 1);
}

START_TEST(test_reused_row_starts_at_zero)
{
	struct stat_seg *s = seg_make(2, 1, 1);
	struct job j = { .add = 100, .level = 5, .max = 9 };
	uint32_t row;
	int err;

	j.row = seg_row(s, SV, "p/old", 1);
	j.vrow = seg_row(s, KIND_VSERVER, "v", 1);
	stat_obj_commit(s, 1, 1);
	seg_run(s, STAT_WORKER, 0, work, &j);
	seg_run(s, STAT_WORKER, 1, work, &j);
	seg_fold(s);
	ck_assert_uint_eq(stat_total(s, j.row, CTR_SERVICE_REQ_TOT), 200);

	seg_row(s, KIND_VSERVER, "v", 2);
	stat_obj_commit(s, 2, 1);
	err = stat_obj_assign(s, KIND_POLICY, STR("new"), 3, &row);
	ck_assert_int_eq(err, FL_ELIMIT_);               /* generation 1 lives */
	ck_assert_uint_eq(row, STAT_NO_ROW);
	stat_obj_commit(s, 2, 2);
	ck_assert_uint_eq(stat_total(s, j.row, CTR_SERVICE_REQ_TOT), 200);   /* kept until needed */
	row = seg_row(s, KIND_POLICY, "new", 3);
	ck_assert_uint_eq(row, j.row);
	ck_assert_uint_eq(stat_obj_find(s, SV, STR("p/old")), STAT_NO_ROW);
	ck_assert_uint_eq(stat_total(s, row, CTR_POLICY_HITS), 0);
	seg_fold(s);
	ck_assert_uint_eq(stat_total(s, row, CTR_POLICY_HITS), 0);
	seg_run(s, STAT_WORKER, 0, add_seven, &j);
	seg_fold(s);
	for (unsigned c = 0; c < TBL_CTR_MAX; c++)
		ck_assert_uint_eq(stat_total(s, row, c), c == CTR_POLICY_HITS ? 7 : 0);
	/* the next one is of the same kind */
	stat_obj_commit(s, 3, 3);
	seg_row(s, KIND_VSERVER, "v", 4);
	stat_obj_commit(s, 4, 4);
	ck_assert_uint_eq(seg_row(s, KIND_POLICY, "newer", 5), row);
	ck_assert_uint_eq(stat_total(s, row, CTR_POLICY_HITS), 0);
	seg_run(s, STAT_WORKER, 0, add_seven, &j);
	seg_fold(s);
	ck_assert_uint_eq(stat_total(s, row, CTR_POLICY_HITS), 7);
	ck_assert_uint_eq(stat_total(s, j.vrow, CTR_VSERVER_TTFB_MAX_US), 9);
	stat_free(s);
}
END_TEST

static void refuse(struct stat_seg *s, void *arg)
{
	(void)arg;
	stat_reason(REFUSED_REQUEST, CTR_MESSAGE_H1_BAD_CL);    /* not attached: not counted */
	stat_reasons_attach(s);
	stat_reason(REFUSED_REQUEST, CTR_MESSAGE_H1_TWO_CL);
	stat_reason(REFUSED_RESPONSE, CTR_MESSAGE_H1_TWO_CL);
	stat_reason(REFUSED_REQUEST, CTR_MESSAGE_H1_TWO_CL);
	stat_reason(REFUSED_TLS_SERVICE, CTR_TLS_WHY_CERT_NAME);
	CHILD(stat_flush(s, 1));
}

/* Requests and responses share reasons, not figures; all processes count into the same totals. */
START_TEST(test_reasons_are_the_appliances)
{
	struct stat_seg *s = seg_make(64, 2, 1);

	ck_assert_int_eq(stat_reasons_assign(s, 1), 0);
	stat_obj_commit(s, 1, 1);
	for (uint32_t slot = 0; slot < 2; slot++)
		ck_assert_int_eq(seg_reap(s, slot, seg_spawn(s, STAT_WORKER, slot, refuse, NULL)),
				 0);
	seg_fold(s);
	ck_assert_uint_eq(stat_reason_total(s, REFUSED_REQUEST, CTR_MESSAGE_H1_TWO_CL), 4);
	ck_assert_uint_eq(stat_reason_total(s, REFUSED_RESPONSE, CTR_MESSAGE_H1_TWO_CL), 2);
	ck_assert_uint_eq(stat_reason_total(s, REFUSED_REQUEST, CTR_MESSAGE_H1_BAD_CL), 0);
	ck_assert_uint_eq(stat_reason_total(s, REFUSED_TLS_SERVICE, CTR_TLS_WHY_CERT_NAME), 2);
	ck_assert_uint_eq(stat_reason_total(s, REFUSED_TLS_CLIENT, CTR_TLS_WHY_CERT_NAME), 0);
	stat_free(s);
}
END_TEST

START_TEST(test_without_a_place)
{
	struct stat_seg *s = seg_make(64, 1, 0);
	uint32_t row = seg_row(s, SV, "p/a", 1);
	struct stat_row *r = stat_row_get(s, SV, row);

	stat_inc(NULL, 0);
	stat_max(NULL, 0, 1);
	ck_assert_ptr_nonnull(r);                        /* the master has a slot too */
	ck_assert_ptr_eq(r, stat_row_get(s, SV, row));
	ck_assert_ptr_null(stat_row_get(s, KIND_POOL, row));
	ck_assert_ptr_null(stat_row_get(s, SV, STAT_NO_ROW));
	ck_assert_ptr_null(stat_row_get(s, SV, 63));
	ck_assert_uint_eq(stat_now(s, NULL, 0), 0);
	ck_assert_int_eq(stat_become(s, STAT_WORKER, 1, 0, 1), FL_ERANGE_);
	ck_assert_int_eq(stat_become(s, STAT_LOGD, 0, 0, 1), FL_ERANGE_);
	ck_assert_int_eq(stat_become(s, STAT_MASTER, 3, 0, 1), FL_ERANGE_);
	ck_assert_int_eq(stat_become(s, STAT_READER, STAT_NO_SLOT, 0, 1), 0);
	ck_assert_ptr_null(stat_row_get(s, SV, row));
	ck_assert(!stat_flush(s, 1));
	ck_assert_uint_eq(stat_fd_count(s), 0);
	ck_assert_int_eq(stat_become(s, STAT_READER, STAT_NO_SLOT, 0, 1), -EBADF);
	stat_free(s);
}
END_TEST

/* Reading everything must not fill a sparse segment. */
START_TEST(test_reading_does_not_allocate)
{
	struct stat_seg *s = seg_make(65536, 2, 1);
	struct stat_health h;
	struct stat_dns d;
	struct stat_admin a;
	uint64_t out[TBL_CTR_MAX];
	char name[24];
	struct stat st;
	blkcnt_t blocks[16];

	for (uint32_t i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "pool/%u", i);
		seg_row(s, SV, name, 1);
	}
	stat_obj_commit(s, 1, 1);
	ck_assert_uint_le(stat_fd_count(s), FL_ARRAY_LEN(blocks));
	for (unsigned i = 0; i < stat_fd_count(s); i++) {
		ck_assert_int_eq(fstat(stat_fds(s)[i], &st), 0);
		blocks[i] = st.st_blocks;
	}
	for (uint32_t row = 0; row < 65536; row++) {
		stat_total_row(s, row, out);
		stat_health_get(s, row, &h);
		stat_dns_get(s, row, &d);
		stat_admin_get(s, row, &a);
		for (uint32_t k = 0; k < stat_n_slots(s); k++)
			stat_slot_value(s, k, row, 0);
	}
	for (unsigned i = 0; i < stat_fd_count(s); i++) {
		ck_assert_int_eq(fstat(stat_fds(s)[i], &st), 0);
		/* bit maps and state words only: 512-byte blocks, at most 300 KiB a file */
		ck_assert_int_le(st.st_blocks - blocks[i], 600);
	}
	stat_free(s);
}
END_TEST

SEG_MAIN("stat/count", test_sum_goes_on_level_vanishes, test_every_slot_counts,
	 test_now_is_exact_for_mine, test_lapped_ring_folds_all, test_change_of_owner_folds_all,
	 test_reused_row_starts_at_zero, test_reasons_are_the_appliances, test_without_a_place, test_reading_does_not_allocate)

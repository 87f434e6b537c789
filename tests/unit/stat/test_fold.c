/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fold.c - the consolidator against an oracle: every event is also written down, and after each cycle every
 * figure must be what that log says
 *
 * Workers and consolidator are processes that act when told, so that it is known what a cycle has to contain.
 * They are killed and replaced in between. Windows are tested in virtual time: a fold takes the time from its caller.
 */
#include "config.h"

#include "seg_test.h"
#include "stat/fold.h"
#include "stat/owner.h"

#define WORKERS 3u
#define ROWS    40u
#define EVENTS  60u

enum { GO_NONE, GO_WORK, GO_FOLD, GO_MANY };

/* What everybody shares: orders, and the log. */
struct stage {
	volatile uint32_t go[8];              /* by slot; back to GO_NONE when done */
	volatile uint64_t now_ms;
	uint64_t          seed[8];
	uint64_t          sum[WORKERS][ROWS], peak[WORKERS][ROWS], least[WORKERS][ROWS], last[WORKERS][ROWS];
	uint64_t          measured[WORKERS][ROWS], median[WORKERS][ROWS];
	int64_t           level[WORKERS][ROWS];
	volatile uint32_t many, by;
};

static uint64_t roll(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 33;
}

static void event(struct stage *g, struct stat_seg *s, unsigned me, uint64_t *seed)
{
	uint32_t row = (uint32_t)(roll(seed) % ROWS);
	struct stat_row *r = stat_row_get(s, SV, row);
	uint64_t n = 1 + roll(seed) % 1000;

	CHILD(r != NULL);
	switch (roll(seed) % 6) {
	case 0:
		stat_add(r, CTR_SERVICE_REQ_TOT, n);
		g->sum[me][row] += n;
		break;
	case 1:
		stat_inc(r, CTR_SERVICE_REQ_CUR);
		g->level[me][row]++;
		break;
	case 2:
		if (g->level[me][row] > 0) {
			stat_dec(r, CTR_SERVICE_REQ_CUR);
			g->level[me][row]--;
		}
		break;
	case 3:
		stat_max(r, CTR_SERVICE_TTFB_MAX_US, n);
		stat_min(r, CTR_SERVICE_TTFB_MIN_US, n);
		g->peak[me][row] = FL_MAX(g->peak[me][row], n);
		if (!g->least[me][row] || n < g->least[me][row])
			g->least[me][row] = n;
		break;
	case 4:
		stat_max(r, CTR_SERVICE_LAST_MS, g->now_ms);
		g->last[me][row] = g->now_ms;
		break;
	default:
		stat_set(r, CTR_SERVICE_LRTM_US, n);
		g->measured[me][row] = n;
		stat_set(r, CTR_SERVICE_TTFB_MED_US, n);
		g->median[me][row] = n;
	}
}

static void work_when_told(struct stat_seg *s, void *arg)
{
	struct stage *g = arg;
	unsigned me = stat_own_slot(s);

	for (uint32_t row = 0, why; me == 0 && row < stat_obj_max(s); row++)
		CHILD(stat_owner_take(s, row, &why) != 0);
	for (;;) {
		while (g->go[me] == GO_NONE)
			env_sleep_us(20);
		if (g->go[me] == GO_WORK)
			for (unsigned i = 0; i < EVENTS; i++)
				event(g, s, me, &g->seed[me]);
		for (uint32_t row = 0; g->go[me] == GO_MANY && row < g->many; row++) {
			stat_add(stat_row_get(s, SV, row), CTR_SERVICE_REQ_TOT, g->by);
			stat_add(stat_row_get(s, SV, row), CTR_SERVICE_REQ_CUR, g->by);
		}
		stat_flush(s, 1);
		g->go[me] = GO_NONE;
	}
}

static void fold_when_told(struct stat_seg *s, void *arg)
{
	struct stage *g = arg;
	unsigned me = stat_own_slot(s);

	for (;;) {
		while (g->go[me] == GO_NONE)
			env_sleep_us(20);
		(void)stat_consolidate(s, g->now_ms);
		g->go[me] = GO_NONE;
	}
}

struct play {
	struct stat_seg *s;
	struct stage    *g;
	uint32_t         control;
	pid_t            pid[8];
};

static void enter(struct play *p, uint32_t slot)
{
	p->g->go[slot] = GO_NONE;
	p->pid[slot] = slot == p->control ?
			       seg_spawn(p->s, STAT_CONTROL, slot, fold_when_told, p->g) :
			       seg_spawn(p->s, STAT_WORKER, slot, work_when_told, p->g);
}

static void leave_stage(struct play *p, uint32_t slot)
{
	kill(p->pid[slot], SIGKILL);
	seg_reap(p->s, slot, p->pid[slot]);
}

static void tell(struct play *p, uint32_t slot, uint32_t what)
{
	p->g->go[slot] = what;
}

static void wait_for(struct play *p, uint32_t slot)
{
	while (p->g->go[slot] != GO_NONE) {
		ck_assert_int_eq(waitpid(p->pid[slot], NULL, WNOHANG), 0);
		env_sleep_us(20);
	}
}

static void fold(struct play *p)
{
	tell(p, p->control, GO_FOLD);
	wait_for(p, p->control);
}

static void begin(struct play *p, uint32_t rows, uint32_t objects)
{
	char name[24];

	*p = (struct play){ .s = seg_make(objects, WORKERS, 0), .g = shared_page() };
	p->control = stat_slot_of(p->s, STAT_CONTROL);
	p->g->now_ms = 1000000;
	for (uint32_t i = 0; i < rows; i++) {
		snprintf(name, sizeof(name), "p/%u", i);
		ck_assert_uint_eq(seg_row(p->s, SV, name, 1), i);
	}
	stat_obj_commit(p->s, 1, 1);
	for (uint32_t k = 0; k < WORKERS; k++)
		enter(p, k);
	enter(p, p->control);
}

static void end(struct play *p)
{
	for (uint32_t k = 0; k < WORKERS; k++)
		leave_stage(p, k);
	leave_stage(p, p->control);
	stat_free(p->s);
}

/* As it stands in the totals, an age as its moment. */
static uint64_t published(const struct stat_seg *s, uint32_t row, unsigned c)
{
	const struct seg_total_row *t = view_total(s, row);

	return view_bit(view_totals_used(s), row) ? t->copy[t->seq & 1][SEG_ROW_CTR + c] : 0;
}

static void compare(struct play *p, unsigned cycle)
{
	struct stage *g = p->g;

	for (uint32_t row = 0; row < ROWS; row++) {
		uint64_t sum = 0, peak = 0, least = 0, last = 0;
		int64_t level = 0;

		for (unsigned k = 0; k < WORKERS; k++) {
			sum += g->sum[k][row];
			level += g->level[k][row];
			peak = FL_MAX(peak, g->peak[k][row]);
			last = FL_MAX(last, g->last[k][row]);
			if (g->least[k][row] && (!least || g->least[k][row] < least))
				least = g->least[k][row];
		}
		ck_assert_msg(published(p->s, row, CTR_SERVICE_REQ_TOT) == sum, "cycle %u row %u: sum", cycle, row);
		ck_assert_msg(published(p->s, row, CTR_SERVICE_REQ_CUR) == (uint64_t)level,
			      "cycle %u row %u: level %llu, not %lld", cycle, row,
			      (unsigned long long)published(p->s, row, CTR_SERVICE_REQ_CUR), (long long)level);
		ck_assert_msg(published(p->s, row, CTR_SERVICE_TTFB_MAX_US) == peak, "cycle %u row %u: max", cycle, row);
		ck_assert_msg(published(p->s, row, CTR_SERVICE_TTFB_MIN_US) == least, "cycle %u row %u: min", cycle,
			      row);
		ck_assert_msg(published(p->s, row, CTR_SERVICE_LAST_MS) == last, "cycle %u row %u: age", cycle, row);
	}
}

/* What was measured is that of slot 0, which owns all rows. */
static void compare_owner(struct play *p, unsigned cycle)
{
	for (uint32_t row = 0; row < ROWS; row++)
		ck_assert_msg(published(p->s, row, CTR_SERVICE_LRTM_US) == p->g->measured[0][row],
			      "cycle %u row %u: owner", cycle, row);
}

static void kill_somebody(struct play *p, uint64_t *seed)
{
	uint32_t slot = roll(seed) % 4 == 0 ? p->control : (uint32_t)(roll(seed) % WORKERS);

	leave_stage(p, slot);
	for (uint32_t row = 0; slot < WORKERS && row < ROWS; row++)
		p->g->level[slot][row] = 0;
	if (roll(seed) % 2) {                    /* with a cycle in between, or without */
		if (slot != p->control) {
			fold(p);
			compare(p, 0);
		}
	}
	enter(p, slot);
}

static const unsigned paces_us[] = { 1000, 2000, 5000 };

START_TEST(test_oracle)
{
	uint64_t seed = 77 + (unsigned)_i, due = env_now_us();
	struct play p;

	begin(&p, ROWS, 64);
	for (uint32_t k = 0; k < WORKERS; k++)
		p.g->seed[k] = seed + k;
	for (unsigned cycle = 1; cycle <= 400; cycle++) {
		for (uint32_t k = 0; k < WORKERS; k++)
			tell(&p, k, GO_WORK);
		for (uint32_t k = 0; k < WORKERS; k++)
			wait_for(&p, k);
		p.g->now_ms += paces_us[_i] / 1000;
		fold(&p);
		compare(&p, cycle);
		compare_owner(&p, cycle);
		if (roll(&seed) % 8 == 0)
			kill_somebody(&p, &seed);
		due += paces_us[_i];
		if (due > env_now_us())
			env_sleep_us(due - env_now_us());
	}
	end(&p);
}
END_TEST

/* The same traffic for 14 s is its rate; then none for 16 s is 0, and the row costs nothing more. */
START_TEST(test_rates)
{
	struct play p;
	uint64_t v = 0;

	begin(&p, 3, 64);
	p.g->many = 1;
	p.g->by = 5;
	for (unsigned t = 0; t < 30000; t += 50) {         /* 5 every 50 ms: 100 a second */
		tell(&p, 0, GO_MANY);
		wait_for(&p, 0);
		fold(&p);
		v = stat_total(p.s, 0, CTR_SERVICE_REQ_RATE);
		ck_assert_uint_le(v, 101);
		if (t > 6000 && t < 8000)        /* ramps up with the window */
			ck_assert_msg(v >= 25 && v <= 60, "%llu", (unsigned long long)v);
		if (t > 16500)
			ck_assert_msg(v >= 99, "%llu at %u", (unsigned long long)v, t);
		if (t == 20000) {                /* another consolidator goes on with what it can know */
			leave_stage(&p, p.control);
			enter(&p, p.control);
			fold(&p);
			ck_assert_uint_ge(stat_total(p.s, 0, CTR_SERVICE_REQ_RATE), 99);
			break;
		}
		p.g->now_ms += 50;
	}
	for (unsigned t = 0; t < 17000; t += 100) {
		p.g->now_ms += 100;
		fold(&p);
	}
	ck_assert_uint_eq(stat_total(p.s, 0, CTR_SERVICE_REQ_RATE), 0);
	ck_assert_uint_gt(stat_total(p.s, 0, CTR_SERVICE_REQ_TOT), 0);
	ck_assert_uint_eq(stat_total(p.s, 1, CTR_SERVICE_REQ_RATE), 0);
	end(&p);
}
END_TEST

static void measure(struct stat_seg *s, void *arg)
{
	const uint64_t *v = arg;
	struct stat_row *r = stat_row_get(s, SV, 0);
	uint32_t why;

	if (stat_own_slot(s) == 1)
		CHILD(stat_owner_take(s, 0, &why) != 0);
	stat_set(r, CTR_SERVICE_TTFB_MED_US, *v);
	stat_own(r, CTR_SERVICE_LRTM_US, *v);
	stat_own(r, CTR_SERVICE_LOAD, *v == 100 ? 0 : *v);
	stat_add(r, CTR_SERVICE_TTFB_US, 30);
	stat_add(r, CTR_SERVICE_TXNS, 3);
	stat_flush(s, 1);
	for (;;)
		pause();
}

struct windows {
	uint64_t v[5];
};

static void windows_pass(struct stat_seg *s, void *arg)
{
	struct windows *w = arg;

	(void)stat_consolidate(s, 1000);
	(void)stat_consolidate(s, 3001);
	w->v[0] = stat_total(s, 0, CTR_SERVICE_TTFB_MED_US);
	w->v[1] = stat_total(s, 0, CTR_SERVICE_LRTM_US);
	w->v[2] = stat_total(s, 0, CTR_SERVICE_TTFB_AVG_US);
	w->v[3] = stat_consolidate_due_ms(s);
	w->v[4] = stat_total(s, 0, CTR_SERVICE_LOAD);
	(void)stat_consolidate(s, 4000);
	CHILD(stat_consolidate_due_ms(s) == 3000 + WINDOW_STEP_MS);
	for (uint64_t t = 5500; t < 30000; t += 2500)
		(void)stat_consolidate(s, t);
	CHILD(stat_total(s, 0, CTR_SERVICE_TTFB_AVG_US) == 0);
	CHILD(stat_consolidate_due_ms(s) == UINT64_MAX);         /* nothing moves any more: nobody is woken */
}

START_TEST(test_median_owner_average)
{
	static const uint64_t each[WORKERS] = { 900, 100, 300 };
	struct stat_seg *s = seg_make(64, WORKERS, 0);
	struct windows *w = shared_page();
	uint32_t control = stat_slot_of(s, STAT_CONTROL);
	pid_t pid[WORKERS];

	seg_row(s, SV, "p/a", 1);
	stat_obj_commit(s, 1, 1);
	for (uint32_t k = 0; k < WORKERS; k++) {
		pid[k] = seg_spawn(s, STAT_WORKER, k, measure, (void *)(uintptr_t)&each[k]);
		while (!view_slot(s, k)->flush_cycle)
			env_sleep_us(100);
	}
	seg_run(s, STAT_CONTROL, control, windows_pass, w);
	ck_assert_uint_eq(w->v[0], 300);
	ck_assert_uint_eq(w->v[1], 100);
	ck_assert_uint_eq(w->v[4], 0);           /* measured as 0, and so copied */
	ck_assert_uint_eq(w->v[2], 10);
	ck_assert_uint_eq(w->v[3], 3000 + WINDOW_STEP_MS);
	for (uint32_t k = 0; k < WORKERS; k++) {
		kill(pid[k], SIGKILL);
		seg_reap(s, k, pid[k]);
	}
	stat_free(s);
}
END_TEST

/* What came along from another segment is in the sums, but no rate says that it happened just now; before or after the
 * first fold, and when another consolidator comes. */
START_TEST(test_what_was_carried_is_no_rate)
{
	static const uint64_t carried = UINT64_C(1400000000);
	struct play p;
	struct stat_row *r;

	begin(&p, 3, 64);
	p.g->many = 1;
	p.g->by = 5;
	if (_i) {
		tell(&p, 0, GO_MANY);
		wait_for(&p, 0);
		fold(&p);
	}
	r = stat_row_get(p.s, SV, 0);
	stat_add(r, CTR_SERVICE_REQ_TOT, carried);
	stat_flush(p.s, 1);
	for (unsigned t = 0; t < 20000; t += 100) {
		if (t % 1000 == 0) {
			tell(&p, 0, GO_MANY);
			wait_for(&p, 0);
		}
		fold(&p);
		ck_assert_uint_ge(stat_total(p.s, 0, CTR_SERVICE_REQ_TOT), carried);
		ck_assert_uint_le(stat_total(p.s, 0, CTR_SERVICE_REQ_RATE), 10);
		if (t == 5000) {
			leave_stage(&p, p.control);
			enter(&p, p.control);
		}
		p.g->now_ms += 100;
	}
	ck_assert_uint_ge(stat_total(p.s, 0, CTR_SERVICE_REQ_RATE), 4);
	end(&p);
}
END_TEST

#define MANY 3000u

static unsigned with_level(const struct stat_seg *s, uint64_t level)
{
	unsigned n = 0;

	for (uint32_t row = 0; row < MANY; row++)
		n += stat_total(s, row, CTR_SERVICE_REQ_CUR) == level;
	return n;
}

/* Neither the death of a worker nor that of the consolidator makes one long cycle, or a figure that was not. */
START_TEST(test_many_rows_change_hands)
{
	struct play p;
	unsigned cycles = 0, left, before = 0;

	begin(&p, MANY, 4096);
	p.g->many = MANY;
	p.g->by = 2;
	for (uint32_t k = 0; k < 2; k++) {
		tell(&p, k, GO_MANY);
		wait_for(&p, k);
	}
	for (int i = 0; i < 2; i++)              /* more at once than one cycle takes of the rings */
		fold(&p);
	ck_assert_uint_eq(with_level(p.s, 4), MANY);
	leave_stage(&p, p.control);
	enter(&p, p.control);
	for (int i = 0; i < 30; i++) {           /* a new consolidator never says less than is */
		fold(&p);
		ck_assert_uint_eq(with_level(p.s, 4), MANY);
	}
	leave_stage(&p, 1);
	do {                                     /* what a dead worker had goes in pieces */
		fold(&p);
		left = with_level(p.s, 4);
		ck_assert_uint_eq(with_level(p.s, 2), MANY - left);
		ck_assert_uint_le(before ? before - left : 0, 300);
		before = left;
		cycles++;
	} while (left && cycles < 100);
	ck_assert_uint_gt(cycles, 5);
	ck_assert_uint_eq(left, 0);
	enter(&p, 1);
	tell(&p, 1, GO_MANY);                    /* and what is new does not wait for it */
	wait_for(&p, 1);
	fold(&p);
	ck_assert_uint_eq(with_level(p.s, 4), MANY);
	end(&p);
}
END_TEST

/* Slots that went are looked at before those that came: a reload's many new rows do not keep a dead one's levels. */
START_TEST(test_who_went_comes_first)
{
	struct play p;
	unsigned cycles = 0;

	begin(&p, MANY, 4096);
	p.g->many = MANY;
	p.g->by = 2;
	for (uint32_t k = 0; k < 2; k++) {
		tell(&p, k, GO_MANY);
		wait_for(&p, k);
	}
	for (int i = 0; i < 4; i++)
		fold(&p);
	leave_stage(&p, 0);
	for (int i = 0; i < 30; i++)
		fold(&p);
	ck_assert_uint_eq(with_level(p.s, 2), MANY);
	enter(&p, 0);
	leave_stage(&p, 1);
	while (with_level(p.s, 0) < MANY && cycles++ < 100)
		fold(&p);
	ck_assert_uint_le(cycles, MANY / 256 + 2);
	enter(&p, 1);
	end(&p);
}
END_TEST

static unsigned with_rate(const struct stat_seg *s)
{
	unsigned n = 0;

	for (uint32_t row = 0; row < MANY; row++)
		n += stat_total(s, row, CTR_SERVICE_REQ_RATE) != 0;
	return n;
}

/* Many rows have rates, and no longer when nothing is counted any more, however far apart the cycles are. */
START_TEST(test_many_fall_silent)
{
	static const unsigned apart_ms[] = { 2, 100, 1000 };
	struct play p;

	begin(&p, MANY, 4096);
	p.g->many = MANY;
	p.g->by = 20;
	for (unsigned t = 0; t < 4000; t += apart_ms[_i]) {
		if (t % 1000 == 0) {
			tell(&p, 0, GO_MANY);
			wait_for(&p, 0);
		}
		fold(&p);
		p.g->now_ms += apart_ms[_i];
	}
	ck_assert_uint_eq(with_rate(p.s), MANY);
	p.g->now_ms += 5000;                     /* nor if none came for a while */
	for (unsigned t = 0; t < 18500; t += apart_ms[_i]) {         /* a window and two steps */
		fold(&p);
		p.g->now_ms += apart_ms[_i];
	}
	ck_assert_uint_eq(with_rate(p.s), 0);
	end(&p);
}
END_TEST

static void ask_early(struct stat_seg *s, void *arg)
{
	(void)arg;
	stat_flush_early(s);
}

static void early_seen(struct stat_seg *s, void *arg)
{
	struct stat_cycles c;

	(void)arg;
	stat_consolidate(s, 1);
	CHILD(!stat_early_wanted(s));            /* asked before it came: the first fold had it */
	stat_flush_early(s);                     /* its own slot is one as well */
	CHILD(stat_early_wanted(s));
	CHILD(!stat_early_wanted(s));
	stat_cycles_missed(s, 3);
	stat_cycles(s, &c);
	CHILD(c.cycle == 1 && c.early == 1 && c.missed == 3);
}

static void view_seen(struct stat_seg *s, void *arg)
{
	struct stat_proc p;

	(void)arg;
	stat_heartbeat(s, 9);
	CHILD(stat_proc_get(s, stat_own_slot(s), &p));
	CHILD(p.seen_cycle == 1 && p.seen_at_ms == 1 && p.heartbeat_ms == 9);
}

START_TEST(test_early_and_seen)
{
	struct stat_seg *s = seg_make(64, 1, 0);

	seg_run(s, STAT_WORKER, 0, ask_early, NULL);
	seg_run(s, STAT_CONTROL, stat_slot_of(s, STAT_CONTROL), early_seen, NULL);
	seg_run(s, STAT_WORKER, 0, view_seen, NULL);
	stat_free(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stat/fold");
	TCase *tc = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_oracle, 0, FL_ARRAY_LEN(paces_us));
	tcase_add_test(tc, test_rates);
	tcase_add_loop_test(tc, test_what_was_carried_is_no_rate, 0, 2);
	tcase_add_test(tc, test_median_owner_average);
	tcase_add_test(tc, test_many_rows_change_hands);
	tcase_add_test(tc, test_who_went_comes_first);
	tcase_add_loop_test(tc, test_many_fall_silent, 0, 3);
	tcase_add_test(tc, test_early_and_seen);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

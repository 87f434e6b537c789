/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_error.c - how far totals are from what has happened, at any moment and while everything goes on
 *
 *	test_error                 what must hold, at 1, 2 and 5 ms
 *	test_error report SECONDS  the table of doc/decisions/010-consolidator.md
 *
 * Two workers and a consolidator run freely on the clock of the appliance: flushes at multiples of the interval, folds
 * at odd halves. Each worker writes down every event with its time before it counts it, and when each flush was; the
 * consolidator writes down all totals behind each fold. What they wrote is gone through afterwards:
 *
 *   - a total holds each worker's flush that was over when the fold began, and none that began after it ended: where
 *     that is one flush only, the total must be exactly what the log says of it;
 *   - what a total lacks of all that has happened is what was counted since that flush. That is no more than the
 *     arrivals of one interval (staggered: a worker may flush at the moment of the fold, so of a quarter more) when nobody was late, which a loaded machine cannot promise: such cycles are told apart
 *     by the times of flushes, and counted.
 */
#include "config.h"

#include <time.h>

#include "seg_test.h"

#define WORKERS    2u
#define ROWS       16u
#define EVENTS_MAX (1u << 20)
#define CYCLES_MAX 40000u
#define PER_MS     40u            /* events of a worker */

struct event {
	uint64_t us;
	uint32_t row;
	int32_t  by;              /* of REQ_CUR */
};
struct flush {
	uint64_t from_us, to_us;
	uint32_t events;          /* counted by then */
};
struct cycle {
	uint64_t from_us, to_us;
	uint64_t tot[ROWS], cur[ROWS];
};
struct book {                     /* what all share */
	uint64_t      interval_us, end_us, staggered;
	uint64_t      bound_us;           /* how old the newest flush may be */
	uint32_t      n_events[WORKERS], n_flushes[WORKERS], n_cycles;
	uint64_t      flush_ns, fold_ns;
	struct event  event[WORKERS][EVENTS_MAX];
	struct flush  flush[WORKERS][CYCLES_MAX];
	struct cycle  cycle[CYCLES_MAX];
};

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t next_after(const struct book *b, uint64_t now, uint64_t phase)
{
	return (now - phase) / b->interval_us * b->interval_us + phase + b->interval_us;
}

static void sleep_until(uint64_t us)
{
	uint64_t now = env_now_us();

	if (us > now)
		env_sleep_us(us - now);
}

static void one_event(struct book *b, struct stat_seg *s, unsigned me, uint64_t *seed, uint64_t now)
{
	struct event *e = &b->event[me][b->n_events[me]];
	struct stat_row *r;
	uint64_t dice;

	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	dice = *seed >> 33;
	e->us = now;
	e->row = (uint32_t)(dice % ROWS);
	r = stat_row_get(s, SV, e->row);
	CHILD(r != NULL);
	/* one that begins, or the end of one that this worker began */
	e->by = dice / ROWS % 2 && r->v[CTR_SERVICE_REQ_CUR] ? -1 : 1;
	b->n_events[me]++;
	stat_inc(r, CTR_SERVICE_REQ_TOT);
	stat_add(r, CTR_SERVICE_REQ_CUR, (uint64_t)(int64_t)e->by);
}

static void flush_now(struct book *b, struct stat_seg *s, unsigned me)
{
	struct flush *f = &b->flush[me][b->n_flushes[me]];
	uint64_t from;

	f->events = b->n_events[me];
	from = cpu_ns();
	f->from_us = env_now_us();
	if (!stat_flush(s, f->from_us / 1000))
		return;
	f->to_us = env_now_us();
	b->flush_ns += me ? 0 : cpu_ns() - from;
	b->n_flushes[me]++;
}

static void work(struct stat_seg *s, void *arg)
{
	struct book *b = arg;
	unsigned me = stat_own_slot(s);
	uint64_t phase = b->staggered ? b->interval_us * me / WORKERS : 0, seed = 7 + me;
	uint64_t last = env_now_us(), tick = next_after(b, last, phase), owed = 0;

	while (b->n_events[me] < EVENTS_MAX - 100000 && b->n_flushes[me] < CYCLES_MAX - 1) {
		uint64_t now;

		sleep_until(FL_MIN(tick, last + 50));
		now = env_now_us();
		owed += FL_MIN(now - last, UINT64_C(100000)) * PER_MS;
		for (; owed >= 1000; owed -= 1000)
			one_event(b, s, me, &seed, now);
		last = now;
		if (now < tick)
			continue;
		flush_now(b, s, me);
		tick = next_after(b, now, phase);
	}
	pause();
}

static void fold(struct stat_seg *s, void *arg)
{
	struct book *b = arg;

	while (env_now_us() < b->end_us && b->n_cycles < CYCLES_MAX) {     /* levels end with their worker */
		struct cycle *c = &b->cycle[b->n_cycles];
		uint64_t from;

		sleep_until(next_after(b, env_now_us(), b->interval_us / 2));
		c->from_us = env_now_us();
		from = cpu_ns();
		(void)stat_consolidate(s, c->from_us / 1000);
		b->fold_ns += cpu_ns() - from;
		for (uint32_t row = 0; row < ROWS; row++) {
			c->tot[row] = stat_total(s, row, CTR_SERVICE_REQ_TOT);
			c->cur[row] = stat_total(s, row, CTR_SERVICE_REQ_CUR);
		}
		c->to_us = env_now_us();
		b->n_cycles++;
	}
}

/* Going through it ------------------------------------------------------------------------ */

struct counts {
	uint64_t tot[ROWS], cur[ROWS];
	uint32_t at[WORKERS];             /* events taken in */
};

static void advance(const struct book *b, struct counts *c, unsigned k, uint32_t to)
{
	for (; c->at[k] < to; c->at[k]++) {
		const struct event *e = &b->event[k][c->at[k]];

		c->tot[e->row]++;
		c->cur[e->row] += (uint64_t)(int64_t)e->by;
	}
}

/* Everything that happened up to a moment. */
static void advance_to(const struct book *b, struct counts *c, uint64_t us)
{
	for (unsigned k = 0; k < WORKERS; k++) {
		uint32_t to = c->at[k];

		while (to < b->n_events[k] && b->event[k][to].us <= us)
			to++;
		advance(b, c, k, to);
	}
}

struct figure {
	uint64_t max, sum, n;
};

static void note(struct figure *f, uint64_t v)
{
	f->max = FL_MAX(f->max, v);
	f->sum += v;
	f->n++;
}

struct verdict {
	uint64_t      cycles, exact, timely;
	struct figure error, arrivals;      /* of a service: behind a fold; in the interval before it */
	struct figure oldest;               /* right before the next fold */
};

/* Flushes that a fold must have taken, and may have taken. */
struct taken {
	uint32_t must[WORKERS], may[WORKERS];
};

static void flushes_of(const struct book *b, const struct cycle *c, struct taken *t)
{
	for (unsigned k = 0; k < WORKERS; k++) {
		while (t->must[k] < b->n_flushes[k] && b->flush[k][t->must[k]].to_us < c->from_us)
			t->must[k]++;
		while (t->may[k] < b->n_flushes[k] && b->flush[k][t->may[k]].from_us <= c->to_us)
			t->may[k]++;
	}
}

struct run {
	const struct book *b;
	struct taken       t;
	struct counts      least, most, all, before, next;
	struct verdict     v;
};

static void one_cycle(struct run *r, uint32_t i)
{
	const struct book *b = r->b;
	const struct cycle *c = &b->cycle[i];
	bool exact = true, timely = c->from_us > b->bound_us;

	flushes_of(b, c, &r->t);
	for (unsigned k = 0; k < WORKERS; k++) {
		uint32_t must = r->t.must[k], may = r->t.may[k];

		exact &= must == may;
		timely &= must && b->flush[k][must - 1].from_us + b->bound_us >= c->to_us;
		advance(b, &r->least, k, must ? b->flush[k][must - 1].events : 0);
		advance(b, &r->most, k, may ? b->flush[k][may - 1].events : 0);
	}
	advance_to(b, &r->all, c->to_us);
	advance_to(b, &r->before, c->to_us - b->bound_us);
	if (i + 1 < b->n_cycles)
		advance_to(b, &r->next, b->cycle[i + 1].from_us);
	r->v.cycles++;
	r->v.exact += exact;
	r->v.timely += timely;
	for (uint32_t row = 0; row < ROWS; row++) {
		uint64_t tot = c->tot[row], arrivals = r->all.tot[row] - r->before.tot[row];

		ck_assert_msg(tot >= r->least.tot[row], "cycle %u row %u: a flush is missing", i, row);
		ck_assert_msg(tot <= r->most.tot[row], "cycle %u row %u: more than was flushed", i, row);
		if (exact)
			ck_assert_msg(c->cur[row] == r->least.cur[row], "cycle %u row %u: level %llu, not %llu", i, row,
				      (unsigned long long)c->cur[row], (unsigned long long)r->least.cur[row]);
		if (!timely)
			continue;
		ck_assert_msg(r->all.tot[row] - tot <= arrivals, "cycle %u row %u: more is missing than came in an interval",
			      i, row);
		note(&r->v.error, r->all.tot[row] - tot);
		note(&r->v.arrivals, arrivals);
		if (i + 1 < b->n_cycles)
			note(&r->v.oldest, r->next.tot[row] - tot);
	}
}

static struct run *play(struct book *b, uint64_t interval_us, uint64_t ms, bool staggered)
{
	struct stat_seg *s = seg_make(64, WORKERS, 0);
	struct run *r = calloc(1, sizeof(*r));
	uint32_t control = stat_slot_of(s, STAT_CONTROL);
	pid_t pid[WORKERS], folds;
	char name[24];

	ck_assert_ptr_nonnull(r);
	for (uint32_t i = 0; i < ROWS; i++) {
		snprintf(name, sizeof(name), "p/%u", i);
		ck_assert_uint_eq(seg_row(s, SV, name, 1), i);
	}
	stat_obj_commit(s, 1, 1);
	b->interval_us = interval_us;
	b->end_us = env_now_us() + ms * 1000;
	b->staggered = staggered;
	b->bound_us = staggered ? interval_us + interval_us / 4 : interval_us;
	for (uint32_t k = 0; k < WORKERS; k++)
		pid[k] = seg_spawn(s, STAT_WORKER, k, work, b);
	folds = seg_spawn(s, STAT_CONTROL, control, fold, b);
	ck_assert_int_eq(seg_reap(s, control, folds), 0);
	for (uint32_t k = 0; k < WORKERS; k++) {
		kill(pid[k], SIGKILL);
		ck_assert_int_eq(seg_reap(s, k, pid[k]), SIGKILL);
	}
	r->b = b;
	for (uint32_t i = 0; i < b->n_cycles; i++)
		one_cycle(r, i);
	stat_free(s);
	return r;
}

static struct book *new_book(void)
{
	struct book *b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ck_assert(b != MAP_FAILED);
	return b;
}

static const struct pace {
	uint64_t us;
	bool     staggered;
} paces[] = { { 1000, false }, { 2000, false }, { 5000, false }, { 5000, true } };

START_TEST(test_nothing_is_missing_but_the_last_interval)
{
	struct book *b = new_book();
	struct run *r = play(b, paces[_i].us, 1500, paces[_i].staggered);

	ck_assert_uint_gt(r->v.cycles, 20);
	ck_assert_uint_gt(r->v.exact, r->v.cycles / 4);
	ck_assert_uint_gt(r->v.timely, 0);
	ck_assert_uint_gt(b->n_events[0] + b->n_events[1], 1500 * PER_MS / 4);
	free(r);
	munmap(b, sizeof(*b));
}
END_TEST

static double mean(struct figure f)
{
	return f.n ? (double)f.sum / (double)f.n : 0;
}

static unsigned seconds;          /* of a report */

START_TEST(test_report)
{
	printf("interval      cycles  exact timely  events/s   missing max mean   came in an interval max mean   before the "
	       "next fold max mean   us/fold us/flush\n");
	for (size_t i = 0; i < FL_ARRAY_LEN(paces); i++) {
		struct book *b = new_book();
		struct run *r = play(b, paces[i].us, seconds * 1000, paces[i].staggered);
		const struct verdict *v = &r->v;

		printf("%4llu us %s %6llu %6llu %6llu %9u %8llu %8.1f %14llu %8.1f %18llu %8.1f %12.1f %8.2f\n",
		       (unsigned long long)paces[i].us, paces[i].staggered ? "stag" : "algn", (unsigned long long)v->cycles,
		       (unsigned long long)v->exact, (unsigned long long)v->timely,
		       (b->n_events[0] + b->n_events[1]) / seconds, (unsigned long long)v->error.max, mean(v->error),
		       (unsigned long long)v->arrivals.max, mean(v->arrivals), (unsigned long long)v->oldest.max,
		       mean(v->oldest), (double)b->fold_ns / 1e3 / (double)FL_MAX(v->cycles, UINT64_C(1)),
		       (double)b->flush_ns / 1e3 / FL_MAX(b->n_flushes[0], 1u));
		free(r);
		munmap(b, sizeof(*b));
	}
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("stat/error");
	TCase *tc = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	if (argc == 3 && strcmp(argv[1], "report") == 0) {
		seconds = FL_MAX(FL_MIN((unsigned)strtoul(argv[2], NULL, 10), 20u), 1u);
		tcase_add_test(tc, test_report);
	} else {
		tcase_add_loop_test(tc, test_nothing_is_missing_but_the_last_interval, 0, FL_ARRAY_LEN(paces));
	}
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

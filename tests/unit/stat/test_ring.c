/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ring.c - log rings: order, wrap, full, killed and damaged writers, killed readers
 */
#include "config.h"

#include "stat/stat.h"

#include "seg_test.h"

struct job {
	volatile uint64_t *page; /* [0] lines put, [1] lines dropped, [2] lines read, [3] stop */
	uint64_t           n;
	size_t             len;
};

static void put_line(struct stat_seg *s, struct job *j, uint64_t id)
{
	char line[8192];

	memset(line, 'a' + (int)(id % 26), sizeof(line));
	snprintf(line, 24, "%020llu ", (unsigned long long)id);
	line[21] = 'x';
	if (stat_log_put(s, (uint32_t)(id % 3), 2, (uint32_t)id, id * 10, line, j->len + id % 7))
		j->page[0]++;
	else
		j->page[1]++;
}

static void writer(struct stat_seg *s, void *arg)
{
	struct job *j = arg;

	for (uint64_t i = 0; i < j->n; i++)
		put_line(s, j, j->page[0]);
}

/* Every line in order and whole. */
static void check_line(const struct stat_log_rec *r, uint64_t id, size_t len)
{
	char want[24];

	snprintf(want, sizeof(want), "%020llu ", (unsigned long long)id);
	CHILD(r->line.n == len + id % 7);
	CHILD(memcmp(r->line.p, want, 21) == 0);
	CHILD(r->line.n < 30 || r->line.p[r->line.n - 1] == (char)('a' + (int)(id % 26)));
	CHILD(r->stream == id % 3 && r->level == 2 && r->ev == (uint32_t)id &&
	      r->wall_us == id * 10);
	CHILD(r->slot == 0 && r->generation == 1);
}

static void reader(struct stat_seg *s, void *arg)
{
	struct job *j = arg;
	struct stat_log_rec r;

	CHILD(!stat_log_next(s, 9999, &r));
	while (stat_log_next(s, 0, &r))
		check_line(&r, j->page[2]++, j->len);
	CHILD(!stat_log_pending(s));
	CHILD(stat_log_torn(s) == 0);
}

START_TEST(test_order_and_wrap)
{
	struct stat_seg *s = seg_make(64, 1, 0);
	struct job j = { .page = shared_page(), .n = 3000, .len = 200 };

	ck_assert(!stat_log_pending(s));
	for (int i = 0; i < 12; i++) {                   /* about 8 times around */
		seg_run(s, STAT_WORKER, 0, writer, &j);
		ck_assert(stat_log_pending(s));
		seg_run(s, STAT_LOGD, stat_slot_of(s, STAT_LOGD), reader, &j);
		ck_assert(!stat_log_pending(s));
	}
	ck_assert_uint_eq(j.page[2], 36000);
	ck_assert_uint_eq(j.page[1], 0);
	stat_free(s);
}
END_TEST

START_TEST(test_full_ring_drops_and_counts)
{
	struct stat_seg *s = seg_make(64, 1, 0);
	struct job j = { .page = shared_page(), .n = 10000, .len = 700 };
	struct stat_proc p;

	for (int i = 0; i < 5; i++) {
		seg_run(s, STAT_WORKER, 0, writer, &j);
		ck_assert(stat_proc_get(s, 0, &p));
		ck_assert_uint_eq(p.log_dropped, j.page[1]);
		ck_assert_uint_gt(p.log_dropped, 8000u * (unsigned)(i + 1));
		seg_run(s, STAT_LOGD, stat_slot_of(s, STAT_LOGD), reader, &j);
		ck_assert_uint_eq(j.page[2], j.page[0]); /* all that were taken, in order */
	}
	ck_assert_uint_gt(j.page[0], 5 * 1300);
	stat_free(s);
}
END_TEST

static void three_lines(struct stat_seg *s, void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < 3; i++)
		CHILD(stat_log_put(s, 0, 1, i, 1, "x", 1));
}

/* Reads all three from the first on; says that they are written when `arg` is set. */
static void read_batch(struct stat_seg *s, void *arg)
{
	struct stat_log_rec r;

	stat_log_batch(s);
	for (uint32_t i = 0; i < 3; i++)
		CHILD(stat_log_next(s, 0, &r) && r.ev == i);
	CHILD(!stat_log_next(s, 0, &r));
	if (arg)
		stat_log_written(s);
}

static void read_nothing(struct stat_seg *s, void *arg)
{
	struct stat_log_rec r;

	(void)arg;
	CHILD(!stat_log_next(s, 0, &r));
}

START_TEST(test_unwritten_lines_come_again)
{
	struct stat_seg *s = seg_make(64, 1, 0);

	seg_run(s, STAT_WORKER, 0, three_lines, NULL);
	seg_run(s, STAT_LOGD, stat_slot_of(s, STAT_LOGD), read_batch, NULL);
	seg_run(s, STAT_LOGD, stat_slot_of(s, STAT_LOGD), read_batch, s);
	seg_run(s, STAT_LOGD, stat_slot_of(s, STAT_LOGD), read_nothing, NULL);
	stat_free(s);
}
END_TEST

static void sizes(struct stat_seg *s, void *arg)
{
	static const char big[8193];

	(void)arg;
	CHILD(stat_log_put(s, 0, 1, 1, 1, "", 0));
	CHILD(stat_log_put(s, 0, 1, 1, 1, big, 8192));
	CHILD(!stat_log_put(s, 0, 1, 1, 1, big, 8193));
}

static void read_sizes(struct stat_seg *s, void *arg)
{
	struct stat_log_rec r;

	(void)arg;
	CHILD(stat_log_next(s, 0, &r) && r.line.n == 0);
	CHILD(stat_log_next(s, 0, &r) && r.line.n == 8192);
	CHILD(!stat_log_next(s, 0, &r));
}

START_TEST(test_line_sizes)
{
	struct stat_seg *s = seg_make(64, 1, 0);

	seg_run(s, STAT_WORKER, 0, sizes, NULL);
	seg_run(s, STAT_LOGD, stat_slot_of(s, STAT_LOGD), read_sizes, NULL);
	stat_free(s);
}
END_TEST

/* A reader killed while it works on a line: its successor reads that line again and none is
 * lost. */
static void read_and_die(struct stat_seg *s, void *arg)
{
	struct job *j = arg;
	struct stat_log_rec r;

	for (uint64_t i = 0; i < j->n; i++) {
		CHILD(stat_log_next(s, 0, &r));
		j->page[2] = strtoull(r.line.p, NULL, 10);
	}
	raise(SIGKILL);
}

START_TEST(test_killed_reader)
{
	struct stat_seg *s = seg_make(64, 1, 0);
	uint32_t logd = stat_slot_of(s, STAT_LOGD);
	struct job j = { .page = shared_page(), .n = 100, .len = 50 };

	seg_run(s, STAT_WORKER, 0, writer, &j);
	j.n = 10;
	for (uint64_t i = 0; i < 5; i++) {
		ck_assert(WIFSIGNALED(
			seg_reap(s, logd, seg_spawn(s, STAT_LOGD, logd, read_and_die, &j))));
		ck_assert_uint_eq(j.page[2], i * 9 + 9);
	}
	seg_run(s, STAT_LOGD, logd, reader, &j);         /* continues at the last line read */
	stat_free(s);
}
END_TEST

static void writer_forever(struct stat_seg *s, void *arg)
{
	struct job *j = arg;

	for (;;)
		if (stat_log_put(s, 0, 2, 1, 1, "0123456789012345678901234567890123456789",
				 20 + j->page[0] % 20))
			j->page[0]++;
}

static void read_whole(struct stat_seg *s, void *arg)
{
	struct job *j = arg;
	struct stat_log_rec r;

	while (!j->page[3] || stat_log_pending(s)) {
		if (!stat_log_next(s, 0, &r)) {
			env_sleep_us(100);
			continue;
		}
		CHILD(r.line.n >= 20 && r.line.n < 40);
		CHILD(memcmp(r.line.p, "0123456789012345678901234567890123456789", r.line.n) == 0);
		j->page[2]++;
	}
	CHILD(stat_log_torn(s) == 0);
}

START_TEST(test_killed_writers)
{
	struct stat_seg *s = seg_make(64, 1, 0);
	uint32_t logd = stat_slot_of(s, STAT_LOGD);
	struct job j = { .page = shared_page() };
	pid_t rd = seg_spawn(s, STAT_LOGD, logd, read_whole, &j), wr;
	int st, kills = 400;

	for (int i = 0; i < kills; i++) {
		uint64_t was = j.page[0];

		wr = seg_spawn(s, STAT_WORKER, 0, writer_forever, &j);
		while (j.page[0] == was)
			env_sleep_us(20);
		env_sleep_us((unsigned)i % 97);
		kill(wr, SIGKILL);
		seg_reap(s, 0, wr);
	}
	j.page[3] = 1;
	st = seg_reap(s, logd, rd);
	ck_assert_msg(WIFEXITED(st) && WEXITSTATUS(st) == 0, "%#x", st);
	/* a line may be published by a writer killed before it counted it, one per kill at most */
	ck_assert_uint_ge(j.page[2], j.page[0]);
	ck_assert_uint_le(j.page[2], j.page[0] + (uint64_t)kills);
	stat_free(s);
}
END_TEST

static void damage(struct stat_seg *s, void *arg)
{
	uint32_t *w = (void *)(s->own + s->dim.slot.log);

	(void)arg;
	for (int i = 0; i < 3; i++)
		CHILD(stat_log_put(s, 0, 1, (uint32_t)i, 1, "abcdefgh", 8));
	w[12 + 11] ^= 4;                                 /* text of the second of 48-byte records */
}

static void read_damaged(struct stat_seg *s, void *arg)
{
	struct stat_log_rec r;

	(void)arg;
	CHILD(stat_log_next(s, 0, &r) && r.ev == 0);
	CHILD(stat_log_next(s, 0, &r) && r.ev == 2); /* the one between is skipped and counted */
	CHILD(!stat_log_next(s, 0, &r));
	CHILD(stat_log_torn(s) == 1);
}

START_TEST(test_damaged_record_is_skipped)
{
	struct stat_seg *s = seg_make(64, 1, 0);

	seg_run(s, STAT_WORKER, 0, damage, NULL);
	seg_run(s, STAT_LOGD, stat_slot_of(s, STAT_LOGD), read_damaged, NULL);
	stat_free(s);
}
END_TEST

SEG_MAIN("stat/ring", test_order_and_wrap, test_full_ring_drops_and_counts, test_line_sizes,
	 test_unwritten_lines_come_again,
	 test_killed_reader, test_killed_writers, test_damaged_record_is_skipped)

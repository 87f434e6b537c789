/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_owner.c - candidates, claims, takeover, and what may be said by whom
 */
#include "config.h"

#include "stat/owner.h"

#include "seg_test.h"

#define CORES 8u
#define DRAIN 1u
#define SLOT(core, k) ((core) * (DRAIN + 1) + (k))

static struct stat_seg *make(uint32_t rows, uint32_t n_live)
{
	struct stat_seg *s = seg_make(rows, CORES, DRAIN);
	char name[24];

	for (uint32_t i = 0; i < rows; i++) {
		snprintf(name, sizeof(name), "app/a%u", i);
		ck_assert_uint_eq(seg_row(s, SV, name, 1), i);
	}
	stat_obj_commit(s, 1, 1);
	for (uint32_t core = 0; core < n_live; core++)
		stat_set_live_slot(s, core, SLOT(core, 0));
	return s;
}

/* Candidates ------------------------------------------------------------------------------ */

START_TEST(test_candidates_are_spread)
{
	enum { ROWS = 1000 };
	struct stat_seg *s = make(ROWS, 0);
	unsigned n[CORES * (DRAIN + 1)] = { 0 };

	ck_assert_uint_eq(stat_owner_candidate(s, 0, NULL), STAT_NO_SLOT);
	for (uint32_t core = 0; core < 4; core++)
		stat_set_live_slot(s, core, SLOT(core, 0));
	for (uint32_t row = 0; row < ROWS; row++)
		n[stat_owner_candidate(s, row, NULL)]++;
	for (uint32_t core = 0; core < 4; core++)        /* 250 each, six deviations */
		ck_assert_msg(n[SLOT(core, 0)] > 168 && n[SLOT(core, 0)] < 332, "core %u: %u", core, n[SLOT(core, 0)]);
	ck_assert_uint_eq(stat_owner_candidate(s, ROWS, NULL), STAT_NO_SLOT);
	ck_assert_uint_eq(stat_owner_candidate(s, STAT_NO_ROW, NULL), STAT_NO_SLOT);
	stat_free(s);
}
END_TEST

/* A core that goes loses its own; one that comes gets its own back; a new generation changes the slot only. */
START_TEST(test_candidates_move_only_what_they_must)
{
	enum { ROWS = 1000 };
	struct stat_seg *s = make(ROWS, 5);
	uint32_t was[ROWS];

	for (uint32_t row = 0; row < ROWS; row++)
		was[row] = stat_owner_candidate(s, row, NULL);
	stat_set_live_slot(s, 2, STAT_NO_SLOT);
	for (uint32_t row = 0; row < ROWS; row++) {
		uint32_t now = stat_owner_candidate(s, row, NULL);

		ck_assert(was[row] == SLOT(2, 0) ? now != SLOT(2, 0) : now == was[row]);
	}
	stat_set_live_slot(s, 2, SLOT(2, 1));
	for (uint32_t row = 0; row < ROWS; row++)
		ck_assert_uint_eq(stat_owner_candidate(s, row, NULL), was[row] == SLOT(2, 0) ? SLOT(2, 1) : was[row]);
	stat_free(s);
}
END_TEST

/* Of a set of cores only these, and among them as among all; when none of them lives, any. */
START_TEST(test_candidates_among)
{
	enum { ROWS = 400 };
	struct stat_seg *s = make(ROWS, 5);
	struct core_set set = { .n = 0 };
	unsigned n[CORES * (DRAIN + 1)] = { 0 };

	ck_assert(core_set_read(&set, STR("1-2")) && core_set_read(&set, STR("7")));
	for (uint32_t row = 0; row < ROWS; row++) {
		uint32_t all = stat_owner_candidate(s, row, NULL), some = stat_owner_candidate(s, row, &set);

		ck_assert(some == SLOT(1, 0) || some == SLOT(2, 0));
		ck_assert(some == all || (all != SLOT(1, 0) && all != SLOT(2, 0)));
		n[some]++;
	}
	ck_assert(n[SLOT(1, 0)] > 120 && n[SLOT(2, 0)] > 120);
	stat_set_live_slot(s, 1, STAT_NO_SLOT);
	for (uint32_t row = 0; row < ROWS; row++)
		ck_assert_uint_eq(stat_owner_candidate(s, row, &set), SLOT(2, 0));
	stat_set_live_slot(s, 2, STAT_NO_SLOT);
	for (uint32_t row = 0; row < ROWS; row++)
		ck_assert_uint_eq(stat_owner_candidate(s, row, &set), stat_owner_candidate(s, row, NULL));
	ck_assert_uint_eq(stat_owner_candidate(s, ROWS, &set), STAT_NO_SLOT);
	stat_free(s);
}
END_TEST

/* Claims ---------------------------------------------------------------------------------- */

static void take_all(struct stat_seg *s, void *arg)
{
	uint32_t rows = stat_obj_max(s), why, *epoch = arg;

	for (uint32_t row = 0; row < rows; row++) {
		uint32_t e = stat_owner_take(s, row, &why);

		CHILD(e && stat_owner_mine(s, row, e) && !stat_owner_mine(s, row, e - 1));
		epoch[row] = e;
	}
}

static void why_is(struct stat_seg *s, uint32_t slot, uint32_t epoch, uint32_t why, bool live)
{
	struct stat_owner o;

	ck_assert(stat_owner_get(s, 0, &o));
	ck_assert_uint_eq(o.slot, slot);
	ck_assert_uint_eq(o.core, slot / (DRAIN + 1));
	ck_assert_uint_eq(o.epoch, epoch);
	ck_assert_uint_eq(o.why, why);
	ck_assert_int_eq(o.live, live);
	ck_assert(o.since_us + 60000000 > env_wall_us() && o.since_us <= env_wall_us());
}

START_TEST(test_epochs_and_reasons)
{
	struct stat_seg *s = make(3, 2);
	uint32_t *epoch = shared_page();
	struct stat_owner o;

	ck_assert(!stat_owner_get(s, 0, &o) && !stat_owner_get(s, 3, &o) && !stat_owner_get(s, STAT_NO_ROW, &o));
	seg_run(s, STAT_WORKER, SLOT(0, 0), take_all, epoch);
	why_is(s, SLOT(0, 0), 1, ST_OWNER_FIRST, true);
	seg_run(s, STAT_WORKER, SLOT(1, 0), take_all, epoch);           /* the first one lives on */
	why_is(s, SLOT(1, 0), 2, ST_OWNER_MOVED, true);
	stat_set_live_slot(s, 1, STAT_NO_SLOT);
	why_is(s, SLOT(1, 0), 2, ST_OWNER_MOVED, false);
	seg_run(s, STAT_WORKER, SLOT(0, 0), take_all, epoch);
	why_is(s, SLOT(0, 0), 3, ST_OWNER_DIED, true);
	seg_run(s, STAT_WORKER, SLOT(0, 0), take_all, epoch);           /* the next process in the same slot */
	why_is(s, SLOT(0, 0), 4, ST_OWNER_RESPAWN, true);
	stat_proc_set(s, SLOT(0, 0), ST_PROC_DRAINING, 1, 0, 77);       /* of another generation */
	stat_set_live_slot(s, 0, SLOT(0, 1));
	seg_run(s, STAT_WORKER, SLOT(0, 1), take_all, epoch);
	why_is(s, SLOT(0, 1), 5, ST_OWNER_RELOAD, true);
	for (uint32_t row = 0; row < 3; row++)
		ck_assert_uint_eq(epoch[row], 5);
	/* of another generation, and of a core that lives on in ours: the configuration gave it to this one */
	stat_set_live_slot(s, 1, SLOT(1, 0));
	seg_run(s, STAT_WORKER, SLOT(1, 0), take_all, epoch);
	stat_proc_set(s, SLOT(1, 0), ST_PROC_DRAINING, 1, 1, 78);
	stat_set_live_slot(s, 1, SLOT(1, 1));
	seg_run(s, STAT_WORKER, SLOT(0, 1), take_all, epoch);
	why_is(s, SLOT(0, 1), 7, ST_OWNER_MOVED, true);
	stat_free(s);
}
END_TEST

/* Two that claim at the same instant, each by what it saw before: all agree on the same one. */
START_TEST(test_two_claims_with_one_epoch)
{
	struct stat_seg *s = make(1, 3);
	uint32_t *epoch = shared_page();
	struct stat_owner o;
	char *copy, *map;

	seg_run(s, STAT_WORKER, SLOT(2, 0), take_all, epoch);
	map = mmap(NULL, s->dim.slot.size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd[SLOT(2, 0) + 2], 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	copy = malloc(sizeof(struct seg_claim));
	memcpy(copy, map + s->dim.slot.claim, sizeof(struct seg_claim));
	memset(map + s->dim.slot.claim, 0, sizeof(struct seg_claim));
	seg_run(s, STAT_WORKER, SLOT(1, 0), take_all, epoch);
	ck_assert_uint_eq(epoch[0], 1);
	memcpy(map + s->dim.slot.claim, copy, sizeof(struct seg_claim));
	ck_assert(stat_owner_get(s, 0, &o));
	ck_assert_uint_eq(o.slot, SLOT(2, 0));
	ck_assert_int_eq(stat_owner_word(s, 0, SLOT(2, 0), 1), OWNER_WORD_GOOD);
	ck_assert_int_eq(stat_owner_word(s, 0, SLOT(1, 0), 1), OWNER_WORD_FOREIGN);
	seg_run(s, STAT_WORKER, SLOT(1, 0), take_all, epoch);           /* who did not want that claims again */
	ck_assert(stat_owner_get(s, 0, &o));
	ck_assert_uint_eq(o.slot, SLOT(1, 0));
	ck_assert_uint_eq(o.epoch, 2);
	/* a claim of another row, or of another slot, is none */
	memcpy(map + s->dim.slot.claim, s->slot[SLOT(1, 0)] + s->dim.slot.claim, sizeof(struct seg_claim));
	ck_assert(stat_owner_get(s, 0, &o));
	ck_assert_uint_eq(o.slot, SLOT(1, 0));
	free(copy);
	munmap(map, s->dim.slot.size);
	stat_free(s);
}
END_TEST

START_TEST(test_whose_word_counts)
{
	struct stat_seg *s = make(2, 3);
	uint32_t *epoch = shared_page();

	ck_assert_int_eq(stat_owner_word(s, 0, SLOT(0, 0), 1), OWNER_WORD_FOREIGN);     /* nobody owns it */
	seg_run(s, STAT_WORKER, SLOT(0, 0), take_all, epoch);
	ck_assert_int_eq(stat_owner_word(s, 0, SLOT(0, 0), 1), OWNER_WORD_GOOD);
	ck_assert_int_eq(stat_owner_word(s, 0, SLOT(1, 0), 1), OWNER_WORD_FOREIGN);
	ck_assert_int_eq(stat_owner_word(s, 0, SLOT(0, 0), 2), OWNER_WORD_FOREIGN);     /* it has not claimed that */
	ck_assert_int_eq(stat_owner_word(s, 0, SLOT(0, 0), 0), OWNER_WORD_STALE);
	seg_run(s, STAT_WORKER, SLOT(1, 0), take_all, epoch);
	ck_assert_int_eq(stat_owner_word(s, 0, SLOT(0, 0), 1), OWNER_WORD_STALE);
	ck_assert_int_eq(stat_owner_word(s, 0, SLOT(1, 0), 2), OWNER_WORD_GOOD);
	stat_set_live_slot(s, 1, STAT_NO_SLOT);                          /* by the master's word it is gone */
	ck_assert_int_eq(stat_owner_word(s, 0, SLOT(1, 0), 2), OWNER_WORD_FOREIGN);
	ck_assert_int_eq(stat_owner_word(s, 7, SLOT(1, 0), 2), OWNER_WORD_FOREIGN);
	ck_assert_int_eq(stat_owner_word(s, STAT_NO_ROW, 4000, 0), OWNER_WORD_FOREIGN);
	stat_free(s);
}
END_TEST

START_TEST(test_reused_row_has_no_owner)
{
	struct stat_seg *s = make(2, 1);
	uint32_t *epoch = shared_page();
	struct stat_owner o;

	seg_run(s, STAT_WORKER, SLOT(0, 0), take_all, epoch);
	seg_run(s, STAT_WORKER, SLOT(0, 0), take_all, epoch);
	ck_assert(stat_owner_get(s, 0, &o));
	stat_obj_commit(s, 2, 2);
	seg_row(s, SV, "x/1", 3);
	seg_row(s, SV, "x/2", 3);
	ck_assert(!stat_owner_get(s, 0, &o) && !stat_owner_get(s, 1, &o));
	seg_run(s, STAT_WORKER, SLOT(0, 0), take_all, epoch);
	ck_assert_uint_eq(epoch[0], 1);
	stat_free(s);
}
END_TEST

/* A worker's picture ---------------------------------------------------------------------- */

struct play {
	struct stat_seg *s;
	volatile uint32_t step;
};

static void wait_step(struct play *p, uint32_t step)
{
	for (int i = 0; p->step < step; i++) {
		CHILD(i < 30000);
		env_sleep_us(1000);
	}
}

/* Looks as a worker does, once a turn, and finds each change at the next look. */
static void watcher(struct stat_seg *s, void *arg)
{
	struct play *p = arg;
	uint64_t epoch, changes;

	epoch = stat_health_epoch(s);
	CHILD(stat_health_state(s, 0) == ST_HEALTH_UNKNOWN);
	p->step = 1;
	wait_step(p, 2);                                 /* core 1 has taken the rows and says UP */
	CHILD(stat_health_epoch(s) != epoch);
	CHILD(stat_health_state(s, 0) == ST_HEALTH_UP && stat_health_state(s, 1) == ST_HEALTH_UP);
	epoch = stat_health_epoch(s);
	changes = stat_owner_changes(s);
	CHILD(stat_health_epoch(s) == epoch && stat_owner_changes(s) == changes);
	p->step = 3;
	wait_step(p, 4);                                 /* core 2 has taken over, and says DOWN */
	CHILD(stat_health_epoch(s) != epoch && stat_owner_changes(s) != changes);
	CHILD(stat_health_state(s, 0) == ST_HEALTH_DOWN);
	epoch = stat_health_epoch(s);
	changes = stat_owner_changes(s);
	p->step = 5;
	wait_step(p, 6);                                 /* core 2 is gone; what it said stands */
	CHILD(stat_health_epoch(s) != epoch && stat_owner_changes(s) != changes);
	CHILD(stat_health_state(s, 0) == ST_HEALTH_DOWN);
}

static void say(struct stat_seg *s, void *arg)
{
	struct stat_health h = { .state = *(uint32_t *)arg };
	uint32_t why;

	for (uint32_t row = 0; row < 2; row++) {
		CHILD(stat_owner_take(s, row, &why));
		CHILD(stat_health_set(s, row, &h));
	}
}

START_TEST(test_a_worker_sees_changes)
{
	struct stat_seg *s = make(2, 3);
	struct play *p = shared_page();
	uint32_t state = ST_HEALTH_UP;
	pid_t pid = seg_spawn(s, STAT_WORKER, SLOT(0, 0), watcher, p);
	int st;

	wait_step(p, 1);
	seg_run(s, STAT_WORKER, SLOT(1, 0), say, &state);
	p->step = 2;
	wait_step(p, 3);
	state = ST_HEALTH_DOWN;
	seg_run(s, STAT_WORKER, SLOT(2, 0), say, &state);
	p->step = 4;
	wait_step(p, 5);
	stat_set_live_slot(s, 2, STAT_NO_SLOT);
	p->step = 6;
	st = seg_reap(s, SLOT(0, 0), pid);
	ck_assert_msg(WIFEXITED(st) && WEXITSTATUS(st) == 0, "watcher: %#x", st);
	stat_free(s);
}
END_TEST

SEG_MAIN("stat/owner", test_candidates_are_spread, test_candidates_move_only_what_they_must, test_candidates_among, test_epochs_and_reasons,
	 test_two_claims_with_one_epoch, test_whose_word_counts, test_reused_row_has_no_owner,
	 test_a_worker_sees_changes)

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_points.h - part of test_crash.c: one SIGKILL after each store, for every failpoint in
 * src/stat
 *
 * A stage is this program once more, with a failpoint armed and the segment's descriptors
 * inherited: it adopts the segment as a new master would, changes everything a master changes, and
 * runs two workers, a consolidator and logd. Whoever passes the failpoint dies; the stage dies with
 * it. Then the segment must be readable, and an unarmed stage must finish and find all figures
 * within their bounds. The names come from the sources, so a store that is added is tested, or
 * reported as never reached.
 */
#ifndef FL_TEST_CRASH_POINTS_H
#define FL_TEST_CRASH_POINTS_H

#include <dirent.h>

#define POINTS_MAX 128

/* The stage --------------------------------------------------------------------------------- */

static void stage_worker(struct stat_seg *s, void *arg)
{
	static char line[8000];
	struct stat_health h = { .state = ST_HEALTH_UP };
	struct stat_dns d = { .n = 1 };
	struct mail m = { .type = MAIL_NEWS };
	const struct stat_death death = { .signal = 11, .where = "here", .what = "this" };
	uint32_t why;

	(void)arg;
	stat_heartbeat(s, 5);
	stat_flush_early(s);
	stat_promise(s, 7);
	stat_death_set(s, (uint32_t)getpid(), &death);
	for (uint32_t row = 0; row < stat_obj_max(s); row++) {
		struct stat_row *r = stat_row_get(s, SV, row);

		if (!r)
			continue;
		CHILD(r->v[CTR_SERVICE_CONN_CUR] == 0);
		for (unsigned i = 0; i <= CTR_SERVICE_DOWNS; i++)
			stat_inc(r, i);
	}
	stat_flush(s, 1);
	while (mail_next(s, &m))
		CHILD(m.type == MAIL_NEWS);
	for (int i = 0; i < 3; i++)
		CHILD(mail_put(s, !stat_own_slot(s), &m) == 0);
	for (uint32_t row = 0; row < 3; row++) {
		struct stat_health was;
		bool had = stat_health_get(s, row, &was);

		CHILD(stat_owner_take(s, row, &why) != 0);
		CHILD(stat_health_get(s, row, &h) == had && (!had || h.state == was.state));
		h.state = stat_health_state(s, row) == ST_HEALTH_UP ? ST_HEALTH_DOWN : ST_HEALTH_UP;
		CHILD(stat_health_set(s, row, &h));
		d.status = h.state;
		CHILD(stat_dns_set(s, row, &d));
	}
	CHILD(mail_torn(s) == 0);
	memset(line, 'l', sizeof(line));
	for (int i = 0; i < 45; i++)                     /* a third of the ring */
		CHILD(stat_log_put(s, 0, 1, 1, 1, line, sizeof(line) - (size_t)i));
}

static void stage_control(struct stat_seg *s, void *arg)
{
	(void)arg;
	stat_consolidate(s, 1);
	stat_consolidate(s, 2);
}

static void stage_logd(struct stat_seg *s, void *arg)
{
	struct stat_log_rec r;

	(void)arg;
	for (uint32_t k = 0; k < stat_n_slots(s); k++)
		while (stat_log_next(s, k, &r))
			CHILD(r.line.n > 7900 && r.line.p[0] == 'l' &&
			      r.line.p[r.line.n - 1] == 'l');
	CHILD(stat_log_torn(s) == 0);
}

static int stage_run(struct stat_seg *s, enum stat_role role, uint32_t slot,
		     void (*fn)(struct stat_seg *, void *))
{
	int st = seg_reap(s, slot, seg_spawn(s, role, slot, fn, NULL));

	if (WIFSIGNALED(st))
		raise(SIGKILL);
	return WEXITSTATUS(st);
}

static void stage_master(struct stat_seg *s, uint32_t gen)
{
	struct stat_conf_state c = { .generation = gen };
	struct stat_admin a = { .state = gen % 3, .since_us = gen };
	struct stat_steer steer = { .state = ST_STEER_CPU };
	struct stat_crash crash = { .id = gen, .what = "this" };
	char name[24];
	uint32_t row;

	for (uint32_t g = gen; g < gen + 2; g++) {
		for (uint32_t i = 0; i < ROWS; i++) {
			snprintf(name, sizeof(name), "p/%u", i);
			CHILD(stat_obj_assign(s, SV, str_c(name), g, &row) == 0 && row == i);
		}
		CHILD(stat_obj_assign(s, KIND_POOL, STR("p"), g, &row) == 0 && row == ROWS);
		if (g != gen) {
			snprintf(name, sizeof(name), "x/%u", g); /* at first: a row never used */
			CHILD(stat_obj_assign(s, SV, str_c(name), g, &row) == 0 && row > ROWS);
			snprintf(name, sizeof(name), "y/%u", g);       /* somebody else's row */
			CHILD(stat_obj_assign(s, SV, str_c(name), g, &row) == 0 && row > ROWS);
		}
		stat_obj_commit(s, g, g);
	}
	stat_conf_set(s, &c);
	stat_admin_set(s, 1, &a);
	stat_steer_set(s, 1, &steer);
	stat_crash_set(s, gen % STAT_CRASHES, &crash);
	CHILD(stat_crash_get(s, gen % STAT_CRASHES, &crash) && crash.id == gen);
	stat_set_serving_core(s, 1, stat_serving_core(s, 1) ? 0 : 1);
	stat_set_live_slot(s, 0, stat_live_slot(s, 0) == 0 ? 1 : 0);
}

/* stage GENERATION FD... */
static int stage_main(char **argv)
{
	uint32_t gen = (uint32_t)strtoul(argv[2], NULL, 10);
	int fds[32], n = 0, err = 0;
	struct stat_seg *s;

	for (char **a = argv + 3; *a && n < 32; a++)
		fds[n++] = (int)strtol(*a, NULL, 10);
	s = stat_adopt(fds, (unsigned)n, &err);
	CHILD(s != NULL);
	stage_master(s, gen);
	for (uint32_t slot = 0; slot < 2 && err == 0; slot++)
		err = stage_run(s, STAT_WORKER, slot, stage_worker);
	if (err == 0)
		err = stage_run(s, STAT_CONTROL, stat_slot_of(s, STAT_CONTROL), stage_control);
	if (err == 0)
		err = stage_run(s, STAT_LOGD, stat_slot_of(s, STAT_LOGD), stage_logd);
	stat_free(s);
	return err;
}

/* The driver -------------------------------------------------------------------------------- */

static int stage(const struct stat_seg *s, uint32_t gen, const char *armed)
{
	char text[40][12], *argv[40];
	int n = 0, st = 0;
	pid_t pid;

	argv[n++] = (char *)"test_crash";
	argv[n++] = (char *)"stage";
	snprintf(text[n], sizeof(text[n]), "%u", gen);
	argv[n] = text[n];
	n++;
	for (unsigned i = 0; i < stat_fd_count(s); i++, n++) {
		snprintf(text[n], sizeof(text[n]), "%d", stat_fds(s)[i]);
		argv[n] = text[n];
	}
	argv[n] = NULL;
	pid = fork();
	if (pid == 0) {
		for (unsigned i = 0; i < stat_fd_count(s); i++)
			fcntl(stat_fds(s)[i], F_SETFD, 0);
		if (armed)
			setenv("FAIRLEAD_FAILPOINTS", armed, 1);
		else
			unsetenv("FAIRLEAD_FAILPOINTS");
		execv("/proc/self/exe", argv);
		_exit(99);
	}
	ck_assert_int_eq(waitpid(pid, &st, 0), pid);
	return st;
}

static int point_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Every FP("stat.NAME") of src/stat. */
static unsigned points_find(char points[POINTS_MAX][40])
{
	const char *top = getenv("srcdir");
	char path[600], text[65536], *at;
	struct dirent *e;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/src/stat", top ? top : ".");
	dir = opendir(path);
	ck_assert_msg(dir != NULL, "%s: run at the top of the sources or set srcdir", path);
	while ((e = readdir(dir))) {
		FILE *f;
		size_t len;

		snprintf(path, sizeof(path), "%s/src/stat/%s", top ? top : ".", e->d_name);
		if (e->d_name[0] == '.' || !(f = fopen(path, "r")))
			continue;
		len = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
		text[len] = 0;
		for (at = text; (at = strstr(at, "FP(\"stat.")); ) {
			at += 4;
			ck_assert_uint_lt(n, POINTS_MAX);
			snprintf(points[n++], 40, "%.*s", (int)strcspn(at, "\""), at);
		}
	}
	closedir(dir);
	qsort(points, n, 40, point_cmp);
	return n;
}

/* A table with one row left, whose spare rows have been counted in slot 0 for objects that are
 * gone. */
static struct stat_seg *point_segment(void)
{
	struct stat_seg *s = seg_make(ROWS + 5, 2, 1);
	char name[24];

	rows_make(s);
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "x/old%d", i);
		seg_row(s, SV, name, 1);
	}
	stat_obj_commit(s, 1, 1);
	for (int i = 0; i < 2; i++) {                    /* the third time wraps the log ring */
		seg_run(s, STAT_WORKER, 0, stage_worker, NULL);
		seg_run(s, STAT_LOGD, stat_slot_of(s, STAT_LOGD), stage_logd, NULL);
	}
	seg_fold(s);
	return s;
}

static void point_check(struct stat_seg *s, const char *armed, uint32_t gen, uint64_t lo,
			uint64_t hi)
{
	uint64_t was[ROWS], now;
	char name[24];
	int st;

	read_everything(s);
	for (uint32_t row = 0; row < 3; row++)           /* no moment without health */
		ck_assert_msg(stat_health_get(s, row, &(struct stat_health){ 0 }) &&
				      stat_dns_get(s, row, &(struct stat_dns){ 0 }) &&
				      stat_health_state(s, row) != ST_HEALTH_UNKNOWN,
			      "after %s: row %u has no health", armed, row);
	for (uint32_t row = 0; row < ROWS; row++)
		was[row] = stat_total(s, row, CTR_SERVICE_REQ_TOT);
	st = stage(s, gen, NULL);
	ck_assert_msg(WIFEXITED(st) && WEXITSTATUS(st) == 0, "after %s: %#x", armed, st);
	for (uint32_t row = 0; row < ROWS; row++) {
		now = stat_total(s, row, CTR_SERVICE_REQ_TOT);
		ck_assert_msg(now >= was[row] && now >= lo && now <= hi,
			      "after %s: row %u: %llu, not %llu..%llu", armed, row,
			      (unsigned long long)now, (unsigned long long)lo,
			      (unsigned long long)hi);
		snprintf(name, sizeof(name), "p/%u", row);
		ck_assert_uint_eq(stat_obj_find(s, SV, str_c(name)), row);
	}
	snprintf(name, sizeof(name), "x/%u", gen + 1);
	now = stat_total(s, stat_obj_find(s, SV, str_c(name)), CTR_SERVICE_REQ_TOT);
	ck_assert_msg(now == 2, "after %s: a new object has %llu, not 2", armed,
		      (unsigned long long)now);
	seg_fold(s);                                     /* all are dead now */
	ck_assert_uint_eq(total_of(s, CTR_SERVICE_CONN_CUR), 0);
	ck_assert(stat_conf_get(s, &(struct stat_conf_state){ 0 }));
	ck_assert(stat_admin_get(s, 1, &(struct stat_admin){ 0 }));
	ck_assert(stat_health_get(s, 1, &(struct stat_health){ 0 }));
}

START_TEST(test_every_store)
{
	static const unsigned hits[] = { 1, 2, 3, 5, 8, 13, 40, 150 };
	static char points[POINTS_MAX][40];
	unsigned n = points_find(points);
	char armed[64];

	ck_assert_uint_gt(n, 40);
	for (unsigned i = 0; i < n; i++) {
		struct stat_seg *s = point_segment();
		uint64_t lo = 2, hi = 2;
		uint32_t gen = 10;

		for (unsigned h = 0; h < FL_ARRAY_LEN(hits); h++, gen += 4) {
			int st;

			snprintf(armed, sizeof(armed), "%.39s=kill:%u", points[i], hits[h]);
			st = stage(s, gen, armed);
			ck_assert_msg(!WIFEXITED(st) || (WEXITSTATUS(st) == 0 && h > 0), "%s: %s",
				      armed,
				      WEXITSTATUS(st) ? "a child complained" : "never reached");
			hi += 4; /* this stage's two at most, two of the next */
			lo += WIFEXITED(st) ? 4 : 2;
			point_check(s, armed, gen + 2, lo, hi);
			if (WIFEXITED(st))
				break;
		}
		stat_free(s);
	}
}
END_TEST

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg_test.h - what the tests of the segment share: a small segment, children with a place in it
 */
#ifndef FL_TEST_SEG_TEST_H
#define FL_TEST_SEG_TEST_H

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "stat/view.h"

#define SV KIND_SERVICE

static inline struct stat_seg *seg_make(uint32_t objects, uint32_t cores, uint32_t drain)
{
	struct stat_params p = { .max_objects = objects,
				 .cores = cores,
				 .drain_generations = drain };
	int err = 1;
	struct stat_seg *s = stat_create(&p, &err);

	ck_assert_msg(s != NULL, "stat_create: %s", fl_err_text(err));
	ck_assert_int_eq(err, 0);
	return s;
}

static inline uint32_t seg_row(struct stat_seg *s, enum tbl_kind kind, const char *name,
			       uint32_t gen)
{
	uint32_t row = 0;
	int err = stat_obj_assign(s, kind, str_c(name), gen, &row);

	ck_assert_msg(err == 0, "%s: %s", name, fl_err_text(err));
	return row;
}

/* Forks a child that takes `slot`, runs fn(s, arg) and exits 0; the master (caller) tells its pid.
 * The child starts when the entry is set. */
static inline pid_t seg_spawn(struct stat_seg *s, enum stat_role role, uint32_t slot,
			      void (*fn)(struct stat_seg *, void *), void *arg)
{
	int go[2];
	pid_t pid;
	char c = 0;

	if (pipe(go) != 0)
		abort();
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) != 1)
			_exit(9);
		close(go[0]);
		if (stat_become(s, role, slot, 0, 1) != 0)
			_exit(8);
		fn(s, arg);
		_exit(0);
	}
	close(go[0]);
	if (role != STAT_READER)
		stat_proc_set(s, slot, ST_PROC_RUNNING, (uint32_t)pid, 0, 1);
	if (write(go[1], "x", 1) != 1)
		abort();
	close(go[1]);
	return pid;
}

/* Waits for a child and says DEAD; its wait status. */
static inline int seg_reap(struct stat_seg *s, uint32_t slot, pid_t pid)
{
	int st = 0;

	if (waitpid(pid, &st, 0) != pid) /* no ck_assert: stages run outside of check */
		abort();
	if (slot != STAT_NO_SLOT)
		stat_proc_set(s, slot, ST_PROC_DEAD, (uint32_t)pid, 0, 1);
	return st;
}

static inline void seg_run(struct stat_seg *s, enum stat_role role, uint32_t slot,
			   void (*fn)(struct stat_seg *, void *), void *arg)
{
	int st = seg_reap(s, slot, seg_spawn(s, role, slot, fn, arg));

	ck_assert_msg(WIFEXITED(st) && WEXITSTATUS(st) == 0, "child: wait status %#x", st);
}

static inline void fold_once(struct stat_seg *s, void *arg)
{
	(void)arg;
	stat_consolidate(s, 1);
}

/* One fold by a consolidator of its own. */
static inline void seg_fold(struct stat_seg *s)
{
	seg_run(s, STAT_CONTROL, stat_slot_of(s, STAT_CONTROL), fold_once, NULL);
}

/* For checks inside children. */
#define CHILD(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: child: %s\n", __FILE__, __LINE__, #cond); \
			_exit(7); \
		} \
	} while (0)

static inline void *shared_page(void)
{
	void *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* Main of each test program: every group in one suite. */
#define SEG_MAIN(name, ...) \
	int main(void) \
	{ \
		const TTest *const tests[] = { __VA_ARGS__ }; \
		Suite *suite = suite_create(name); \
		TCase *tc = tcase_create("all"); \
		SRunner *sr; \
		int failed; \
		tcase_set_timeout(tc, 60); \
		for (size_t i = 0; i < FL_ARRAY_LEN(tests); i++) \
			tcase_add_test(tc, tests[i]); \
		suite_add_tcase(suite, tc); \
		sr = srunner_create(suite); \
		srunner_run_all(sr, CK_ENV); \
		failed = srunner_ntests_failed(sr); \
		srunner_free(sr); \
		return failed ? EXIT_FAILURE : EXIT_SUCCESS; \
	}

#endif

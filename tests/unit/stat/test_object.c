/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_object.c - names and rows; making, adopting and opening segments; damaged headers
 */
#include "config.h"

#include "stat/stat.h"

#include <fcntl.h>

#include "seg_test.h"

START_TEST(test_names_keep_their_rows)
{
	struct stat_seg *s = seg_make(64, 1, 1);
	uint32_t a = seg_row(s, SV, "pool/a", 1), b = seg_row(s, KIND_POOL, "pool/a", 1);
	enum tbl_kind kind;
	struct str name;
	bool current;

	ck_assert_uint_ne(a, b);                         /* same name, another kind */
	ck_assert_uint_eq(seg_row(s, SV, "pool/a", 2), a);
	ck_assert_uint_eq(stat_obj_find(s, SV, STR("pool/a")), a);
	ck_assert_uint_eq(stat_obj_find(s, SV, STR("pool/b")), STAT_NO_ROW);
	ck_assert_uint_eq(stat_obj_max(s), 2);
	stat_obj_commit(s, 2, 1);
	ck_assert(stat_obj_get(s, a, &kind, &name, &current));
	ck_assert_int_eq(kind, SV);
	ck_assert(str_eq(name, STR("pool/a")));
	ck_assert(current);
	ck_assert(stat_obj_get(s, b, NULL, NULL, &current));
	ck_assert(!current);                             /* not in generation 2 */
	ck_assert(!stat_obj_get(s, 2, NULL, NULL, NULL));
	ck_assert(!stat_obj_get(s, STAT_NO_ROW, NULL, NULL, NULL));
	/* a generation that was assigned but never committed changes nothing that is shown */
	seg_row(s, KIND_POOL, "pool/a", 3);
	ck_assert(stat_obj_get(s, b, NULL, NULL, &current));
	ck_assert(!current);
	stat_free(s);
}
END_TEST

START_TEST(test_names_refused)
{
	struct stat_seg *s = seg_make(64, 1, 0);
	char big[STAT_NAME_MAX + 1];
	uint32_t row;

	memset(big, 'x', sizeof(big));
	ck_assert_int_eq(stat_obj_assign(s, SV, STR(""), 1, &row), FL_ERANGE_);
	ck_assert_int_eq(stat_obj_assign(s, SV, str_n(big, STAT_NAME_MAX), 1, &row), FL_ERANGE_);
	ck_assert_int_eq(stat_obj_assign(s, KIND_NONE, STR("x"), 1, &row), FL_ERANGE_);
	ck_assert_int_eq(stat_obj_assign(s, KIND__COUNT, STR("x"), 1, &row), FL_ERANGE_);
	ck_assert_int_eq(stat_obj_assign(s, SV, str_n(big, STAT_NAME_MAX - 1), 1, &row), 0);
	ck_assert_uint_eq(stat_obj_find(s, SV, str_n(big, STAT_NAME_MAX - 1)), row);
	ck_assert_uint_eq(stat_obj_find(s, SV, str_n(big, STAT_NAME_MAX)), STAT_NO_ROW);
	ck_assert_uint_eq(stat_obj_find(s, SV, STR("")), STAT_NO_ROW);
	stat_free(s);
}
END_TEST

START_TEST(test_parameters_refused)
{
	static const struct stat_params bad[] = {
		{ 0, 1, 1 },          { 64, 0, 1 },    { 64, STAT_MAX_CORES + 1, 0 },
		{ UINT32_MAX, 1, 1 }, { 64, 1, 1000 },
	};
	int err;

	for (size_t i = 0; i < FL_ARRAY_LEN(bad); i++) {
		err = 0;
		ck_assert_ptr_null(stat_create(&bad[i], &err));
		ck_assert_int_eq(err, FL_ERANGE_);
	}
}
END_TEST

/* 10,000 names: all found, quickly, and again when they are known. */
START_TEST(test_many_names)
{
	struct stat_seg *s = seg_make(65536, 2, 4);
	uint64_t t0 = env_now_us();
	char name[40];

	for (int gen = 1; gen <= 2; gen++) {
		for (uint32_t i = 0; i < 10000; i++) {
			snprintf(name, sizeof(name), "application/server-%u", i);
			ck_assert_uint_eq(seg_row(s, SV, name, (uint32_t)gen), i);
		}
		stat_obj_commit(s, (uint32_t)gen, 1);
	}
	ck_assert_msg(env_now_us() - t0 < 2000000, "20,000 names took %llu us",
		      (unsigned long long)(env_now_us() - t0));
	stat_free(s);
}
END_TEST

/* A full segment refuses; rows go to others longest unused first; the index survives much
 * change. */
START_TEST(test_full_and_reuse)
{
	struct stat_seg *s = seg_make(100, 1, 1);
	uint32_t row, gen;
	char name[24];

	for (uint32_t i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		seg_row(s, SV, name, 1);
	}
	stat_obj_commit(s, 1, 1);
	ck_assert_int_eq(stat_obj_assign(s, SV, STR("more"), 2, &row), FL_ELIMIT_);
	stat_obj_commit(s, 2, 2);
	for (gen = 3; gen < 300; gen++) {
		/* 40 names of the last generation stay, 20 change: at most two generations' worth
		 * at a time */
		for (uint32_t i = 0; i < 60; i++) {
			snprintf(name, sizeof(name), "g%u", (gen * 20 + i) % 5000);
			ck_assert_int_eq(stat_obj_assign(s, SV, str_c(name), gen, &row), 0);
			ck_assert_uint_eq(stat_obj_find(s, SV, str_c(name)), row);
		}
		stat_obj_commit(s, gen, gen);
	}
	for (uint32_t i = 0; i < 60; i++) { /* all of the last one are there, each once */
		snprintf(name, sizeof(name), "g%u", (299 * 20 + i) % 5000);
		ck_assert_uint_ne(stat_obj_find(s, SV, str_c(name)), STAT_NO_ROW);
	}
	ck_assert_uint_eq(stat_obj_find(s, SV, STR("n0")), STAT_NO_ROW);
	ck_assert_uint_eq(stat_obj_max(s), 100);
	stat_free(s);
}
END_TEST

START_TEST(test_adopt_finds_everything)
{
	struct stat_seg *s = seg_make(64, 2, 1), *n;
	struct stat_conf_state c = { .generation = 7, .file = "/etc/x.conf" }, c2;
	struct stat_admin a = { .state = ST_ADMIN_MAINT,
				.uid = 1000,
				.since_us = 5,
				.reason = "disk" },
			  a2;
	uint32_t row = seg_row(s, SV, "p/a", 7), row2 = seg_row(s, SV, "p/b", 7);
	uint64_t started = stat_started_us(s);
	int fds[32], err = 1;
	unsigned k = stat_fd_count(s);
	uint32_t *index;

	stat_obj_commit(s, 7, 7);
	stat_conf_set(s, &c);
	stat_admin_set(s, row, &a);
	stat_set_serving_core(s, 1, 0);
	stat_set_live_slot(s, 1, 2);
	stat_proc_set(s, 2, ST_PROC_RUNNING, 4242, 1, 7);
	/* killed between table and index: the new master mends it */
	index = (void *)(s->dir_rw + s->dim.dir.index);
	for (uint32_t i = 0; i < s->dim.index_n; i++)
		if (index[i] == row2 + 1)
			index[i] = 0;
	ck_assert_uint_eq(stat_obj_find(s, SV, STR("p/b")), STAT_NO_ROW);
	for (unsigned i = 0; i < k; i++)
		fds[i] = dup(stat_fds(s)[i]);
	stat_free(s);

	n = stat_adopt(fds, k, &err);
	ck_assert_msg(n != NULL, "%s", fl_err_text(err));
	ck_assert_uint_eq(stat_obj_find(n, SV, STR("p/a")), row);
	ck_assert_uint_eq(stat_obj_find(n, SV, STR("p/b")), row2);
	ck_assert(stat_conf_get(n, &c2) && stat_admin_get(n, row, &a2));
	ck_assert_uint_eq(c2.generation, 7);
	ck_assert_str_eq(c2.file, "/etc/x.conf");
	ck_assert_uint_eq(a2.state, ST_ADMIN_MAINT);
	ck_assert_str_eq(a2.reason, "disk");
	ck_assert_uint_eq(stat_serving_core(n, 1), 0);
	ck_assert_uint_eq(stat_live_slot(n, 1), 2);
	ck_assert_uint_eq(stat_started_us(n), started);
	ck_assert_uint_eq(stat_cores(n), 2);
	seg_row(n, SV, "p/c", 8);
	stat_free(n);
}
END_TEST

/* Each way in which descriptors may be wrong; they stay the caller's. */
START_TEST(test_adopt_refuses)
{
	struct stat_seg *s = seg_make(64, 1, 1), *t = seg_make(64, 1, 1);
	unsigned n = stat_fd_count(s), i;
	int fds[32], tmp, err;
	struct seg_head *h;
	uint64_t keep;

#define COPY() memcpy(fds, stat_fds(s), n * sizeof(int))
#define REFUSED(m) \
	do { \
		err = 0; \
		ck_assert_ptr_null(stat_adopt(fds, m, &err)); \
		ck_assert_int_eq(err, FL_ELAYOUT_); \
		ck_assert_ptr_null(stat_open(fds, m, &err)); \
		ck_assert_int_ge(fcntl(fds[0], F_GETFD), 0); \
	} while (0)
	COPY();
	REFUSED(n - 1);
	REFUSED(1);
	for (i = 0; i < n; i++) {                        /* one of another segment */
		COPY();
		fds[i] = stat_fds(t)[i];
		REFUSED(n);
	}
	COPY();
	tmp = fds[2];
	fds[2] = fds[3];
	fds[3] = tmp;
	REFUSED(n);
	for (i = 0; i < n; i++) {                        /* not a sealed file of ours */
		COPY();
		fds[i] = env_memfd("planted", true);
		ck_assert_int_eq(ftruncate(fds[i], (off_t)s->dim.slot.size), 0);
		REFUSED(n);
		close(fds[i]);
		fds[i] = open("/dev/null", O_RDWR);
		err = 0;
		ck_assert_ptr_null(stat_adopt(fds, n, &err));
		ck_assert_int_lt(err, 0);
		close(fds[i]);
	}
	COPY();
	h = (void *)s->dir_rw;
	/* any word of the header (pad excepted) */
	for (size_t w = 0; w < sizeof(*h) / 8 - 1; w++) {
		keep = ((uint64_t *)h)[w];
		for (unsigned bit = 0; bit < 64; bit += 7) {
			((uint64_t *)h)[w] = keep ^ UINT64_C(1) << bit;
			REFUSED(n);
		}
		((uint64_t *)h)[w] = keep;
	}
	s->n_fd = 0;                                      /* the adopted one owns them now */
	stat_free(s);
	s = stat_adopt(fds, n, &err);
	ck_assert_ptr_nonnull(s);
	stat_free(s);
	stat_free(t);
}
END_TEST

/* An outsider with read-only descriptors reads and cannot write. */
START_TEST(test_open_read_only)
{
	struct stat_seg *s = seg_make(64, 1, 1), *o;
	uint32_t row = seg_row(s, SV, "p/a", 1);
	unsigned n = stat_fd_count(s);
	char path[40];
	int fds[32], err;

	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", stat_fds(s)[i]);
		fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		ck_assert_int_ge(fds[i], 0);
	}
	o = stat_open(fds, n, &err);
	ck_assert_ptr_nonnull(o);
	ck_assert_uint_eq(stat_obj_find(o, SV, STR("p/a")), row);
	ck_assert_ptr_null(stat_row_get(o, SV, row));
	ck_assert(!stat_log_put(o, 0, 1, 1, 1, "x", 1));
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), -1);    /* taken and closed */
	ck_assert_int_eq(mprotect((void *)(uintptr_t)o->dir, 4096, PROT_READ | PROT_WRITE), -1);
	stat_free(o);
	stat_free(s);
}
END_TEST

/* A worker cannot write what is not its own, not even by changing the protection. */
static void poke(struct stat_seg *s, void *arg)
{
	const char *const at[] = { s->dir, s->totals, s->slot[1], s->slot[0] };

	(void)arg;
	CHILD(s->dir_rw == NULL && s->totals_rw == NULL && stat_fd_count(s) == 0);
	for (size_t i = 0; i < FL_ARRAY_LEN(at); i++)
		CHILD(mprotect((void *)(uintptr_t)at[i], 4096, PROT_READ | PROT_WRITE) != 0);
	signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would report it */
	*(volatile char *)(uintptr_t)(s->slot[1] + 4000) = 1;
}

/* gen: a forked child that takes no place reads all, writes nothing, and its children may take
 * one. */
static void gen_fn(struct stat_seg *s)
{
	pid_t pid;
	int st;

	CHILD(stat_obj_find(s, SV, STR("p/a")) == 0);
	CHILD(!stat_log_put(s, 0, 1, 1, 1, "x", 1));
	CHILD(stat_row_get(s, SV, 0) == NULL);
	stat_heartbeat(s, 77);
	pid = fork();
	if (pid == 0) {
		CHILD(stat_become(s, STAT_WORKER, 0, 0, 1) == 0);
		CHILD(stat_log_put(s, 0, 1, 1, 1, "x", 1));
		_exit(0);
	}
	CHILD(waitpid(pid, &st, 0) == pid && st == 0);
	_exit(0);
}

START_TEST(test_wild_writes_do_not_cross)
{
	struct stat_seg *s = seg_make(64, 1, 1);
	int st;
	pid_t pid;

	seg_row(s, SV, "p/a", 1);
	st = seg_reap(s, 0, seg_spawn(s, STAT_WORKER, 0, poke, NULL));
	ck_assert_msg(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV, "%#x", st);
	ck_assert_int_eq(s->slot[1][4000], 0);
	pid = fork();
	if (pid == 0)
		gen_fn(s);
	ck_assert_int_eq(waitpid(pid, &st, 0), pid);
	ck_assert_int_eq(st, 0);
	stat_free(s);
}
END_TEST

START_TEST(test_layout_text)
{
	char text[16384];
	struct sb b;

	sb_init(&b, text, sizeof(text));
	stat_dump_layout(&b);
	ck_assert(!b.over);
	ck_assert(str_starts(sb_get(&b), STR("layout\t")));
	ck_assert_int_ge(str_find(sb_get(&b), STR("counter\tVSERVER.REQ_TOT\t3\tSUM\n")), 0);
	ck_assert_uint_ne(stat_layout_id(), 0);
	ck_assert_uint_eq(stat_layout_id(), stat_layout_id());
}
END_TEST

SEG_MAIN("stat/object", test_names_keep_their_rows, test_names_refused, test_parameters_refused,
	 test_many_names, test_full_and_reuse, test_adopt_finds_everything, test_adopt_refuses,
	 test_open_read_only, test_wild_writes_do_not_cross, test_layout_text)

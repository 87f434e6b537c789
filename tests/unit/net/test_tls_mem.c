/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tls_mem.c - OpenSSL's memory: cells, their bounds, what malloc gave before, failpoints
 *
 * Each test is a process of its own. What needs cells is left out where AddressSanitizer keeps them off.
 */
#include "config.h"

#include "net/tls_mem.h"

#include <check.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#define SSL_LIKE 7608u                  /* the largest thing that an idle connection keeps */

static void fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(n * 7 + i);
}

static bool filled(const uint8_t *p, size_t n, size_t upto)
{
	for (size_t i = 0; i < upto; i++)
		if (p[i] != (uint8_t)(n * 7 + i))
			return false;
	return true;
}

START_TEST(test_edges)
{
	void *p;

	(void)tls_mem_cells();
	ck_assert_ptr_null(OPENSSL_malloc(0));
	OPENSSL_free(NULL);
	p = OPENSSL_realloc(NULL, 5);
	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_null(OPENSSL_realloc(p, 0));
	p = OPENSSL_zalloc(1 << 20);
	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_nonnull(p = OPENSSL_realloc(p, 3));
	OPENSSL_free(p);
	ck_assert_uint_eq(tls_mem_figures().cells, 0);
}
END_TEST

/* Thousands of pieces of all sizes that come, grow and go: nothing may be shared, moved wrongly or lost. */
START_TEST(test_nothing_overlaps)
{
	enum { N = 3000 };
	static uint8_t *p[N];
	static size_t n[N];

	ck_assert(tls_mem_cells() == !FL_SEES_MEMORY);
	srand(7);
	for (int round = 0; round < 200000; round++) {
		int i = rand() % N;
		size_t want = 1 + (size_t)rand() % (rand() % 8 ? 600 : 24000);

		if (!p[i]) {
			n[i] = want;
			p[i] = OPENSSL_malloc(want);
			ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
		} else if (rand() % 2) {
			ck_assert(filled(p[i], n[i], n[i]));
			OPENSSL_free(p[i]);
			p[i] = NULL;
			continue;
		} else {
			p[i] = OPENSSL_realloc(p[i], want);
			ck_assert(filled(p[i], n[i], want < n[i] ? want : n[i]));
			n[i] = want;
		}
		fill(p[i], n[i]);
	}
	for (int i = 0; i < N; i++) {
		ck_assert(!p[i] || filled(p[i], n[i], n[i]));
		OPENSSL_free(p[i]);
	}
	ck_assert_uint_eq(tls_mem_figures().cells, 0);
	ck_assert_uint_eq(tls_mem_figures().bytes, 0);
}
END_TEST

/* What gen made and workers inherit. */
START_TEST(test_older_memory_stays_mallocs)
{
	uint8_t *a = OPENSSL_malloc(100), *b = OPENSSL_malloc(100);

	fill(a, 100);
	(void)tls_mem_cells();
	a = OPENSSL_realloc(a, 200);
	ck_assert(filled(a, 100, 100));
	OPENSSL_free(a);
	OPENSSL_free(b);
	ck_assert_uint_eq(tls_mem_figures().cells, 0);
}
END_TEST

START_TEST(test_packs_tightly_and_gives_back)
{
	enum { N = 20000 };
	static void *p[N];
	struct tls_mem_figures f;

	if (!tls_mem_cells())
		return;
	for (int again = 0; again < 3; again++) {
		for (int i = 0; i < N; i++) {
			p[i] = OPENSSL_malloc(SSL_LIKE);
			memset(p[i], 1, SSL_LIKE);
		}
		f = tls_mem_figures();
		ck_assert_uint_eq(f.cells, N);
		ck_assert_uint_lt(f.bytes, N * (SSL_LIKE + 16));
		ck_assert_uint_le(f.chunks * 65536, (size_t)N * SSL_LIKE * 108 / 100);
		for (int i = 0; i < N; i++)
			OPENSSL_free(p[i]);
		f = tls_mem_figures();
		ck_assert_uint_eq(f.cells, 0);
		ck_assert_uint_eq(f.chunks - f.empty, 1);        /* its last one stays */
		ck_assert_uint_le(f.warm, 64);
	}
	/* emptied chunks serve other sizes: nothing new is made */
	for (int i = 0; i < N; i++)
		p[i] = OPENSSL_malloc(512);
	ck_assert_uint_eq(tls_mem_figures().chunks, f.chunks);
	for (int i = 0; i < N; i++)
		OPENSSL_free(p[i]);
}
END_TEST

START_TEST(test_a_context_lives_in_cells)
{
	struct tls_mem_figures before, with;
	SSL_CTX *ctx;

	SSL_CTX_free(SSL_CTX_new(TLS_server_method()));      /* what OpenSSL makes once */
	if (!tls_mem_cells())
		return;
	before = tls_mem_figures();
	ctx = SSL_CTX_new(TLS_server_method());
	ck_assert_ptr_nonnull(ctx);
	SSL_free(SSL_new(ctx));
	with = tls_mem_figures();
	ck_assert_uint_gt(with.cells, before.cells + 10);
	SSL_CTX_free(ctx);
	ck_assert_uint_lt(tls_mem_figures().cells, with.cells);
}
END_TEST

#ifdef FL_FAILPOINTS
START_TEST(test_failpoint)
{
	void *p;

	setenv("FAIRLEAD_FAILPOINTS", "tls_malloc=errno ENOMEM:2:2", 1);
	(void)tls_mem_cells();
	p = OPENSSL_malloc(1);
	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_null(OPENSSL_malloc(1));
	ck_assert_ptr_null(OPENSSL_realloc(p, 100));
	p = OPENSSL_realloc(p, 100);
	ck_assert_ptr_nonnull(p);
	OPENSSL_free(p);
}
END_TEST
#endif

int main(void)
{
	Suite *s = suite_create("net/tls_mem");
	TCase *t = tcase_create("cells");
	SRunner *sr;
	int bad;

	if (!tls_mem_init())
		return 1;
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_edges);
	tcase_add_test(t, test_nothing_overlaps);
	tcase_add_test(t, test_older_memory_stays_mallocs);
	tcase_add_test(t, test_packs_tightly_and_gives_back);
	tcase_add_test(t, test_a_context_lives_in_cells);
#ifdef FL_FAILPOINTS
	tcase_add_test(t, test_failpoint);
#endif
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	bad = srunner_ntests_failed(sr);
	srunner_free(sr);
	return bad != 0;
}

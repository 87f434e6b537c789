/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tls_share.c - key shares: libssl asks us, good ones are taken the quick way, others are refused as ever
 */
#include "tls_unit.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

static const struct {
	const char *name, *groups;
	size_t      bytes;
} curves[] = {
	{ "P-256", "groups P-256", 65 },
	{ "P-384", "groups P-384", 97 },
	{ "P-521", "groups P-521", 133 },
};

static EVP_PKEY *key_of(const char *curve)
{
	EVP_PKEY *k = EVP_EC_gen(curve);

	ck_assert_ptr_nonnull(k);
	return k;
}

static int derive(EVP_PKEY *mine, EVP_PKEY *peer, unsigned char out[128], size_t *n)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(mine, NULL);
	int ok;

	*n = 128;
	ck_assert_int_eq(EVP_PKEY_derive_init(c), 1);
	ok = EVP_PKEY_derive_set_peer(c, peer) == 1 && EVP_PKEY_derive(c, out, n) == 1;
	EVP_PKEY_CTX_free(c);
	return ok;
}

START_TEST(test_both_ways_agree)
{
	EVP_PKEY *a = key_of(curves[_i].name), *b = key_of(curves[_i].name);
	unsigned char one[128], two[128], three[128];
	size_t n1, n2, n3;
	uint64_t before = tls_share_quick();

	ck_assert(derive(a, b, one, &n1));
	ck_assert_uint_eq(tls_share_quick(), before);    /* before it is begun: the library's way */
	tls_share_init();
	ck_assert(derive(a, b, two, &n2));
	ck_assert(derive(b, a, three, &n3));
	ck_assert_uint_eq(tls_share_quick(), before + 2);
	ck_assert_uint_eq(n1, n2);
	ck_assert_uint_eq(n1, n3);
	ck_assert_mem_eq(one, two, n1);
	ck_assert_mem_eq(one, three, n1);
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
}
END_TEST

/* A peer's share as libssl makes a key of it. NULL: it is refused there. */
static EVP_PKEY *share(EVP_PKEY *like, const unsigned char *p, size_t n)
{
	EVP_PKEY *k = EVP_PKEY_new();

	ck_assert_int_eq(EVP_PKEY_copy_parameters(k, like), 1);
	if (EVP_PKEY_set1_encoded_public_key(k, p, n) == 1)
		return k;
	EVP_PKEY_free(k);
	return NULL;
}

/* Infinity, and every neighbour of a point: the x is another, or y is. None gets as far as a secret. */
START_TEST(test_bad_points_are_refused)
{
	EVP_PKEY *mine = key_of(curves[_i].name), *peer = key_of(curves[_i].name), *k;
	unsigned char p[133], bad[133], out[128];
	size_t n, n_out;
	uint64_t before;

	tls_share_init();
	before = tls_share_quick();
	ck_assert_int_eq(EVP_PKEY_get_octet_string_param(peer, OSSL_PKEY_PARAM_PUB_KEY, p, sizeof(p), &n), 1);
	ck_assert_uint_eq(n, curves[_i].bytes);
	for (size_t at = 1; at < n; at++) {
		memcpy(bad, p, n);
		bad[at] ^= 1;
		k = share(mine, bad, n);
		ck_assert(!k || !derive(mine, k, out, &n_out));
		EVP_PKEY_free(k);
	}
	memset(bad, 0, sizeof(bad));
	k = share(mine, bad, 1);
	ck_assert(!k || !derive(mine, k, out, &n_out));
	EVP_PKEY_free(k);
	bad[0] = 4;
	k = share(mine, bad, n);
	ck_assert(!k || !derive(mine, k, out, &n_out));
	EVP_PKEY_free(k);
	memset(bad + 1, 0xff, n - 1);            /* beyond the field */
	k = share(mine, bad, n);
	ck_assert(!k || !derive(mine, k, out, &n_out));
	EVP_PKEY_free(k);
	ck_assert_uint_eq(tls_share_quick(), before);
	k = share(mine, p, n);
	ck_assert(k && derive(mine, k, out, &n_out));
	EVP_PKEY_free(k);
	EVP_PKEY_free(mine);
	EVP_PKEY_free(peer);
}
END_TEST

/* libssl takes ours: both sides of a handshake. */
START_TEST(test_libssl_asks_us)
{
	char server[128];
	struct profile p;
	struct link l;
	uint64_t before;

	tls_share_init();
	before = tls_share_quick();
	snprintf(server, sizeof(server), "cert @/a.pem; %s", curves[_i].groups);
	p = load_ok("web", server, ca_opt);
	shake(&l, &p, &p, "a.example");
	ck_assert_uint_eq(tls_share_quick(), before + 2);
	part(&l);
	unload(&p);
}
END_TEST

START_TEST(test_x25519_goes_the_librarys_way)
{
	struct profile p = load_ok("web", "cert @/a.pem; groups X25519", ca_opt);
	uint64_t before;
	struct link l;

	tls_share_init();
	before = tls_share_quick();
	shake(&l, &p, &p, "a.example");
	ck_assert_uint_eq(tls_share_quick(), before);
	part(&l);
	unload(&p);
}
END_TEST

static void tests(TCase *t)
{
	tcase_add_loop_test(t, test_both_ways_agree, 0, 3);
	tcase_add_loop_test(t, test_bad_points_are_refused, 0, 3);
	tcase_add_loop_test(t, test_libssl_asks_us, 0, 2);
	tcase_add_test(t, test_x25519_goes_the_librarys_way);
}

int main(void)
{
	return tls_main("net/tls-share", tests);
}

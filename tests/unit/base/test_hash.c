/* SPDX-License-Identifier: Apache-2.0 */
/* test_hash.c - published values, case folding, spread, and values that must never change */
#include "config.h"

#include "base/hash.h"

#include <stdio.h>

#include "tests/unit/base/unit.h"

/* SipHash-1-3 written once more in the plainest way, from the paper's description. */
static uint64_t rol(uint64_t v, int n)
{
	return v << n | v >> (64 - n);
}

static uint64_t plain_sip13(const unsigned char *p, size_t n, uint64_t k0, uint64_t k1)
{
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
			  k1 ^ 0x7465646279746573 };
	size_t words = n / 8 + 1;

	for (size_t w = 0; w < words + 3; w++) {
		uint64_t m = 0;

		for (size_t i = 0; w < words && i < 8; i++)
			if (w * 8 + i < n)
				m |= (uint64_t)p[w * 8 + i] << (8 * i);
		if (w == words - 1)
			m |= (uint64_t)(n & 0xff) << 56;
		if (w == words)
			v[2] ^= 0xff;
		v[3] ^= m;
		v[0] += v[1], v[1] = rol(v[1], 13), v[1] ^= v[0], v[0] = rol(v[0], 32);
		v[2] += v[3], v[3] = rol(v[3], 16), v[3] ^= v[2];
		v[0] += v[3], v[3] = rol(v[3], 21), v[3] ^= v[0];
		v[2] += v[1], v[1] = rol(v[1], 17), v[1] ^= v[2], v[2] = rol(v[2], 32);
		v[0] ^= m;
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

START_TEST(sip_is_sip)
{
	unsigned char in[64];
	const uint64_t k0 = 0x0706050403020100, k1 = 0x0f0e0d0c0b0a0908;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)i;
	hash_seed(k0, k1);
	for (size_t n = 0; n <= sizeof(in); n++)
		ck_assert_uint_eq(hash_sip(in, n), plain_sip13(in, n, k0, k1));
	/* first value of the vectors that CPython and Rust test their SipHash-1-3 with */
	ck_assert_uint_eq(hash_sip(in, 0), 0xabac0158050fc4dcu);
	ck_assert_uint_eq(hash_sip(NULL, 0), hash_sip("", 0));
}
END_TEST

START_TEST(folding)
{
	unsigned char in[41], low[41];
	uint64_t seed = 8;

	for (int round = 0; round < 3000; round++) {
		size_t n = unit_rand(&seed) % sizeof(in);

		for (size_t i = 0; i < n; i++) {
			in[i] = (unsigned char)unit_rand(&seed);
			low[i] = fl_lower(in[i]);
		}
		ck_assert_uint_eq(hash_sip_i(in, n), hash_sip(low, n));
	}
	for (unsigned c = 0; c < 256; c++) {      /* each byte in a whole word and in the rest */
		memset(in, (int)c, 11);
		memset(low, fl_lower((unsigned char)c), 11);
		ck_assert_uint_eq(hash_sip_i(in, 11), hash_sip(low, 11));
	}
}
END_TEST

START_TEST(seeds_differ)
{
	uint64_t first;

	hash_seed(1, 2);
	first = hash_sip("abc", 3);
	hash_seed(1, 3);
	ck_assert_uint_ne(hash_sip("abc", 3), first);
	hash_seed(1, 2);
	ck_assert_uint_eq(hash_sip("abc", 3), first);
}
END_TEST

/* Others depend on these for ever: two versions side by side must choose the same service. */
START_TEST(hash64_never_changes)
{
	static const struct { const char *in; uint64_t seed, want; } rows[] = {
		{ "", 0, 0x30a0bdeb377f3133u },
		{ "a", 1, 0x18d9f7bb7897bb02u },
		{ "abc", 2, 0x36b003af66669354u },
		{ "abcd", 0, 0x9fbcd257af7771feu },
		{ "1234567", 1, 0x0703f6a4a697e812u },
		{ "12345678", 2, 0x5ce830124a96eecbu },
		{ "10.0.0.1:80", 0, 0x810d333d9ba8b9d3u },
		{ "0123456789abcdef", 1, 0x8c540ed8ffebc1c0u },
		{ "0123456789abcdefg", 2, 0xa680fa028c8eb7f3u },
		{ "the quick brown fox jumps over the lazy dog", 0, 0xee423579c9a39e47u },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++)
		ck_assert_msg(fl_hash64(rows[i].in, strlen(rows[i].in), rows[i].seed) == rows[i].want,
			      "{ \"%s\", %lu, 0x%016lxu },", rows[i].in, (unsigned long)rows[i].seed,
			      (unsigned long)fl_hash64(rows[i].in, strlen(rows[i].in), rows[i].seed));
}
END_TEST

/* Each input bit flips each output bit about half of the time. */
START_TEST(hash64_avalanche)
{
	static const size_t sizes[] = { 1, 3, 4, 7, 8, 9, 16, 17, 32, 33, 70 };
	uint64_t seed = 5;

	for (size_t s = 0; s < FL_ARRAY_LEN(sizes); s++)
		for (size_t bit = 0; bit < sizes[s] * 8; bit++) {
			unsigned flips[64] = { 0 };
			const unsigned rounds = 256;

			for (unsigned r = 0; r < rounds; r++) {
				unsigned char in[70];
				uint64_t a, b;

				for (size_t i = 0; i < sizes[s]; i++)
					in[i] = (unsigned char)unit_rand(&seed);
				a = fl_hash64(in, sizes[s], 1);
				in[bit / 8] ^= (unsigned char)(1 << bit % 8);
				b = fl_hash64(in, sizes[s], 1);
				for (int o = 0; o < 64; o++)
					flips[o] += (unsigned)((a ^ b) >> o & 1);
			}
			for (int o = 0; o < 64; o++)      /* eight standard deviations */
				ck_assert_msg(flips[o] > 64 && flips[o] < 192,
					      "size %zu: bit %zu flips bit %d %u times", sizes[s], bit, o,
					      flips[o]);
		}
}
END_TEST

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

START_TEST(hash64_spread)
{
	static uint64_t h[100000];
	unsigned buckets[64] = { 0 };

	for (unsigned i = 0; i < FL_ARRAY_LEN(h); i++) {
		char key[32];
		int n = snprintf(key, sizeof(key), "10.0.%u.%u", i / 250, i % 250);

		h[i] = fl_hash64(key, (size_t)n, 0);
		buckets[h[i] % 64]++;
	}
	for (int b = 0; b < 64; b++)      /* mean 1562, deviation 39 */
		ck_assert(buckets[b] > 1300 && buckets[b] < 1830);
	qsort(h, FL_ARRAY_LEN(h), sizeof(h[0]), cmp_u64);
	for (unsigned i = 1; i < FL_ARRAY_LEN(h); i++)
		ck_assert_uint_ne(h[i], h[i - 1]);
	/* length and seed count, zero bytes too */
	memset(h, 0, 64);
	for (size_t n = 0; n < 64; n++) {
		ck_assert_uint_ne(fl_hash64(h, n, 0), fl_hash64(h, n + 1, 0));
		ck_assert_uint_ne(fl_hash64(h, n, 0), fl_hash64(h, n, 1));
	}
}
END_TEST

START_TEST(crc)
{
	unsigned char in[100];
	uint32_t whole;

	/* RFC 3720 appendix B.4 */
	memset(in, 0, 32);
	ck_assert_uint_eq(fl_crc32c(in, 32, 0), 0x8a9136aau);
	memset(in, 0xff, 32);
	ck_assert_uint_eq(fl_crc32c(in, 32, 0), 0x62a8ab43u);
	for (int i = 0; i < 100; i++)
		in[i] = (unsigned char)i;
	ck_assert_uint_eq(fl_crc32c(in, 32, 0), 0x46dd794eu);
	ck_assert_uint_eq(fl_crc32c("123456789", 9, 0), 0xe3069283u);
	whole = fl_crc32c(in, 100, 0);
	for (size_t cut = 0; cut <= 100; cut++)
		ck_assert_uint_eq(fl_crc32c(in + cut, 100 - cut, fl_crc32c(in, cut, 0)), whole);
	ck_assert_uint_eq(fl_crc32c(NULL, 0, 7), 7);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/hash");

	UNIT_CASE(s, "sip is sip", sip_is_sip);
	UNIT_CASE(s, "folding", folding);
	UNIT_CASE(s, "seeds differ", seeds_differ);
	UNIT_CASE(s, "hash64 never changes", hash64_never_changes);
	UNIT_CASE(s, "hash64 avalanche", hash64_avalanche);
	UNIT_CASE(s, "hash64 spread", hash64_spread);
	UNIT_CASE(s, "crc", crc);
	return unit_run(s);
}

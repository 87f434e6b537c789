/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.c - SipHash-1-3, an unkeyed 64-bit mix, CRC-32C
 *
 * All read words as little endian, so results are the same on every machine. The unkeyed hash
 * folds 128-bit products of the input xored with odd constants; it is not safe against
 * somebody who chooses the input, which is what SipHash is for.
 */
#include "config.h"

#include "base/hash.h"

#include <endian.h>

#include "base/env.h"

static uint64_t sip_key[2];
static bool sip_seeded;

static inline uint64_t load64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline uint64_t load32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t rotl(uint64_t v, int n)
{
	return (v << n) | (v >> (64 - n));
}

/* SipHash -------------------------------------------------------------------------------- */

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 = rotl(s->v2, 32);
}

/* Sets bit 5 of each byte that is A..Z. With the top bits off no sum carries into the next byte. */
static inline uint64_t fold64(uint64_t v)
{
	const uint64_t ones = 0x0101010101010101u;
	uint64_t low7 = v & (ones * 0x7f);
	uint64_t ge_a = low7 + ones * (0x80 - 'A');
	uint64_t gt_z = low7 + ones * (0x80 - 'Z' - 1);

	return v | (((ge_a & ~gt_z & ~v) & (ones * 0x80)) >> 2);
}

static inline uint64_t sip_hash(const unsigned char *p, size_t n, bool fold)
{
	struct sip s;
	uint64_t m, last = (uint64_t)n << 56;
	size_t left = n & 7;
	const unsigned char *end = n ? p + (n - left) : p;

	if (FL_UNLIKELY(!sip_seeded)) {
		uint64_t k[2];

		env_random(k, sizeof(k));
		hash_seed(k[0], k[1]);
	}
	s.v0 = 0x736f6d6570736575u ^ sip_key[0];
	s.v1 = 0x646f72616e646f6du ^ sip_key[1];
	s.v2 = 0x6c7967656e657261u ^ sip_key[0];
	s.v3 = 0x7465646279746573u ^ sip_key[1];
	for (; p != end; p += 8) {
		m = fold ? fold64(load64(p)) : load64(p);
		s.v3 ^= m;
		sip_round(&s);
		s.v0 ^= m;
	}
	m = 0;
	for (size_t i = 0; i < left; i++)
		m |= (uint64_t)p[i] << (8 * i);
	last |= fold ? fold64(m) : m;
	s.v3 ^= last;
	sip_round(&s);
	s.v0 ^= last;
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

void hash_seed(uint64_t k0, uint64_t k1)
{
	sip_key[0] = k0;
	sip_key[1] = k1;
	sip_seeded = true;
}

uint64_t hash_sip(const void *p, size_t n)
{
	return sip_hash(p, n, false);
}

uint64_t hash_sip_i(const void *p, size_t n)
{
	return sip_hash(p, n, true);
}

/* Unkeyed -------------------------------------------------------------------------------- */

/* The fractional digits of the square roots of 2, 3, 5 and 7, made odd. */
#define MIX_A 0x6a09e667f3bcc909u
#define MIX_B 0xbb67ae8584caa73bu
#define MIX_C 0x3c6ef372fe94f82bu
#define MIX_D 0xa54ff53a5f1d36f1u

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 r = (unsigned __int128)a * b;

	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

uint64_t fl_hash64(const void *mem, size_t n, uint64_t seed)
{
	const unsigned char *p = mem;
	uint64_t h = mix(seed ^ MIX_A, MIX_B), a = 0, b = 0;
	size_t left = n;

	/* a factor that happens to be zero loses its own words only: h is also added */
	for (; left > 16; left -= 16, p += 16)
		h = mix(load64(p) ^ MIX_C, load64(p + 8) ^ h) + rotl(h, 23);
	if (left >= 8) {
		a = load64(p);
		b = load64(p + left - 8);
	} else if (left >= 4) {
		a = load32(p);
		b = load32(p + left - 4);
	} else if (left) {
		a = (uint64_t)p[0] << 16 | (uint64_t)p[left / 2] << 8 | p[left - 1];
	}
	h = mix(a ^ MIX_D ^ h, b ^ MIX_C) + rotl(h, 29);
	return mix(h ^ MIX_A, (uint64_t)n ^ MIX_D ^ rotl(h, 32));
}

/* CRC-32C (Castagnoli, reflected polynomial 0x82f63b78, RFC 3720 appendix B.4) ----------------- */

static uint32_t crc32c_soft(const unsigned char *p, size_t n, uint32_t crc)
{
	/* four bits at a time: sixteen words of table */
	static const uint32_t nibble[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	for (; n; n--) {
		crc ^= *p++;
		crc = (crc >> 4) ^ nibble[crc & 15];
		crc = (crc >> 4) ^ nibble[crc & 15];
	}
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2")))
static uint32_t crc32c_sse(const unsigned char *p, size_t n, uint32_t crc)
{
	uint64_t c = crc;

	for (; n >= 8; n -= 8, p += 8)
		c = __builtin_ia32_crc32di(c, load64(p));
	for (; n; n--)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
	return (uint32_t)c;
}
#endif

uint32_t fl_crc32c(const void *p, size_t n, uint32_t crc)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc32c_sse(p, n, ~crc);
#endif
	return ~crc32c_soft(p, n, ~crc);
}

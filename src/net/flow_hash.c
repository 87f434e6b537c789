/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_hash.c - see flow_hash.h
 */
#include "config.h"

#include "net/flow_hash.h"

#include <string.h>

uint32_t flow_port_mask(unsigned tuple)
{
	const uint8_t bytes[4] = { tuple == 4 ? 0xff : 0, tuple == 4 ? 0xff : 0, tuple >= 3 ? 0xff : 0, tuple >= 3 ? 0xff : 0 };
	uint32_t mask;

	memcpy(&mask, bytes, sizeof(mask));
	return mask;
}

/* Addresses and ports one behind the other; the number of bytes. */
static unsigned lay_out(const struct flow *f, unsigned tuple, uint8_t out[TOEPLITZ_BYTES])
{
	unsigned n = f->v6 ? 16 : 4;
	uint32_t mask = flow_port_mask(tuple), ports;

	memcpy(out, f->from, n);
	memcpy(out + n, f->to, n);
	memcpy(out + 2 * n, &f->from_port, 2);
	memcpy(out + 2 * n + 2, &f->to_port, 2);
	memcpy(&ports, out + 2 * n, 4);
	ports &= mask;
	memcpy(out + 2 * n, &ports, 4);
	return 2 * n + 4;
}

static uint32_t rol(uint32_t x, unsigned k)
{
	return x << k | x >> (32 - k);
}

static void mix(uint32_t w[3])
{
	static const uint8_t by[6] = { 4, 6, 8, 16, 19, 4 };

	for (unsigned i = 0; i < 6; i++) {
		uint32_t *a = &w[i % 3], *b = &w[(i + 1) % 3], *c = &w[(i + 2) % 3];

		*a -= *c;
		*a ^= rol(*c, by[i]);
		*c += *b;
	}
}

static void finish(uint32_t w[3])
{
	static const uint8_t by[7] = { 14, 11, 25, 16, 4, 14, 24 };

	for (unsigned i = 0; i < 7; i++) {
		uint32_t *to = &w[(i + 2) % 3], *with = &w[(i + 1) % 3];

		*to ^= *with;
		*to -= rol(*with, by[i]);
	}
}

static uint32_t jhash_words(const uint32_t *in, unsigned n, uint32_t seed)
{
	uint32_t w[3] = { seed, seed, seed };

	for (unsigned i = 0; i < n; i += 3) {
		for (unsigned k = 0; k < 3; k++)
			w[k] += in[i + k];
		if (i + 3 < n)
			mix(w);
	}
	finish(w);
	return w[2];
}

uint32_t flow_jhash(const struct flow *f, unsigned tuple, uint32_t seed)
{
	uint32_t in[FLOW_WORDS];
	uint8_t bytes[TOEPLITZ_BYTES];
	unsigned n = lay_out(f, tuple, bytes) / 4;

	memcpy(in, bytes, n * sizeof(in[0]));
	return jhash_words(in, n, seed);
}

uint32_t flow_jhash_numbers(const struct flow *f, unsigned tuple, uint32_t seed)
{
	uint32_t in[FLOW_WORDS];
	uint8_t bytes[TOEPLITZ_BYTES];
	unsigned n = lay_out(f, tuple, bytes) / 4;

	for (unsigned i = 0; i < n; i++)
		in[i] = (uint32_t)bytes[4 * i] << 24 | (uint32_t)bytes[4 * i + 1] << 16 | (uint32_t)bytes[4 * i + 2] << 8 |
			bytes[4 * i + 3];
	return jhash_words(in, n, seed);
}

uint32_t toeplitz_window(const uint8_t key[TOEPLITZ_KEY], unsigned at)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 5; i++)
		v = v << 8 | key[at / 8 + i];
	return (uint32_t)(v >> (8 - at % 8));
}

uint32_t flow_toeplitz(const struct flow *f, unsigned tuple, const uint8_t key[TOEPLITZ_KEY])
{
	uint8_t bytes[TOEPLITZ_BYTES];
	unsigned n = lay_out(f, tuple, bytes);
	uint32_t x = 0;

	for (unsigned at = 0; at < 8 * n; at++)
		if (bytes[at / 8] & 0x80u >> at % 8)
			x ^= toeplitz_window(key, at);
	return x;
}

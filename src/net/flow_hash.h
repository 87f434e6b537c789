/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_hash.h - the hashes of addresses and ports that the program of net/rss.h computes, in C
 *
 * The same packet gives the same number here and there (tests/unit/net/test_rss.c), so what the kernel will do
 * with a flow can be told without it.
 *
 *	jhash      Jenkins' lookup3 over words as they are in memory, from a seed
 *	toeplitz   what network cards compute for RSS: the XOR of 32 bits of the key, from bit i on, for each
 *	           bit i that is set in source address, destination address, source port, destination port
 *
 * Of a 3-tuple the client's port is left out, of a 2-tuple both ports. Pure, any process.
 */
#ifndef FL_NET_FLOW_HASH_H
#define FL_NET_FLOW_HASH_H

#include <stdbool.h>
#include <stdint.h>

#define TOEPLITZ_KEY   40
#define TOEPLITZ_BYTES 36       /* two IPv6 addresses, two ports */
#define FLOW_WORDS     (TOEPLITZ_BYTES / 4)

struct flow {                   /* as in the packet, network byte order */
	bool     v6;
	uint8_t  from[16], to[16];      /* IPv4: the first four bytes */
	uint16_t from_port, to_port;
};

/* tuple: 2, 3 or 4 */
uint32_t flow_jhash(const struct flow *f, unsigned tuple, uint32_t seed);
/* The same over words as numbers, the first byte being the highest: what a classic program loads. */
uint32_t flow_jhash_numbers(const struct flow *f, unsigned tuple, uint32_t seed);
uint32_t flow_toeplitz(const struct flow *f, unsigned tuple, const uint8_t key[TOEPLITZ_KEY]);
/* The key's 32 bits from bit `at` on; at < 8 * TOEPLITZ_BYTES. */
uint32_t toeplitz_window(const uint8_t key[TOEPLITZ_KEY], unsigned at);
/* What of both ports, as one word of the packet, counts. */
uint32_t flow_port_mask(unsigned tuple);

#endif

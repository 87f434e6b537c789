/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.h - hashes: SipHash-1-3 for tables that clients can fill, fl_hash64 for the rest
 */
#ifndef FL_BASE_HASH_H
#define FL_BASE_HASH_H

#include "base/str.h"

/* Seeded once per process by hash_seed() (random unless a test sets it). */
void     hash_seed(uint64_t k0, uint64_t k1);
uint64_t hash_sip(const void *p, size_t n);
uint64_t hash_sip_i(const void *p, size_t n);      /* ASCII case folded */
/* Unkeyed, the same on every machine and version: layout ids, rendezvous and consistent hashing. */
uint64_t fl_hash64(const void *p, size_t n, uint64_t seed);
/* CRC-32C; crc 0 at the start, the last result to go on. */
uint32_t fl_crc32c(const void *p, size_t n, uint32_t crc);

#endif

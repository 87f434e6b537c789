/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latch.h - words and records that one process writes and others read at the same time
 *
 * A record is a sequence word and two copies, each with a tag, a checksum and the payload:
 *
 *	0   seq      the valid copy is number seq & 1
 *	8   copy 0   tag u64, crc u64, payload
 *	..  copy 1   the same
 *
 * The writer fills the copy that is not valid, then stores seq + 1. A writer killed at any instant
 * leaves the old copy valid, and its successor goes on without repair. A reader whose copy
 * was overtaken sees another seq and tries again, LATCH_TRIES times at most.
 * Nothing here trusts a reader's or writer's counterpart: payloads are checked by CRC-32C.
 */
#ifndef FL_STAT_LATCH_H
#define FL_STAT_LATCH_H

#include "base/compiler.h"

#define LATCH_TRIES 64

static inline uint64_t ld64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline uint64_t ld64_acq(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void st64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline void st64_rel(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint32_t ld32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline uint32_t ld32_acq(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void st32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline void st32_rel(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }

/* Bytes of a record in the segment; a multiple of the cache line. The payload is a multiple of
 * 8. */
#define LATCH_COPY(payload) (16 + (size_t)(payload))
#define LATCH_SIZE(payload) ((8 + 2 * LATCH_COPY(payload) + 63) & ~(size_t)63)

/* The record's only writer. `tag` says what the payload is about (0: nothing). */
void latch_write(void *rec, uint64_t tag, const void *payload, size_t n);
/* The payload of tag `tag` into out. False, and out untouched, when the record is about something
 * else, was damaged, or changed under every try. n <= LATCH_PAYLOAD_MAX. */
bool latch_read(const void *rec, uint64_t tag, void *out, size_t n);
#define LATCH_PAYLOAD_MAX 2048

#endif

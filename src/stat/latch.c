/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latch.c - the two-slot latch (see latch.h)
 *
 * Copies move word by word with relaxed atomics; the fences order them against seq.
 */
#include "config.h"

#include "stat/latch.h"

#include <string.h>

#include "base/env.h"
#include "base/hash.h"

static uint64_t *copy_of(void *rec, uint64_t seq, size_t n)
{
	return (uint64_t *)(void *)((char *)rec + 8 + (seq & 1) * LATCH_COPY(n));
}

static uint64_t latch_crc(uint64_t tag, const void *payload, size_t n)
{
	return fl_crc32c(payload, n, fl_crc32c(&tag, sizeof(tag), 0));
}

void latch_write(void *rec, uint64_t tag, const void *payload, size_t n)
{
	uint64_t *seq = rec, now = ld64(seq), word;
	uint64_t *copy = copy_of(rec, now + 1, n);

	ASSERT(n % 8 == 0 && n <= LATCH_PAYLOAD_MAX);
	/* whoever sees a word of the new copy also sees that seq has left the one before it */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	st64(&copy[0], tag);
	FP("stat.latch.tag");
	st64(&copy[1], latch_crc(tag, payload, n));
	FP("stat.latch.crc");
	for (size_t i = 0; i < n / 8; i++) {
		memcpy(&word, (const char *)payload + i * 8, 8);
		st64(&copy[2 + i], word);
		FP("stat.latch.word");
	}
	st64_rel(seq, now + 1);
	FP("stat.latch.seq");
}

bool latch_read(const void *rec, uint64_t tag, void *out, size_t n)
{
	uint64_t tmp[LATCH_PAYLOAD_MAX / 8] FL_UNINIT, crc = 0, got = 0;
	const uint64_t *seq = rec;

	ASSERT(n % 8 == 0 && n <= LATCH_PAYLOAD_MAX);
	for (int try = 0; try < LATCH_TRIES; try++) {
		uint64_t now = ld64_acq(seq);
		const uint64_t *copy = copy_of((void *)(uintptr_t)rec, now, n);

		got = ld64(&copy[0]);
		crc = ld64(&copy[1]);
		for (size_t i = 0; i < n / 8; i++)
			tmp[i] = ld64(&copy[2 + i]);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (ld64(seq) != now)
			continue;
		if (got != tag || crc != latch_crc(tag, tmp, n))
			return false;
		memcpy(out, tmp, n);
		return true;
	}
	return false;
}

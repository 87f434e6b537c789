/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.c - log rings: each process writes lines into its slot, logd reads them all
 *
 * A record is complete before the head passes it, so a writer killed in the middle leaves nothing
 * behind; checksums are for damage. logd's own slot holds how far it has read each ring; a
 * line's room is given back when logd asks for the next one of that ring, so a killed logd's
 * successor reads its last line again rather than losing it.
 */
#include "config.h"

#include "stat/view.h"

#include "base/env.h"
#include "base/hash.h"

#define REC_CRC_FROM offsetof(struct seg_log_rec, n)
#define RING_AT(pos) ((uint32_t)((pos) & (SEG_LOG_RING - 8)))      /* always a multiple of 8 */

static uint32_t rec_size(size_t n)
{
	return (uint32_t)((sizeof(struct seg_log_rec) + n + 7) & ~(size_t)7);
}

static const uint64_t *cursor_of(const struct stat_seg *s, uint32_t slot)
{
	uint32_t logd = stat_slot_of(s, STAT_LOGD);

	return (const uint64_t *)(const void *)(s->slot[logd] + s->dim.slot.cursor) + slot;
}

/* Writing --------------------------------------------------------------------------------- */

/* Room for `need` bytes in one piece at head; pads to the ring's end where needed. False: full. */
static bool ring_room(struct stat_seg *s, struct seg_slot *sl, uint32_t need)
{
	uint64_t cursor = ld64_acq(cursor_of(s, s->own_slot)), used = sl->log_head - cursor;
	uint32_t at = RING_AT(sl->log_head), tail = SEG_LOG_RING - at;

	if (used > SEG_LOG_RING)             /* nonsense: logd sets it right */
		return false;
	if (need <= tail)
		return SEG_LOG_RING - used >= need;
	if (SEG_LOG_RING - used < (uint64_t)tail + need)
		return false;
	((struct seg_log_rec *)(void *)(s->own + s->dim.slot.log + at))->magic = SEG_LOG_PAD;
	FP("stat.log.pad");
	st64_rel(&sl->log_head, sl->log_head + tail);
	FP("stat.log.padhead");
	return true;
}

static void rec_write(struct stat_seg *s, struct seg_slot *sl, struct seg_log_rec *h, const char *p)
{
	char *at = s->own + s->dim.slot.log + RING_AT(sl->log_head);

	h->crc = fl_crc32c(p, h->n,
			   fl_crc32c((char *)h + REC_CRC_FROM, sizeof(*h) - REC_CRC_FROM, 0));
	memcpy(at, h, sizeof(*h));
	FP("stat.log.head");
	memcpy(at + sizeof(*h), p, h->n);
	FP("stat.log.text");
	st64_rel(&sl->log_head, sl->log_head + h->size);
	FP("stat.log.publish");
}

bool stat_log_put(struct stat_seg *s, uint32_t stream, uint32_t level, uint32_t ev,
		  uint64_t wall_us, const char *p, size_t n)
{
	struct seg_slot *sl = view_own(s);
	struct seg_log_rec h = {
		.magic = SEG_LOG_REC, .n = (uint32_t)n, .stream = stream, .level = level, .ev = ev,
		.generation = s->generation, .wall_us = wall_us,
	};
	bool room;

	if (!sl)
		return false;
	pthread_mutex_lock(&s->log_lock);
	h.size = rec_size(n);
	room = n <= SEG_LOG_LINE && ring_room(s, sl, h.size);
	if (room)
		rec_write(s, sl, &h, p);
	else
		st64(&sl->log_dropped, sl->log_dropped + 1);
	pthread_mutex_unlock(&s->log_lock);
	return room;
}

/* Reading --------------------------------------------------------------------------------- */

static void cursor_set(struct stat_seg *s, uint32_t slot, uint64_t at)
{
	uint64_t *cursor = (uint64_t *)(void *)(s->own + s->dim.slot.cursor) + slot;

	if (!s->log_batch && *cursor != at) {
		st64_rel(cursor, at);
		FP("stat.log.cursor");
	}
}

void stat_log_batch(struct stat_seg *s)
{
	s->log_batch = true;
}

void stat_log_written(struct stat_seg *s)
{
	if (!s->log_batch || !s->log_next)
		return;
	s->log_batch = false;
	for (uint32_t k = 0; k < s->dim.n_slots; k++)
		cursor_set(s, k, s->log_next[k]);
	s->log_batch = true;
}

static bool reader_ready(struct stat_seg *s)
{
	if (s->role != STAT_LOGD || !view_own(s))
		return false;
	if (s->log_next)
		return true;
	if (!s->log_buf)
		s->log_buf = env_malloc(rec_size(SEG_LOG_LINE));
	s->log_next = env_calloc(s->dim.n_slots, sizeof(uint64_t));
	if (!s->log_buf || !s->log_next) {
		env_free(s->log_next);
		s->log_next = NULL;
		return false;
	}
	for (uint32_t k = 0; k < s->dim.n_slots; k++)
		s->log_next[k] = ld64(cursor_of(s, k));
	return true;
}

/* Copies the record at `at` into log_buf: its size, or 0 when it is not one. The copy is what is
 * checked and used, as a wild writer may change the ring under us. `avail`: bytes up to the head.
 * */
static uint32_t rec_read(struct stat_seg *s, uint32_t slot, uint64_t at, uint64_t avail)
{
	const char *ring = s->slot[slot] + s->dim.slot.log;
	uint32_t off = RING_AT(at), tail = SEG_LOG_RING - off;
	struct seg_log_rec *h = (void *)s->log_buf;

	memcpy(h, ring + off, 8);
	if (h->magic == SEG_LOG_PAD) {
		h->n = 0;
		return tail <= avail ? tail : 0;
	}
	if (h->magic != SEG_LOG_REC || h->size < sizeof(*h) || h->size % 8 ||
	    h->size > rec_size(SEG_LOG_LINE) || h->size > tail || h->size > avail)
		return 0;
	memcpy((char *)h + 8, ring + off + 8, h->size - 8);
	return h->size;
}

static bool rec_ok(const struct seg_log_rec *h)
{
	return h->n <= SEG_LOG_LINE && rec_size(h->n) == h->size &&
	       h->crc == fl_crc32c((const char *)h + REC_CRC_FROM, sizeof(*h) - REC_CRC_FROM + h->n,
				   0);
}

static void count_torn(struct stat_seg *s)
{
	struct seg_slot *sl = view_own(s);

	st64(&sl->log_torn, sl->log_torn + 1);
}

bool stat_log_next(struct stat_seg *s, uint32_t slot, struct stat_log_rec *out)
{
	uint64_t head, *next;
	uint32_t size;

	if (slot >= s->dim.n_slots || !reader_ready(s))
		return false;
	next = &s->log_next[slot];
	head = ld64_acq(&view_slot(s, slot)->log_head) & ~UINT64_C(7);
	if (head - *next > SEG_LOG_RING) {     /* one of the two is damaged: begin anew */
		count_torn(s);
		*next = head;
	}
	while (*next != head) {
		const struct seg_log_rec *h = (const void *)s->log_buf;

		size = rec_read(s, slot, *next, head - *next);
		if (size && h->magic == SEG_LOG_REC && rec_ok(h)) {
			cursor_set(s, slot, *next);
			*next += size;
			*out = (struct stat_log_rec){
				.slot = slot, .stream = h->stream, .level = h->level, .ev = h->ev,
				.generation = h->generation, .wall_us = h->wall_us,
				.line = str_n(s->log_buf + sizeof(*h), h->n),
			};
			return true;
		}
		if (!size || h->magic != SEG_LOG_PAD)
			count_torn(s);
		*next = size ? *next + size : head;
	}
	cursor_set(s, slot, *next);
	return false;
}

bool stat_log_pending(const struct stat_seg *s)
{
	for (uint32_t k = 0; k < s->dim.n_slots; k++) {
		uint64_t seen = s->log_next ? s->log_next[k] : ld64(cursor_of(s, k));

		if ((ld64_acq(&view_slot(s, k)->log_head) & ~UINT64_C(7)) != seen)
			return true;
	}
	return false;
}

uint64_t stat_log_torn(const struct stat_seg *s)
{
	return ld64(&view_slot(s, stat_slot_of(s, STAT_LOGD))->log_torn);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mail.c - letters between workers (see mail.h)
 *
 * A letter is complete before the head passes it, so a sender killed in the middle leaves nothing behind. Heads and cursors
 * only grow, over all owners of a slot; a distance between them that cannot be is damage, which the reader mends.
 * The heads of a slot stand together, apart from the rings: a reader that looks at all senders so touches
 * one page of each, and a ring takes memory only once it was used.
 */
#include "config.h"

#include "stat/mail.h"

#include "base/env.h"
#include "base/err.h"
#include "base/hash.h"
#include "stat/view.h"

static const uint64_t *head_of(const struct stat_seg *s, uint32_t from, uint32_t to)
{
	return (const uint64_t *)(const void *)(s->slot[from] + s->dim.slot.mailhead) + to;
}

static const uint64_t *seen_of(const struct stat_seg *s, uint32_t from, uint32_t to)
{
	return (const uint64_t *)(const void *)(s->slot[to] + s->dim.slot.mailseen) + from;
}

static size_t letter_at(const struct stat_seg *s, uint32_t to, uint64_t n)
{
	return s->dim.slot.mail + ((size_t)to * SEG_MAIL_RING + n % SEG_MAIL_RING) * sizeof(struct seg_letter);
}

static uint32_t letter_crc(const struct seg_letter *l)
{
	return fl_crc32c(l, offsetof(struct seg_letter, crc), 0);
}

/* Word by word, as the other side may be reading or writing: what is torn has no checksum. */
static void letter_copy(void *to, const void *from)
{
	for (size_t i = 0; i < sizeof(struct seg_letter) / 8; i++)
		st64((uint64_t *)to + i, ld64((const uint64_t *)from + i));
}

int mail_put(struct stat_seg *s, uint32_t to, const struct mail *m)
{
	struct seg_letter l = { .type = m->type, .row = m->row, .a = m->epoch };
	uint64_t *head, now;

	if (!view_own(s) || to >= s->dim.n_slots || to == s->own_slot)
		return FL_ERANGE_;
	head = (uint64_t *)(void *)(s->own + s->dim.slot.mailhead) + to;
	now = *head;
	if (now - ld64_acq(seen_of(s, s->own_slot, to)) >= SEG_MAIL_RING)
		return -EAGAIN;          /* also nonsense: the reader sets it right */
	l.crc = letter_crc(&l);
	letter_copy(s->own + letter_at(s, to, now), &l);
	FP("stat.mail.letter");
	st64_rel(head, now + 1);
	FP("stat.mail.head");
	return 0;
}

static void set_seen(struct stat_seg *s, uint32_t from, uint64_t at)
{
	st64_rel((uint64_t *)(void *)(s->own + s->dim.slot.mailseen) + from, at);
	FP("stat.mail.seen");
}

/* The next letter of one sender. */
static bool next_from(struct stat_seg *s, uint32_t from, struct mail *out)
{
	uint64_t head = ld64_acq(head_of(s, from, s->own_slot)), at = ld64(seen_of(s, from, s->own_slot));
	struct seg_letter l;

	if (head - at > SEG_MAIL_RING) {
		s->mail_torn++;
		set_seen(s, from, head);
		return false;
	}
	while (at != head) {
		letter_copy(&l, s->slot[from] + letter_at(s, s->own_slot, at));
		set_seen(s, from, ++at);
		if (l.crc == letter_crc(&l) && l.type > MAIL_NONE && l.type < MAIL__COUNT) {
			*out = (struct mail){ .type = l.type, .from = from, .row = l.row, .epoch = (uint32_t)l.a };
			return true;
		}
		s->mail_torn++;
	}
	return false;
}

bool mail_next(struct stat_seg *s, struct mail *out)
{
	if (!view_own(s))
		return false;
	for (uint32_t i = 0; i < s->dim.n_slots; i++) {
		uint32_t from = s->mail_at;

		s->mail_at = (from + 1) % s->dim.n_slots;
		if (from != s->own_slot && next_from(s, from, out))
			return true;
	}
	return false;
}

void mail_forget(struct stat_seg *s)
{
	for (uint32_t from = 0; view_own(s) && from < s->dim.n_slots; from++)
		if (ld64(head_of(s, from, s->own_slot)) != ld64(seen_of(s, from, s->own_slot)))
			set_seen(s, from, ld64_acq(head_of(s, from, s->own_slot)));
}

uint64_t mail_torn(const struct stat_seg *s)
{
	return s->mail_torn;
}

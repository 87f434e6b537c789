/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_mail.c - rings of letters: order, wrap, full, damage, and what a successor finds
 */
#include "config.h"

#include "stat/mail.h"

#include "base/hash.h"
#include "seg_test.h"

static int put(struct stat_seg *s, uint32_t to, uint32_t row)
{
	struct mail m = { .type = MAIL_NEWS, .row = row, .epoch = row * 3 };

	return mail_put(s, to, &m);
}

struct job {
	uint32_t to, from, n, expect_full, torn;
};

static void sender(struct stat_seg *s, void *arg)
{
	const struct job *j = arg;
	uint32_t full = 0;

	for (uint32_t i = 0; i < j->n; i++)
		full += put(s, j->to, j->from + i) == -EAGAIN;
	CHILD(full == j->expect_full);
}

static void receiver(struct stat_seg *s, void *arg)
{
	const struct job *j = arg;
	struct mail m;

	for (uint32_t i = 0; i < j->n; i++) {
		CHILD(mail_next(s, &m));
		CHILD(m.type == MAIL_NEWS && m.row == j->from + i && m.epoch == m.row * 3 && m.from == 0);
	}
	CHILD(!mail_next(s, &m));
	CHILD(mail_torn(s) == j->torn);
}

static void seg_send(struct stat_seg *s, uint32_t to, uint32_t from, uint32_t n, uint32_t full)
{
	struct job j = { .to = to, .from = from, .n = n, .expect_full = full };

	seg_run(s, STAT_WORKER, 0, sender, &j);
}

static void seg_receive(struct stat_seg *s, uint32_t slot, uint32_t from, uint32_t n, uint32_t torn)
{
	struct job j = { .from = from, .n = n, .torn = torn };

	seg_run(s, STAT_WORKER, slot, receiver, &j);
}

START_TEST(test_order_wrap_and_full)
{
	struct stat_seg *s = seg_make(8, 2, 1);

	seg_receive(s, 2, 0, 0, 0);
	for (uint32_t i = 0; i < 10; i++) {              /* over the ring's end, by other processes each time */
		seg_send(s, 2, i * 50, 50, 0);
		seg_receive(s, 2, i * 50, 50, 0);
	}
	seg_send(s, 2, 0, 70, 70 - SEG_MAIL_RING);
	seg_send(s, 2, 0, 3, 3);
	seg_send(s, 1, 7, 2, 0);                         /* a full ring is nobody else's */
	seg_receive(s, 1, 7, 2, 0);
	seg_receive(s, 2, 0, SEG_MAIL_RING, 0);
	seg_send(s, 2, 9, 1, 0);
	seg_receive(s, 2, 9, 1, 0);
	stat_free(s);
}
END_TEST

static void refused(struct stat_seg *s, void *arg)
{
	(void)arg;
	CHILD(put(s, 0, 1) == FL_ERANGE_ && put(s, 1000, 1) == FL_ERANGE_ && put(s, STAT_NO_SLOT, 1) == FL_ERANGE_);
}

static void forget(struct stat_seg *s, void *arg)
{
	struct mail m;

	(void)arg;
	mail_forget(s);
	CHILD(!mail_next(s, &m));
}

START_TEST(test_who_may_not_and_who_forgets)
{
	struct stat_seg *s = seg_make(8, 2, 1);
	struct mail m = { .type = MAIL_NEWS };

	seg_run(s, STAT_WORKER, 0, refused, NULL);
	ck_assert_int_eq(mail_put(s, s->own_slot, &m), FL_ERANGE_);
	ck_assert(!mail_next(s, &m));
	seg_send(s, 3, 1, 5, 0);
	seg_run(s, STAT_WORKER, 3, forget, NULL);
	seg_send(s, 3, 6, 2, 0);
	seg_receive(s, 3, 6, 2, 0);
	stat_free(s);
}
END_TEST

static void two_senders(struct stat_seg *s, void *arg)
{
	unsigned n[4] = { 0 }, last = 9;
	struct mail m;

	(void)arg;
	for (int i = 0; i < 10; i++) {
		CHILD(mail_next(s, &m) && m.from < 2);
		CHILD(m.from != last);                   /* in turn: none has to wait for all of another's */
		last = m.from;
		n[m.from]++;
	}
	CHILD(n[0] == 5 && n[1] == 5 && !mail_next(s, &m));
}

START_TEST(test_senders_in_turn)
{
	struct stat_seg *s = seg_make(8, 2, 1);
	struct job j = { .to = 3, .n = 5 };

	seg_run(s, STAT_WORKER, 0, sender, &j);
	seg_run(s, STAT_WORKER, 1, sender, &j);
	seg_run(s, STAT_WORKER, 3, two_senders, NULL);
	stat_free(s);
}
END_TEST

static char *slot_map(struct stat_seg *s, uint32_t slot)
{
	char *p = mmap(NULL, s->dim.slot.size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd[slot + 2], 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

START_TEST(test_damage)
{
	struct stat_seg *s = seg_make(8, 2, 1);
	char *from = slot_map(s, 0), *to = slot_map(s, 2);
	uint64_t *head = (void *)(from + s->dim.slot.mailhead), *seen = (void *)(to + s->dim.slot.mailseen);
	struct seg_letter *l = (void *)(from + s->dim.slot.mail);

	seg_send(s, 2, 0, 3, 0);
	l += 2 * SEG_MAIL_RING;
	l[0].row ^= 4;                                   /* a flipped bit */
	l[2].crc = 0;                                    /* half a letter */
	seg_receive(s, 2, 1, 1, 2);
	/* a head that ran away: the reader catches up, the sender can write again */
	head[2] += 1000;
	seg_send(s, 2, 0, 1, 1);
	seg_receive(s, 2, 0, 0, 1);
	seg_send(s, 2, 5, 1, 0);
	seg_receive(s, 2, 5, 1, 0);
	/* a cursor that did */
	seen[0] += 77;
	seg_send(s, 2, 0, 1, 1);
	seg_receive(s, 2, 0, 0, 1);
	seg_send(s, 2, 6, SEG_MAIL_RING, 0);
	seg_receive(s, 2, 6, SEG_MAIL_RING, 0);
	/* a letter of no type */
	seg_send(s, 2, 6, 1, 0);
	for (unsigned i = 0; i < SEG_MAIL_RING; i++) {
		l[i].type = MAIL__COUNT;
		l[i].crc = fl_crc32c(&l[i], offsetof(struct seg_letter, crc), 0);
	}
	seg_receive(s, 2, 0, 0, 1);
	munmap(from, s->dim.slot.size);
	munmap(to, s->dim.slot.size);
	stat_free(s);
}
END_TEST

/* Both at once, and the reader checks that all come, whole and in order. */
#define STREAM 20000u
static void streamer(struct stat_seg *s, void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < STREAM; i++)
		while (put(s, 2, i) == -EAGAIN)
			env_sleep_us(10);
}

static void stream_reader(struct stat_seg *s, void *arg)
{
	uint64_t end = env_now_us() + 50000000;
	struct mail m;

	(void)arg;
	for (uint32_t i = 0; i < STREAM; i++) {
		while (!mail_next(s, &m))
			CHILD(env_now_us() < end);
		CHILD(m.row == i && m.epoch == i * 3);
	}
	CHILD(mail_torn(s) == 0);
}

START_TEST(test_stream)
{
	struct stat_seg *s = seg_make(8, 2, 1);
	pid_t a = seg_spawn(s, STAT_WORKER, 2, stream_reader, NULL), b = seg_spawn(s, STAT_WORKER, 0, streamer, NULL);

	ck_assert_int_eq(seg_reap(s, 0, b), 0);
	ck_assert_int_eq(seg_reap(s, 2, a), 0);
	stat_free(s);
}
END_TEST

SEG_MAIN("stat/mail", test_order_wrap_and_full, test_who_may_not_and_who_forgets, test_senders_in_turn, test_damage,
	 test_stream)

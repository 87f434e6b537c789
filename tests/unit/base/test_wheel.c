/* SPDX-License-Identifier: Apache-2.0 */
/* test_wheel.c - timers against a naive model, and the promises of wheel.h one by one */
#include "config.h"

#include "base/wheel.h"

#include "tests/unit/base/unit.h"

#define N 300

static struct wheel *w;
static uint64_t now;

struct probe {
	struct timer t;
	uint64_t     want;       /* what the model says: 0 = not set */
	unsigned     fired;
};
static struct probe probes[N];

static void on_probe(struct timer *t)
{
	struct probe *p = FL_CONTAINER_OF(t, struct probe, t);

	ck_assert_msg(p->want != 0, "a timer that was not set fired");
	ck_assert_msg(now >= p->want, "fired %lu ms early", (unsigned long)(p->want - now));
	ck_assert(!timer_is_set(t));
	p->want = 0;
	p->fired++;
}

/* After an advance to `now` nothing that is two ticks overdue may be waiting. */
static void check_model(void)
{
	uint64_t next = wheel_next_ms(w), first = UINT64_MAX;

	for (int i = 0; i < N; i++) {
		ck_assert_int_eq(timer_is_set(&probes[i].t), probes[i].want != 0);
		if (!probes[i].want)
			continue;
		ck_assert_msg(probes[i].want + 20 > now, "late: %lu at %lu",
			      (unsigned long)probes[i].want, (unsigned long)now);
		first = FL_MIN(first, probes[i].want);
	}
	if (first == UINT64_MAX)
		ck_assert_uint_eq(next, UINT64_MAX);
	else
		ck_assert_msg(next < first + 10, "the loop would oversleep: %lu > %lu",
			      (unsigned long)next, (unsigned long)first);
}

static uint64_t some_delay(uint64_t *seed)
{
	static const uint64_t spans[] = { 5, 50, 700, 3000, 60000, 3000000, 400000000, 90000000000 };

	return unit_rand(seed) % spans[unit_rand(seed) % FL_ARRAY_LEN(spans)];
}

START_TEST(model)
{
	for (uint64_t round = 1; round <= 20; round++) {
		uint64_t seed = round;
		unsigned fired = 0, total = 0;

		now = round == 1 ? 0 : unit_rand(&seed) >> (unit_rand(&seed) % 60 + 3);
		w = wheel_new(now);
		ck_assert_ptr_nonnull(w);
		for (int i = 0; i < N; i++) {
			probes[i] = (struct probe){ 0 };
			timer_init(&probes[i].t, on_probe);
		}
		for (int step = 0; step < 4000; step++) {
			struct probe *p = &probes[unit_rand(&seed) % N];

			switch (unit_rand(&seed) % 8) {
			case 0: case 1: case 2: case 3:
				p->want = now + some_delay(&seed);
				if (unit_rand(&seed) % 16 == 0)
					p->want = now / 2;       /* the past */
				p->want += p->want == 0;
				timer_set(w, &p->t, p->want);
				break;
			case 4:
				timer_stop(&p->t);
				p->want = 0;
				break;
			case 5:
				if (wheel_next_ms(w) < UINT64_MAX)
					now = FL_MAX(now, wheel_next_ms(w));
				fired += wheel_advance(w, now, 0);
				check_model();
				break;
			default:
				now += some_delay(&seed);
				fired += wheel_advance(w, now, 0);
				check_model();
			}
		}
		for (int i = 0; i < N; i++)
			total += probes[i].fired;
		ck_assert_uint_eq(fired, total);
		ck_assert_uint_gt(total, 500);
		wheel_free(&w);
		ck_assert_ptr_null(w);
		for (int i = 0; i < N; i++) {
			ck_assert(!timer_is_set(&probes[i].t));
			timer_stop(&probes[i].t);
		}
	}
}
END_TEST

static unsigned count;

static void on_count(struct timer *t)
{
	(void)t;
	count++;
}

START_TEST(exact_times)
{
	static const uint64_t starts[] = { 0, 7, 630, 640, 40959, 2621440 - 10, 1ull << 40 };
	static const uint64_t delays[] = { 1, 9, 10, 11, 630, 639, 640, 641, 40950, 40960, 40970, 2621440,
					   167772160, 10737418240 };

	for (size_t i = 0; i < FL_ARRAY_LEN(starts); i++)
		for (size_t j = 0; j < FL_ARRAY_LEN(delays); j++) {
			uint64_t at = starts[i] + delays[j];
			struct timer t;

			w = wheel_new(starts[i]);
			timer_init(&t, on_count);
			timer_set(w, &t, at);
			count = 0;
			ck_assert_uint_eq(wheel_advance(w, at - 1, 0), 0);
			ck_assert_uint_eq(wheel_advance(w, at + 9, 0), 1);
			ck_assert_uint_eq(count, 1);
			wheel_free(&w);
		}
}
END_TEST

/* What the loop does: sleeps until wheel_next_ms(), advances; it must not need many turns. */
START_TEST(sleeping_loop)
{
	struct timer t;
	uint64_t at = 123456789, time = 1000;
	unsigned turns = 0;

	w = wheel_new(time);
	timer_init(&t, on_count);
	timer_set(w, &t, at);
	count = 0;
	while (!count) {
		uint64_t next = wheel_next_ms(w);

		ck_assert_uint_gt(next, time);
		time = next;
		wheel_advance(w, time, 0);
		ck_assert_uint_le(++turns, 11);
	}
	ck_assert(time >= at && time < at + 20);
	ck_assert_uint_eq(wheel_next_ms(w), UINT64_MAX);
	wheel_free(&w);
}
END_TEST

static void on_again(struct timer *t)
{
	count++;
	timer_set(w, t, 1);       /* the past: for the next advance, or this would never end */
}

static struct timer other;

static void on_stop_other(struct timer *t)
{
	(void)t;
	count++;
	timer_stop(&other);
	timer_stop(&other);
	timer_stop(t);
}

START_TEST(inside_callbacks)
{
	struct timer t;

	w = wheel_new(100);
	timer_init(&t, on_again);
	timer_set(w, &t, 50);
	count = 0;
	ck_assert_uint_eq(wheel_next_ms(w), 100);
	ck_assert_uint_eq(wheel_advance(w, 100, 0), 1);
	ck_assert_uint_eq(wheel_advance(w, 100, 0), 1);
	ck_assert_uint_eq(count, 2);
	timer_stop(&t);
	ck_assert_uint_eq(wheel_next_ms(w), UINT64_MAX);

	timer_init(&t, on_stop_other);
	timer_init(&other, on_stop_other);
	timer_set(w, &t, 200);
	timer_set(w, &other, 200);
	count = 0;
	ck_assert_uint_eq(wheel_advance(w, 1000, 0), 1);       /* the first stopped the second */
	wheel_free(&w);
}
END_TEST

START_TEST(budget)
{
	struct timer t[10];

	w = wheel_new(0);
	count = 0;
	for (int i = 0; i < 10; i++) {
		timer_init(&t[i], on_count);
		timer_set(w, &t[i], 100 + (uint64_t)i);
	}
	ck_assert_uint_eq(wheel_advance(w, 200, 4), 4);
	ck_assert_uint_eq(wheel_next_ms(w), 200);
	for (int i = 0; i < 10; i++)       /* moved later while it waits for its turn */
		if (timer_is_set(&t[i])) {
			timer_set(w, &t[i], 500);
			break;
		}
	ck_assert_uint_eq(wheel_advance(w, 200, 4), 4);
	ck_assert_uint_eq(wheel_advance(w, 200, 4), 1);
	ck_assert_uint_eq(wheel_advance(w, 490, 0), 0);
	ck_assert_uint_eq(wheel_advance(w, 500, 0), 1);
	ck_assert_uint_eq(count, 10);
	wheel_free(&w);
}
END_TEST

START_TEST(later_and_earlier)
{
	struct timer t;

	w = wheel_new(0);
	timer_init(&t, on_count);
	count = 0;
	timer_set(w, &t, 1000);
	for (uint64_t ms = 10; ms <= 5000; ms += 10) {       /* an idle timeout that traffic moves */
		timer_set(w, &t, ms + 1000);
		ck_assert_uint_eq(wheel_advance(w, ms, 0), 0);
	}
	ck_assert_uint_eq(wheel_advance(w, 5990, 0), 0);
	timer_set(w, &t, 100000);
	timer_set(w, &t, 6100);
	ck_assert_uint_eq(wheel_advance(w, 6090, 0), 0);
	ck_assert_uint_eq(wheel_advance(w, 6100, 0), 1);
	timer_set(w, &t, UINT64_MAX);
	ck_assert_uint_eq(wheel_advance(w, 1ull << 50, 0), 0);
	ck_assert_uint_eq(wheel_advance(w, 50, 0), 0);       /* time that goes back is ignored */
	ck_assert(timer_is_set(&t));
	wheel_free(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/wheel");

	UNIT_CASE(s, "model", model);
	UNIT_CASE(s, "exact times", exact_times);
	UNIT_CASE(s, "sleeping loop", sleeping_loop);
	UNIT_CASE(s, "inside callbacks", inside_callbacks);
	UNIT_CASE(s, "budget", budget);
	UNIT_CASE(s, "later and earlier", later_and_earlier);
	return unit_run(s);
}

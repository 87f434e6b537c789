/* SPDX-License-Identifier: Apache-2.0 */
/* test_log.c - lines, levels, and the limiter */
#include "config.h"

#include "base/log.h"

#include <stdio.h>
#include <unistd.h>

#include "base/env.h"
#include "tests/unit/base/unit.h"

static char last[4096];
static unsigned lines;
static enum log_level last_lvl;
static enum log_ev last_ev;

static void sink(void *ctx, enum log_level lvl, enum log_ev ev, const char *line, size_t n)
{
	ck_assert_ptr_eq(ctx, &lines);
	ck_assert_uint_lt(n, sizeof(last));
	memcpy(last, line, n);
	last[n] = '\0';
	last_lvl = lvl;
	last_ev = ev;
	lines++;
}

START_TEST(sink_and_level)
{
	log_set_sink(sink, &lines);
	log_ev(EV_SERVICE_STATE, "service %s: %d", "app/a1", 7);
	ck_assert_uint_eq(lines, 1);
	ck_assert_str_eq(last, "service app/a1: 7");
	ck_assert_int_eq(last_lvl, LOG_LVL_WARN);
	ck_assert_int_eq(last_ev, EV_SERVICE_STATE);
	log_ev(EV_DEBUG, "not wanted");
	ck_assert_uint_eq(lines, 1);
	log_set_level(LOG_LVL_DEBUG);
	log_ev(EV_DEBUG, "wanted");
	ck_assert_uint_eq(lines, 2);
	log_set_level(LOG_LVL_ERR);
	log_ev(EV_SERVICE_STATE, "not wanted");
	ck_assert_uint_eq(lines, 2);
	log_ev(EV_POOL_DOWN, "wanted");
	ck_assert_uint_eq(lines, 3);
}
END_TEST

START_TEST(one_clean_line)
{
	char big[5000];

	log_set_sink(sink, &lines);
	log_ev(EV_START, "%s", "a\nb\r\x1b[31m\tc\x7f\xc3\xa9");
	ck_assert_str_eq(last, "a?b??[31m?c?\xc3\xa9");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_ev(EV_START, "%s", big);
	ck_assert_uint_gt(strlen(last), 1900);
	ck_assert_uint_lt(strlen(last), 2048);
	log_ev(EV_START, "%s", "");
	ck_assert_str_eq(last, "");
}
END_TEST

START_TEST(limited_by_event_and_key)
{
	uint64_t until;

	log_set_sink(sink, &lines);
	for (int i = 0; i < 100; i++)
		log_ev_key(EV_BAD_REQUEST, STR("10.0.0.1"), "client 10.0.0.1: %d", i);
	ck_assert(lines >= 5 && lines <= 7);
	lines = 0;
	log_ev_key(EV_BAD_REQUEST, STR("10.0.0.2"), "other key");
	log_ev_key(EV_TLS_FAIL, STR("10.0.0.1"), "other event");
	log_ev(EV_BAD_REQUEST, "no key, no limit");
	ck_assert_uint_eq(lines, 3);

	/* within a second and a bit a line comes again, and says how many did not */
	lines = 0;
	until = env_now_us() + 5000000;
	while (!lines && env_now_us() < until) {
		log_ev_key(EV_BAD_REQUEST, STR("10.0.0.1"), "again");
		usleep(1000);
	}
	ck_assert_uint_eq(lines, 1);
	ck_assert_ptr_nonnull(strstr(last, "again ("));
	ck_assert_ptr_nonnull(strstr(last, " more like this suppressed)"));
	ck_assert_int_ge(atoi(strchr(last, '(') + 1), 93);
}
END_TEST

/* More keys than the table holds: memory is bounded, every new key still gets its first line. */
START_TEST(many_keys)
{
	log_set_sink(sink, &lines);
	for (int i = 0; i < 5000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "%d", i);
		log_ev_key(EV_BAD_REQUEST, str_c(key), "%d", i);
	}
	ck_assert_uint_eq(lines, 5000);
}
END_TEST

START_TEST(standard_form)
{
	static const struct { uint64_t us; const char *want; } rows[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 951782399999999u, "2000-02-28T23:59:59.999Z" },
		{ 951782400000000u, "2000-02-29T00:00:00.000Z" },
		{ 1709251199123456u, "2024-02-29T23:59:59.123Z" },
		{ 1769860800123000u, "2026-01-31T12:00:00.123Z" },
		{ 4102444800000000u, "2100-01-01T00:00:00.000Z" },
		{ 4107542400000000u, "2100-03-01T00:00:00.000Z" },
	};
	char mem[256], want[256];
	struct sb b;

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		sb_init(&b, mem, sizeof(mem));
		log_format_line(&b, rows[i].us, LOG_LVL_WARN, i ? "worker@1" : NULL, EV_SERVICE_STATE, "txt", 3);
		snprintf(want, sizeof(want), "%s warn %s service-state txt\n", rows[i].want,
			 i ? "worker@1" : "-");
		ck_assert_str_eq(mem, want);
	}
}
END_TEST

START_TEST(stderr_without_sink)
{
	int fd[2], saved = dup(2);
	char text[300];
	ssize_t n;

	ck_assert_int_eq(env_pipe(fd, 0), 0);
	dup2(fd[1], 2);
	log_set_who("main@0");
	log_ev(EV_STOP, "bye");
	dup2(saved, 2);
	n = env_read(fd[0], text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_str_eq(text + strlen("2026-01-31T12:00:00.123Z"), " info main@0 stop bye\n");
}
END_TEST

START_TEST(rows_are_whole)
{
	for (int e = 0; e < EV__COUNT; e++) {
		ck_assert_uint_gt(strlen(log_event_rows[e].name), 0);
		ck_assert_uint_gt(strlen(log_event_rows[e].fields), 0);
		ck_assert_str_ne(log_level_name(log_event_rows[e].level), "?");
		for (int o = 0; o < e; o++)
			ck_assert_str_ne(log_event_rows[e].name, log_event_rows[o].name);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/log");

	UNIT_CASE(s, "sink and level", sink_and_level);
	UNIT_CASE(s, "one clean line", one_clean_line);
	UNIT_CASE(s, "limited by event and key", limited_by_event_and_key);
	UNIT_CASE(s, "many keys", many_keys);
	UNIT_CASE(s, "standard form", standard_form);
	UNIT_CASE(s, "stderr without sink", stderr_without_sink);
	UNIT_CASE(s, "rows are whole", rows_are_whole);
	return unit_run(s);
}

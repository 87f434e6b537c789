/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - makes one line of an event and gives it to the sink; limits noise by (event, key)
 *
 * The limiter is a fixed table of token buckets: BURST lines at once, then one a second. A new
 * key takes the place of the one idle longest among WAYS candidates, so an attacker with many keys
 * can cost us accuracy, never memory. One thread.
 */
#include "config.h"

#include "base/log.h"

#include <unistd.h>

#include "base/env.h"
#include "base/hash.h"

#define LINE_MAX_BYTES 2048
#define BURST    5u
#define REFILL_MS 1000u
#define LIM_SETS 128u       /* a power of two */
#define LIM_WAYS 4u

const struct log_event_row log_event_rows[EV__COUNT] = {
#define V(id, lvl, text, holds) [EV_##id] = { .name = text, .level = lvl, .fields = holds },
#include "tbl/events.def"
#undef V
};

static log_sink_fn log_sink;
static void *log_sink_ctx;
static enum log_level log_max = LOG_LVL_INFO;
static char log_who[32];

void log_set_sink(log_sink_fn fn, void *ctx)
{
	log_sink = fn;
	log_sink_ctx = ctx;
}

void log_set_level(enum log_level max)
{
	log_max = max;
}

void log_set_who(const char *who)
{
	struct sb b;

	sb_init(&b, log_who, sizeof(log_who));
	if (who)
		sb_c(&b, who);
}

const char *log_level_name(enum log_level lvl)
{
	switch (lvl) {
	case LOG_LVL_ERR:   return "err";
	case LOG_LVL_WARN:  return "warn";
	case LOG_LVL_INFO:  return "info";
	case LOG_LVL_DEBUG: return "debug";
	}
	return "?";
}

/* Limiter -------------------------------------------------------------------------------- */

struct lim {
	uint64_t hash;          /* 0: free */
	uint64_t filled_ms;     /* when the tokens were counted last */
	uint64_t seen_ms;
	uint32_t tokens;
	uint32_t suppressed;
};
static struct lim lims[LIM_SETS][LIM_WAYS];

static struct lim *lim_find(enum log_ev ev, struct str key, uint64_t now_ms)
{
	uint64_t h = hash_sip(key.p, key.n) + (uint64_t)ev * 0x9e3779b97f4a7c15u;
	struct lim *set, *oldest;

	h += h == 0;
	oldest = set = lims[h % LIM_SETS];
	for (unsigned i = 0; i < LIM_WAYS; i++) {
		if (set[i].hash == h)
			return &set[i];
		if (set[i].hash == 0 || (oldest->hash && set[i].seen_ms < oldest->seen_ms))
			oldest = &set[i];
	}
	*oldest = (struct lim){ .hash = h, .filled_ms = now_ms, .tokens = BURST };
	return oldest;
}

/* True when a line may pass; *suppressed is how many did not since the last one. */
static bool lim_pass(enum log_ev ev, struct str key, uint32_t *suppressed)
{
	uint64_t now_ms = env_now_us() / 1000, whole;
	struct lim *l = lim_find(ev, key, now_ms);

	l->seen_ms = now_ms;
	whole = (now_ms - l->filled_ms) / REFILL_MS;
	if (whole) {
		l->tokens = (uint32_t)FL_MIN(l->tokens + whole, (uint64_t)BURST);
		l->filled_ms += whole * REFILL_MS;
	}
	if (l->tokens == 0) {
		l->suppressed += l->suppressed < UINT32_MAX;
		return false;
	}
	l->tokens--;
	*suppressed = l->suppressed;
	l->suppressed = 0;
	return true;
}

/* Lines ---------------------------------------------------------------------------------- */

/* Year, month and day of a day number since 1970 (proleptic Gregorian), counted in years that
 * begin in March. gmtime_r() would read the time zone file, which a confined process cannot. */
static void civil_from_days(uint64_t days, unsigned *y, unsigned *m, unsigned *d)
{
	uint64_t z = days + 719468, era = z / 146097, doe = z % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*d = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	*m = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	*y = (unsigned)(yoe + era * 400 + (*m <= 2));
}

void log_format_line(struct sb *b, uint64_t wall_us, enum log_level lvl, const char *who,
		     enum log_ev ev, const char *line, size_t n)
{
	uint64_t s = wall_us / 1000000, in_day = s % 86400;
	unsigned y, m, d;

	civil_from_days(s / 86400, &y, &m, &d);
	sb_fmt(b, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ %s %s %s ", y, m, d, (unsigned)(in_day / 3600),
	       (unsigned)(in_day / 60 % 60), (unsigned)(in_day % 60), (unsigned)(wall_us / 1000 % 1000),
	       log_level_name(lvl), who && *who ? who : "-",
	       (unsigned)ev < EV__COUNT ? log_event_rows[ev].name : "?");
	sb_add(b, line, n);
	sb_ch(b, '\n');
}

static void stderr_sink(enum log_level lvl, enum log_ev ev, const char *line, size_t n)
{
	char text[LINE_MAX_BYTES + 160];
	struct sb b;

	sb_init(&b, text, sizeof(text));
	log_format_line(&b, env_wall_us(), lvl, log_who, ev, line, n);
	if (env_write(STDERR_FILENO, b.p, b.n) < 0) {
		/* nobody reads stderr: there is no one left to tell */
	}
}

/* Whatever the text holds, a line stays one line and cannot drive a terminal. */
static void no_controls(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			p[i] = '?';
}

FL_PRINTF(3, 0)
static void log_line(enum log_ev ev, uint32_t suppressed, const char *fmt, va_list ap)
{
	enum log_level lvl = log_event_rows[ev].level;
	char line[LINE_MAX_BYTES];
	struct sb b;

	/* room is kept for the count, which says that something is missing */
	sb_init(&b, line, sizeof(line) - 48);
	sb_vfmt(&b, fmt, ap);
	b.cap = sizeof(line);
	b.over = false;
	if (suppressed)
		sb_fmt(&b, " (%u more like this suppressed)", (unsigned)suppressed);
	no_controls(b.p, b.n);
	if (log_sink)
		log_sink(log_sink_ctx, lvl, ev, b.p, b.n);
	else
		stderr_sink(lvl, ev, b.p, b.n);
}

static bool is_wanted(enum log_ev ev)
{
	ASSERT((unsigned)ev < EV__COUNT);
	return log_event_rows[ev].level <= log_max;
}

void log_ev(enum log_ev ev, const char *fmt, ...)
{
	va_list ap;

	if (!is_wanted(ev))
		return;
	va_start(ap, fmt);
	log_line(ev, 0, fmt, ap);
	va_end(ap);
}

void log_ev_key(enum log_ev ev, struct str key, const char *fmt, ...)
{
	uint32_t suppressed = 0;
	va_list ap;

	if (!is_wanted(ev) || !lim_pass(ev, key, &suppressed))
		return;
	va_start(ap, fmt);
	log_line(ev, suppressed, fmt, ap);
	va_end(ap);
}

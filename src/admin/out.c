/* SPDX-License-Identifier: Apache-2.0 */
/*
 * out.c - an answer on its way out, in pieces that the connection takes; and texts of times
 */
#include "config.h"

#include "admin/inside.h"

#define PIECE (32u * 1024)

bool outq_push(struct outq *q, struct conn *c, int *err)
{
	while (q->off < q->data.n && conn_pending(c) < CONN_HIGH_WATER) {
		size_t n = FL_MIN(q->data.n - q->off, (size_t)PIECE);

		*err = conn_write(c, q->data.p + q->off, n);
		if (*err < 0)
			return false;
		q->off += n;
	}
	*err = 0;
	if (q->off < q->data.n)
		return false;
	outq_clear(q);
	return true;
}

void outq_clear(struct outq *q)
{
	sb_free(&q->data);
	sb_init_heap(&q->data);
	q->off = 0;
}

struct date {
	unsigned year, month, day, hour, minute, second,
		weekday; /* month 1..12, weekday 0 = Thursday */
};

/* Days to a date, counted in years that begin in March. */
static struct date date_of(uint64_t wall_us)
{
	uint64_t s = wall_us / 1000000, in_day = s % 86400, z = s / 86400 + 719468,
		 era = z / 146097, doe = z % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);

	return (struct date){
		.year = (unsigned)(yoe + era * 400 + (month <= 2)),
		.month = month,
		.day = (unsigned)(doy - (153 * mp + 2) / 5 + 1),
		.hour = (unsigned)(in_day / 3600),
		.minute = (unsigned)(in_day / 60 % 60),
		.second = (unsigned)(in_day % 60),
		.weekday = (unsigned)(s / 86400 % 7),
	};
}

void text_time(struct sb *b, uint64_t wall_us)
{
	struct date d = date_of(wall_us);

	if (wall_us)
		sb_fmt(b, "%04u-%02u-%02uT%02u:%02u:%02uZ", d.year, d.month, d.day, d.hour,
		       d.minute, d.second);
	else
		sb_ch(b, '-');
}

void text_http_date(struct sb *b, uint64_t wall_us)
{
	static const char days[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct date d = date_of(wall_us);

	sb_fmt(b, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[d.weekday], d.day,
	       months[d.month - 1], d.year, d.hour, d.minute, d.second);
}

void text_age(struct sb *b, uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (s < 10)
		sb_fmt(b, "%u.%us", (unsigned)s, (unsigned)(ms / 100 % 10));
	else if (s < 60)
		sb_fmt(b, "%us", (unsigned)s);
	else if (s < 3600)
		sb_fmt(b, "%um%02us", (unsigned)(s / 60), (unsigned)(s % 60));
	else if (s < 86400)
		sb_fmt(b, "%uh%02um", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
	else
		sb_fmt(b, "%ud%02uh", (unsigned)(s / 86400), (unsigned)(s / 3600 % 24));
}

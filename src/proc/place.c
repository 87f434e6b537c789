/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.c - see place.h
 */
#include "config.h"

#include "proc/place.h"

#include "base/str.h"

/* Without the control core, if something is left. */
static void without(const cpu_set_t *from, int control, cpu_set_t *to)
{
	*to = *from;
	if (control < 0 || control >= CPU_SETSIZE || !CPU_ISSET((size_t)control, from) || CPU_COUNT(from) < 2)
		return;
	CPU_CLR((size_t)control, to);
}

static unsigned members(const cpu_set_t *set, int list[CPU_SETSIZE])
{
	unsigned n = 0;

	for (size_t c = 0; c < CPU_SETSIZE; c++)
		if (CPU_ISSET(c, set))
			list[n++] = (int)c;
	return n;
}

void place_plan(const cpu_set_t *ever, const cpu_set_t *now, int control, unsigned n, int *cpu)
{
	int home[CPU_SETSIZE], room[CPU_SETSIZE], spare[CPU_SETSIZE];
	unsigned n_home, n_room, n_spare, taken = 0;
	cpu_set_t homes, may, left;

	without(now, control, &may);
	/* not a home either while it is away: its workers would have to move when it comes back */
	without(ever, control, &homes);
	n_home = members(&homes, home);
	n_room = members(&may, room);
	left = may;
	for (unsigned i = 0; i < n; i++) {
		cpu[i] = n_home ? home[i % n_home] : -1;
		if (cpu[i] >= 0 && CPU_ISSET((size_t)cpu[i], &may))
			CPU_CLR((size_t)cpu[i], &left);
		else
			cpu[i] = -1;
	}
	n_spare = members(&left, spare);
	for (unsigned i = 0; i < n; i++)
		if (cpu[i] < 0 && n_room)
			cpu[i] = taken < n_spare ? spare[taken++] : room[i % n_room];
}

unsigned place_room(const cpu_set_t *now, int control)
{
	cpu_set_t may;

	without(now, control, &may);
	return (unsigned)FL_MAX(CPU_COUNT(&may), 1);
}

void place_text(const cpu_set_t *set, struct sb *b)
{
	const char *comma = "";

	for (unsigned c = 0; c < CPU_SETSIZE; c++) {
		unsigned end = c;

		if (!CPU_ISSET(c, set))
			continue;
		while (end + 1 < CPU_SETSIZE && CPU_ISSET(end + 1, set))
			end++;
		sb_fmt(b, end > c ? "%s%u-%u" : "%s%u", comma, c, end);
		comma = ",";
		c = end;
	}
}

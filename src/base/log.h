/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - log events; each has a row in tbl/events.def: V(id, level, "name", "fields")
 *
 * A process sets where its lines go: a sink function (ring in its slot, logd's file, stderr).
 * Before that lines go to stderr. A message starts with the object: `service app/a1: ...`.
 * Noise is limited by (event, key): the first burst passes, then one line a second with the
 * suppressed count. Never secrets; peers' bytes only through sb_escape().
 */
#ifndef FL_BASE_LOG_H
#define FL_BASE_LOG_H

#include "base/str.h"

enum log_level { LOG_LVL_ERR = 1, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

enum log_ev {
#define V(id, level, name, fields) EV_##id,
#include "tbl/events.def"
#undef V
	EV__COUNT
};
struct log_event_row {
	const char    *name;      /* "service-state" */
	enum log_level level;
	const char    *fields;    /* what the text holds, for the manual */
};
extern const struct log_event_row log_event_rows[EV__COUNT];

/* One complete line without newline and without time; level and event for filters. */
typedef void (*log_sink_fn)(void *ctx, enum log_level lvl, enum log_ev ev, const char *line,
			    size_t n);
void log_set_sink(log_sink_fn fn, void *ctx);         /* NULL: stderr with time and level */
void log_set_level(enum log_level max);
void log_set_who(const char *who);                    /* "worker@1", put in front of stderr lines */
void log_ev(enum log_ev ev, const char *fmt, ...) FL_PRINTF(2, 3);
/* Limited by key (e.g. address text or object name). */
void log_ev_key(enum log_ev ev, struct str key, const char *fmt, ...) FL_PRINTF(3, 4);
/* The stderr and file form: "2026-01-31T12:00:00.123Z warn worker@1 service-state text\n". */
void log_format_line(struct sb *b, uint64_t wall_us, enum log_level lvl, const char *who,
		     enum log_ev ev, const char *line, size_t n);
const char *log_level_name(enum log_level lvl);

#endif

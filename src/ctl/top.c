/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top.c - `fairleadctl top`: status, vservers, services and cores on one screen, again and again
 *
 * Plain ANSI: home, clear to the end of each line. With --once, or when stdout is no terminal:
 * printed once.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"

static volatile sig_atomic_t ended;

static void on_signal(int signo)
{
	(void)signo;
	ended = 1;
}

static int screen(struct ctl_client *c, struct sb *out)
{
	static const struct {
		const char *title, *line;
	} parts[] = {
		{ NULL, "status" },
		{ "vservers", "stat vserver" },
		{ "services", "show service" },
		{ "workers", "stat core" },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(parts); i++) {
		int code;

		if (parts[i].title)
			sb_fmt(out, "\n%s\n", parts[i].title);
		code = ctl_ask(c, parts[i].line, false, 30000, out);
		if (code == CTL_UNREACHABLE)
			return code;
	}
	return CTL_OK;
}

/* The same parts as one object. */
static int screen_json(struct ctl_client *c, struct sb *out)
{
	static const struct {
		const char *name, *line;
	} parts[] = {
		{ "status", "status" },
		{ "vservers", "stat vserver" },
		{ "services", "show service" },
		{ "cores", "stat core" },
	};
	struct sb part;

	for (size_t i = 0; i < FL_ARRAY_LEN(parts); i++) {
		int code;

		sb_init_heap(&part);
		code = ctl_ask(c, parts[i].line, true, 30000, &part);
		sb_fmt(out, "%s\"%s\": " STR_FMT, i ? ", " : "{", parts[i].name,
		       STR_ARG(part.n ? sb_get(&part) : STR("null")));
		while (out->n && out->p[out->n - 1] == '\n')
			out->n--;
		sb_free(&part);
		if (code == CTL_UNREACHABLE)
			return code;
	}
	sb_c(out, "}\n");
	return CTL_OK;
}

/* Lines that fit, each cut at the screen's width and cleared behind. */
static void draw(struct str text)
{
	struct winsize ws = { .ws_row = 24, .ws_col = 80 }, real;
	struct sb out;
	unsigned rows = 0;

	/* a terminal that nobody told its size says 0 */
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &real) == 0 && real.ws_row && real.ws_col)
		ws = real;
	sb_init_heap(&out);
	sb_c(&out, "\033[H");
	while (text.n && rows + 1u < ws.ws_row) {
		struct str line = str_cut(&text, '\n');

		line.n = FL_MIN(line.n, (size_t)ws.ws_col);
		sb_str(&out, line);
		sb_c(&out, "\033[K\n");
		rows++;
	}
	sb_c(&out, "\033[J");
	(void)ctl_put(STDOUT_FILENO, sb_get(&out));
	sb_free(&out);
}

static int loop(struct ctl_client *c, unsigned every_ms)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int code = CTL_OK;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	(void)ctl_put(STDOUT_FILENO, STR("\033[?1049h\033[?25l"));
	while (!ended && code == CTL_OK) {
		struct sb text;

		sb_init_heap(&text);
		code = screen(c, &text);
		if (code == CTL_OK)
			draw(sb_get(&text));
		sb_free(&text);
		if (!ended && code == CTL_OK)
			(void)poll(NULL, 0, (int)every_ms);
	}
	(void)ctl_put(STDOUT_FILENO, STR("\033[?25h\033[?1049l"));
	return ended ? CTL_OK : code;
}

int ctl_top(struct ctl_client *c, const struct verb_call *call)
{
	struct str interval = verb_opt(call, "--interval", 0);
	uint64_t every_ms = 1000;
	struct sb text;
	int code;

	if (interval.p &&
	    (!text_duration_ms(interval, &every_ms) || every_ms < 100 || every_ms > 3600000)) {
		ctl_say("--interval needs a time with a unit, from 100ms to 1h");
		return CTL_USAGE;
	}
	code = ctl_connect(c);
	if (code != CTL_OK)
		return code;
	if (!call->json && !verb_flag(call, "--once") && isatty(STDOUT_FILENO))
		return loop(c, (unsigned)every_ms);
	sb_init_heap(&text);
	code = call->json ? screen_json(c, &text) : screen(c, &text);
	if (code == CTL_OK)
		(void)ctl_put(STDOUT_FILENO, sb_get(&text));
	sb_free(&text);
	return code;
}

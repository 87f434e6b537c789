/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the command fairleadctl: its own options, then a verb
 *
 * A verb is checked against the table (tbl/verbs.def) before anything is connected, so that a slip
 * of the pen is said at once. Most go over the control socket; diff, fmt and top are done here.
 */
#include "config.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "ctl/ctl.h"
#include "conf/conf.h"
#include "policy/policy.h"

#define ANSWER_MS 30000u
#define TRY_MS    50

static struct {
	bool      on;
	struct sb said, diag;        /* text; a JSON array */
} json;

int ctl_end(int code)
{
	struct sb b;

	if (!json.said.n && !json.diag.n)
		return code;
	sb_init_heap(&b);
	sb_c(&b, "{\"ok\": false, \"error\": ");
	sb_json_str(&b, json.said.n ? sb_get(&json.said) : STR("the configuration has errors"));
	if (json.diag.n)
		sb_fmt(&b, ", \"diagnostics\": " STR_FMT, STR_ARG(str_trim(sb_get(&json.diag))));
	sb_c(&b, "}\n");
	(void)ctl_put(STDOUT_FILENO, sb_get(&b));
	sb_free(&b);
	sb_free(&json.said);
	sb_free(&json.diag);
	return code;
}

void ctl_say_diag(const struct conf_diag *d)
{
	struct sb text;

	if (json.on) {
		json.diag.n = 0;
		conf_diag_print(d, &json.diag, true);
		return;
	}
	sb_init_heap(&text);
	conf_diag_print(d, &text, false);
	(void)ctl_put(STDERR_FILENO, sb_get(&text));
	sb_free(&text);
}

void ctl_say(const char *fmt, ...)
{
	struct sb b;
	va_list ap;

	if (json.on) {
		sb_c(&json.said, json.said.n ? "; " : "");
		va_start(ap, fmt);
		sb_vfmt(&json.said, fmt, ap);
		va_end(ap);
		return;
	}
	sb_init_heap(&b);
	sb_c(&b, "fairleadctl: ");
	va_start(ap, fmt);
	sb_vfmt(&b, fmt, ap);
	va_end(ap);
	sb_ch(&b, '\n');
	(void)ctl_put(STDERR_FILENO, sb_get(&b));
	sb_free(&b);
}

bool ctl_put(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = env_write(fd, s.p, s.n);

		if (n < 0)
			return false;
		s = str_n(s.p + n, s.n - (size_t)n);
	}
	return true;
}

static void usage(int fd)
{
	static const char text[] =
		"usage: fairleadctl [-s SOCKET | --shm PID|any] [--json] VERB [KIND] [NAME] [ARGUMENTS]\n"
		"       fairleadctl help [VERB]\n"
		"  -s SOCKET  control socket (else FAIRLEAD_SOCKET, /run/fairlead/ctl.sock, ...)\n"
		"  --shm PID  asks nobody: reads the shared memory that this process has open; any: the only one\n"
		"  --json     answers as JSON\n"
		"  -V         version\n"
		"exit status: 0 done, 1 refused or failed, 2 misused, 3 fairlead cannot be reached\n";

	(void)ctl_put(fd, STR(text));
}

static int complain(struct sb *text)
{
	ctl_say(STR_FMT, STR_ARG(sb_get(text)));
	sb_free(text);
	return CTL_USAGE;
}

static int help(const struct verb_call *call)
{
	struct sb text;
	bool known;

	sb_init_heap(&text);
	known = verb_help(call->n_pos ? call->pos[0] : STR_NULL,
			  call->n_pos > 1 ? call->pos[1] : STR_NULL, call->json, &text);
	if (!known)
		return complain(&text);
	if (!call->n_pos && !call->json)
		usage(STDOUT_FILENO);
	if (!call->n_pos && !call->json)
		(void)ctl_put(STDOUT_FILENO, STR("\n"));
	(void)ctl_put(STDOUT_FILENO, sb_get(&text));
	sb_free(&text);
	return CTL_OK;
}

static bool is_snmp(const struct verb_call *call)
{
	return strcmp(call->row->verb, "snmp") == 0;
}

/* What may take long answers when it is done. */
static unsigned patience(const struct verb_call *call)
{
	return call->id == VERB_RELOAD || is_snmp(call) || verb_opt(call, "--wait", 0).p ? 0 : ANSWER_MS;
}

/* `status --wait TIME` waits here for somebody to ask, and there, for what is left of the time, for a good answer. One
 * who answers may be ending: then its successor is asked. */
static int patient_status(struct ctl_client *c, uint64_t wait_ms, bool as_json, struct sb *out)
{
	uint64_t now = env_now_us() / 1000, end = now + wait_ms;
	int code;

	c->quiet = true;
	do {
		uint64_t left_ms = now < end ? end - now : 1;
		char line[64];

		if (now >= end)
			c->quiet = false;               /* the last try says why */
		snprintf(line, sizeof(line), "status --wait %" PRIu64 "ms", left_ms);
		code = ctl_connect(c);
		if (code == CTL_OK)
			code = ctl_ask(c, line, as_json, (unsigned)FL_MIN(left_ms + ANSWER_MS, (uint64_t)UINT32_MAX), out);
		if (code != CTL_UNREACHABLE)
			break;
		if (c->quiet)
			(void)poll(NULL, 0, TRY_MS);
		now = env_now_us() / 1000;
	} while (c->quiet);
	return code;
}

static int ask(struct ctl_client *c, const struct verb_call *call, const char *line, struct sb *out)
{
	uint64_t wait_ms;
	int code;

	/* a time that is none is refused there, with the reason */
	if (call->id == VERB_STATUS && text_duration_ms(verb_opt(call, "--wait", 0), &wait_ms) && wait_ms)
		return patient_status(c, wait_ms, call->json, out);
	code = ctl_connect(c);
	return code == CTL_OK ? ctl_ask(c, line, call->json, patience(call), out) : code;
}

static bool make_line(const struct verb_call *call, const struct str *w, unsigned n, struct sb *line)
{
	if (is_snmp(call))
		return ctl_snmp_line(call, line);
	for (unsigned i = 0; i < n; i++) {
		if (str_eq(w[i], STR("--json")))
			continue;
		sb_c(line, line->n ? " " : "");
		words_quote(line, w[i]);
	}
	return true;
}

static int over_the_socket(struct ctl_client *c, const struct verb_call *call, const struct str *w,
			   unsigned n)
{
	struct sb line, out;
	int code;

	sb_init_heap(&line);
	if (!make_line(call, w, n, &line)) {
		sb_free(&line);
		return CTL_USAGE;
	}
	if (line.n + 8 >= LINE_MAX_BYTES || memchr(line.p, '\n', line.n)) {
		ctl_say("the command is longer than %d bytes, or holds a line end",
			LINE_MAX_BYTES - 8);
		sb_free(&line);
		return CTL_USAGE;
	}
	sb_init_heap(&out);
	code = ask(c, call, line.p, &out);
	if (code != CTL_UNREACHABLE)
		(void)ctl_put(code == CTL_OK || call->json || call->id == VERB_STATUS ? STDOUT_FILENO
										      : STDERR_FILENO,
			      sb_get(&out));
	sb_free(&out);
	sb_free(&line);
	return code;
}

static int run(struct ctl_client *c, const struct str *w, unsigned n)
{
	struct verb_call call;
	struct sb err;
	int code;

	sb_init_heap(&err);
	if (!verb_parse(w, n, &call, &err))
		return complain(&err);
	sb_free(&err);
	if (c->shm && call.id != VERB_HELP)
		return ctl_shm(c->shm, &call);
	switch (call.id) {
	case VERB_HELP:
		code = help(&call);
		break;
	case VERB_FMT:
		code = ctl_fmt(&call);
		break;
	case VERB_DIFF_CONFIG:
		code = ctl_diff(c, &call);
		break;
	case VERB_TOP:
		code = ctl_top(c, &call);
		break;
	default:
		code = over_the_socket(c, &call, w, n);
	}
	ctl_close(c);
	return code;
}

static int misused(void)
{
	if (!json.on)
		usage(STDERR_FILENO);
	return ctl_end(CTL_USAGE);
}

int main(int argc, char **argv)
{
	struct ctl_client c = { .fd = -1 };
	struct str w[WORDS_MAX];
	unsigned n = 0;
	int i = 1;

	signal(SIGPIPE, SIG_IGN);
	sb_init_heap(&json.said);
	sb_init_heap(&json.diag);
	for (int k = 1; k < argc; k++)       /* also of a command that cannot be read otherwise */
		json.on |= strcmp(argv[k], "--json") == 0;
	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "-V") == 0 || strcmp(argv[i], "-v") == 0) {
			printf("fairleadctl %s\n", PACKAGE_VERSION);
			return CTL_OK;
		} else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
			usage(STDOUT_FILENO);
			return CTL_OK;
		} else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc) {
			c.path = argv[++i];
		} else if (strcmp(argv[i], "--shm") == 0 && i + 1 < argc) {
			c.shm = argv[++i];
		} else if (strcmp(argv[i], "--json") == 0) {
			w[n++] = STR("--json");
		} else {
			ctl_say("unknown option %s", argv[i]);
			return misused();
		}
		if (n > 1)
			n = 1;
	}
	if (i == argc) {
		if (json.on)
			ctl_say("no command; try: help");
		return misused();
	}
	for (; i < argc; i++) {
		if (n == WORDS_MAX) {
			ctl_say("too many arguments");
			return ctl_end(CTL_USAGE);
		}
		w[n++] = str_c(argv[i]);
	}
	return ctl_end(run(&c, w, n));
}

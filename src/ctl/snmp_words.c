/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snmp_words.c - what `fairleadctl snmp` does before it asks: names become addresses, files become secrets
 *
 * With the caller's rights and resolver, as the process that asks the agent has neither. A passphrase on a command line
 * would be seen by everybody with ps(1), so only a file is taken; the control socket is the appliance's own.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>

#include "base/addr.h"
#include "base/env.h"
#include "base/err.h"

#define PORT       161
#define SECRET_MAX 127u

/* The first address of NAME or NAME:PORT. */
static bool look_up(struct str host, struct addr *out)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG };
	struct str name = str_cut(&host, ':'), port = host;
	struct addrinfo *found = NULL;
	char mem[256];
	uint64_t n = PORT;
	struct sb b;
	int rc;

	sb_init(&b, mem, sizeof(mem));
	sb_str(&b, name);
	if (!name.n || b.over || (port.n && (!str_u64(port, &n) || n == 0 || n > UINT16_MAX))) {
		ctl_say("\"" STR_FMT "\" is neither HOST nor HOST:PORT", STR_ARG(name));
		return false;
	}
	rc = getaddrinfo(mem, NULL, &hints, &found);
	if (rc != 0 || !found || found->ai_addrlen > sizeof(*out)) {
		ctl_say("%s: %s", mem, rc == EAI_SYSTEM ? fl_err_text(-errno) : rc ? gai_strerror(rc) : "no address");
		if (!rc)
			freeaddrinfo(found);
		return false;
	}
	memset(out, 0, sizeof(*out));
	memcpy(out, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	addr_norm(out);
	addr_set_port(out, (uint16_t)n);
	return true;
}

static bool put_host(struct str host, struct sb *line)
{
	char text[ADDR_TEXT_MAX];
	struct addr a;

	if (addr_parse(host, PORT, &a) != 0 && !look_up(host, &a))
		return false;
	sb_c(line, " ");
	words_quote(line, str_c(addr_text(&a, text)));
	return true;
}

/* Up to the end of the first line, whichever of LF and CRLF ends it. */
static size_t line_length(const char *text, size_t n)
{
	const char *end = memchr(text, '\n', n);

	if (end)
		n = (size_t)(end - text);
	return n && text[n - 1] == '\r' ? n - 1 : n;
}

/* The first line of a file, which may be a pipe. */
static bool put_secret(struct str option, struct str path, struct sb *line)
{
	char name[4096], text[SECRET_MAX + 2];
	size_t n = 0;
	ssize_t got = 1;
	struct sb b;
	int fd;

	sb_init(&b, name, sizeof(name));
	sb_str(&b, path);
	fd = b.over ? -ENAMETOOLONG : env_open(name, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0) {
		ctl_say(STR_FMT ": %s: %s", STR_ARG(option), name, fl_err_text(fd));
		return false;
	}
	while (n < sizeof(text) && (got = env_read(fd, text + n, sizeof(text) - n)) > 0)
		n += (size_t)got;
	env_close(fd);
	n = line_length(text, n);
	if (got < 0 || n == 0 || n > SECRET_MAX)
		ctl_say(STR_FMT ": %s: %s", STR_ARG(option), name, got < 0 ? fl_err_text((int)got) : n ? "longer than 127 bytes" : "empty");
	else
		words_quote(line, str_n(text, n));
	explicit_bzero(text, sizeof(text));
	return got >= 0 && n > 0 && n <= SECRET_MAX;
}

static bool put_option(const struct verb_call *call, unsigned i, struct sb *line)
{
	struct str name = call->opt[i].name, value = call->opt[i].value;
	bool secret = str_ends(name, STR("-pass"));

	sb_fmt(line, " " STR_FMT " ", STR_ARG(name));
	if (str_starts(value, STR("file:")) && (secret || str_eq(name, STR("--community"))))
		return put_secret(name, str_n(value.p + 5, value.n - 5), line);
	if (secret) {
		ctl_say(STR_FMT " takes file:PATH: what stands here can be seen by everybody with ps(1)", STR_ARG(name));
		return false;
	}
	words_quote(line, value);
	return true;
}

bool ctl_snmp_line(const struct verb_call *call, struct sb *line)
{
	sb_fmt(line, "%s %s", call->row->verb, call->row->kind);
	if (!put_host(call->pos[0], line))
		return false;
	for (unsigned i = 1; i < call->n_pos; i++) {
		sb_c(line, " ");
		words_quote(line, call->pos[i]);
	}
	for (unsigned i = 0; i < call->n_opt; i++)
		if (!put_option(call, i, line))
			return false;
	return true;
}

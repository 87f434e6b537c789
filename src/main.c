/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the command fairlead: reads its arguments and hands over to proc/
 *
 * One invocation does one thing: run, check (-t), explain, print a table (-x), a version (-v, -V) or the file that a
 * one-liner means (--print-config).
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <ares.h>
#include <ev.h>
#include <openssl/crypto.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <zlib.h>

#include "admin/verbs.h"
#include "conf/conf.h"
#include "http/h1_span.h"
#include "http/module.h"
#include "lb/lb.h"
#include "net/tls.h"
#include "net/tls_mem.h"
#include "policy/policy.h"
#include "proc/launch.h"
#include "stat/stat.h"

#define DEFAULT_FILE FL_SYSCONFDIR "/fairlead.conf"
#define TO_MAX 256

static const char usage[] =
	"usage: fairlead [-c FILE]                      run in the foreground (" DEFAULT_FILE ")\n"
	"       fairlead [-c FILE] -t [--json]          check the file\n"
	"       fairlead [-c FILE] explain [--json] request 'METHOD URL' --from IP [-H 'Name: value']\n"
	"       fairlead --from ADDR --to HOST:PORT...  reverse proxy without a file\n"
	"       fairlead --demo                         two origins, a proxy and the admin pages to try\n"
	"       fairlead -x TABLE                       directives counters states events errors fields operators\n"
	"                                               functions verbs layout diagnostics\n"
	"       fairlead -v | -V                        version; with libraries and features\n"
	"  --print-config   with --from or --demo: print the equivalent file instead of running\n";

struct args {
	const char *file, *table, *from;
	char       *to[TO_MAX];
	unsigned    n_to;
	bool        check, demo, print, json;
	int         explain;             /* index behind the word; 0: no */
};

static int wrong(const char *what, const char *arg)
{
	fprintf(stderr, "fairlead: %s%s%s\n%s", what, arg ? " " : "", arg ? arg : "", usage);
	return 2;
}

/* Versions and tables --------------------------------------------------------------------- */

static const char *features(void)
{
	return ""
#ifdef HAVE_SECCOMP
	       " seccomp"
#endif
#ifdef HAVE_LINUX_LANDLOCK_H
	       " landlock"
#endif
#ifdef FL_ASAN
	       " asan"
#endif
#ifdef FL_FAILPOINTS
	       " failpoints"
#endif
		;
}

static void print_version(void)
{
	char pcre[64] = "?";
	struct sb mods;

	pcre2_config(PCRE2_CONFIG_VERSION, pcre);
	printf("%s\n", PACKAGE_STRING);
	printf("compiler: %s\n", FL_BUILD_CC);
	printf("flags: %s\n", FL_BUILD_CFLAGS);
	printf("libraries: %s; libev %d.%d; c-ares %s; PCRE2 %s; zlib %s; net-snmp %s\n",
	       OpenSSL_version(OPENSSL_VERSION), ev_version_major(), ev_version_minor(),
	       ares_version(NULL), pcre, zlibVersion(), FL_NETSNMP);
	printf("features: http/1.1 tcp tls%s\n", features());
	printf("http/1.1 parser: %s\n", h1_span->name);
	printf("kernel: TLS on sockets %s\n", tls_kernel_offers() ? "offered, not used" : "not offered");
	sb_init_heap(&mods);
	module_list(&mods);
	printf("modules:\n%s", mods.n ? mods.p : "");
	sb_free(&mods);
	printf("segment layout: %016llx\n", (unsigned long long)stat_layout_id());
	printf("default configuration: %s\n", DEFAULT_FILE);
}

static int print_table(const char *table)
{
	struct sb b;
	bool ok = true;

	sb_init_heap(&b);
	if (strcmp(table, "layout") == 0)
		stat_dump_layout(&b);
	else if (strcmp(table, "fields") == 0)
		pol_dump_fields(&b);
	else if (strcmp(table, "operators") == 0)
		pol_dump_operators(&b);
	else if (strcmp(table, "functions") == 0)
		pol_dump_functions(&b);
	else if (strcmp(table, "verbs") == 0)
		verb_dump(&b);
	else
		ok = tbl_dump(table, &b);
	if (ok)
		fwrite(b.p, 1, b.n, stdout);
	sb_free(&b);
	return ok ? 0 : wrong("no such table:", table);
}

/* Arguments ------------------------------------------------------------------------------- */

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct args *a)
{
	for (int i = 1; i < argc; i++) {
		const char *s = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(s, "-c") == 0 || strcmp(s, "-x") == 0 || strcmp(s, "--from") == 0) {
			if (!next)
				return wrong("an argument is missing behind", s);
			*(s[1] == 'c' ? &a->file : s[1] == 'x' ? &a->table : &a->from) = next;
			i++;
		} else if (strcmp(s, "--to") == 0) {
			while (i + 1 < argc && argv[i + 1][0] != '-') {
				if (a->n_to == TO_MAX)
					return wrong("too many services behind", s);
				a->to[a->n_to++] = argv[++i];
			}
		} else if (strcmp(s, "-t") == 0) {
			a->check = true;
		} else if (strcmp(s, "--json") == 0) {
			a->json = true;
		} else if (strcmp(s, "--demo") == 0) {
			a->demo = true;
		} else if (strcmp(s, "--print-config") == 0) {
			a->print = true;
		} else if (strcmp(s, "-v") == 0) {
			return puts(PACKAGE_STRING) < 0;
		} else if (strcmp(s, "-V") == 0) {
			return print_version(), 0;
		} else if (strcmp(s, "-h") == 0 || strcmp(s, "--help") == 0) {
			return fputs(usage, stdout) < 0;
		} else if (strcmp(s, "explain") == 0) {
			a->explain = i + 1;
			return -1;
		} else {
			return wrong("unknown argument", s);
		}
	}
	return -1;
}

static int check_args(const struct args *a)
{
	if ((a->from != NULL) != (a->n_to > 0))
		return wrong("--from and --to belong together", NULL);
	if ((a->file != NULL) + (a->from != NULL) + a->demo > 1)
		return wrong("one of -c, --from and --demo", NULL);
	if (a->print && !a->from && !a->demo)
		return wrong("--print-config prints what --from or --demo means", NULL);
	return -1;
}

static int run(const struct launch *l, const struct args *a, int argc, char **argv)
{
	int i = a->explain;
	bool json = a->json;

	if (a->print)
		return proc_print(l);
	if (a->check)
		return proc_check(l, a->json);
	if (!i)
		return proc_run(l);
	if (i < argc && strcmp(argv[i], "--json") == 0) {
		json = true;
		i++;
	}
	return proc_explain(l, argc - i, argv + i, json);
}

int main(int argc, char **argv)
{
	struct args a = { 0 };
	struct launch l = { .argv = argv };
	struct sb text;
	int rc;

	(void)tls_mem_init();            /* nothing may ask OpenSSL for anything before */
	rc = parse(argc, argv, &a);

	if (rc < 0)
		rc = check_args(&a);
	if (rc >= 0)
		return rc;
	if (a.table)
		return print_table(a.table);
	lb_set_conf_hooks();
	sb_init_heap(&text);
	if (a.from) {
		rc = proc_oneliner(a.from, a.to, a.n_to, &text);
		if (rc) {
			sb_free(&text);
			return rc;
		}
		l.text = sb_get(&text);
		l.text_name = "<one-liner>";
	} else if (a.demo) {
		rc = proc_demo(&l, !a.print && !a.check && !a.explain);
		if (rc)
			return rc;
	} else {
		l.file = a.file ? a.file : DEFAULT_FILE;
	}
	rc = run(&l, &a, argc, argv);
	sb_free(&text);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dying.c - see dying.h
 *
 * The handler runs on a stack of its own, in a process that may be damaged anywhere. So it writes what needs no
 * pointer of the program's first, and only then asks what was worked on; a fault in that ends the process with what is there.
 * Then the signal takes its usual course: the master sees the same death as without us.
 *
 * Places are told by module and offset in it: workers are forked and not executed, but a new master is elsewhere in memory.
 */
#include "config.h"

#include "proc/dying.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
#ifdef FL_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#include "base/log.h"
#include "base/work.h"
#include "stat/crash.h"

#define MODULES_MAX 64u
#define STACK_SIZE  (64u * 1024)

struct module {
	uintptr_t from, to, base;
	char      name[36];
};
static struct module modules[MODULES_MAX];
static unsigned n_modules;

static struct stat_seg *seg;
static pid_t self;
static volatile sig_atomic_t is_dying;
static struct stat_death words;

/* Where ----------------------------------------------------------------------------------- */

static int note_module(struct dl_phdr_info *info, size_t size, void *ctx)
{
	const char *slash = strrchr(info->dlpi_name, '/');

	(void)size;
	(void)ctx;
	for (unsigned i = 0; i < info->dlpi_phnum && n_modules < MODULES_MAX; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		struct module *m = &modules[n_modules];

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
			continue;
		m->base = info->dlpi_addr;
		m->from = info->dlpi_addr + ph->p_vaddr;
		m->to = m->from + ph->p_memsz;
		(void)snprintf(m->name, sizeof(m->name), "%s",
			       slash ? slash + 1 : info->dlpi_name[0] ? info->dlpi_name : "fairlead");
		n_modules++;
	}
	return 0;
}

static uintptr_t place_of(const void *context)
{
	const ucontext_t *uc = context;

#if defined(__x86_64__)
	return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (uintptr_t)uc->uc_mcontext.pc;
#else
	(void)uc;
	return 0;
#endif
}

static void put_hex(struct sb *b, uintptr_t v)
{
	char text[2 * sizeof(v)];
	size_t at = sizeof(text);

	do {
		text[--at] = "0123456789abcdef"[v & 15];
		v >>= 4;
	} while (v);
	sb_c(b, "+0x");
	sb_add(b, text + at, sizeof(text) - at);
}

static void put_place(struct sb *b, uintptr_t at)
{
	for (unsigned i = 0; i < n_modules; i++)
		if (at >= modules[i].from && at < modules[i].to) {
			sb_c(b, modules[i].name);
			put_hex(b, at - modules[i].base);
			return;
		}
	sb_c(b, "nowhere");              /* a jump through a bad pointer: it says nothing twice */
}

/* Last words ------------------------------------------------------------------------------- */

static void say(void)
{
	work_fn *tell = __atomic_load_n(&work_note.tell, __ATOMIC_RELAXED);
	struct sb b;

	stat_death_set(seg, (uint32_t)self, &words);
	if (!tell)
		return;
	sb_init(&b, words.what, sizeof(words.what));
	tell(work_note.on, &b);
	stat_death_set(seg, (uint32_t)self, &words);
}

static void on_fatal(int signo, siginfo_t *si, void *context)
{
	bool sent = si->si_code <= 0;
	struct sb b;

	if (is_dying++) {
		signal(signo, SIG_DFL);
		raise(signo);
		return;
	}
	words.signal = (uint32_t)signo;
	words.asked = sent && si->si_pid != self;
	sb_init(&b, words.where, sizeof(words.where));
	if (words.asked)
		sb_c(&b, "asked to");    /* the master, when it was silent: any place of a loop */
	else if (sent && work_bug[0])
		sb_c(&b, work_bug);
	else if (sent)
		sb_c(&b, "abort");
	else
		put_place(&b, place_of(context));
	say();
	raise(signo);                    /* its default by now; it comes when we return */
}

#ifdef FL_ASAN
/* A sanitizer ends the process as it likes. */
static void on_report(void)
{
	if (is_dying++)
		return;
	words.signal = SIGABRT;
	memcpy(words.where, "sanitizer", sizeof("sanitizer"));
	say();
}
#endif

void dying_words(struct stat_seg *s)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	static char stack[STACK_SIZE];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND };

	seg = s;
	self = getpid();
	(void)dl_iterate_phdr(note_module, NULL);
	sigemptyset(&sa.sa_mask);
	if (sigaltstack(&ss, NULL) != 0)
		log_ev(EV_SANDBOX, "no stack for the handler of fatal signals: %s", strerror(errno));
	for (size_t i = 0; i < FL_ARRAY_LEN(fatal); i++)
		(void)sigaction(fatal[i], &sa, NULL);
#ifdef FL_ASAN
	__sanitizer_set_death_callback(on_report);
#endif
}

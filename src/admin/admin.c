/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.c - the thread: its loop, its sign of life, a new configuration
 *
 * Other threads of control reach it through one pipe: a byte means "look": at a new configuration,
 * at answers of the master. Nothing else is shared but the segment, which is made for it.
 */
#include "config.h"

#include "admin/inside.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"

#define BEAT_MS     2000u
#define FIRST_MS    5000u  /* nobody is answered before the first configuration came, but then */
#define LOADING_MS 60000u /* a configuration may take this long to load before we count as hung */

struct loaded {
	void             *image;
	size_t            len;
	struct conf_src  *src;
	struct conf      *conf;
	struct lb_config *lc;
};

static struct {
	struct admin_env   env;
	struct engine     *e;
	pthread_t          thread;
	int                wake[2];
	struct engine_watch watch;
	struct engine_hook turn;
	struct timer       beat, first;
	_Atomic uint64_t   alive_ms, busy_until_ms;
	struct admin_view  view;
	struct loaded      now;
	/* from other threads */
	pthread_mutex_t    lock;
	bool               have_new;
	int                new_image, new_http;
	uint32_t           new_generation;
} adm = { .wake = { -1, -1 }, .lock = PTHREAD_MUTEX_INITIALIZER, .new_image = -1, .new_http = -1 };

uint64_t admin_heartbeat_ms(void)
{
	uint64_t now = env_now_us() / 1000;

	return now < atomic_load(&adm.busy_until_ms) ? now : atomic_load(&adm.alive_ms);
}

/* ---------- configuration ---------- */

static void unload(struct loaded *l)
{
	lb_free(&l->lc);
	if (l->conf)
		conf_free(&l->conf);
	if (l->src)
		conf_src_free(&l->src);
	if (l->image)
		env_munmap(l->image, l->len);
	memset(l, 0, sizeof(*l));
}

static int map_image(struct loaded *l, int fd)
{
	struct stat st;
	int err = env_fstat(fd, &st);

	if (err < 0)
		return err;
	if (st.st_size <= 0)
		return FL_ERANGE_;
	l->len = (size_t)st.st_size;
	l->image = env_mmap(l->len, PROT_READ, MAP_PRIVATE, fd, 0);
	return l->image ? 0 : FL_ENOMEM_;
}

static int load(struct loaded *l, int fd, struct conf_diag *d)
{
	int err = map_image(l, fd);

	if (err < 0)
		return err;
	l->src = conf_src_from_image(str_n(l->image, l->len));
	if (!l->src)
		return FL_ENOMEM_;
	err = conf_load(l->src, d, &l->conf);
	if (err < 0)
		return err;
	l->lc = lb_build(l->conf, false, d);
	return l->lc ? 0 : FL_ESYNTAX_;
}

static void take_config(int fd, uint32_t generation)
{
	struct conf_diag *d = conf_diag_new();
	struct loaded l = { 0 };
	int err;

	atomic_store(&adm.busy_until_ms, env_now_us() / 1000 + LOADING_MS);
	err = d ? load(&l, fd, d) : FL_ENOMEM_;
	if (err < 0) {
		const struct conf_diag_msg *m =
			d && conf_diag_count(d) ? conf_diag_get(d, 0) : NULL;

		log_ev(EV_CONFIG, "admin: generation %u cannot be shown: %s", generation,
		       m ? m->text : fl_err_text(err));
		unload(&l);
	} else {
		struct loaded old = adm.now;

		lb_attach(l.lc, adm.env.seg, false);
		adm.now = l;
		adm.view.lc = l.lc;
		adm.view.conf = l.conf;
		adm.view.generation = generation;
		unload(&old);
	}
	conf_diag_free(&d);
	atomic_store(&adm.alive_ms, env_now_us() / 1000);
	atomic_store(&adm.busy_until_ms, 0);
}

void admin_set_config(int image_fd, uint32_t generation, int http_fd)
{
	int old_image = -1, old_http = -1;

	pthread_mutex_lock(&adm.lock);
	if (adm.have_new) {
		old_image = adm.new_image;
		old_http = adm.new_http;
	}
	adm.new_image = image_fd;
	adm.new_http = http_fd;
	adm.new_generation = generation;
	adm.have_new = true;
	pthread_mutex_unlock(&adm.lock);
	if (old_image >= 0)
		env_close(old_image);
	if (old_http >= 0)
		env_close(old_http);
	if (adm.wake[1] >= 0 && env_write(adm.wake[1], "c", 1) < 0) {
		/* full: a byte that wakes the thread is in it already */
	}
}

/* Who asks this process right after its start is answered when it knows what is asked about: "0 services, OK" would
 * be no answer. */
static void serve(void)
{
	int err = ctl_serve();

	timer_stop(&adm.first);
	if (err)
		log_ev(EV_ACCEPT_FAIL, "control socket: %s", fl_err_text(err));
}

static void on_first(struct timer *t)
{
	(void)t;
	serve();
}

static void look_for_config(void)
{
	int image, http;
	uint32_t generation;
	bool have;

	pthread_mutex_lock(&adm.lock);
	have = adm.have_new;
	image = adm.new_image;
	http = adm.new_http;
	generation = adm.new_generation;
	adm.have_new = false;
	pthread_mutex_unlock(&adm.lock);
	if (!have)
		return;
	if (image >= 0) {
		take_config(image, generation);
		env_close(image);
	}
	web_open(adm.e, &adm.view, http);
	serve();
}

/* ---------- the thread ---------- */

static void on_wake(struct engine_watch *w, unsigned events)
{
	char drop[64];

	(void)events;
	while (env_read(w->fd, drop, sizeof(drop)) == (ssize_t)sizeof(drop))
		;
	look_for_config();
	ask_collect();
	snmp_verbs_collect();
}

static void on_turn(struct engine_hook *h)
{
	(void)h;
	atomic_store(&adm.alive_ms, engine_now_ms(adm.e));
}

static void on_beat(struct timer *t)
{
	engine_timer(adm.e, t, BEAT_MS);
}

static void *run(void *arg)
{
	(void)arg;
	engine_run(adm.e);
	return NULL;
}

static int set_up(void)
{
	int err;

	err = env_pipe(adm.wake, O_NONBLOCK);
	if (err < 0)
		return err;
	adm.e = engine_new();
	if (!adm.e)
		return FL_ENOMEM_;
	err = conn_init(adm.e);
	if (err < 0)
		return err;
	adm.watch = (struct engine_watch){ .fd = adm.wake[0], .fn = on_wake };
	err = engine_watch(adm.e, &adm.watch, ENGINE_READ);
	if (err < 0)
		return err;
	list_init(&adm.turn.link);
	adm.turn.fn = on_turn;
	engine_on_turn(adm.e, &adm.turn);
	timer_init(&adm.beat, on_beat);
	engine_timer(adm.e, &adm.beat, BEAT_MS);
	timer_init(&adm.first, on_first);
	engine_timer(adm.e, &adm.first, FIRST_MS);
	return adm.env.ctl_fd >= 0 ? ctl_open(adm.e, &adm.view, adm.env.ctl_fd) : 0;
}

int admin_start(const struct admin_env *env)
{
	sigset_t all, old;
	int err;

	adm.env = *env;
	adm.view.seg = env->seg;
	/* Expressions are run a few times by hand here; machine code would not pay and is not
	 * given back. */
	pol_regex_use_jit(false);
	err = set_up();
	if (err < 0)
		return err;
	atomic_store(&adm.alive_ms, env_now_us() / 1000);
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	snmp_verbs_open(adm.wake[1]);
	err = ask_start(env, adm.wake[1]);
	if (!err)
		err = -pthread_create(&adm.thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err && env_write(adm.wake[1], "s", 1) < 0)
		err = 0; /* a configuration that came before us is seen with the next one */
	return err;
}

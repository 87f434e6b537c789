/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.c - making the segment, opening it, and taking a place in it
 *
 * The files are anonymous memory that travels by descriptor: nobody can plant one by name
 * (ROBUSTNESS F38). They are sealed against resizing before anything is read from them, so no read
 * of ours can run off the end of a file that somebody else shortens.
 */
#include "config.h"

#include "stat/view.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static enum seg_file file_of(unsigned i)
{
	return i == 0 ? SEG_DIR : i == 1 ? SEG_TOTALS : SEG_SLOT;
}

static uint32_t index_of(unsigned i)
{
	return i < 2 ? 0 : i - 2;
}

/* Maps ------------------------------------------------------------------------------------ */

static const char *map_ro(int fd, size_t size, int *err)
{
	char path[40];
	struct sb b;
	void *p = NULL;
	int ro;

	sb_init(&b, path, sizeof(path));
	sb_fmt(&b, "/proc/self/fd/%d", fd);
	ro = env_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (ro < 0) {
		*err = ro;
		return NULL;
	}
	p = env_mmap(size, PROT_READ, MAP_SHARED | MAP_NORESERVE, ro, 0);
	if (!p)
		*err = -ENOMEM;
	env_close(ro);
	return p;
}

static char *map_rw(int fd, size_t size)
{
	char *p = env_mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (p && madvise(p, size, MADV_DONTFORK) != 0) {
		env_munmap(p, size);
		return NULL;
	}
	return p;
}

static uint32_t *map_alive(void)
{
	void *p = env_mmap(SEG_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p && madvise(p, SEG_PAGE, MADV_WIPEONFORK) != 0) {
		env_munmap(p, SEG_PAGE);
		return NULL;
	}
	return p;
}

/* The read-write maps are only there in the process that made them. */
static void unmap_rw(struct stat_seg *s)
{
	if (view_alive(s)) {
		if (s->dir_rw)
			env_munmap(s->dir_rw, s->dim.dir.size);
		if (s->totals_rw)
			env_munmap(s->totals_rw, s->dim.totals.size);
		if (s->own)
			env_munmap(s->own, s->dim.slot.size);
		*s->alive = 0;
	}
	s->dir_rw = s->totals_rw = s->own = NULL;
	s->own_slot = STAT_NO_SLOT;
}

/* A view, empty or with all files mapped for reading -------------------------------------- */

static void close_fds(struct stat_seg *s)
{
	for (unsigned i = 0; i < s->n_fd; i++)
		if (s->fd[i] >= 0)
			env_close(s->fd[i]);
	env_free(s->fd);
	s->fd = NULL;
	s->n_fd = 0;
}

void stat_free(struct stat_seg *s)
{
	if (!s)
		return;
	unmap_rw(s);
	view_fold_free(s);
	view_rows_free(s);
	view_owners_free(s);
	close_fds(s);
	for (uint32_t k = 0; s->slot && k < s->dim.n_slots; k++)
		if (s->slot[k])
			env_munmap((void *)(uintptr_t)s->slot[k], s->dim.slot.size);
	if (s->dir)
		env_munmap((void *)(uintptr_t)s->dir, s->dim.dir.size);
	if (s->totals)
		env_munmap((void *)(uintptr_t)s->totals, s->dim.totals.size);
	if (s->alive)
		env_munmap(s->alive, SEG_PAGE);
	env_free(s->slot);
	env_free(s->reuse);
	env_free(s->log_next);
	env_free(s->log_buf);
	pthread_mutex_destroy(&s->log_lock);
	s->magic = 0;
	env_free(s);
}

static struct stat_seg *view_new(const struct seg_dims *d)
{
	struct stat_seg *s = env_calloc(1, sizeof(*s));
	unsigned n = d->n_slots + 2;

	if (!s)
		return NULL;
	s->magic = SEG_VIEW_MAGIC;
	s->dim = *d;
	s->tbl = seg_tables();
	s->role = STAT_READER;
	s->own_slot = STAT_NO_SLOT;
	pthread_mutex_init(&s->log_lock, NULL);
	s->slot = env_calloc(d->n_slots, sizeof(*s->slot));
	s->row = env_calloc(d->max_objects, sizeof(struct stat_row *));
	s->fd = env_malloc(n * sizeof(int));
	s->alive = map_alive();
	for (unsigned i = 0; s->fd && i < n; i++)
		s->fd[i] = -1;
	if (!s->slot || !s->row || !s->fd || !s->alive) {
		stat_free(s);
		return NULL;
	}
	s->n_fd = n;
	return s;
}

static int map_all_ro(struct stat_seg *s)
{
	int err = 0;

	for (unsigned i = 0; i < s->n_fd && !err; i++) {
		const char *p = map_ro(s->fd[i], seg_file_size(&s->dim, file_of(i)), &err);

		if (i == 0)
			s->dir = p;
		else if (i == 1)
			s->totals = p;
		else
			s->slot[i - 2] = p;
	}
	return err;
}

/* Claiming a slot ------------------------------------------------------------------------- */

/* Levels and averages describe a process, not its slot: who has it next begins without any. */
static void zero_of_process(struct stat_seg *s)
{
	uint64_t *used = (void *)(s->own + s->dim.slot.used);
	uint64_t *rows = (void *)(s->own + s->dim.slot.row);

	for (uint32_t row = 0; row < s->dim.max_objects; row++) {
		uint64_t *w = rows + (size_t)row * SEG_ROW_WORDS;
		uint64_t bits;
		uint32_t kind;

		if (row % 64 == 0 && used[row / 64] == 0) {
			row += 63;
			continue;
		}
		if (!view_bit(used, row))
			continue;
		kind = seg_tag_kind(w[SEG_ROW_TAG]);
		bits = seg_kind_ok(kind) ? s->tbl->of_process[kind] | s->tbl->owners[kind] : 0;
		for (; bits; bits &= bits - 1) {
			st64(&w[SEG_ROW_CTR + (unsigned)__builtin_ctzll(bits)], 0);
			FP("stat.claim.level");
		}
	}
}

static void head_fill(struct seg_head *h, const struct stat_seg *s, enum seg_file file,
		      uint32_t index)
{
	h->layout_id = stat_layout_id();
	h->file = file;
	h->index = index;
	h->max_objects = s->dim.max_objects;
	h->cores = s->dim.cores;
	h->drain = s->dim.drain;
	h->n_slots = s->dim.n_slots;
	h->size = seg_file_size(&s->dim, file);
	h->set = s->set;
	st64_rel(&h->magic, SEG_MAGIC);
}

/* While pid is 0 or a dead owner's, nobody counts the slot's LEVELs (view_slot_live), so the order
 * is: disown, clear, own. Killed anywhere in between, the next claim does it all again. */
static void slot_claim(struct stat_seg *s, uint32_t slot)
{
	struct seg_slot *sl = (void *)s->own;
	uint64_t now = env_now_us() / 1000;

	s->own_slot = slot;
	st32_rel(&sl->pid, 0);
	FP("stat.claim.pid0");
	head_fill(&sl->head, s, SEG_SLOT, slot);     /* mends what a wild write left */
	zero_of_process(s);
	sl->log_head &= ~UINT64_C(7);
	st32(&sl->role, s->role);
	st32(&sl->core, s->core);
	st32(&sl->generation, s->generation);
	st64(&sl->claimed_ms, now);
	st64(&sl->heartbeat_ms, now);
	st64(&sl->promise_ms, 0);
	FP("stat.claim.head");
	st64_rel(&sl->epoch, sl->epoch + 1);
	FP("stat.claim.epoch");
	st32_rel(&sl->pid, (uint32_t)getpid());
	FP("stat.claim.pid");
}

static int own_map(struct stat_seg *s, uint32_t slot)
{
	s->own = map_rw(s->fd[slot + 2], s->dim.slot.size);
	if (!s->own)
		return -ENOMEM;
	*s->alive = 1;
	slot_claim(s, slot);
	return 0;
}

bool view_slot_live(const struct stat_seg *s, uint32_t k)
{
	const struct seg_proc *p = view_proc(s, k);
	uint32_t state = ld32(&p->state), pid = ld32_acq(&p->pid);

	if (state != ST_PROC_STARTING && state != ST_PROC_RUNNING && state != ST_PROC_DRAINING &&
	    state != ST_PROC_HUNG)
		return false;
	return pid && pid == ld32_acq(&view_slot(s, k)->pid);
}

/* Master ---------------------------------------------------------------------------------- */

static int master_map(struct stat_seg *s)
{
	s->role = STAT_MASTER;
	s->dir_rw = map_rw(s->fd[0], s->dim.dir.size);
	if (!s->dir_rw)
		return -ENOMEM;
	*s->alive = 1;
	return own_map(s, stat_slot_of(s, STAT_MASTER));
}

static int make_file(struct stat_seg *s, unsigned i)
{
	size_t size = seg_file_size(&s->dim, file_of(i));
	struct seg_head *h;
	char name[32];
	struct sb b;
	int err;

	sb_init(&b, name, sizeof(name));
	if (i < 2)
		sb_c(&b, i ? "fairlead-totals" : "fairlead-dir");
	else
		sb_fmt(&b, "fairlead-slot-%u", i - 2);
	s->fd[i] = env_memfd(name, true);
	if (s->fd[i] < 0)
		return s->fd[i];
	err = env_ftruncate(s->fd[i], (off_t)size);
	if (err < 0)
		return err;
	if (fcntl(s->fd[i], F_ADD_SEALS, SEALS) != 0)
		return -errno;
	h = env_mmap(SEG_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd[i], 0);
	if (!h)
		return -ENOMEM;
	head_fill(h, s, file_of(i), index_of(i));
	env_munmap(h, SEG_PAGE);
	return 0;
}

struct stat_seg *stat_create(const struct stat_params *p, int *err)
{
	struct seg_dims d;
	struct stat_seg *s;
	struct seg_core *core;

	*err = FL_ERANGE_;
	if (!seg_dims_make(&d, p->max_objects, p->cores, p->drain_generations))
		return NULL;
	*err = -ENOMEM;
	s = view_new(&d);
	if (!s)
		return NULL;
	env_random(&s->set, sizeof(s->set));
	*err = 0;
	for (unsigned i = 0; i < s->n_fd && *err >= 0; i++)
		*err = make_file(s, i);
	if (*err >= 0)
		*err = map_all_ro(s);
	if (*err >= 0)
		*err = master_map(s);
	if (*err < 0) {
		stat_free(s);
		return NULL;
	}
	core = (void *)(s->dir_rw + d.dir.core);
	for (uint32_t i = 0; i < d.cores; i++)
		st32(&core[i].serving, i);
	view_dir_rw(s)->started_us = env_wall_us();
	return s;
}

/* Opening what others made ---------------------------------------------------------------- */

/* Reads the header of a file that may be anything. */
static int head_read(int fd, struct seg_head *out)
{
	struct stat st;
	void *p;
	int seals, err = env_fstat(fd, &st);

	if (err < 0)
		return err;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW) ||
	    st.st_size < (off_t)SEG_PAGE)
		return FL_ELAYOUT_;
	p = env_mmap(SEG_PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (!p)
		return -ENOMEM;
	memcpy(out, p, sizeof(*out));
	env_munmap(p, SEG_PAGE);
	if (out->magic != SEG_MAGIC || out->layout_id != stat_layout_id() ||
	    out->size != (uint64_t)st.st_size)
		return FL_ELAYOUT_;
	return 0;
}

static int heads_check(const int *fds, unsigned n, struct seg_dims *d, uint64_t *set)
{
	struct seg_head first, h;
	int err;

	if (n < 2 + SEG_EXTRA_SLOTS)
		return FL_ELAYOUT_;
	err = head_read(fds[0], &first);
	if (err < 0)
		return err;
	if (!seg_dims_make(d, first.max_objects, first.cores, first.drain) || n != d->n_slots + 2)
		return FL_ELAYOUT_;
	for (unsigned i = 0; i < n; i++) {
		err = head_read(fds[i], &h);
		if (err < 0)
			return err;
		if (h.file != file_of(i) || h.index != index_of(i) || h.set != first.set ||
		    h.max_objects != d->max_objects || h.cores != d->cores || h.drain != d->drain ||
		    h.n_slots != d->n_slots || h.size != seg_file_size(d, file_of(i)))
			return FL_ELAYOUT_;
	}
	*set = first.set;
	return 0;
}

static struct stat_seg *open_fds(const int *fds, unsigned n, bool master, int *err)
{
	struct stat_seg *s;
	struct seg_dims d;
	uint64_t set = 0;

	*err = heads_check(fds, n, &d, &set);
	if (*err < 0)
		return NULL;
	s = view_new(&d);
	if (!s) {
		*err = -ENOMEM;
		return NULL;
	}
	s->set = set;
	memcpy(s->fd, fds, n * sizeof(*fds));
	*err = map_all_ro(s);
	if (*err >= 0 && master)
		*err = master_map(s);
	if (*err < 0) {
		s->n_fd = 0;      /* they stay the caller's; the array goes */
		stat_free(s);
		return NULL;
	}
	if (master)
		view_index_mend(s);
	return s;
}

struct stat_seg *stat_adopt(const int *fds, unsigned n, int *err)
{
	return open_fds(fds, n, true, err);
}

struct stat_seg *stat_open(const int *fds, unsigned n, int *err)
{
	struct stat_seg *s = open_fds(fds, n, false, err);

	if (s)
		close_fds(s);
	return s;
}

int stat_become(struct stat_seg *s, enum stat_role role, uint32_t slot, uint32_t core,
		uint32_t generation)
{
	int err = 0;

	if (role == STAT_WORKER ? slot >= s->dim.n_workers || core >= s->dim.cores
	    : role == STAT_CONTROL || role == STAT_LOGD ? slot != stat_slot_of(s, role)
							: role != STAT_READER)
		return FL_ERANGE_;
	if (s->n_fd == 0)
		return -EBADF;
	unmap_rw(s);
	view_fold_free(s);
	view_rows_free(s);
	view_owners_free(s);
	s->row = env_calloc(s->dim.max_objects, sizeof(struct stat_row *));
	if (!s->row)
		return -ENOMEM;
	s->role = role;
	s->core = core;
	s->generation = generation;
	pthread_mutex_init(&s->log_lock, NULL);
	if (role == STAT_CONTROL) {
		s->totals_rw = map_rw(s->fd[1], s->dim.totals.size);
		if (!s->totals_rw)
			return -ENOMEM;
		*s->alive = 1;
	}
	if (role != STAT_READER)
		err = own_map(s, slot);
	if (err == 0)
		close_fds(s);
	return err;
}

/* Plain facts ----------------------------------------------------------------------------- */

unsigned stat_fd_count(const struct stat_seg *s)
{
	return s->n_fd;
}

const int *stat_fds(const struct stat_seg *s)
{
	return s->fd;
}

uint32_t stat_n_slots(const struct stat_seg *s)
{
	return s->dim.n_slots;
}

uint32_t stat_worker_slots(const struct stat_seg *s)
{
	return s->dim.n_workers;
}

uint32_t stat_slot_of(const struct stat_seg *s, enum stat_role role)
{
	switch (role) {
	case STAT_CONTROL:
		return s->dim.n_workers;
	case STAT_LOGD:
		return s->dim.n_workers + 1;
	case STAT_MASTER:
		return s->dim.n_workers + 2;
	default:
		return STAT_NO_SLOT;
	}
}

uint32_t stat_cores(const struct stat_seg *s)
{
	return s->dim.cores;
}

uint32_t stat_own_slot(const struct stat_seg *s)
{
	return s->own_slot;
}

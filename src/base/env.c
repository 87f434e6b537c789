/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env.c - time, random numbers, memory and files (see env.h); sockets are in env_sock.c
 *
 * Each wrapper asks its failpoint first, which costs nothing where failpoints are not built in.
 */
#include "config.h"

#include "base/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/retry.h"

/* Time ----------------------------------------------------------------------------------- */

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);     /* cannot fail for these two clocks */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t env_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t env_now_us(void)
{
	return env_now_ns() / 1000;
}

uint64_t env_wall_us(void)
{
	return clock_ns(CLOCK_REALTIME) / 1000;
}

void env_sleep_us(uint64_t us)
{
	struct timespec ts = {
		.tv_sec = (time_t)(us / 1000000),
		.tv_nsec = (long)(us % 1000000) * 1000,
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
}

/* Random --------------------------------------------------------------------------------- */

void env_random(void *buf, size_t n)
{
	unsigned char *p = buf;

	while (n) {
		ssize_t r = getrandom(p, n, 0);

		if (r < 0) {
			/* every kernel that has memfd and pidfd has getrandom */
			ASSERT(errno == EINTR);
			continue;
		}
		p += r;
		n -= (size_t)r;
	}
}

struct rng {
	uint64_t s[4];
	uint64_t seeded;
};

/* The state lives in a page that the kernel wipes in a forked child, so that two workers never
 * draw the same numbers and no call has to ask for the pid. Where the kernel cannot wipe, the
 * pid is compared. */
static struct rng *rng;
static pid_t rng_pid;        /* 0: the page is wiped on fork */

static void rng_map(void)
{
	static struct rng fallback;
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page != MAP_FAILED && madvise(page, 4096, MADV_WIPEONFORK) == 0) {
		rng = page;
		return;
	}
	if (page != MAP_FAILED)
		munmap(page, 4096);
	rng = &fallback;
	rng_pid = getpid();
}

FL_COLD static void rng_seed(void)
{
	if (!rng)
		rng_map();
	else if (rng_pid)
		rng_pid = getpid();
	do {
		env_random(rng->s, sizeof(rng->s));
	} while (!(rng->s[0] | rng->s[1] | rng->s[2] | rng->s[3]));
	rng->seeded = 1;
}

static inline uint64_t rotl(uint64_t v, int n)
{
	return (v << n) | (v >> (64 - n));
}

/* xoshiro256** by Blackman and Vigna (public domain algorithm) */
uint64_t env_random_u64(void)
{
	uint64_t r, t, *s;

	if (FL_UNLIKELY(!rng || !rng->seeded || (rng_pid && rng_pid != getpid())))
		rng_seed();
	s = rng->s;
	r = rotl(s[1] * 5, 7) * 9;
	t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return r;
}

/* Memory --------------------------------------------------------------------------------- */

void *env_malloc(size_t n)
{
	return env_fp("malloc") ? NULL : malloc(n ? n : 1);
}

void *env_calloc(size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return env_fp("malloc") ? NULL : calloc(1, bytes ? bytes : 1);
}

void *env_realloc(void *p, size_t n)
{
	return env_fp("malloc") ? NULL : realloc(p, n ? n : 1);
}

void *env_aligned(size_t align, size_t n)
{
	void *p;

	if (env_fp("malloc") || posix_memalign(&p, align, n ? n : 1) != 0)
		return NULL;
	memset(p, 0, n ? n : 1);
	return p;
}

void env_free(void *p)
{
	free(p);
}

char *env_strdup(const char *z)
{
	size_t n = strlen(z) + 1;
	char *p = env_malloc(n);

	return p ? memcpy(p, z, n) : NULL;
}

void *env_mmap(size_t len, int prot, int flags, int fd, off_t off)
{
	void *p = env_fp("mmap") ? MAP_FAILED : mmap(NULL, len, prot, flags, fd, off);

	return p == MAP_FAILED ? NULL : p;
}

int env_munmap(void *p, size_t len)
{
	return munmap(p, len) == 0 ? 0 : -errno;
}

/* Files ---------------------------------------------------------------------------------- */

int env_openat(int dir, const char *path, int flags, mode_t mode)
{
	int err = env_fp("open");

	return err ? err : RETRY(openat(dir, path, flags | O_CLOEXEC, mode));
}

int env_open(const char *path, int flags, mode_t mode)
{
	return env_openat(AT_FDCWD, path, flags, mode);
}

int env_close(int fd)
{
	/* Linux has released the number even when a signal came in between: no second try */
	if (close(fd) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

ssize_t env_read(int fd, void *buf, size_t n)
{
	int err = env_fp_io("read", &n);

	return err ? err : RETRY(read(fd, buf, n));
}

ssize_t env_pread(int fd, void *buf, size_t n, off_t at)
{
	int err = env_fp_io("read", &n);

	return err ? err : RETRY(pread(fd, buf, n, at));
}

ssize_t env_write(int fd, const void *buf, size_t n)
{
	int err = env_fp_io("write", &n);

	return err ? err : RETRY(write(fd, buf, n));
}

ssize_t env_writev(int fd, const struct iovec *iov, int n)
{
	struct iovec first = n > 0 ? iov[0] : (struct iovec){ 0 };
	size_t len = first.iov_len;
	int err = env_fp_io("writev", &len);

	if (err)
		return err;
	if (len < first.iov_len) {
		first.iov_len = len;
		return RETRY(writev(fd, &first, 1));
	}
	return RETRY(writev(fd, iov, n));
}

int env_fstat(int fd, struct stat *st)
{
	int err = env_fp("fstat");

	return err ? err : RETRY(fstat(fd, st));
}

int env_stat(const char *path, struct stat *st)
{
	int err = env_fp("stat");

	return err ? err : RETRY(stat(path, st));
}

int env_lstat(const char *path, struct stat *st)
{
	int err = env_fp("stat");

	return err ? err : RETRY(lstat(path, st));
}

int env_unlink(const char *path)
{
	int err = env_fp("unlink");

	return err ? err : RETRY(unlink(path));
}

int env_rename(const char *from, const char *to)
{
	int err = env_fp("rename");

	return err ? err : RETRY(rename(from, to));
}

int env_mkdir(const char *path, mode_t mode)
{
	int err = env_fp("mkdir");

	return err ? err : RETRY(mkdir(path, mode));
}

int env_chmod(const char *path, mode_t mode)
{
	int err = env_fp("chmod");

	return err ? err : RETRY(chmod(path, mode));
}

int env_memfd(const char *name, bool sealable)
{
	int err = env_fp("memfd");

	return err ? err : RETRY(memfd_create(name, MFD_CLOEXEC | (sealable ? MFD_ALLOW_SEALING : 0u)));
}

int env_ftruncate(int fd, off_t len)
{
	int err = env_fp("ftruncate");

	return err ? err : RETRY(ftruncate(fd, len));
}

int env_pipe(int fd[2], int flags)
{
	int err = env_fp("pipe");

	return err ? err : RETRY(pipe2(fd, flags | O_CLOEXEC));
}

/* Whole files ---------------------------------------------------------------------------- */

/* Reads to the end of the file into a block that grows: sizes in /proc and /sys are not true. */
static int read_to_end(int fd, size_t hint, size_t max, char **out, size_t *len)
{
	size_t cap = FL_MIN(hint, max) + 2, n = 0;
	char *p = env_malloc(cap);

	if (!p)
		return -ENOMEM;
	for (;;) {
		ssize_t r;

		if (n == cap - 1) {
			char *bigger = env_realloc(p, cap * 2);

			if (!bigger) {
				env_free(p);
				return -ENOMEM;
			}
			p = bigger;
			cap *= 2;
		}
		r = env_read(fd, p + n, cap - 1 - n);
		if (r > 0)
			n += (size_t)r;
		if (r < 0 || n > max) {
			env_free(p);
			return r < 0 ? (int)r : -EFBIG;
		}
		if (r == 0)
			break;
	}
	p[n] = '\0';
	*out = p;
	*len = n;
	return 0;
}

int env_read_file(const char *path, size_t max, char **out, size_t *len)
{
	/* O_NONBLOCK: a FIFO in the place of a file must not stop the process */
	int err, fd = env_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	err = env_fstat(fd, &st);
	if (err == 0 && S_ISDIR(st.st_mode))
		err = -EISDIR;
	else if (err == 0 && !S_ISREG(st.st_mode))
		err = -EINVAL;
	else if (err == 0 && st.st_size > 0 && (uint64_t)st.st_size > max)
		err = -EFBIG;
	if (err == 0)
		err = read_to_end(fd, st.st_size > 0 ? (size_t)st.st_size : 0, max, out, len);
	env_close(fd);
	return err;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t r = env_write(fd, p, n);

		if (r < 0)
			return (int)r;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

/* The rename is on disk only when the folder is; a file system that cannot say is let be. */
static int sync_folder_of(const char *path)
{
	char dir[4096];
	const char *slash = strrchr(path, '/');
	size_t n = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
	int err, fd;

	if (n >= sizeof(dir))
		return -ENAMETOOLONG;
	if (n)
		memcpy(dir, path, n);
	else
		dir[n++] = '.';
	dir[n] = '\0';
	fd = env_open(dir, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	err = env_fp("fsync");
	if (!err)
		err = RETRY(fsync(fd));
	env_close(fd);
	return err == -EINVAL ? 0 : err;
}

int env_write_file(const char *path, const void *p, size_t n, mode_t mode)
{
	char temp[4096];
	int err, fd;
	int len = snprintf(temp, sizeof(temp), "%s.%08x.tmp", path, (unsigned)env_random_u64());

	if (len < 0 || (size_t)len >= sizeof(temp))
		return -ENAMETOOLONG;
	fd = env_open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
	if (fd < 0)
		return fd;
	err = RETRY(fchmod(fd, mode));      /* the umask has no say */
	if (!err)
		err = write_all(fd, p, n);
	if (!err)
		err = env_fp("fsync");
	if (!err)
		err = RETRY(fsync(fd));
	env_close(fd);
	if (!err)
		err = env_rename(temp, path);
	if (err) {
		env_unlink(temp);
		return err;
	}
	return sync_folder_of(path);
}

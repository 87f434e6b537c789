/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env.h - everything the program asks of the machine: time, random numbers, memory, files, sockets
 *
 * No other file calls the system for these (./dev lint checks): failpoints and the simulator
 * hang on this layer (ROBUSTNESS R23, R24). With FL_FAILPOINTS each call first asks
 * env_fp("name"), which a test can arm (errno, sleep, short I/O, SIGKILL by hit count);
 * without it the wrappers are the plain calls. Descriptors are made close-on-exec.
 * Results: system style calls return >= 0 or a negated errno, never -1/errno, and retry EINTR
 * themselves.
 */
#ifndef FL_BASE_ENV_H
#define FL_BASE_ENV_H

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "base/compiler.h"

/* --- time --- */
uint64_t env_now_ns(void);              /* CLOCK_MONOTONIC: timers and durations */
uint64_t env_now_us(void);
uint64_t env_wall_us(void);             /* CLOCK_REALTIME since 1970: logs and certificates only */
void     env_sleep_us(uint64_t us);     /* tests, one-shot tools; never in a loop process */

/* --- random: getrandom-seeded, never blocks after start; safe for keys --- */
void     env_random(void *buf, size_t n);
uint64_t env_random_u64(void);          /* fast, not for keys; reseeded on fork; one thread */

/* --- memory: NULL when none (never aborts); sizes checked for overflow --- */
void *env_malloc(size_t n) FL_MUSTCHECK;
void *env_calloc(size_t n, size_t size) FL_MUSTCHECK;
void *env_realloc(void *p, size_t n) FL_MUSTCHECK;
void *env_aligned(size_t align, size_t n) FL_MUSTCHECK;    /* zeroed */
void  env_free(void *p);
char *env_strdup(const char *z) FL_MUSTCHECK;
void *env_mmap(size_t len, int prot, int flags, int fd, off_t off);   /* NULL on failure */
int   env_munmap(void *p, size_t len);

/* --- files --- */
int     env_open(const char *path, int flags, mode_t mode);
int     env_openat(int dir, const char *path, int flags, mode_t mode);
int     env_close(int fd);
ssize_t env_read(int fd, void *buf, size_t n);
ssize_t env_pread(int fd, void *buf, size_t n, off_t at);
ssize_t env_write(int fd, const void *buf, size_t n);
ssize_t env_writev(int fd, const struct iovec *iov, int n);
int     env_fstat(int fd, struct stat *st);
int     env_stat(const char *path, struct stat *st);
int     env_lstat(const char *path, struct stat *st);
int     env_unlink(const char *path);
int     env_rename(const char *from, const char *to);
int     env_mkdir(const char *path, mode_t mode);
int     env_chmod(const char *path, mode_t mode);
int     env_memfd(const char *name, bool sealable);
int     env_ftruncate(int fd, off_t len);
int     env_pipe(int fd[2], int flags);                     /* O_NONBLOCK etc. */
/* The whole of a regular file of at most `max` bytes into *out (env_malloc, NUL added, caller
 * frees) and *len. -EISDIR, -EFBIG, -EINVAL (a device or FIFO), other negated errno. */
int     env_read_file(const char *path, size_t max, char **out, size_t *len);
/* Writes a file whole or not at all (temporary name, fsync, rename). */
int     env_write_file(const char *path, const void *p, size_t n, mode_t mode);

/* --- sockets --- */
int     env_socket(int family, int type, int proto);        /* SOCK_CLOEXEC | SOCK_NONBLOCK added */
int     env_socketpair(int type, int fd[2]);                /* AF_UNIX, cloexec, nonblocking */
int     env_bind(int fd, const struct sockaddr *sa, socklen_t n);
int     env_listen(int fd, int backlog);
int     env_connect(int fd, const struct sockaddr *sa, socklen_t n);   /* -EINPROGRESS is usual */
int     env_accept(int fd, struct sockaddr *sa, socklen_t *n);         /* cloexec, nonblocking */
ssize_t env_recv(int fd, void *buf, size_t n, int flags);
ssize_t env_send(int fd, const void *buf, size_t n, int flags);        /* MSG_NOSIGNAL added */
ssize_t env_sendmsg(int fd, const struct msghdr *m, int flags);        /* MSG_NOSIGNAL added */
ssize_t env_recvmsg(int fd, struct msghdr *m, int flags);              /* MSG_CMSG_CLOEXEC added */
/* Messages received or sent (recvmmsg(2), sendmmsg(2)); an error is told when it met the first. */
int     env_recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags);
int     env_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags);   /* MSG_NOSIGNAL added */
ssize_t env_sendto(int fd, const void *b, size_t n, int flags, const struct sockaddr *sa,
		   socklen_t sl);
ssize_t env_recvfrom(int fd, void *b, size_t n, int flags, struct sockaddr *sa, socklen_t *sl);
ssize_t env_splice(int in, int out, size_t n, unsigned flags);         /* offsets NULL */
int     env_shutdown(int fd, int how);
int     env_setsockopt(int fd, int level, int opt, const void *v, socklen_t n);
int     env_getsockopt(int fd, int level, int opt, void *v, socklen_t *n);
int     env_setsockopt_int(int fd, int level, int opt, int v);
int     env_so_error(int fd);                               /* SO_ERROR, negated, 0 when none */
union bpf_attr;
int     env_bpf(int cmd, union bpf_attr *attr, unsigned n); /* bpf(2): maps and programs; new descriptors */
/* One message of `n` bytes with up to `nfd` descriptors over a SOCK_SEQPACKET/DGRAM/STREAM
 * unix socket. Sender keeps its descriptors. */
ssize_t env_send_fds(int sock, const void *p, size_t n, const int *fd, unsigned nfd);
/* Receives one message; *nfd in: room (at most 253), out: received. Caller owns them. 0 = peer
 * closed. A message or descriptors that do not fit: -EMSGSIZE, everything received is closed. */
ssize_t env_recv_fds(int sock, void *p, size_t n, int *fd, unsigned *nfd);

/* --- failpoints --- */
#ifdef FL_FAILPOINTS
/* Armed by FAIRLEAD_FAILPOINTS="name=action[:hit[:count]],..." with action errno NAME, kill, segv,
 * trap (a fault that a handler of ours sees), spin, sleep MS, short (I/O calls move one byte). The wrappers' names are the calls' ("recv",
 * "malloc"). hit: the first call that is hit, from 1; count: how many from there on, 0 = all.
 * Without hit every call is hit, with hit alone just that one. A mistake in the variable aborts.
 * Returns 0 or the negated errno to fail with. */
int env_fp(const char *name);
/* The same for calls that move bytes: `short` makes *n 1. */
int env_fp_io(const char *name, size_t *n);
/* One whose name is made of what is at hand, at most 63 bytes of it: "request /path". */
void env_fp_text(const char *prefix, const char *p, size_t n);
#define FP(name) ((void)env_fp(name))
#define FP_TEXT(prefix, s) env_fp_text(prefix, (s).p, (s).n)
#else
#define env_fp(name) 0
#define env_fp_io(name, n) ((void)(n), 0)
#define FP(name) ((void)0)
#define FP_TEXT(prefix, s) ((void)0)
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env_sock.c - sockets, splice, and descriptors passed over unix sockets (see env.h)
 */
#include "config.h"

#include "base/env.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/retry.h"

#define FDS_MAX 253     /* SCM_MAX_FD of the kernel */

int env_socket(int family, int type, int proto)
{
	int err = env_fp("socket");

	return err ? err : RETRY(socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, proto));
}

int env_socketpair(int type, int fd[2])
{
	int err = env_fp("socketpair");

	return err ? err : RETRY(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd));
}

int env_bind(int fd, const struct sockaddr *sa, socklen_t n)
{
	int err = env_fp("bind");

	return err ? err : RETRY(bind(fd, sa, n));
}

int env_listen(int fd, int backlog)
{
	int err = env_fp("listen");

	return err ? err : RETRY(listen(fd, backlog));
}

int env_connect(int fd, const struct sockaddr *sa, socklen_t n)
{
	int err = env_fp("connect");

	if (err)
		return err;
	if (connect(fd, sa, n) == 0)
		return 0;
	/* an interrupted connect goes on in the kernel; a second one would say EALREADY */
	return errno == EINTR ? -EINPROGRESS : -errno;
}

int env_accept(int fd, struct sockaddr *sa, socklen_t *n)
{
	int err = env_fp("accept");

	return err ? err : RETRY(accept4(fd, sa, n, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

ssize_t env_recv(int fd, void *buf, size_t n, int flags)
{
	int err = env_fp_io("recv", &n);

	return err ? err : RETRY(recv(fd, buf, n, flags));
}

ssize_t env_send(int fd, const void *buf, size_t n, int flags)
{
	int err = env_fp_io("send", &n);

	return err ? err : RETRY(send(fd, buf, n, flags | MSG_NOSIGNAL));
}

ssize_t env_sendmsg(int fd, const struct msghdr *m, int flags)
{
	struct msghdr short_m = *m;
	struct iovec first = m->msg_iovlen ? m->msg_iov[0] : (struct iovec){ 0 };
	size_t len = first.iov_len;
	int err = env_fp_io("sendmsg", &len);

	if (err)
		return err;
	if (len < first.iov_len) {
		first.iov_len = len;
		short_m.msg_iov = &first;
		short_m.msg_iovlen = 1;
		m = &short_m;
	}
	return RETRY(sendmsg(fd, m, flags | MSG_NOSIGNAL));
}

ssize_t env_recvmsg(int fd, struct msghdr *m, int flags)
{
	int err = env_fp("recvmsg");

	return err ? err : RETRY(recvmsg(fd, m, flags | MSG_CMSG_CLOEXEC));
}

int env_recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	int err = env_fp("recvmmsg");

	return err ? err : RETRY(recvmmsg(fd, m, n, flags | MSG_CMSG_CLOEXEC, NULL));
}

int env_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	int err = env_fp("sendmmsg");

	return err ? err : RETRY(sendmmsg(fd, m, n, flags | MSG_NOSIGNAL));
}

ssize_t env_sendto(int fd, const void *b, size_t n, int flags, const struct sockaddr *sa,
		   socklen_t sl)
{
	int err = env_fp_io("sendto", &n);

	return err ? err : RETRY(sendto(fd, b, n, flags | MSG_NOSIGNAL, sa, sl));
}

ssize_t env_recvfrom(int fd, void *b, size_t n, int flags, struct sockaddr *sa, socklen_t *sl)
{
	int err = env_fp_io("recvfrom", &n);

	return err ? err : RETRY(recvfrom(fd, b, n, flags, sa, sl));
}

ssize_t env_splice(int in, int out, size_t n, unsigned flags)
{
	int err = env_fp_io("splice", &n);

	return err ? err : RETRY(splice(in, NULL, out, NULL, n, flags));
}

int env_shutdown(int fd, int how)
{
	int err = env_fp("shutdown");

	return err ? err : RETRY(shutdown(fd, how));
}

int env_setsockopt(int fd, int level, int opt, const void *v, socklen_t n)
{
	int err = env_fp("setsockopt");

	return err ? err : RETRY(setsockopt(fd, level, opt, v, n));
}

int env_getsockopt(int fd, int level, int opt, void *v, socklen_t *n)
{
	int err = env_fp("getsockopt");

	return err ? err : RETRY(getsockopt(fd, level, opt, v, n));
}

int env_setsockopt_int(int fd, int level, int opt, int v)
{
	return env_setsockopt(fd, level, opt, &v, sizeof(v));
}

int env_bpf(int cmd, union bpf_attr *attr, unsigned n)
{
	int err = env_fp("bpf");

	return err ? err : (int)RETRY(syscall(SYS_bpf, cmd, attr, n));
}

int env_so_error(int fd)
{
	int v = 0;
	socklen_t n = sizeof(v);
	int err = env_getsockopt(fd, SOL_SOCKET, SO_ERROR, &v, &n);

	return err < 0 ? err : -v;
}

/* Descriptors over unix sockets ------------------------------------------------------------- */

union fds_control {
	struct cmsghdr align;
	char           space[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

ssize_t env_send_fds(int sock, const void *p, size_t n, const int *fd, unsigned nfd)
{
	union fds_control control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t bytes = nfd * sizeof(int);

	/* the kernel drops descriptors that come with no byte on a stream */
	if (nfd > FDS_MAX || n == 0)
		return -EINVAL;
	if (nfd) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		m.msg_control = control.space;
		m.msg_controllen = CMSG_SPACE(bytes);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(c), fd, bytes);
	}
	return env_sendmsg(sock, &m, 0);
}

/* Takes every descriptor out of the message; what does not fit into fd[0..room) is closed. */
static unsigned take_fds(struct msghdr *m, int *fd, unsigned room, bool *lost)
{
	unsigned got = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int one;

			memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(one));
			if (got < room) {
				fd[got++] = one;
			} else {
				env_close(one);
				*lost = true;
			}
		}
	}
	return got;
}

ssize_t env_recv_fds(int sock, void *p, size_t n, int *fd, unsigned *nfd)
{
	union fds_control control;
	struct iovec iov = { .iov_base = p, .iov_len = n };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.space, .msg_controllen = sizeof(control.space),
	};
	unsigned room = FL_MIN(*nfd, (unsigned)FDS_MAX);
	bool lost = false;
	ssize_t r;

	*nfd = 0;
	r = env_recvmsg(sock, &m, 0);
	if (r < 0)
		return r;
	*nfd = take_fds(&m, fd, room, &lost);
	if (lost || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		while (*nfd)
			env_close(fd[--*nfd]);
		return -EMSGSIZE;
	}
	return r;
}

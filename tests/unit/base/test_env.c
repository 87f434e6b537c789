/* SPDX-License-Identifier: Apache-2.0 */
/* test_env.c - time, random numbers, whole files, descriptors over sockets; result codes */
#include "config.h"

#include "base/env.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/unit/base/unit.h"

static char dir[256];

static const char *in_dir(const char *name)
{
	static char path[2][512];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[0]), "%s/%s", dir, name);
	return path[turn];
}

static void make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/fl-env-XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void drop_dir(void)
{
	char cmd[300];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(cmd), 0);
}

START_TEST(time_and_random)
{
	uint64_t a = env_now_ns(), b, us = env_now_us();
	unsigned char bytes[64] = { 0 }, zero[64] = { 0 };
	int fd[2], status;
	uint64_t child, parent;
	pid_t pid;

	env_sleep_us(1500);
	b = env_now_ns();
	ck_assert_uint_ge(b - a, 1500000);
	ck_assert_uint_ge(env_now_us() - us, 1500);
	ck_assert_uint_gt(env_wall_us(), 1700000000000000u);
	env_random(bytes, sizeof(bytes));
	ck_assert_int_ne(memcmp(bytes, zero, sizeof(zero)), 0);
	ck_assert_uint_ne(env_random_u64(), env_random_u64());

	ck_assert_int_eq(env_pipe(fd, 0), 0);
	pid = fork();
	if (pid == 0) {
		child = env_random_u64();
		_exit(write(fd[1], &child, sizeof(child)) != sizeof(child));
	}
	parent = env_random_u64();
	ck_assert_int_eq(env_read(fd[0], &child, sizeof(child)), sizeof(child));
	ck_assert_uint_ne(child, parent);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	env_close(fd[0]);
	env_close(fd[1]);
}
END_TEST

START_TEST(memory)
{
	unsigned char *p = env_aligned(64, 100);
	char *z = env_strdup("abc");
	void *m = env_mmap(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile size_t huge = SIZE_MAX / 2;

	ck_assert_uint_eq((uintptr_t)p % 64, 0);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(p[i], 0);
	env_free(p);
	ck_assert_str_eq(z, "abc");
	env_free(z);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(env_munmap(m, 4096), 0);
	ck_assert_int_eq(env_munmap((void *)1, 4096), -EINVAL);
	ck_assert_ptr_null(env_mmap(0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	z = env_malloc(0);
	ck_assert_ptr_nonnull(z);
	z = env_realloc(z, 0);
	ck_assert_ptr_nonnull(z);
	env_free(z);
	z = env_calloc(0, 8);
	ck_assert_ptr_nonnull(z);
	env_free(z);
	ck_assert_ptr_null(env_calloc(huge, 3));
}
END_TEST

START_TEST(whole_files)
{
	char *text;
	size_t n = 0;
	struct stat st;
	char big[70000];
	mode_t old = umask(077);

	make_dir();
	memset(big, 'x', sizeof(big));
	ck_assert_int_eq(env_write_file(in_dir("f"), "hello", 5, 0644), 0);
	umask(old);
	ck_assert_int_eq(env_stat(in_dir("f"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0644);
	ck_assert_int_eq(env_read_file(in_dir("f"), 5, &text, &n), 0);
	ck_assert_uint_eq(n, 5);
	ck_assert_str_eq(text, "hello");
	env_free(text);
	ck_assert_int_eq(env_read_file(in_dir("f"), 4, &text, &n), -EFBIG);

	ck_assert_int_eq(env_write_file(in_dir("f"), big, sizeof(big), 0600), 0);
	ck_assert_int_eq(env_read_file(in_dir("f"), 1 << 20, &text, &n), 0);
	ck_assert_uint_eq(n, sizeof(big));
	ck_assert_int_eq(memcmp(text, big, n), 0);
	env_free(text);
	ck_assert_int_eq(env_write_file(in_dir("f"), NULL, 0, 0600), 0);
	ck_assert_int_eq(env_read_file(in_dir("f"), 0, &text, &n), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_str_eq(text, "");
	env_free(text);

	/* its size says 0 */
	ck_assert_int_eq(env_read_file("/proc/self/status", 1 << 20, &text, &n), 0);
	ck_assert_uint_gt(n, 100);
	ck_assert_ptr_nonnull(strstr(text, "VmSize"));
	env_free(text);
	ck_assert_int_eq(env_read_file("/proc/self/status", 100, &text, &n), -EFBIG);

	ck_assert_int_eq(env_read_file(dir, 100, &text, &n), -EISDIR);
	ck_assert_int_eq(env_read_file(in_dir("none"), 100, &text, &n), -ENOENT);
	ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
	ck_assert_int_eq(env_read_file(in_dir("fifo"), 100, &text, &n), -EINVAL);
	ck_assert_int_eq(env_read_file("/dev/zero", 100, &text, &n), -EINVAL);
	drop_dir();
}
END_TEST

START_TEST(failed_write_leaves_nothing)
{
	char *text;
	size_t n;

	make_dir();
	ck_assert_int_eq(env_write_file(in_dir("no/f"), "x", 1, 0600), -ENOENT);
	ck_assert_int_eq(env_mkdir(in_dir("d"), 0700), 0);
	ck_assert_int_eq(env_mkdir(in_dir("d"), 0700), -EEXIST);
	ck_assert_int_eq(env_write_file(in_dir("d"), "x", 1, 0600), -EISDIR);       /* at the rename */
	ck_assert_int_eq(env_read_file(in_dir("d"), 10, &text, &n), -EISDIR);
	ck_assert_int_eq(rmdir(in_dir("d")), 0);
	ck_assert_int_eq(rmdir(dir), 0);       /* no temporary file is left */
}
END_TEST

START_TEST(descriptor_flags)
{
	int p[2], s[2], m = env_memfd("t", true), u = env_socket(AF_INET, SOCK_STREAM, 0);
	int on = 0;
	socklen_t len = sizeof(on);

	ck_assert_int_eq(env_pipe(p, O_NONBLOCK), 0);
	ck_assert_int_eq(env_socketpair(SOCK_SEQPACKET, s), 0);
	ck_assert_int_ge(m, 0);
	ck_assert_int_ge(u, 0);
	ck_assert_int_eq(fcntl(p[0], F_GETFD) & fcntl(s[0], F_GETFD) & fcntl(m, F_GETFD) &
			 fcntl(u, F_GETFD), FD_CLOEXEC);
	ck_assert_int_ne(fcntl(s[1], F_GETFL) & fcntl(u, F_GETFL) & fcntl(p[1], F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ge(fcntl(m, F_ADD_SEALS, F_SEAL_GROW), 0);
	ck_assert_int_eq(env_setsockopt_int(u, SOL_SOCKET, SO_REUSEADDR, 1), 0);
	ck_assert_int_eq(env_getsockopt(u, SOL_SOCKET, SO_REUSEADDR, &on, &len), 0);
	ck_assert_int_eq(on, 1);
	ck_assert_int_eq(env_so_error(u), 0);
	ck_assert_int_eq(env_recv(s[0], &on, 1, 0), -EAGAIN);
	ck_assert_int_eq(env_close(s[1]), 0);
	ck_assert_int_eq(env_recv(s[0], &on, 1, 0), 0);
	ck_assert_int_eq(env_send(s[0], "x", 1, 0), -EPIPE);       /* and no SIGPIPE */
	ck_assert_int_eq(env_close(s[0]), 0);
	ck_assert_int_eq(env_close(s[0]), -EBADF);
	ck_assert_int_eq(env_so_error(s[0]), -EBADF);
	env_close(p[0]);
	env_close(p[1]);
	env_close(m);
	env_close(u);
}
END_TEST

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 512; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

START_TEST(descriptors_travel)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_DGRAM, SOCK_STREAM };
	int before = open_fds();

	for (size_t t = 0; t < FL_ARRAY_LEN(types); t++) {
		int s[2], p[2], got[8], held;
		unsigned n = 8;
		char text[16];

		ck_assert_int_eq(env_socketpair(types[t], s), 0);
		ck_assert_int_eq(env_pipe(p, 0), 0);
		held = open_fds();
		ck_assert_int_eq(env_send_fds(s[0], "hi", 2, p, 2), 2);
		ck_assert_int_eq(env_recv_fds(s[1], text, sizeof(text), got, &n), 2);
		ck_assert_uint_eq(n, 2);
		ck_assert_int_eq(fcntl(got[0], F_GETFD), FD_CLOEXEC);
		ck_assert_int_eq(env_write(got[1], "z", 1), 1);       /* it is the pipe */
		ck_assert_int_eq(env_read(p[0], text, sizeof(text)), 1);
		env_close(got[0]);
		env_close(got[1]);

		n = 8;
		ck_assert_int_eq(env_send_fds(s[0], "plain", 5, NULL, 0), 5);
		ck_assert_int_eq(env_recv_fds(s[1], text, sizeof(text), got, &n), 5);
		ck_assert_uint_eq(n, 0);
		n = 1;       /* too little room: an error, and no descriptor leaks */
		ck_assert_int_eq(env_send_fds(s[0], "hi", 2, p, 2), 2);
		ck_assert_int_eq(env_recv_fds(s[1], text, sizeof(text), got, &n), -EMSGSIZE);
		ck_assert_uint_eq(n, 0);
		if (types[t] != SOCK_STREAM) {
			n = 8;
			ck_assert_int_eq(env_send_fds(s[0], "longer", 6, p, 2), 6);
			ck_assert_int_eq(env_recv_fds(s[1], text, 3, got, &n), -EMSGSIZE);
		}
		n = 8;
		ck_assert_int_eq(env_recv_fds(s[1], text, sizeof(text), got, &n), -EAGAIN);
		ck_assert_uint_eq(n, 0);
		ck_assert_int_eq(env_send_fds(s[0], "", 0, p, 1), -EINVAL);
		ck_assert_int_eq(env_send_fds(s[0], "x", 1, p, 254), -EINVAL);
		ck_assert_int_eq(open_fds(), held);
		env_close(s[0]);
		n = 8;
		if (types[t] != SOCK_DGRAM)
			ck_assert_int_eq(env_recv_fds(s[1], text, sizeof(text), got, &n), 0);
		env_close(s[1]);
		env_close(p[0]);
		env_close(p[1]);
	}
	ck_assert_int_eq(open_fds(), before);
}
END_TEST

START_TEST(many_descriptors)
{
	int s[2], out[253], in[253];
	unsigned n = 253;
	char c;

	ck_assert_int_eq(env_socketpair(SOCK_SEQPACKET, s), 0);
	for (int i = 0; i < 253; i++)
		out[i] = s[0];
	ck_assert_int_eq(env_send_fds(s[0], "x", 1, out, 253), 1);
	ck_assert_int_eq(env_recv_fds(s[1], &c, 1, in, &n), 1);
	ck_assert_uint_eq(n, 253);
	for (int i = 0; i < 253; i++)
		ck_assert_int_eq(env_close(in[i]), 0);
	env_close(s[0]);
	env_close(s[1]);
}
END_TEST

START_TEST(result_codes)
{
	ck_assert_str_eq(fl_err_name(0), "OK");
	ck_assert_str_eq(fl_err_name(FL_EAGAIN_), "AGAIN");
	ck_assert_str_eq(fl_err_name(FL_ERR__END - 1), "UNRESOLVED");
	ck_assert_str_eq(fl_err_name(-ECONNRESET), "ECONNRESET");
	ck_assert_str_eq(fl_err_name(-4000), "-4000");
	ck_assert_str_eq(fl_err_name(-9000), "-9000");
	ck_assert_str_eq(fl_err_text(FL_ENOMEM_), "memory limit reached");
	ck_assert_str_eq(fl_err_text(-ENOENT), strerror(ENOENT));
	ck_assert_str_eq(fl_err_text(FL_ERR__BASE), "unknown error");
	ck_assert_str_eq(fl_err_text(FL_ERR__END), "unknown error");
	ck_assert_str_eq(fl_err_text(INT32_MIN), "unknown error");
	ck_assert_str_eq(fl_err_text(5), "success");
	for (int e = FL_ERR__BASE + 1; e < FL_ERR__END; e++)
		ck_assert_uint_gt(strlen(fl_err_text(e)), 3);
}
END_TEST

START_TEST(bug_ends_the_process)
{
	int fd[2], status;
	char text[300];
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(env_pipe(fd, 0), 0);
	pid = fork();
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		dup2(fd[1], 2);
		ASSERT(1 == 1);
		ASSERT(1 + 1 == 3);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	n = env_read(fd[0], text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_ptr_nonnull(strstr(text, "test_env.c"));
	ck_assert_ptr_nonnull(strstr(text, "ASSERT(1 + 1 == 3)"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/env");

	UNIT_CASE(s, "time and random", time_and_random);
	UNIT_CASE(s, "memory", memory);
	UNIT_CASE(s, "whole files", whole_files);
	UNIT_CASE(s, "failed write leaves nothing", failed_write_leaves_nothing);
	UNIT_CASE(s, "descriptor flags", descriptor_flags);
	UNIT_CASE(s, "descriptors travel", descriptors_travel);
	UNIT_CASE(s, "many descriptors", many_descriptors);
	UNIT_CASE(s, "result codes", result_codes);
	UNIT_CASE(s, "a bug ends the process", bug_ends_the_process);
	return unit_run(s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver.c - run a fuzz target over stored inputs, without libFuzzer
 *
 * `fuzz_x` replays tests/fuzz/corpus/x/ (below $srcdir); `fuzz_x PATH...` replays these files and
 * folders. Each input is copied to a block of exactly its size, so that a read past its end is
 * seen by AddressSanitizer. Every input is also given cut short in the middle, which costs
 * nothing and finds the parser that trusts a terminator.
 *
 * Fails when there is no input: a corpus that went missing must not look like a pass.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static unsigned inputs_run;

static void run_bytes(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy) {
		perror("malloc");
		exit(2);
	}
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static int run_file(const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(size ? size : 1);
	int rc = -1;

	if (f && data && fread(data, 1, size, f) == size) {
		/* named before it runs: a crash then tells which input it was */
		if (getenv("FUZZ_VERBOSE"))
			fprintf(stderr, "input %s\n", path);
		run_bytes(data, size);
		run_bytes(data, size / 2);
		inputs_run++;
		rc = 0;
	} else {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	}
	free(data);
	if (f)
		fclose(f);
	return rc;
}

static int run_path(const char *path);

static int run_folder(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);
	int rc = 0;

	if (n < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char child[PATH_MAX];

		if (names[i]->d_name[0] != '.') {
			int len = snprintf(child, sizeof(child), "%s/%s", path, names[i]->d_name);

			if (len < 0 || (size_t)len >= sizeof(child) || run_path(child))
				rc = -1;
		}
		free(names[i]);
	}
	free(names);
	return rc;
}

static int run_path(const char *path)
{
	struct stat st;

	if (stat(path, &st)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	if (S_ISDIR(st.st_mode))
		return run_folder(path);
	return run_file(path, (size_t)st.st_size);
}

/* tests/fuzz/fuzz_x -> $srcdir/tests/fuzz/corpus/x */
static int own_corpus(const char *argv0, char *out, size_t size)
{
	const char *srcdir = getenv("srcdir");
	const char *base = strrchr(argv0, '/');
	int len;

	base = base ? base + 1 : argv0;
	if (strncmp(base, "fuzz_", 5) == 0)
		base += 5;
	len = snprintf(out, size, "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", base);
	return len > 0 && (size_t)len < size ? 0 : -1;
}

int main(int argc, char **argv)
{
	char corpus[PATH_MAX];
	int rc = 0;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	if (argc < 2) {
		if (own_corpus(argv[0], corpus, sizeof(corpus)) || run_path(corpus))
			rc = 1;
	}
	for (int i = 1; i < argc; i++)
		if (run_path(argv[i]))
			rc = 1;
	if (inputs_run == 0) {
		fprintf(stderr, "%s: no inputs\n", argv[0]);
		rc = 1;
	}
	printf("%s: %u inputs\n", argv[0], inputs_run);
	return rc;
}

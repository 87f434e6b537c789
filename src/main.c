/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the command fairlead
 *
 * Says which libraries and features the binary was built with (-V). Everything else is
 * refused until the processes that do it are in proc/.
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

static void print_version(void)
{
	char pcre[64] = "?";

	pcre2_config(PCRE2_CONFIG_VERSION, pcre);
	printf("%s\n", PACKAGE_STRING);
	printf("compiler: %s\n", FL_BUILD_CC);
	printf("flags: %s\n", FL_BUILD_CFLAGS);
	printf("libraries: %s; libev %d.%d; c-ares %s; PCRE2 %s; zlib %s\n",
	       OpenSSL_version(OPENSSL_VERSION), ev_version_major(), ev_version_minor(),
	       ares_version(NULL), pcre, zlibVersion());
}

int main(int argc, char **argv)
{
	if (argc == 2 && (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "-v") == 0)) {
		print_version();
		return 0;
	}
	fprintf(stderr, "usage: fairlead -V\n");
	return 1;
}

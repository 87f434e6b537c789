/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_kernel.c - does this kernel offer TLS on sockets (kTLS)? Shown by fairlead -V, not used
 *
 * Why it is not used: doc/decisions/004-data-path.md.
 */
#include "config.h"

#include "net/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/env.h"

bool tls_kernel_offers(void)
{
	int fd = env_socket(AF_INET, SOCK_STREAM, 0), err;

	if (fd < 0)
		return false;
	/* A socket that is not connected: "not connected" comes only when the protocol is known. */
	err = env_setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls"));
	env_close(fd);
	return err == 0 || err == -ENOTCONN;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container shares our kernel and often our machine-id, but not our "/". A private mount somewhere below is seen by nobody here: the
 * helper that looks at the images compares the current directory as well (prepare.c).
 */
#include "instance/origin.h"

#include <string.h>
#include <sys/stat.h>

#include "config/host_id.h"

#define ORIGIN_UNKNOWN "unknown" /* machine of a client that does not tell */

static bool origin_has_our_root(const Pwemu__V1__Origin *origin)
{
	static struct stat root;
	if (origin->root_device == 0 && origin->root_inode == 0)
		return true;
	if (root.st_ino == 0 && stat("/", &root) < 0)
		return true;
	return origin->root_device == root.st_dev && origin->root_inode == root.st_ino;
}

bool origin_is_elsewhere(const Pwemu__V1__Origin *origin)
{
	if (origin == NULL)
		return false;
	bool has_our_machine = origin->machine[0] == '\0' || strcmp(origin->machine, host_id()) == 0;
	return origin->remote || !has_our_machine || !origin_has_our_root(origin);
}

const char *origin_machine(const Pwemu__V1__Origin *origin)
{
	if (!origin_is_elsewhere(origin))
		return "";
	return origin->machine[0] != '\0' ? origin->machine : ORIGIN_UNKNOWN;
}

const char *origin_host(const Pwemu__V1__Origin *origin)
{
	if (!origin_is_elsewhere(origin))
		return "";
	return origin->host[0] != '\0' ? origin->host : ORIGIN_UNKNOWN;
}

int origin_check(const Pwemu__V1__Origin *origin, struct err *err)
{
	if (origin == NULL)
		return 0;
	if (strlen(origin->machine) >= HOST_ID_MAX || strspn(origin->machine, "0123456789abcdef") != strlen(origin->machine) ||
	    strlen(origin->host) >= HOST_NAME_LEN)
		return err_set(err, ERR_INVALID_ARGUMENT, "origin: a machine is 32 hexadecimal digits, a host name has less than %d bytes",
			       HOST_NAME_LEN);
	if (origin->remote || !origin_is_elsewhere(origin))
		return 0;
	err_set(err, ERR_FAILED_PRECONDITION,
		"the client is on another machine, or has another root, and does not say so: its paths mean nothing here");
	return err_reason(err, "client-elsewhere");
}

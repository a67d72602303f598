/* SPDX-License-Identifier: Apache-2.0 */
#include "client/origin.h"

#include <stdint.h>
#include <sys/stat.h>

#include "client/conn.h"
#include "config/host_id.h"

Pwemu__V1__Origin *origin_of(const struct conn *conn)
{
	static Pwemu__V1__Origin origin = PWEMU__V1__ORIGIN__INIT;
	struct stat st;
	origin.machine = (char *)(uintptr_t)host_id();
	origin.host = (char *)(uintptr_t)host_name();
	origin.remote = conn->is_elsewhere;
	if (stat("/", &st) == 0) {
		origin.root_device = st.st_dev;
		origin.root_inode = st.st_ino;
	}
	if (stat(".", &st) == 0) {
		origin.cwd_device = st.st_dev;
		origin.cwd_inode = st.st_ino;
	}
	return &origin;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What tells one machine from another, for both daemon and client. */
#pragma once

#define HOST_ID_MAX   33 /* with the NUL */
#define HOST_NAME_LEN 65

/* 32 hexadecimal digits made of /etc/machine-id, from which nobody can find that; where there is none, of the machine's name. The same at
 * every call and after a reboot. */
const char *host_id(void);
/* The machine's name. */
const char *host_name(void);

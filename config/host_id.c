/* SPDX-License-Identifier: Apache-2.0 */
#include "config/host_id.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/sha256.h"

#define HOST_ID_FILE "/etc/machine-id"
#define HOST_ID_APP  "pwemu.v1" /* another program's digits are other ones */

/* 32 digits and a newline. A container that has none of its own often has an empty file. */
static size_t host_id_read(char *text, size_t size)
{
	FILE *file = fopen(HOST_ID_FILE, "re");
	size_t len = file != NULL ? fread(text, 1, size, file) : 0;
	if (file != NULL)
		fclose(file);
	return len >= 32 ? 32 : 0;
}

static void host_id_make(char out[HOST_ID_MAX])
{
	char text[64], hex[SHA256_HEX];
	struct sha256 sha;
	size_t len = host_id_read(text, sizeof(text));
	sha256_init(&sha);
	sha256_add(&sha, HOST_ID_APP, sizeof(HOST_ID_APP));
	if (len > 0)
		sha256_add(&sha, text, len);
	else
		sha256_add(&sha, host_name(), strlen(host_name()));
	sha256_finish_hex(&sha, hex);
	snprintf(out, HOST_ID_MAX, "%.32s", hex);
}

const char *host_id(void)
{
	static char id[HOST_ID_MAX];
	if (id[0] == '\0')
		host_id_make(id);
	return id;
}

const char *host_name(void)
{
	static char name[HOST_NAME_LEN];
	if (name[0] == '\0' && gethostname(name, sizeof(name) - 1) < 0)
		snprintf(name, sizeof(name), "unknown");
	return name;
}

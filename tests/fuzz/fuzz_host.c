/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as the address of a daemon, as -H and the file of contexts have it. The token is never in what is shown. */
#include "client/host.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct host *host)
{
	if (host->shown == NULL || (host->kind == HOST_UNIX && host->path == NULL))
		abort();
	if (host->kind == HOST_TCP && (host->name == NULL || host->port == 0))
		abort();
	if (host->kind == HOST_TCP && host->token != NULL && strstr(host->shown, "token=…") == NULL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *url = malloc(size + 1);
	struct host host;
	struct err err = ERR_INIT;
	if (url == NULL)
		abort();
	if (size > 0)
		memcpy(url, data, size);
	url[size] = '\0';
	int rc = host_parse(url, &host, &err);
	fuzz_must_say(rc, &err);
	if (rc == 0) {
		check(&host);
		host_fini(&host);
	}
	host_hide(url);
	free(url);
	return 0;
}

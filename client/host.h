/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a daemon is: unix:PATH, /PATH, ssh://[USER@]HOST, or
 * tcp://HOST:PORT?ca=PIN&token=TOKEN[&cert=FILE&key=FILE&cafile=FILE&tls-server-name=NAME], as -H, $PWEMU_HOST and contexts have it. Values
 * may have %XX. The schemes are a table in host.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config/paths.h"
#include "wire/err.h"
#include "wire/tls.h"

#define HOST_CONNECT_MS 10000

enum host_kind { HOST_UNIX, HOST_TCP, HOST_SSH };

struct host {
	enum host_kind kind;
	char *url;     /* as it was written, with its secrets */
	char *shown;   /* the same without, for people */
	char *context; /* name of the context it is from; NULL: none */
	char *path;    /* HOST_UNIX */
	char *name;    /* HOST_TCP, and what follows; NULL where it is not said */
	uint16_t port;
	bool has_pin;
	uint8_t pin[TLS_PIN_BYTES];
	char *token, *cert, *key, *ca_file, *server_name;
};

int host_parse(const char *url, struct host *out, struct err *err) __attribute__((warn_unused_result));
void host_fini(struct host *host); /* may be called twice */

/* HOST_TCP: connects and does the handshake, running the base, within HOST_CONNECT_MS. The messages name host, port, reason and what to
 * do. link->bev is the caller's. */
int host_connect(const struct host *host, const char *module, struct event_base *base, struct tls_link *link, struct err *err)
	__attribute__((warn_unused_result));
/* The certificate that is pinned, in PEM, from the daemon itself; owned by the caller. NULL without a pin: no error then. */
int host_fetch_ca(const struct host *host, const char *module, char **pem, struct err *err) __attribute__((warn_unused_result));

/* Makes the token unreadable in a URL that stands in our arguments, where others could see it. */
void host_hide(const char *url);

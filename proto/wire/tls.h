/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as the wire sees it. OpenSSL is in a module, pwemu-tls.so, which is loaded for the first network address: a program without one
 * never maps it. A connection under TLS is a bufferevent that the module makes; io_tls.c moves its bytes.
 *
 * TLS 1.2 or newer, ALPN h2 required on both sides, no renegotiation, no compression, no resumption: what a certificate or a pin said
 * is looked at again on every connection. OpenSSL writes with write(2): the program has to ignore SIGPIPE.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/err.h"

#define TLS_VERSION     1 /* of struct tls_ops */
#define TLS_SYMBOL      "pwemu_tls"
#define TLS_PIN_BYTES   32 /* SHA-256 of a certificate's DER */
#define TLS_PACKAGE     "libssl3 and libevent-openssl-2.1-7"
#define TLS_REASON_CA   "wrong-ca"   /* the server's chain does not end in the pinned certificate */
#define TLS_REASON_NAME "wrong-name" /* its certificate is for another name */

struct bufferevent;
struct evbuffer;
struct event_base;
struct tls; /* one side's configuration; connections keep what they began with */

struct tls_server {
	const char *cert_file, *key_file; /* PEM; the certificate first, then its chain */
	const char *client_ca_file;       /* PEM; clients may show a certificate of one of these; NULL: none */
};

struct tls_client {
	const char *host;        /* name or address that is connected to */
	const char *server_name; /* the name that the certificate must have; NULL: host */
	const uint8_t *pin;      /* TLS_PIN_BYTES; NULL: none */
	const char *ca_file;     /* PEM, what is believed without a pin; NULL: the system's */
	const char *cert_file;   /* PEM, ours; NULL: none */
	const char *key_file;    /* NULL: in cert_file */
	bool takes_any;          /* nothing is checked: only to look at what is there */
};

/* What tls_ops.ensure() has made. */
enum { TLS_MADE_CA = 1, TLS_MADE_SERVER = 2 };

struct tls_ops {
	unsigned version;
	struct tls *(*server_new)(const struct tls_server *config, struct err *err);
	struct tls *(*client_new)(const struct tls_client *config, struct err *err);
	void (*free)(struct tls *tls); /* takes NULL */

	/* Of a server: the last certificate of its chain, which clients pin; when its own certificate ends (Unix time). */
	void (*pin)(const struct tls *tls, uint8_t out[TLS_PIN_BYTES]);
	int64_t (*not_after)(const struct tls *tls);

	/* Begins the handshake. The fd is the bufferevent's, which is freed with detach(). */
	struct bufferevent *(*attach)(struct tls *tls, struct event_base *base, int fd, struct err *err);
	void (*detach)(struct bufferevent *bev);
	/* After BEV_EVENT_CONNECTED: whether it is HTTP/2. */
	int (*opened)(struct bufferevent *bev, struct err *err);
	/* After BEV_EVENT_ERROR or _EOF before that: why. The message has neither host nor port. */
	void (*explain)(struct bufferevent *bev, struct err *err);
	/* Common name of the verified certificate of a client, owned by the caller; NULL: it has shown none. */
	char *(*subject)(struct bufferevent *bev);
	/* PEM of the certificate with this pin in what the server has shown, owned by the caller; NULL: there is none. */
	char *(*shown)(struct bufferevent *bev, const uint8_t pin[TLS_PIN_BYTES]);
	/* Takes from `from` what the socket takes now: the bufferevent itself writes from the loop only. Its own output must be empty, and
	 * what is left must be its output next. -1: broken. */
	int (*write)(struct bufferevent *bev, struct evbuffer *from);
	uint64_t (*written)(struct bufferevent *bev); /* bytes the kernel has taken */
	void (*end_output)(struct bufferevent *bev);

	/*
	 * Sees to it that `dir` (private to us) has ca.pem, ca.key, server.pem and server.key: a CA of our own, for ten years, and a
	 * certificate for these host names and addresses, for one. What is there and good for another month stays.
	 */
	int (*ensure)(const char *dir, const char *const *names, size_t count, unsigned *made, struct err *err);
};

/* A connection under TLS, to be handed to a session; `bev` as tls_ops.attach() gave it. */
struct tls_link {
	const struct tls_ops *ops;
	struct bufferevent *bev;
	bool is_open; /* the handshake is done */
};

/* Loads the module, once. FAILED_PRECONDITION names the package that is missing. */
int tls_load(const char *module, const struct tls_ops **out, struct err *err) __attribute__((warn_unused_result));

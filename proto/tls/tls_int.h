/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of the module. */
#pragma once

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "wire/tls.h"

#define TLS_CA_PREFIX "pwemu CA " /* how the name begins of a CA that ensure() has made */

struct tls {
	SSL_CTX *ctx;
	bool is_server;
	uint8_t pin[TLS_PIN_BYTES]; /* server: what it shows; client: what it wants */
	bool has_pin;
	char *name; /* client: that the certificate must have */
	bool takes_any;
};

/* Text of OpenSSL's newest error, of which the queue is emptied. */
const char *tls_reason(void);
/* Sets INVALID_ARGUMENT, with that text behind. Returns -1. */
int tls_fail(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tls_pin_of(const X509 *cert, uint8_t pin[TLS_PIN_BYTES]);
bool tls_is_address(const char *name);
/* Whether a certificate is for this name or address. */
bool tls_fits(X509 *cert, const char *name);
/* Common name of its subject, owned by the caller; NULL where there is not exactly one. */
char *tls_common_name(const X509 *cert);

int tls_ensure(const char *dir, const char *const *names, size_t count, unsigned *made, struct err *err);
struct tls *tls_server_new(const struct tls_server *config, struct err *err);
struct tls *tls_client_new(const struct tls_client *config, struct err *err);
void tls_free(struct tls *tls);

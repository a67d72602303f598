/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations: what a server shows, and what a client believes. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls/tls_int.h"
#include "wire/mem.h"

/* RFC 9113 forbids the others with TLS 1.2. */
#define TLS_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

/* What the system said, where it did, tells more than what OpenSSL made of it. */
const char *tls_reason(void)
{
	const char *text = NULL, *system = NULL;
	for (unsigned long code; (code = ERR_get_error()) != 0;) {
		if (ERR_SYSTEM_ERROR(code))
			system = strerror(ERR_GET_REASON(code));
		else
			text = ERR_reason_error_string(code);
	}
	return system != NULL ? system : text != NULL ? text : "no reason is known";
}

int tls_fail(struct err *err, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(err, ERR_INVALID_ARGUMENT, "%s: %s", text, tls_reason());
}

void tls_pin_of(const X509 *cert, uint8_t pin[TLS_PIN_BYTES])
{
	unsigned len = 0;
	if (X509_digest(cert, EVP_sha256(), pin, &len) != 1 || len != TLS_PIN_BYTES)
		abort(); /* out of memory */
}

bool tls_is_address(const char *name)
{
	struct in6_addr addr;
	return inet_pton(AF_INET, name, &addr) == 1 || inet_pton(AF_INET6, name, &addr) == 1;
}

bool tls_fits(X509 *cert, const char *name)
{
	return tls_is_address(name) ? X509_check_ip_asc(cert, name, 0) == 1 : X509_check_host(cert, name, 0, 0, NULL) == 1;
}

char *tls_common_name(const X509 *cert)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return NULL;
	unsigned char *utf8 = NULL;
	int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	/* a NUL inside would make it another name for us than for who signed it */
	char *name = len > 0 && strlen((char *)utf8) == (size_t)len ? xstrdup((char *)utf8) : NULL;
	OPENSSL_free(utf8);
	return name;
}

/* ---------------------------------------------------------------- both sides */

static SSL_CTX *context_new(bool is_server, struct err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 || SSL_CTX_set_cipher_list(ctx, TLS_CIPHERS) != 1) {
		tls_fail(err, "make a TLS configuration");
		SSL_CTX_free(ctx);
		return NULL;
	}
	/* HTTP/2 and gRPC tell by themselves what is whole, so a connection that just ends is an end like any other. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* 34 KiB for each idle connection */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	return ctx;
}

static int context_use(SSL_CTX *ctx, const char *cert, const char *key, struct err *err)
{
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		return tls_fail(err, "read the certificate \"%s\"", cert);
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return tls_fail(err, "read the key \"%s\" of certificate \"%s\"", key, cert);
	return 0;
}

void tls_free(struct tls *tls)
{
	if (tls == NULL)
		return;
	SSL_CTX_free(tls->ctx); /* connections have their own reference */
	free(tls->name);
	free(tls);
}

/* ---------------------------------------------------------------- server */

static int server_choose(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char ours[] = "\x02h2";
	(void)ssl;
	(void)arg;
	return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, sizeof(ours) - 1, in, in_len) ==
			       OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int server_ask_clients(SSL_CTX *ctx, const char *ca_file, struct err *err)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca_file);
	if (names == NULL || SSL_CTX_load_verify_locations(ctx, ca_file, NULL) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return tls_fail(err, "read the CA of clients \"%s\"", ca_file);
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"pwemu", 5);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL); /* one without a certificate has a token */
	return 0;
}

/* What clients pin: the end of what is shown. */
static void server_note_pin(struct tls *tls)
{
	STACK_OF(X509) *chain = NULL;
	SSL_CTX_get0_chain_certs(tls->ctx, &chain);
	int count = chain != NULL ? sk_X509_num(chain) : 0;
	tls_pin_of(count > 0 ? sk_X509_value(chain, count - 1) : SSL_CTX_get0_certificate(tls->ctx), tls->pin);
	tls->has_pin = true;
}

struct tls *tls_server_new(const struct tls_server *config, struct err *err)
{
	struct tls *tls = xcalloc(1, sizeof(*tls));
	tls->is_server = true;
	tls->ctx = context_new(true, err);
	if (tls->ctx == NULL || context_use(tls->ctx, config->cert_file, config->key_file, err) < 0 ||
	    (config->client_ca_file != NULL && server_ask_clients(tls->ctx, config->client_ca_file, err) < 0)) {
		tls_free(tls);
		return NULL;
	}
	SSL_CTX_set_alpn_select_cb(tls->ctx, server_choose, NULL);
	server_note_pin(tls);
	return tls;
}

/* ---------------------------------------------------------------- client */

static X509 *client_find(X509_STORE_CTX *store, const uint8_t pin[TLS_PIN_BYTES])
{
	STACK_OF(X509) *shown = X509_STORE_CTX_get0_untrusted(store);
	for (int i = 0; shown != NULL && i < sk_X509_num(shown); i++) {
		uint8_t its[TLS_PIN_BYTES];
		tls_pin_of(sk_X509_value(shown, i), its);
		if (memcmp(its, pin, TLS_PIN_BYTES) == 0)
			return sk_X509_value(shown, i);
	}
	return NULL;
}

static bool client_is_private_ca(const X509 *ca)
{
	char *name = tls_common_name(ca);
	bool is_private = name != NULL && strncmp(name, TLS_CA_PREFIX, strlen(TLS_CA_PREFIX)) == 0;
	free(name);
	return is_private;
}

/*
 * A CA that a daemon has made for itself signs nothing but that daemon's certificates, so the pin alone tells that it is this daemon;
 * and addresses come and go (DHCP, port forwarding, NAT) that its certificate cannot know. For a name, or a CA of somebody else's, which
 * has signed for others too, the certificate has to fit.
 */
static bool client_name_fits(const struct tls *tls, X509 *leaf, const X509 *pinned)
{
	if (pinned != NULL && tls_is_address(tls->name) && client_is_private_ca(pinned))
		return true;
	return tls_fits(leaf, tls->name);
}

static int client_verify(X509_STORE_CTX *store, void *arg)
{
	const struct tls *tls = arg;
	X509 *pinned = NULL;
	STACK_OF(X509) *trusted = NULL;
	if (tls->takes_any)
		return 1;
	if (tls->has_pin) {
		pinned = client_find(store, tls->pin);
		if (pinned == NULL) {
			X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
			return 0;
		}
		trusted = sk_X509_new_null();
		if (trusted == NULL || sk_X509_push(trusted, pinned) <= 0)
			abort(); /* out of memory */
		X509_STORE_CTX_set0_trusted_stack(store, trusted);
		X509_STORE_CTX_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN); /* the end of what is shown need not be a root */
	}
	int rv = X509_verify_cert(store);
	if (rv == 1 && !client_name_fits(tls, X509_STORE_CTX_get0_cert(store), pinned)) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
		rv = 0;
	}
	sk_X509_free(trusted);
	return rv;
}

static int client_believe(struct tls *tls, const struct tls_client *config, struct err *err)
{
	if (config->pin != NULL) {
		memcpy(tls->pin, config->pin, TLS_PIN_BYTES);
		tls->has_pin = true;
	} else if (config->ca_file != NULL) {
		if (SSL_CTX_load_verify_locations(tls->ctx, config->ca_file, NULL) != 1)
			return tls_fail(err, "read the CA \"%s\"", config->ca_file);
	} else {
		SSL_CTX_set_default_verify_paths(tls->ctx);
	}
	SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(tls->ctx, client_verify, tls);
	return 0;
}

struct tls *tls_client_new(const struct tls_client *config, struct err *err)
{
	static const unsigned char protocols[] = "\x02h2";
	struct tls *tls = xcalloc(1, sizeof(*tls));
	tls->name = xstrdup(config->server_name != NULL ? config->server_name : config->host);
	tls->takes_any = config->takes_any;
	tls->ctx = context_new(false, err);
	if (tls->ctx == NULL || client_believe(tls, config, err) < 0 ||
	    (config->cert_file != NULL &&
	     context_use(tls->ctx, config->cert_file, config->key_file != NULL ? config->key_file : config->cert_file, err) < 0)) {
		tls_free(tls);
		return NULL;
	}
	SSL_CTX_set_alpn_protos(tls->ctx, protocols, sizeof(protocols) - 1);
	return tls;
}

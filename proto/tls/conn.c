/* SPDX-License-Identifier: Apache-2.0 */
/* Connections, and the table that is all the programs see of this module. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls/tls_int.h"
#include "wire/mem.h"

#define CONN_READ_MAX (64 << 10)
#define CONN_RECORD   (16 << 10) /* the most that one record of TLS holds */

static SSL *conn_ssl(struct bufferevent *bev)
{
	return bufferevent_openssl_get_ssl(bev);
}

static struct bufferevent *conn_attach(struct tls *tls, struct event_base *base, int fd, struct err *err)
{
	SSL *ssl = SSL_new(tls->ctx);
	enum bufferevent_ssl_state state = tls->is_server ? BUFFEREVENT_SSL_ACCEPTING : BUFFEREVENT_SSL_CONNECTING;
	if (ssl != NULL && !tls->is_server && !tls_is_address(tls->name))
		SSL_set_tlsext_host_name(ssl, tls->name);
	/* freed later than bufferevent_free(), which may be called while libevent is at work on it */
	struct bufferevent *bev = ssl != NULL ? bufferevent_openssl_socket_new(base, fd, ssl, state, BEV_OPT_CLOSE_ON_FREE) : NULL;
	if (bev == NULL) {
		SSL_free(ssl);
		close(fd);
		tls_fail(err, "begin TLS");
		return NULL;
	}
	bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	bufferevent_set_max_single_read(bev, CONN_RECORD); /* room for it is kept by idle ones, too */
	bufferevent_setwatermark(bev, EV_READ, 0, CONN_READ_MAX);
	return bev;
}

/* So that the other end does not take it for a cut; whether the alert leaves does not matter. */
static void conn_say_end(SSL *ssl)
{
	if (SSL_is_init_finished(ssl))
		(void)SSL_shutdown(ssl);
	ERR_clear_error();
}

static void conn_detach(struct bufferevent *bev)
{
	bufferevent_setcb(bev, NULL, NULL, NULL, NULL);
	conn_say_end(conn_ssl(bev));
	bufferevent_disable(bev, EV_READ | EV_WRITE);
	bufferevent_free(bev);
}

static void conn_end_output(struct bufferevent *bev)
{
	conn_say_end(conn_ssl(bev));
	shutdown(bufferevent_getfd(bev), SHUT_WR);
}

static int conn_opened(struct bufferevent *bev, struct err *err)
{
	const unsigned char *protocol;
	unsigned len;
	SSL_get0_alpn_selected(conn_ssl(bev), &protocol, &len);
	return len == 2 && memcmp(protocol, "h2", 2) == 0 ? 0
							  : err_set(err, ERR_UNAVAILABLE, "the other end does not speak HTTP/2 (ALPN h2)");
}

static int explain_certificate(long result, struct err *err)
{
	if (result == X509_V_ERR_HOSTNAME_MISMATCH) {
		err_set(err, ERR_UNAUTHENTICATED, "the server's certificate is for another host name");
		return err_reason(err, TLS_REASON_NAME);
	}
	if (result == X509_V_ERR_CERT_HAS_EXPIRED || result == X509_V_ERR_CERT_NOT_YET_VALID)
		return err_set(err, ERR_UNAUTHENTICATED, "the server's certificate: %s", X509_verify_cert_error_string(result));
	if (result == X509_V_ERR_APPLICATION_VERIFICATION)
		err_set(err, ERR_UNAUTHENTICATED, "the server's CA is another one than expected");
	else
		err_set(err, ERR_UNAUTHENTICATED, "the server's certificate is not from the CA expected: %s",
			X509_verify_cert_error_string(result));
	return err_reason(err, TLS_REASON_CA);
}

static void conn_explain(struct bufferevent *bev, struct err *err)
{
	long result = SSL_get_verify_result(conn_ssl(bev));
	unsigned long code = bufferevent_get_openssl_error(bev);
	if (!SSL_is_server(conn_ssl(bev)) && result != X509_V_OK)
		explain_certificate(result, err);
	else if (code != 0)
		err_set(err, ERR_UNAVAILABLE, "the TLS handshake failed: %s", ERR_reason_error_string(code));
	else
		err_set(err, ERR_UNAVAILABLE, "the other end closed the connection during the TLS handshake");
}

static char *conn_subject(struct bufferevent *bev)
{
	X509 *cert = SSL_get_verify_result(conn_ssl(bev)) == X509_V_OK ? SSL_get_peer_certificate(conn_ssl(bev)) : NULL;
	char *name = cert != NULL ? tls_common_name(cert) : NULL;
	X509_free(cert);
	return name;
}

static char *conn_pem(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	long len = bio != NULL && PEM_write_bio_X509(bio, cert) == 1 ? BIO_get_mem_data(bio, &data) : 0;
	char *pem = len > 0 ? xasprintf("%.*s", (int)len, data) : NULL;
	BIO_free(bio);
	return pem;
}

static char *conn_shown(struct bufferevent *bev, const uint8_t pin[TLS_PIN_BYTES])
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(conn_ssl(bev));
	for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++) {
		uint8_t its[TLS_PIN_BYTES];
		tls_pin_of(sk_X509_value(chain, i), its);
		if (memcmp(its, pin, TLS_PIN_BYTES) == 0)
			return conn_pem(sk_X509_value(chain, i));
	}
	return NULL;
}

/* Whole records: the head of a frame and what follows it are apart in the buffer. */
static int conn_write(struct bufferevent *bev, struct evbuffer *from)
{
	SSL *ssl = conn_ssl(bev);
	size_t len;
	while ((len = evbuffer_get_length(from)) > 0) {
		size_t size = len < CONN_RECORD ? len : CONN_RECORD;
		const unsigned char *data = evbuffer_pullup(from, (ev_ssize_t)size);
		if (data == NULL)
			abort(); /* out of memory */
		ERR_clear_error();
		int n = SSL_write(ssl, data, (int)size);
		if (n <= 0) {
			int why = SSL_get_error(ssl, n);
			ERR_clear_error();
			return why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ ? 0 : -1;
		}
		evbuffer_drain(from, (size_t)n);
	}
	return 0;
}

static uint64_t conn_written(struct bufferevent *bev)
{
	return BIO_number_written(SSL_get_wbio(conn_ssl(bev)));
}

static void context_pin(const struct tls *tls, uint8_t out[TLS_PIN_BYTES])
{
	memcpy(out, tls->pin, TLS_PIN_BYTES);
}

static int64_t context_not_after(const struct tls *tls)
{
	struct tm tm = { 0 };
	return ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(tls->ctx)), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

extern const struct tls_ops pwemu_tls;
const struct tls_ops pwemu_tls __attribute__((visibility("default"))) = {
	.version = TLS_VERSION,
	.server_new = tls_server_new,
	.client_new = tls_client_new,
	.free = tls_free,
	.pin = context_pin,
	.not_after = context_not_after,
	.attach = conn_attach,
	.detach = conn_detach,
	.opened = conn_opened,
	.explain = conn_explain,
	.subject = conn_subject,
	.shown = conn_shown,
	.write = conn_write,
	.written = conn_written,
	.end_output = conn_end_output,
	.ensure = tls_ensure,
};

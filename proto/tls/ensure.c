/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CA of one daemon's own and the certificate that it signs, so that nobody has to know about certificates. Keys are P-256. A key is
 * written before its certificate and both by rename, so what a crash leaves is a pair that does not fit, and is made again.
 */
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>

#include "tls/tls_int.h"
#include "wire/mem.h"

#define DAY         ((time_t)24 * 3600)
#define CA_DAYS     3653
#define SERVER_DAYS 366
#define MARGIN_DAYS 30 /* before its end a certificate is made again */
#define BACK_DAYS   1  /* clocks of clients may be behind */

struct pair {
	X509 *cert;
	EVP_PKEY *key;
};

static void pair_fini(struct pair *pair)
{
	X509_free(pair->cert);
	EVP_PKEY_free(pair->key);
	*pair = (struct pair){ NULL, NULL };
}

/* ---------------------------------------------------------------- files */

static bool pair_load(struct pair *pair, const char *cert, const char *key)
{
	FILE *file = fopen(cert, "re");
	pair->cert = file != NULL ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
	if (file != NULL)
		fclose(file);
	file = fopen(key, "re");
	pair->key = file != NULL ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
	if (file != NULL)
		fclose(file);
	bool is_good = pair->cert != NULL && pair->key != NULL && X509_check_private_key(pair->cert, pair->key) == 1;
	ERR_clear_error();
	if (!is_good)
		pair_fini(pair);
	return is_good;
}

static bool file_write(const char *path, const struct pair *pair, bool is_key, X509 *issuer)
{
	char *temp = xasprintf("%s.new", path);
	(void)unlink(temp);
	int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, is_key ? 0600 : 0644);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
	bool is_good = file != NULL;
	if (is_good && is_key)
		is_good = PEM_write_PrivateKey(file, pair->key, NULL, NULL, 0, NULL, NULL) == 1;
	else if (is_good)
		is_good = PEM_write_X509(file, pair->cert) == 1 && (issuer == NULL || PEM_write_X509(file, issuer) == 1);
	if (is_good)
		is_good = fflush(file) == 0 && fsync(fd) == 0;
	if (file != NULL && fclose(file) != 0)
		is_good = false;
	if (is_good)
		is_good = rename(temp, path) == 0;
	free(temp);
	return is_good;
}

static int pair_store(const struct pair *pair, const char *cert, const char *key, X509 *issuer, struct err *err)
{
	if (!file_write(key, pair, true, NULL))
		return err_sys(err, errno, "write \"%s\"", key);
	return file_write(cert, pair, false, issuer) ? 0 : err_sys(err, errno, "write \"%s\"", cert);
}

/* ---------------------------------------------------------------- making */

static bool cert_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool is_good = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return is_good;
}

static bool cert_begin(struct pair *pair, const char *name, int days)
{
	BIGNUM *serial = BN_new();
	time_t now = time(NULL);
	pair->key = EVP_EC_gen("P-256");
	pair->cert = X509_new();
	bool is_good = serial != NULL && pair->key != NULL && pair->cert != NULL &&
		       BN_rand(serial, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
		       BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(pair->cert)) != NULL && X509_set_version(pair->cert, 2) == 1 &&
		       ASN1_TIME_set(X509_getm_notBefore(pair->cert), now - BACK_DAYS * DAY) != NULL &&
		       ASN1_TIME_set(X509_getm_notAfter(pair->cert), now + days * DAY) != NULL &&
		       X509_set_pubkey(pair->cert, pair->key) == 1 &&
		       X509_NAME_add_entry_by_txt(X509_get_subject_name(pair->cert), "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
						  -1, 0) == 1;
	BN_free(serial);
	return is_good;
}

static bool cert_sign(X509 *cert, X509 *issuer, EVP_PKEY *key)
{
	return X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
	       cert_extend(cert, issuer, NID_subject_key_identifier, "hash") &&
	       cert_extend(cert, issuer, NID_authority_key_identifier, issuer == cert ? "keyid:always" : "keyid") &&
	       X509_sign(cert, key, EVP_sha256()) > 0;
}

static bool ca_make(struct pair *ca, const char *host)
{
	unsigned char random[4];
	if (RAND_bytes(random, sizeof(random)) != 1)
		return false;
	char *name = xasprintf(TLS_CA_PREFIX "%.32s %02x%02x%02x%02x", host, random[0], random[1], random[2], random[3]);
	bool is_good =
		cert_begin(ca, name, CA_DAYS) && cert_extend(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		cert_extend(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign,cRLSign") && cert_sign(ca->cert, ca->cert, ca->key);
	free(name);
	return is_good;
}

static GENERAL_NAME *name_make(const char *name)
{
	GENERAL_NAME *general = GENERAL_NAME_new();
	ASN1_STRING *value = tls_is_address(name) ? (ASN1_STRING *)a2i_IPADDRESS(name) : (ASN1_STRING *)ASN1_IA5STRING_new();
	if (general == NULL || value == NULL || (!tls_is_address(name) && ASN1_STRING_set(value, name, -1) != 1)) {
		GENERAL_NAME_free(general);
		ASN1_STRING_free(value);
		return NULL;
	}
	GENERAL_NAME_set0_value(general, tls_is_address(name) ? GEN_IPADD : GEN_DNS, value);
	return general;
}

static bool cert_name_hosts(X509 *cert, const char *const *names, size_t count)
{
	GENERAL_NAMES *list = GENERAL_NAMES_new();
	bool is_good = list != NULL;
	for (size_t i = 0; is_good && i < count; i++) {
		GENERAL_NAME *name = name_make(names[i]);
		is_good = name != NULL && sk_GENERAL_NAME_push(list, name) > 0;
	}
	is_good = is_good && X509_add1_ext_i2d(cert, NID_subject_alt_name, list, 0, 0) == 1;
	GENERAL_NAMES_free(list);
	return is_good;
}

static bool server_make(struct pair *server, const struct pair *ca, const char *const *names, size_t count)
{
	return cert_begin(server, "pwemud", SERVER_DAYS) &&
	       cert_extend(server->cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
	       cert_extend(server->cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
	       cert_extend(server->cert, ca->cert, NID_ext_key_usage, "serverAuth") && cert_name_hosts(server->cert, names, count) &&
	       cert_sign(server->cert, ca->cert, ca->key);
}

/* ---------------------------------------------------------------- what is there */

static bool cert_lasts(const X509 *cert)
{
	time_t then = time(NULL) + MARGIN_DAYS * DAY;
	return X509_cmp_time(X509_get0_notAfter(cert), &then) > 0;
}

static bool server_is_good(const struct pair *server, const struct pair *ca, const char *const *names, size_t count)
{
	if (!cert_lasts(server->cert) || X509_verify(server->cert, ca->key) != 1)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!tls_fits(server->cert, names[i]))
			return false;
	return true;
}

static int ensure_ca(struct pair *ca, const char *cert, const char *key, const char *host, unsigned *made, struct err *err)
{
	if (pair_load(ca, cert, key) && cert_lasts(ca->cert))
		return 0;
	pair_fini(ca);
	if (!ca_make(ca, host))
		return tls_fail(err, "make a CA \"%s\"", cert);
	*made |= TLS_MADE_CA;
	return pair_store(ca, cert, key, NULL, err);
}

static int ensure_server(const struct pair *ca, const char *cert, const char *key, const char *const *names, size_t count, unsigned *made,
			 struct err *err)
{
	struct pair server = { NULL, NULL };
	int rc = 0;
	if (!pair_load(&server, cert, key) || !server_is_good(&server, ca, names, count)) {
		pair_fini(&server);
		*made |= TLS_MADE_SERVER;
		rc = server_make(&server, ca, names, count) ? pair_store(&server, cert, key, ca->cert, err)
							    : tls_fail(err, "make a certificate \"%s\"", cert);
	}
	ERR_clear_error();
	pair_fini(&server);
	return rc;
}

int tls_ensure(const char *dir, const char *const *names, size_t count, unsigned *made, struct err *err)
{
	static const char *const files[] = { "ca.pem", "ca.key", "server.pem", "server.key" };
	struct pair ca = { NULL, NULL };
	char *paths[4];
	for (size_t i = 0; i < 4; i++)
		paths[i] = xasprintf("%s/%s", dir, files[i]);
	*made = 0;
	int rc = mkdir(dir, 0700) < 0 && errno != EEXIST ? err_sys(err, errno, "make directory \"%s\"", dir) : 0;
	if (rc == 0)
		rc = ensure_ca(&ca, paths[0], paths[1], count > 0 ? names[0] : "host", made, err);
	if (rc == 0)
		rc = ensure_server(&ca, paths[2], paths[3], names, count, made, err);
	pair_fini(&ca);
	for (size_t i = 0; i < 4; i++)
		free(paths[i]);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/host.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/clock.h"
#include "client/ssh.h"
#include "config/nearest.h"
#include "wire/addr.h"
#include "wire/base64.h"
#include "wire/mem.h"

#define NAME_MAX_BYTES 256

/* ---------------------------------------------------------------- what may follow the port */

struct host_key {
	const char *name;
	size_t offset; /* of the text in struct host */
	bool is_secret;
};

static const struct host_key host_keys[] = {
	{ "ca", 0, false }, /* not a text: the pin */
	{ "token", offsetof(struct host, token), true },
	{ "cert", offsetof(struct host, cert), false },
	{ "key", offsetof(struct host, key), false },
	{ "cafile", offsetof(struct host, ca_file), false },
	{ "tls-server-name", offsetof(struct host, server_name), false },
};
#define HOST_KEYS (sizeof(host_keys) / sizeof(host_keys[0]))

static const struct host_key *key_find(const char *name, struct err *err)
{
	const char *names[HOST_KEYS];
	char hint[256];
	for (size_t i = 0; i < HOST_KEYS; i++) {
		names[i] = host_keys[i].name;
		if (strcmp(name, names[i]) == 0)
			return &host_keys[i];
	}
	if (strcmp(name, "tls") == 0)
		err_set(err, ERR_INVALID_ARGUMENT, "tls=: it is always TLS; daemons do not serve plain TCP");
	else
		err_set(err, ERR_INVALID_ARGUMENT, "unknown '%s='%s", name,
			nearest_hint_or_all(name, names, HOST_KEYS, hint, sizeof(hint)));
	return NULL;
}

static int hex_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place. */
static int percent_undo(char *text)
{
	char *to = text;
	for (; *text != '\0'; text++) {
		if (*text != '%') {
			*to++ = *text;
			continue;
		}
		int high = hex_of(text[1]), low = high >= 0 ? hex_of(text[2]) : -1;
		if (low < 0 || high + low == 0)
			return -1;
		*to++ = (char)(high << 4 | low);
		text += 2;
	}
	*to = '\0';
	return 0;
}

/* 43 characters of base64url, or 64 hex digits with or without colons as openssl prints them. */
static int pin_read(const char *text, uint8_t pin[TLS_PIN_BYTES])
{
	if (base64url_decode(text, pin, TLS_PIN_BYTES) == 0)
		return 0;
	size_t used = 0;
	for (; used < TLS_PIN_BYTES && hex_of(text[0]) >= 0 && hex_of(text[1]) >= 0; text += 2 + (text[2] == ':'))
		pin[used++] = (uint8_t)(hex_of(text[0]) << 4 | hex_of(text[1]));
	return used == TLS_PIN_BYTES && *text == '\0' ? 0 : -1;
}

static int key_set(struct host *host, const struct host_key *key, char *value, struct err *err)
{
	if (percent_undo(value) < 0 || value[0] == '\0')
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s=': %s", key->name,
			       value[0] == '\0' ? "nothing follows" : "%XX is malformed");
	if (key->offset == 0) {
		if (pin_read(value, host->pin) < 0)
			return err_set(
				err, ERR_INVALID_ARGUMENT,
				"'ca=' is the SHA-256 of a certificate, 43 characters of base64url or 64 hex digits, as `pwemu token add` "
				"prints it; for a file write cafile=");
		host->has_pin = true;
		return 0;
	}
	char **member = (char **)(void *)((char *)host + key->offset);
	free(*member);
	*member = xstrdup(value);
	return 0;
}

/* "&" or "?" before each, and no secret behind it. */
static void shown_add(struct host *host, const struct host_key *key, const char *value)
{
	char *longer =
		xasprintf("%s%c%s=%s", host->shown, strchr(host->shown, '?') != NULL ? '&' : '?', key->name, key->is_secret ? "…" : value);
	free(host->shown);
	host->shown = longer;
}

static int keys_read(struct host *host, char *query, struct err *err)
{
	for (char *part; (part = strsep(&query, "&")) != NULL;) {
		char *value = strchr(part, '=');
		if (value != NULL)
			*value++ = '\0';
		const struct host_key *key = key_find(part, err);
		if (key == NULL)
			return -1;
		if (value == NULL)
			return err_set(err, ERR_INVALID_ARGUMENT, "'%s': write %s=VALUE", part, part);
		shown_add(host, key, value);
		if (key_set(host, key, value, err) < 0)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- schemes */

static int parse_tcp(struct host *host, const char *rest, struct err *err)
{
	char name[NAME_MAX_BYTES], *copy = xstrdup(rest), *query = strchr(copy, '?');
	if (query != NULL)
		*query++ = '\0';
	size_t len = strlen(copy);
	if (len > 0 && copy[len - 1] == '/')
		copy[len - 1] = '\0';
	host->kind = HOST_TCP;
	free(host->shown);
	host->shown = xasprintf("tcp://%s", copy);
	int rc = addr_split(copy, name, sizeof(name), &host->port, err);
	if (rc == 0 && host->port == 0)
		rc = err_set(err, ERR_INVALID_ARGUMENT, "port 0: nobody can be reached there");
	if (rc == 0) {
		host->name = xstrdup(name);
		rc = query != NULL ? keys_read(host, query, err) : 0;
	}
	if (rc == 0 && host->key != NULL && host->cert == NULL)
		rc = err_set(err, ERR_INVALID_ARGUMENT, "key= belongs to cert=");
	explicit_bzero(copy, strlen(rest));
	free(copy);
	return rc;
}

static int parse_unix(struct host *host, const char *rest, struct err *err)
{
	host->kind = HOST_UNIX;
	if (rest[0] != '/')
		return err_set(err, ERR_INVALID_ARGUMENT, "write unix:/path/of/control.sock, ssh://[user@]host or tcp://HOST:PORT");
	if (strlen(rest) >= PATHS_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "path of the control socket: longer than %d bytes", PATHS_MAX - 1);
	host->path = xstrdup(rest);
	return 0;
}

static int parse_ssh(struct host *host, const char *rest, struct err *err)
{
	(void)rest;
	host->kind = HOST_SSH;
	return ssh_check(host->url, err);
}

static const struct {
	const char *prefix;
	int (*parse)(struct host *host, const char *rest, struct err *err); /* `rest` follows the prefix */
} schemes[] = {
	{ "tcp://", parse_tcp },
	{ "ssh://", parse_ssh },
	{ "unix:", parse_unix },
	{ "", parse_unix },
};

int host_parse(const char *url, struct host *out, struct err *err)
{
	size_t i = 0;
	*out = (struct host){ .url = xstrdup(url), .shown = xstrdup(url) };
	while (strncmp(url, schemes[i].prefix, strlen(schemes[i].prefix)) != 0)
		i++;
	if (schemes[i].parse(out, url + strlen(schemes[i].prefix), err) == 0)
		return 0;
	err_prefix(err, "host '%s'", out->shown);
	host_fini(out);
	return -1;
}

static void secret_free(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

void host_fini(struct host *host)
{
	secret_free(host->url);
	secret_free(host->token);
	free(host->shown);
	free(host->context);
	free(host->path);
	free(host->name);
	free(host->cert);
	free(host->key);
	free(host->ca_file);
	free(host->server_name);
	*host = (struct host){ .kind = HOST_UNIX };
}

void host_hide(const char *url)
{
	char *token = strstr((char *)(uintptr_t)url, "token=");
	if (token == NULL)
		return;
	for (token += strlen("token="); *token != '\0' && *token != '&'; token++)
		*token = 'x';
}

/* ---------------------------------------------------------------- connecting */

struct handshake {
	struct event_base *base;
	bool is_over, is_open;
};

static void handshake_on_event(struct bufferevent *bev, short what, void *ctx)
{
	struct handshake *handshake = ctx;
	(void)bev;
	handshake->is_over = true;
	handshake->is_open = (what & BEV_EVENT_CONNECTED) != 0;
	event_base_loopbreak(handshake->base);
}

static void handshake_on_time(evutil_socket_t fd, short what, void *ctx)
{
	struct handshake *handshake = ctx;
	(void)fd;
	(void)what;
	event_base_loopbreak(handshake->base);
	handshake->is_over = true;
}

/* True: opened. `err` is set otherwise, save when time was up. */
static bool handshake_run(struct event_base *base, const struct tls_link *link, uint64_t left_ms, struct err *err)
{
	struct handshake handshake = { .base = base };
	struct timeval delay = { .tv_sec = (time_t)(left_ms / 1000), .tv_usec = (suseconds_t)(left_ms % 1000 * 1000) };
	struct event *timer = evtimer_new(base, handshake_on_time, &handshake);
	evtimer_add(timer, &delay);
	bufferevent_setcb(link->bev, NULL, NULL, handshake_on_event, &handshake);
	bufferevent_enable(link->bev, EV_READ | EV_WRITE);
	while (!handshake.is_over)
		event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
	bufferevent_setcb(link->bev, NULL, NULL, NULL, NULL);
	bool is_late = !evtimer_pending(timer, NULL);
	event_free(timer);
	if (handshake.is_open)
		return link->ops->opened(link->bev, err) == 0;
	if (is_late)
		err_set(err, ERR_UNAVAILABLE, "no TLS handshake within %d s; is that port a pwemud's?", HOST_CONNECT_MS / 1000);
	else
		link->ops->explain(link->bev, err);
	return false;
}

/* What the reader can do about it. */
static int explain(const struct host *host, struct err *err)
{
	char reason[ERR_REASON_MAX], why[ERR_MSG_MAX];
	memcpy(reason, err->reason, sizeof(reason));
	snprintf(why, sizeof(why), "%s", err->msg);
	if (strcmp(reason, TLS_REASON_CA) == 0 && host->has_pin)
		err_set(err, err->code,
			"the server's CA is not the one pinned in %s%s; if it was renewed on purpose, run `pwemu token add` on the server "
			"and "
			"`pwemu context add` here again; otherwise somebody stands in between (%.200s)",
			host->context != NULL ? "context " : "the address", host->context != NULL ? host->context : "", why);
	else if (strcmp(reason, TLS_REASON_CA) == 0)
		err_set(err, err->code, "%.300s; add ca=PIN, as `pwemu token add` prints it, or cafile=FILE to the address", why);
	else if (strcmp(reason, TLS_REASON_NAME) == 0)
		err_set(err, err->code, "%.300s; use the name in it, or add tls-server-name=NAME to the address", why);
	err_reason(err, reason);
	return err_prefix(err, "connect to %s port %u", host->name, (unsigned)host->port);
}

static struct tls *client_tls(const struct host *host, const struct tls_ops *ops, struct err *err)
{
	const struct tls_client config = {
		.host = host->name,
		.server_name = host->server_name,
		.pin = host->has_pin ? host->pin : NULL,
		.ca_file = host->ca_file,
		.cert_file = host->cert,
		.key_file = host->key,
	};
	return ops->client_new(&config, err);
}

int host_connect(const struct host *host, const char *module, struct event_base *base, struct tls_link *link, struct err *err)
{
	const struct tls_ops *ops;
	int fd;
	uint64_t end_ms = clock_now_ms() + HOST_CONNECT_MS;
	if (tls_load(module, &ops, err) < 0)
		return -1;
	struct tls *tls = client_tls(host, ops, err);
	if (tls == NULL)
		return -1;
	int rc = addr_connect_tcp(host->name, host->port, HOST_CONNECT_MS, &fd, err);
	*link = (struct tls_link){ .ops = ops, .is_open = true };
	if (rc == 0)
		link->bev = ops->attach(tls, base, fd, err);
	uint64_t now = clock_now_ms();
	bool is_open = link->bev != NULL && handshake_run(base, link, end_ms > now ? end_ms - now : 1, err);
	ops->free(tls);
	if (is_open)
		return 0;
	if (link->bev != NULL) {
		explain(host, err);
		ops->detach(link->bev);
	}
	return -1;
}

int host_fetch_ca(const struct host *host, const char *module, char **pem, struct err *err)
{
	struct tls_link link = { .ops = NULL };
	*pem = NULL;
	if (host->kind != HOST_TCP)
		return 0;
	struct event_base *base = event_base_new();
	int rc = base == NULL ? err_set(err, ERR_INTERNAL, "no event loop can be made") : host_connect(host, module, base, &link, err);
	if (rc == 0 && link.ops != NULL) {
		*pem = host->has_pin ? link.ops->shown(link.bev, host->pin) : NULL;
		link.ops->detach(link.bev);
	}
	if (base != NULL)
		event_base_free(base);
	return rc;
}

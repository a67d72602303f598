/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "config/settings.h"
#include "loop/timer.h"
#include "rpc/remote_int.h"
#include "wire/addr.h"
#include "wire/base64.h"
#include "wire/mem.h"

#define REMOTE_SCHEME     "tcp://"
#define REMOTE_RENEWAL_MS (24 * UINT64_C(3600000))

static void list_add(char ***list, size_t *count, char *owned)
{
	*list = xrealloc(*list, *count + 1, sizeof(**list));
	(*list)[(*count)++] = owned;
}

static void list_free(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

static void remote_add_name(struct remote *remote, const char *name)
{
	for (size_t i = 0; i < remote->name_count; i++)
		if (strcmp(remote->names[i], name) == 0)
			return;
	if (name[0] != '\0')
		list_add(&remote->names, &remote->name_count, xstrdup(name));
}

/* ---------------------------------------------------------------- listening */

static bool host_is_any(const char *host)
{
	return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage addr = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(addr);
	char text[64], host[64];
	uint16_t port = 0;
	struct err err;
	(void)getsockname(fd, (struct sockaddr *)&addr, &len);
	addr_text((const struct sockaddr *)&addr, text, sizeof(text));
	return addr_split(text, host, sizeof(host), &port, &err) == 0 ? port : 0;
}

static int address_split(const char *address, char host[REMOTE_HOST_MAX], uint16_t *port, struct err *err)
{
	char text[REMOTE_HOST_MAX + 8];
	size_t scheme = strlen(REMOTE_SCHEME);
	if (strncmp(address, REMOTE_SCHEME, scheme) != 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "address \"%s\": write tcp://HOST:PORT", address);
	size_t len = strcspn(address + scheme, "?/#");
	const char *rest = address + scheme + len;
	if (strstr(rest, "tls=") != NULL)
		return err_set(
			err, ERR_INVALID_ARGUMENT,
			"address \"%s\": plain TCP is not served, since everybody on the way could read along and take over emulators; "
			"write %.*s, TLS needs no set-up, or let clients come by ssh://USER@HOST",
			address, (int)(scheme + len), address);
	if (rest[0] != '\0')
		return err_set(err, ERR_INVALID_ARGUMENT, "address \"%s\": nothing may follow the port", address);
	if (len >= sizeof(text))
		return err_set(err, ERR_INVALID_ARGUMENT, "address \"%.100s...\" is too long", address);
	memcpy(text, address + scheme, len);
	text[len] = '\0';
	return addr_split(text, host, REMOTE_HOST_MAX, port, err) < 0 ? err_prefix(err, "address \"%s\"", address) : 0;
}

static int remote_listen(struct remote *remote, const char *address, struct err *err)
{
	char host[REMOTE_HOST_MAX];
	uint16_t port = 0;
	int *fds = NULL;
	size_t count = 0;
	if (address_split(address, host, &port, err) < 0 || addr_listen_tcp(host, port, &fds, &count, err) < 0)
		return -1;
	const char *shown = host_is_any(host) ? remote->host_name : host;
	bool is_v6 = strchr(shown, ':') != NULL;
	list_add(&remote->addresses, &remote->address_count,
		 xasprintf(REMOTE_SCHEME "%s%s%s:%u", is_v6 ? "[" : "", shown, is_v6 ? "]" : "", (unsigned)port_of(fds[0])));
	remote_add_name(remote, shown);
	remote->fds = xrealloc(remote->fds, remote->fd_count + count, sizeof(*remote->fds));
	memcpy(remote->fds + remote->fd_count, fds, count * sizeof(*fds));
	remote->fd_count += count;
	free(fds);
	return 0;
}

static int remote_listen_all(struct remote *remote, struct err *err)
{
	const struct remote_config *config = &remote->config;
	char *copy = xstrdup(config->settings->listen), *rest = copy, *word;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < config->listen_count; i++)
		rc = remote_listen(remote, config->listen[i], err);
	while (rc == 0 && (word = strsep(&rest, " ")) != NULL)
		if (word[0] != '\0')
			rc = remote_listen(remote, word, err);
	free(copy);
	return rc;
}

/* ---------------------------------------------------------------- certificates */

static void remote_tell_made(unsigned made, const char *dir)
{
	if (made & TLS_MADE_CA)
		log_info(NULL, "made a CA of our own, \"%s/ca.pem\"; clients that have pinned an earlier one need a new `pwemu token add`",
			 dir);
	else if (made & TLS_MADE_SERVER)
		log_info(NULL, "made a new certificate \"%s/server.pem\"", dir);
}

/* Our own, made where they are not there or are about to end. */
static int remote_own_files(struct remote *remote, char **cert, char **key, struct err *err)
{
	char *dir = xasprintf("%s/tls", remote->config.state_dir);
	unsigned made = 0;
	int rc = remote->ops->ensure(dir, (const char *const *)remote->names, remote->name_count, &made, err);
	if (rc == 0) {
		remote_tell_made(made, dir);
		*cert = xasprintf("%s/server.pem", dir);
		*key = xasprintf("%s/server.key", dir);
	}
	free(dir);
	return rc;
}

static bool remote_has_own(const struct remote *remote)
{
	return remote->config.settings->tls_cert[0] == '\0';
}

static int remote_load_tls(struct remote *remote, struct err *err)
{
	const struct settings *settings = remote->config.settings;
	char *cert = NULL, *key = NULL;
	int rc = 0;
	if ((settings->tls_cert[0] == '\0') != (settings->tls_key[0] == '\0'))
		return err_set(err, ERR_INVALID_ARGUMENT, "settings: tls-cert and tls-key belong together; set both or none");
	if (remote_has_own(remote)) {
		rc = remote_own_files(remote, &cert, &key, err);
	} else {
		cert = xstrdup(settings->tls_cert);
		key = xstrdup(settings->tls_key);
	}
	struct tls_server config = {
		.cert_file = cert,
		.key_file = key,
		.client_ca_file = settings->tls_client_ca[0] != '\0' ? settings->tls_client_ca : NULL,
	};
	struct tls *fresh = rc == 0 ? remote->ops->server_new(&config, err) : NULL;
	free(cert);
	free(key);
	if (fresh == NULL)
		return -1;
	uint8_t pin[TLS_PIN_BYTES];
	remote->ops->pin(fresh, pin);
	base64url_encode(pin, sizeof(pin), remote->pin);
	if (remote->server != NULL)
		rpc_server_set_tls(remote->server, remote->ops, fresh);
	remote->ops->free(remote->tls);
	remote->tls = fresh;
	return 0;
}

int remote_reload(struct remote *remote, struct err *err)
{
	remote_auth_refresh(remote);
	if (remote->ops == NULL)
		return 0;
	return remote_load_tls(remote, err) < 0 ? err_prefix(err, "the certificates stay as they were") : 0;
}

static void remote_on_renewal(void *ctx)
{
	struct remote *remote = ctx;
	struct err err = ERR_INIT;
	if (remote_load_tls(remote, &err) < 0)
		log_error(NULL, "look at the certificates: %s", err.msg);
	timer_arm(remote->renewal, REMOTE_RENEWAL_MS);
}

/* ---------------------------------------------------------------- life */

/* What the own certificate is for: whatever this host is called by those who run on it, and the addresses that were asked for. */
static void remote_name_host(struct remote *remote)
{
	if (gethostname(remote->host_name, sizeof(remote->host_name) - 1) < 0 || remote->host_name[0] == '\0')
		snprintf(remote->host_name, sizeof(remote->host_name), "localhost");
	remote_add_name(remote, remote->host_name);
	remote_add_name(remote, "localhost");
	remote_add_name(remote, "127.0.0.1");
	remote_add_name(remote, "::1");
}

static int remote_start(struct remote *remote, struct err *err)
{
	const struct remote_config *config = &remote->config;
	remote_name_host(remote);
	if (remote_auth_init(remote, err) < 0)
		return -1;
	if (config->listen_count == 0 && config->settings->listen[0] == '\0')
		return 0;
	if (remote_listen_all(remote, err) < 0 || tls_load(config->module, &remote->ops, err) < 0)
		return -1;
	remote->renewal = timer_new(config->base, remote_on_renewal, remote);
	timer_arm(remote->renewal, REMOTE_RENEWAL_MS);
	return remote_load_tls(remote, err);
}

int remote_open(const struct remote_config *config, struct remote **out, struct err *err)
{
	struct remote *remote = xcalloc(1, sizeof(*remote));
	remote->config = *config;
	TAILQ_INIT(&remote->users);
	if (remote_start(remote, err) < 0) {
		remote_close(remote);
		return err_prefix(err, "serve the network");
	}
	*out = remote;
	return 0;
}

void remote_serve(struct remote *remote, struct rpc_server *server)
{
	remote->server = server;
	if (remote->tls == NULL)
		return;
	rpc_server_set_tls(server, remote->ops, remote->tls);
	for (size_t i = 0; i < remote->fd_count; i++)
		rpc_server_listen_tls(server, remote->fds[i]);
	remote->fd_count = 0;
	for (size_t i = 0; i < remote->address_count; i++)
		log_info(NULL, "serves %s, CA pin %s", remote->addresses[i], remote->pin);
}

void remote_close(struct remote *remote)
{
	if (remote == NULL)
		return;
	for (size_t i = 0; i < remote->fd_count; i++)
		close(remote->fds[i]);
	free(remote->fds);
	timer_free(remote->renewal);
	if (remote->ops != NULL)
		remote->ops->free(remote->tls);
	remote_auth_fini(remote);
	list_free(remote->addresses, remote->address_count);
	list_free(remote->names, remote->name_count);
	free(remote);
}

size_t remote_address_count(const struct remote *remote)
{
	return remote->address_count;
}

const char *remote_address(const struct remote *remote, size_t i)
{
	return remote->addresses[i];
}

const char *remote_host_name(const struct remote *remote)
{
	return remote->host_name;
}

const char *remote_pin(const struct remote *remote)
{
	return remote->pin;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons by name. Tokens are never shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/contexts.h"
#include "client/host.h"
#include "client/out.h"
#include "client/say.h"
#include "client/tojson.h"
#include "wire/mem.h"

#define URL_MAX 4096

static int load(struct contexts *contexts, struct paths *paths, struct err *err)
{
	return paths_init(paths, err) < 0 ? -1 : contexts_load(paths->contexts, contexts, err);
}

/* `-`: from stdin, so that it is in no history of a shell. Owned by the caller. */
static char *read_url(const char *word, struct err *err)
{
	char line[URL_MAX];
	if (strcmp(word, "-") != 0) {
		char *url = xstrdup(word);
		host_hide(word);
		return url;
	}
	if (fgets(line, sizeof(line), stdin) == NULL) {
		err_set(err, ERR_INVALID_ARGUMENT, "no URL on stdin");
		return NULL;
	}
	line[strcspn(line, "\r\n")] = '\0';
	return xstrdup(line);
}

static int add(struct contexts *contexts, const struct paths *paths, const char *name, const char *url, bool is_checked, struct err *err)
{
	struct host host;
	char *ca = NULL;
	if (host_parse(url, &host, err) < 0)
		return -1;
	host.context = xstrdup(name);
	int rc = is_checked ? host_fetch_ca(&host, paths->tls_module, &ca, err) : 0;
	if (rc == 0) {
		contexts_set(contexts, name, url, ca);
		rc = contexts_store(contexts, err);
	}
	if (rc == 0)
		say_note("context %s is %s; `pwemu context use %s` makes it the one that is used", name, host.shown, name);
	free(ca);
	host_fini(&host);
	return rc;
}

int cmd_context_add(struct cli *cli)
{
	struct contexts contexts;
	struct paths paths;
	struct err err = ERR_INIT;
	const char *name = cli->opts.args[0];
	char *url = read_url(cli->opts.args[1], &err);
	if (url == NULL || context_check_name(name, &err) < 0 || load(&contexts, &paths, &err) < 0) {
		free(url);
		return cli_refused(&err);
	}
	int rc = add(&contexts, &paths, name, url, !opt_has(&cli->opts, "no-check"), &err);
	explicit_bzero(url, strlen(url));
	free(url);
	contexts_fini(&contexts);
	return rc < 0 ? cli_refused(&err) : EXIT_DONE;
}

int cmd_context_use(struct cli *cli)
{
	struct contexts contexts;
	struct paths paths;
	struct err err = ERR_INIT;
	const char *name = cli->opts.args[0];
	if (load(&contexts, &paths, &err) < 0)
		return cli_refused(&err);
	int rc = context_is_none(name) || contexts_find(&contexts, name, &err) != NULL ? 0 : -1;
	if (rc == 0) {
		contexts_use(&contexts, context_is_none(name) ? NULL : name);
		rc = contexts_store(&contexts, &err);
	}
	contexts_fini(&contexts);
	return rc < 0 ? cli_refused(&err) : EXIT_DONE;
}

int cmd_context_rm(struct cli *cli)
{
	struct contexts contexts;
	struct paths paths;
	struct err err = ERR_INIT;
	if (load(&contexts, &paths, &err) < 0)
		return cli_refused(&err);
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < cli->opts.arg_count; i++)
		rc = contexts_find(&contexts, cli->opts.args[i], &err) != NULL ? 0 : -1;
	for (size_t i = 0; rc == 0 && i < cli->opts.arg_count; i++)
		contexts_remove(&contexts, cli->opts.args[i]);
	if (rc == 0)
		rc = contexts_store(&contexts, &err);
	contexts_fini(&contexts);
	return rc < 0 ? cli_refused(&err) : EXIT_DONE;
}

/* ---------------------------------------------------------------- ls */

/* Owned by the caller. */
static char *shown_url(const struct context *row)
{
	struct host host;
	struct err err = ERR_INIT;
	if (host_parse(row->url, &host, &err) < 0)
		return xasprintf("(%s)", err.msg);
	char *shown = xstrdup(host.shown);
	host_fini(&host);
	return shown;
}

static bool is_current(const struct contexts *contexts, const struct context *row)
{
	return contexts->current != NULL && strcmp(contexts->current, row->name) == 0;
}

static void print_table(const struct contexts *contexts)
{
	static const char *const columns[] = { "NAME", "CURRENT", "ADDRESS" };
	struct out_table *table = out_table_new(columns, 3);
	for (size_t i = 0; i < contexts->count; i++) {
		char *url = shown_url(&contexts->rows[i]);
		out_cell(table, OUT_PLAIN, "%s", contexts->rows[i].name);
		out_cell(table, OUT_GREEN, "%s", is_current(contexts, &contexts->rows[i]) ? "*" : "");
		out_cell(table, OUT_PLAIN, "%s", url);
		free(url);
	}
	out_table_print(table);
}

static void print_json(const struct contexts *contexts)
{
	fputs("[", stdout);
	for (size_t i = 0; i < contexts->count; i++) {
		const struct context *row = &contexts->rows[i];
		char *url = shown_url(row);
		printf("%s\n  {\"name\": ", i > 0 ? "," : "");
		tojson_string(stdout, row->name, strlen(row->name));
		printf(", \"current\": %s, \"address\": ", is_current(contexts, row) ? "true" : "false");
		tojson_string(stdout, url, strlen(url));
		fputs("}", stdout);
		free(url);
	}
	fputs(contexts->count > 0 ? "\n]\n" : "]\n", stdout);
}

int cmd_context_ls(struct cli *cli)
{
	struct contexts contexts;
	struct paths paths;
	struct err err = ERR_INIT;
	if (load(&contexts, &paths, &err) < 0)
		return cli_refused(&err);
	if (opt_is(&cli->opts, "output", "json"))
		print_json(&contexts);
	else
		print_table(&contexts);
	contexts_fini(&contexts);
	return EXIT_DONE;
}

/* For clients that want a CA instead of a pin. */
int cmd_context_ca(struct cli *cli)
{
	struct err err = ERR_INIT;
	char *pem = NULL;
	if (conn_init(&cli->conn, opt_text(&cli->opts, "host"), opt_text(&cli->opts, "context"), &err) < 0)
		return cli_refused(&err);
	if (cli->conn.host.kind != HOST_TCP || !cli->conn.host.has_pin)
		err_set(&err, ERR_FAILED_PRECONDITION, "the daemon is not one with a pinned CA; name it: pwemu -H tcp://… context ca");
	else if (host_fetch_ca(&cli->conn.host, cli->conn.paths.tls_module, &pem, &err) == 0)
		fputs(pem, stdout);
	free(pem);
	return err_is_set(&err) ? cli_refused(&err) : EXIT_DONE;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/contexts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/tojson.h"
#include "config/json.h"
#include "config/nearest.h"
#include "wire/mem.h"

#define CONTEXTS_MAX 1000
#define NAME_BYTES   64
#define URL_BYTES    4096
#define CA_BYTES     65536

bool context_is_none(const char *name)
{
	return strcmp(name, "-") == 0 || strcmp(name, "default") == 0;
}

int context_check_name(const char *name, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	if (context_is_none(name))
		return err_set(err, ERR_INVALID_ARGUMENT, "a context cannot be called '%s': that means none", name);
	if (name[0] != '\0' && name[0] != '-' && strlen(name) <= NAME_BYTES && name[strspn(name, allowed)] == '\0')
		return 0;
	return err_set(err, ERR_INVALID_ARGUMENT, "'%.80s' is no name of a context: up to %d letters, digits, '.', '_' and '-'", name,
		       NAME_BYTES);
}

/* ---------------------------------------------------------------- the list */

static struct context *row_of(const struct contexts *contexts, const char *name)
{
	for (size_t i = 0; i < contexts->count; i++)
		if (strcmp(contexts->rows[i].name, name) == 0)
			return &contexts->rows[i];
	return NULL;
}

const struct context *contexts_find(const struct contexts *contexts, const char *name, struct err *err)
{
	const char *names[CONTEXTS_MAX];
	char hint[512];
	const struct context *found = row_of(contexts, name);
	if (found != NULL)
		return found;
	for (size_t i = 0; i < contexts->count; i++)
		names[i] = contexts->rows[i].name;
	err_set(err, ERR_NOT_FOUND, "there is no context '%s'%s", name,
		contexts->count > 0 ? nearest_hint_or_all(name, names, contexts->count, hint, sizeof(hint))
				    : "; see: pwemu help context add");
	err_reason(err, "no-such-context");
	return NULL;
}

static void row_fini(struct context *row)
{
	if (row->url != NULL)
		explicit_bzero(row->url, strlen(row->url));
	free(row->name);
	free(row->url);
	free(row->ca);
}

void contexts_set(struct contexts *contexts, const char *name, const char *url, const char *ca)
{
	struct context fresh = { xstrdup(name), xstrdup(url), xstrdup(ca) };
	struct context *row = row_of(contexts, name);
	if (row == NULL) {
		contexts->rows = xrealloc(contexts->rows, contexts->count + 1, sizeof(*contexts->rows));
		row = &contexts->rows[contexts->count++];
	} else {
		row_fini(row);
	}
	*row = fresh;
}

void contexts_use(struct contexts *contexts, const char *name)
{
	char *copy = xstrdup(name);
	free(contexts->current);
	contexts->current = copy;
}

void contexts_remove(struct contexts *contexts, const char *name)
{
	struct context *row = row_of(contexts, name);
	if (row == NULL)
		return;
	if (contexts->current != NULL && strcmp(contexts->current, name) == 0)
		contexts_use(contexts, NULL);
	row_fini(row);
	size_t behind = (size_t)(contexts->rows + contexts->count - row) - 1;
	memmove(row, row + 1, behind * sizeof(*row));
	contexts->count--;
}

void contexts_fini(struct contexts *contexts)
{
	for (size_t i = 0; i < contexts->count; i++)
		row_fini(&contexts->rows[i]);
	free(contexts->rows);
	free(contexts->current);
	free(contexts->path);
	*contexts = (struct contexts){ NULL };
}

/* ---------------------------------------------------------------- the file */

static int read_row(struct contexts *contexts, const struct json_at *at, struct err *err)
{
	struct json_at member;
	const char *url = NULL, *ca = NULL;
	if (json_get_object(at, err) < 0)
		return -1;
	if (contexts->count >= CONTEXTS_MAX)
		return json_fail(at, err, "more than %d contexts", CONTEXTS_MAX);
	if (!json_member(at, "url", &member))
		return json_fail(at, err, "has no url");
	if (json_get_string(&member, URL_BYTES, &url, err) < 0)
		return -1;
	if (json_member(at, "ca", &member) && json_get_string(&member, CA_BYTES, &ca, err) < 0)
		return -1;
	struct err bad = ERR_INIT;
	if (context_check_name(at->key, &bad) < 0)
		return json_fail(at, err, "%s", bad.msg);
	contexts_set(contexts, at->key, url, ca);
	return 0;
}

static int read_all(struct contexts *contexts, const struct json_at *root, struct err *err)
{
	struct json_at member, row;
	const char *current;
	if (json_member(root, "current", &member)) {
		if (json_get_string(&member, NAME_BYTES, &current, err) < 0)
			return -1;
		contexts_use(contexts, current);
	}
	if (!json_member(root, "contexts", &member))
		return 0;
	if (json_get_object(&member, err) < 0)
		return -1;
	for (struct json_iter iter = { 0 }; json_next(&member, &iter, &row);)
		if (read_row(contexts, &row, err) < 0)
			return -1;
	return 0;
}

/* There are tokens in it. */
static int check_access(const char *path, struct err *err)
{
	struct stat st;
	if (stat(path, &st) < 0 || ((st.st_mode & 077) == 0 && (st.st_uid == geteuid() || st.st_uid == 0)))
		return 0;
	return err_set(err, ERR_PERMISSION_DENIED, "\"%s\" has tokens in it and is not for your eyes only; run: chmod 600 %s", path, path);
}

int contexts_load(const char *path, struct contexts *out, struct err *err)
{
	struct json_file file;
	*out = (struct contexts){ .path = xstrdup(path) };
	if (path[0] == '\0' || (access(path, F_OK) < 0 && errno == ENOENT))
		return 0;
	int rc = check_access(path, err);
	if (rc == 0)
		rc = json_load(path, &file, err);
	if (rc == 0) {
		struct json_at root = json_root(&file);
		rc = read_all(out, &root, err);
		json_fini(&file);
	}
	if (rc < 0)
		contexts_fini(out);
	return rc;
}

static void write_text(FILE *file, const char *text)
{
	tojson_string(file, text, strlen(text));
}

static void write_all(FILE *file, const struct contexts *contexts)
{
	fputs("{\n  \"current\": ", file);
	if (contexts->current != NULL)
		write_text(file, contexts->current);
	else
		fputs("null", file);
	fputs(",\n  \"contexts\": {", file);
	for (size_t i = 0; i < contexts->count; i++) {
		const struct context *row = &contexts->rows[i];
		fputs(i > 0 ? ",\n    " : "\n    ", file);
		write_text(file, row->name);
		fputs(": {\"url\": ", file);
		write_text(file, row->url);
		if (row->ca != NULL) {
			fputs(", \"ca\": ", file);
			write_text(file, row->ca);
		}
		fputc('}', file);
	}
	fputs(contexts->count > 0 ? "\n  }\n}\n" : "}\n}\n", file);
}

static void make_parent(const char *path)
{
	char *dir = xstrdup(path);
	for (char *slash = strchr(dir + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(dir, 0700); /* if that was wrong, opening the file tells why */
		*slash = '/';
	}
	free(dir);
}

int contexts_store(const struct contexts *contexts, struct err *err)
{
	if (contexts->path[0] == '\0')
		return err_set(err, ERR_FAILED_PRECONDITION,
			       "contexts are kept in ~/.config/pwemu, and there is no home; set HOME or XDG_CONFIG_HOME");
	char *temp = xasprintf("%s.%d", contexts->path, (int)getpid());
	make_parent(contexts->path);
	(void)unlink(temp);
	int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
	int sys = file == NULL ? errno : 0;
	if (file != NULL) {
		write_all(file, contexts);
		bool is_bad = ferror(file) != 0;
		if (fclose(file) != 0 || is_bad)
			sys = errno != 0 ? errno : EIO;
	}
	if (sys == 0 && rename(temp, contexts->path) < 0)
		sys = errno;
	if (sys != 0)
		(void)unlink(temp);
	free(temp);
	return sys == 0 ? 0 : err_sys(err, sys, "write \"%s\"", contexts->path);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/conf.h"
#include "client/image.h"
#include "client/out.h"
#include "client/quote.h"
#include "client/say.h"
#include "client/tojson.h"
#include "client/words.h"
#include "config/explain.h"
#include "config/image.h"
#include "wire/mem.h"

/* ---------------------------------------------------------------- check */

static int check(struct conf *conf, struct err *err)
{
	if (conf->path == NULL)
		return err_set(err, ERR_NOT_FOUND, "there is no pwemu.json or pigweed.json here or above; name a FILE");
	if (conf->project == NULL)
		return err_set(err, ERR_INVALID_ARGUMENT, "%s: missing `pw_emu` configuration", conf->path);
	return project_check(conf->project, err);
}

int cmd_config_check(struct cli *cli)
{
	const char *file = cli->opts.arg_count > 0 ? cli->opts.args[0] : opt_text(&cli->opts, "config");
	struct conf conf;
	struct err err = ERR_INIT;
	int code = EXIT_DONE;
	if (conf_open(&conf, cli, file, CONF_REPORT, &err) < 0 || check(&conf, &err) < 0)
		code = cli_refused(&err);
	else if (conf.errors > 0)
		code = EXIT_REFUSED;
	else
		say_note("%s: %zu target%s, no errors", conf.path, project_count(conf.project),
			 project_count(conf.project) == 1 ? "" : "s");
	conf_fini(&conf);
	return code;
}

/* ---------------------------------------------------------------- explain */

static const char *const columns[] = { "NAME", "VALUE", "SET BY" };

struct explanation {
	const struct origins *origins;
	const char *other; /* who set what is set and the origins do not have … */
	const char *like;  /* … where it is what a machine is known by */
	struct out_table *table;
	bool is_next;
};

static bool is_inferable(const char *name)
{
	return strcmp(name, "architecture") == 0 || strcmp(name, "cpu") == 0 || strcmp(name, "memory") == 0;
}

/* An origin without a value: the file says what is the default anyway. */
static const char *set_by(const struct explanation *e, const char *name, bool is_set)
{
	const char *where = origins_get(e->origins, name);
	if (where == NULL && is_set && is_inferable(name))
		return e->like;
	return where != NULL ? where : is_set ? e->other : "default";
}

static void print_row(void *ctx, const char *name, const char *text, bool is_set)
{
	const struct explanation *e = ctx;
	out_cell(e->table, OUT_PLAIN, "%s", name);
	out_cell(e->table, OUT_PLAIN, "%s", text);
	out_cell(e->table, OUT_PLAIN, "%s", set_by(e, name, is_set));
}

static void print_json_row(void *ctx, const char *name, const char *text, bool is_set)
{
	struct explanation *e = ctx;
	const char *const members[][2] = { { "name", name }, { "value", text }, { "from", set_by(e, name, is_set) } };
	printf("%s\n    {", e->is_next ? "," : "");
	for (size_t i = 0; i < 3; i++) {
		printf("%s\"%s\": ", i > 0 ? ", " : "", members[i][0]);
		tojson_string(stdout, members[i][1], strlen(members[i][1]));
	}
	putchar('}');
	e->is_next = true;
}

static void print_json(const Pwemu__V1__Target *target, struct explanation *e)
{
	fputs("{\n  \"target\": ", stdout);
	tojson_proto(stdout, &target->base, 1);
	fputs(",\n  \"values\": [", stdout);
	explain_walk(target, print_json_row, e);
	fputs("\n  ]\n}\n", stdout);
}

static void explain(const struct cli *cli, const Pwemu__V1__Target *target, const struct origins *origins, bool is_preset)
{
	char *preset = xasprintf("preset %s", target->name), *like = xasprintf("like %s", target->inferred);
	struct explanation e = { .origins = origins, .other = is_preset ? preset : "default", .like = is_preset ? preset : like };
	if (opt_is(&cli->opts, "output", "json")) {
		print_json(target, &e);
	} else {
		e.table = out_table_new(columns, sizeof(columns) / sizeof(columns[0]));
		explain_walk(target, print_row, &e);
		out_table_print(e.table);
	}
	free(preset);
	free(like);
}

/* ---------------------------------------------------------------- --argv */

static int add_image(const Pwemu__V1__Target *target, const char *name, Pwemu__V1__CheckImage *out, struct err *err)
{
	static const char *const kinds[IMAGE_KIND_COUNT] = { [IMAGE_ELF] = "elf", [IMAGE_HEX] = "hex", [IMAGE_BIN] = "bin" };
	bool has_address;
	uint64_t address = 0;
	struct image_info info;
	char *path;
	if (image_split(name, &path, &has_address, &address, err) < 0)
		return -1;
	out->path = path;
	if (image_check(path, target, has_address ? &address : NULL, NULL, &info, err) < 0)
		return -1;
	out->kind = (char *)(uintptr_t)kinds[info.kind];
	out->address = info.address;
	out->entry = info.entry;
	return 0;
}

static int add_images(const Pwemu__V1__Target *target, Pwemu__V1__CheckTargetRequest *request, Pwemu__V1__CheckImage *images,
		      struct err *err)
{
	for (size_t i = 0; target->defaults != NULL && i < target->defaults->n_files; i++) {
		pwemu__v1__check_image__init(&images[i]);
		request->images[request->n_images++] = &images[i];
		if (add_image(target, target->defaults->files[i], &images[i], err) < 0)
			return -1;
	}
	return 0;
}

static int ask(struct cli *cli, Pwemu__V1__CheckTargetRequest *request, Pwemu__V1__Target *target, Pwemu__V1__CheckTargetReply **out,
	       struct err *err)
{
	ProtobufCMessage *reply = NULL;
	request->target_case = PWEMU__V1__CHECK_TARGET_REQUEST__TARGET_TARGET_CONFIG;
	request->target_config = target;
	if (cli_open(cli, CONN_START, err) < 0 || call_repeatable(&cli->conn, CALL_TARGETS_CHECK, &request->base, &reply, err) < 0)
		return -1;
	*out = (Pwemu__V1__CheckTargetReply *)reply;
	return 0;
}

/* What the daemon knows of its machine is the target's from now on. */
static int infer(struct cli *cli, Pwemu__V1__Target **target, struct err *err)
{
	Pwemu__V1__CheckTargetRequest request = PWEMU__V1__CHECK_TARGET_REQUEST__INIT;
	Pwemu__V1__CheckTargetReply *reply = NULL;
	bool is_complete = (*target)->architecture[0] != '\0' && (*target)->n_memory > 0;
	if (is_complete || strcmp((*target)->emulator, "qemu") != 0)
		return 0;
	if (ask(cli, &request, *target, &reply, err) < 0)
		return -1;
	if (reply->target != NULL) { /* else the daemon is older */
		pwemu__v1__target__free_unpacked(*target, NULL);
		*target = reply->target;
		reply->target = NULL;
	}
	pwemu__v1__check_target_reply__free_unpacked(reply, NULL);
	return 0;
}

static int ask_with_images(struct cli *cli, Pwemu__V1__Target *target, Pwemu__V1__CheckTargetReply **out, struct err *err)
{
	Pwemu__V1__CheckTargetRequest request = PWEMU__V1__CHECK_TARGET_REQUEST__INIT;
	size_t count = target->defaults != NULL ? target->defaults->n_files : 0;
	Pwemu__V1__CheckImage *images = xcalloc(count, sizeof(*images));
	request.images = xcalloc(count, sizeof(*request.images));
	request.semihosting = target->defaults != NULL && target->defaults->semihosting;
	int rc = add_images(target, &request, images, err);
	if (rc == 0)
		rc = ask(cli, &request, target, out, err);
	for (size_t i = 0; i < request.n_images; i++)
		if (images[i].path != protobuf_c_empty_string)
			free(images[i].path);
	free(request.images);
	free(images);
	return rc;
}

static int print_argv(struct cli *cli, Pwemu__V1__Target *target)
{
	Pwemu__V1__CheckTargetReply *reply = NULL;
	struct err err = ERR_INIT;
	if (ask_with_images(cli, target, &reply, &err) < 0 || reply == NULL)
		return cli_refused(&err);
	for (size_t i = 0; i < reply->n_argv; i++) {
		fputs(i > 0 ? " " : "", stdout);
		quote_for_shell(stdout, reply->argv[i]);
	}
	putchar('\n');
	for (size_t i = 0; i < reply->n_setup; i++) {
		out_make_harmless(reply->setup[i]);
		printf("(monitor) %s\n", reply->setup[i]);
	}
	pwemu__v1__check_target_reply__free_unpacked(reply, NULL);
	return EXIT_DONE;
}

int cmd_config_explain(struct cli *cli)
{
	const char *name = cli->opts.args[0];
	struct origins *origins = origins_new();
	Pwemu__V1__Target *target = NULL;
	struct conf conf;
	struct err err = ERR_INIT;
	int code = EXIT_DONE;
	if (conf_open(&conf, cli, opt_text(&cli->opts, "config"), CONF_WARN, &err) < 0 ||
	    conf_target(&conf, name, origins, &target, &err) < 0 || infer(cli, &target, &err) < 0)
		code = cli_refused(&err);
	else if (opt_has(&cli->opts, "argv"))
		code = print_argv(cli, target);
	else
		explain(cli, target, origins, !conf_has(&conf, name));
	if (target != NULL)
		pwemu__v1__target__free_unpacked(target, NULL);
	conf_fini(&conf);
	origins_free(origins);
	return code;
}

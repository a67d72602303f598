/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/expect.h"
#include "client/machine.h"
#include "client/parent.h"
#include "client/say.h"
#include "client/session.h"
#include "client/term.h"
#include "wire/mem.h"

/* The images of the request; where it was not made, the words of the command line. */
static const char **image_paths(const Pwemu__V1__StartRequest *request, const struct machine_files *files, size_t *count)
{
	const char **paths = xcalloc(request->n_images + files->count, sizeof(*paths));
	*count = request->n_images > 0 ? request->n_images : files->count;
	for (size_t i = 0; i < *count; i++)
		paths[i] = request->n_images > 0 ? request->images[i]->path : files->files[i];
	return paths;
}

static int run(struct cli *cli, const struct machine_files *files, const struct parent *parent)
{
	struct machine machine;
	struct err err = ERR_INIT;
	struct expect *expect = NULL;
	if (expect_from(&cli->opts, &expect, &err) < 0) { /* first: a wrong pattern is a usage error */
		expect_free(expect);
		if (err.code == ERR_INVALID_ARGUMENT)
			return cli_usage(cli, "%s", err.msg);
		say_err(&err);
		return EXIT_TROUBLE;
	}
	bool is_ready = machine_init(&machine, cli, cli->opts.args[0], files, true, &err) == 0 &&
			expect_from_target(&cli->opts, machine.defaults, &expect, &err) == 0;
	struct session_config config = {
		.request = &machine.request,
		.machine = &machine,
		.channel = opt_text(&cli->opts, "channel"),
		.interactive = term_is_interactive(),
		.timeout_ms = opt_duration_ms(&cli->opts, "timeout", machine.defaults != NULL ? machine.defaults->timeout_ms : 0),
		.parent = opt_has(&cli->opts, "detach-parent") ? NULL : parent,
		.expect = expect,
		.result_file = opt_text(&cli->opts, "result"),
		.junit_file = opt_text(&cli->opts, "junit"),
		.log_dir = opt_text(&cli->opts, "log-dir"),
		.target = cli->opts.args[0],
		.remove = opt_has(&cli->opts, "rm"),
	};
	const char **images = image_paths(&machine.request, files, &config.image_count);
	config.images = images;
	int code;
	if (is_ready && machine.request.n_images == 0)
		code = cli_usage(cli, "wants a FILE to run on %s", cli->opts.args[0]);
	else if (is_ready && cli_open(cli, CONN_ASK, &err) == 0 && machine_settle(&machine, cli, &err) == 0)
		code = session_run(cli, &config);
	else
		code = session_refused(cli, &config, &err);
	free(images);
	machine_fini(&machine);
	expect_free(expect);
	return code;
}

int cmd_run(struct cli *cli)
{
	const struct opts *o = &cli->opts;
	struct parent parent;
	parent_open(&parent);
	struct machine_files files = {
		.files = o->args + 1,
		.count = o->arg_count - 1,
		.firmware_args = o->rest,
		.firmware_arg_count = o->rest_count,
	};
	if (files.count == 0 && o->rest_count > 0) { /* pwemu run TARGET -- FILE ARG...: a runner of cargo, CMake */
		files.files = o->rest;
		files.count = 1;
		files.firmware_args++;
		files.firmware_arg_count--;
	}
	int code = run(cli, &files, &parent);
	parent_close(&parent);
	return code;
}

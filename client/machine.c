/* SPDX-License-Identifier: Apache-2.0 */
#include "client/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/conf.h"
#include "client/endpoints.h"
#include "client/image.h"
#include "client/lease.h"
#include "client/origin.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/upload.h"
#include "config/policy.h"
#include "wire/mem.h"

#define MAX_ADAPTATIONS 3

static bool is_changed(const char *variable, const char *const *changes, size_t count)
{
	size_t len = strcspn(variable, "=") + 1;
	for (size_t i = 0; i < count; i++)
		if (strncmp(changes[i], variable, len) == 0)
			return true;
	return false;
}

void machine_environment(struct words *out, char *const *environment, const char *const *changes, size_t count)
{
	for (; *environment != NULL; environment++)
		if (strchr(*environment, '=') != NULL && !is_changed(*environment, changes, count))
			words_add(out, *environment);
	for (size_t i = 0; i < count; i++)
		if (!is_changed(changes[i], changes + i + 1, count - i - 1)) /* the last one wins */
			words_add(out, changes[i]);
}

/* The variables of a client elsewhere stay with it, save those that somebody has asked for. */
static void fill_variables(struct machine *machine, const struct cli *cli)
{
	static char *const none[] = { NULL };
	size_t own = machine->defaults != NULL ? machine->defaults->n_environment : 0;
	size_t count = own + opt_count(&cli->opts, "set-env");
	const char **changes = xcalloc(count, sizeof(*changes));
	for (size_t i = 0; i < count; i++)
		changes[i] = i < own ? machine->defaults->environment[i] : opt_nth(&cli->opts, "set-env", i - own);
	words_fini(&machine->variables);
	machine_environment(&machine->variables, cli->conn.is_elsewhere ? none : environ, changes, count);
	free(changes);
	machine->environment.variables = machine->variables.list;
	machine->environment.n_variables = machine->variables.count;
}

static void fill_environment(struct machine *machine, const struct cli *cli)
{
	fill_variables(machine, cli);
	mode_t mask = umask(077);
	umask(mask);
	machine->cwd = getcwd(NULL, 0);
	machine->environment.umask = mask;
	if (machine->cwd != NULL)
		machine->environment.cwd = machine->cwd;
	machine->request.environment = &machine->environment;
}

/* The target's where the command line names none. */
static int fill_images(struct machine *machine, const struct machine_files *files, struct err *err)
{
	bool is_given = files->count > 0 || machine->defaults == NULL;
	size_t count = is_given ? files->count : machine->defaults->n_files;
	const char *const *names = is_given ? files->files : (const char *const *)machine->defaults->files;
	machine->images = xcalloc(count, sizeof(*machine->images));
	machine->image_list = xcalloc(count, sizeof(void *));
	for (size_t i = 0; i < count; i++) {
		machine->image_list[i] = &machine->images[i];
		machine->request.n_images = i;
		if (image_from_argument(names[i], &machine->images[i], err) < 0)
			return -1;
	}
	machine->request.n_images = count;
	machine->request.images = machine->image_list;
	return 0;
}

static int fill_args(struct machine *machine, const struct cli *cli, struct err *err)
{
	const char *text;
	for (size_t i = 0; (text = opt_nth(&cli->opts, "args", i)) != NULL; i++)
		if (words_split(&machine->args, text, err) < 0)
			return err_prefix(err, "--args");
	machine->request.args = machine->args.list;
	machine->request.n_args = machine->args.count;
	return 0;
}

static void fill_identity(struct machine *machine, const struct cli *cli, bool fresh)
{
	Pwemu__V1__StartRequest *request = &machine->request;
	const char *name = opt_text(&cli->opts, "instance");
	machine->project = conf_project_dir();
	machine->working_dir = ref_working_dir(cli);
	request->project = machine->project;
	request->fresh = fresh && name == NULL && machine->working_dir == NULL;
	if (name != NULL)
		request->name = (char *)(uintptr_t)name;
	if (machine->working_dir == NULL)
		machine->working_dir = ref_project_working_dir(request->fresh ? NULL : name != NULL ? name : "default");
	if (machine->working_dir != NULL)
		request->working_dir = machine->working_dir;
}

/* The daemon looks up what is no target of the project. */
static int fill_target(struct machine *machine, struct cli *cli, const char *name, struct err *err)
{
	struct conf conf;
	int rc = conf_open(&conf, cli, opt_text(&cli->opts, "config"), CONF_WARN, err);
	if (rc == 0 && conf_has(&conf, name))
		rc = conf_target(&conf, name, NULL, &machine->target, err);
	conf_fini(&conf);
	if (machine->target != NULL) {
		machine->request.target_case = PWEMU__V1__START_REQUEST__TARGET_TARGET_CONFIG;
		machine->request.target_config = machine->target;
		machine->defaults = machine->target->defaults;
	} else {
		machine->request.target_case = PWEMU__V1__START_REQUEST__TARGET_TARGET_NAME;
		machine->request.target_name = (char *)(uintptr_t)name;
	}
	return rc;
}

static int fill_restart(struct machine *machine, const struct cli *cli, struct err *err)
{
	const char *text = opt_text(&cli->opts, "restart");
	if (text == NULL)
		return 0;
	machine->request.restart = &machine->restart;
	return policy_restart_parse(text, &machine->restart, err);
}

/* A run's is its client's, which session_run() sees to; for `start` the environment has a default. */
static int fill_lease(struct machine *machine, const struct cli *cli, bool is_run, struct err *err)
{
	const char *text = opt_text(&cli->opts, "lease"), *variable = is_run ? NULL : getenv("PWEMU_LEASE");
	if (text == NULL && (variable == NULL || variable[0] == '\0'))
		return 0;
	machine->request.lease = &machine->lease;
	if (lease_parse(text != NULL ? text : variable, &machine->lease, err) == 0)
		return 0;
	return text != NULL ? -1 : err_prefix(err, "PWEMU_LEASE");
}

static void fill_queue(struct machine *machine, const struct cli *cli)
{
	machine->request.answer_queued = 1;
	machine->request.queue_timeout_ms = opt_duration_ms(&cli->opts, "queue-timeout", 0);
	if (opt_has(&cli->opts, "queue-timeout") && machine->request.queue_timeout_ms == 0)
		machine->request.queue_timeout_ms = 1; /* 0 is for ever */
}

static void fill_files(struct machine *machine, const struct machine_files *files)
{
	Pwemu__V1__StartRequest *request = &machine->request;
	request->firmware_args = (char **)(uintptr_t)files->firmware_args;
	request->n_firmware_args = files->firmware_arg_count;
	if (files->endpoints == NULL)
		return;
	request->endpoints = files->endpoints->list;
	request->n_endpoints = files->endpoints->count;
}

int machine_init(struct machine *machine, struct cli *cli, const char *target, const struct machine_files *files, bool is_run,
		 struct err *err)
{
	memset(machine, 0, sizeof(*machine));
	pwemu__v1__start_request__init(&machine->request);
	pwemu__v1__environment__init(&machine->environment);
	Pwemu__V1__StartRequest *request = &machine->request;
	const char *runner = opt_text(&cli->opts, "runner");
	if (runner != NULL)
		request->runner = (char *)(uintptr_t)runner;
	request->pause = opt_has(&cli->opts, "pause");
	request->debug = opt_has(&cli->opts, "debug");
	fill_files(machine, files);
	fill_identity(machine, cli, is_run);
	if (fill_args(machine, cli, err) < 0 || fill_target(machine, cli, target, err) < 0 || fill_restart(machine, cli, err) < 0 ||
	    fill_lease(machine, cli, is_run, err) < 0)
		return -1;
	fill_queue(machine, cli);
	request->semihosting = opt_has(&cli->opts, "semihosting") || (machine->defaults != NULL && machine->defaults->semihosting);
	fill_environment(machine, cli);
	return fill_images(machine, files, err);
}

/* ---------------------------------------------------------------- where the daemon is */

/* So that a start can be repeated whose answer was lost with the connection. */
static void fill_token(struct machine *machine)
{
	uint8_t random[16];
	if (machine->token[0] != '\0' || getrandom(random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		return;
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(machine->token + 2 * i, 3, "%02x", random[i]);
	machine->request.token = machine->token;
}

static int send_images(struct machine *machine, struct cli *cli, struct err *err)
{
	for (size_t i = 0; i < machine->request.n_images; i++)
		if (upload_image(&cli->conn, &machine->images[i], err) < 0)
			return -1;
	return 0;
}

int machine_settle(struct machine *machine, struct cli *cli, struct err *err)
{
	machine->request.origin = origin_of(&cli->conn);
	fill_token(machine);
	if (!cli->conn.is_elsewhere)
		return 0;
	fill_variables(machine, cli);
	machine->environment.cwd = (char *)(uintptr_t)protobuf_c_empty_string;
	return send_images(machine, cli, err);
}

bool machine_can_adapt(const struct machine *machine, const struct err *refusal)
{
	bool is_image = strcmp(refusal->reason, "image-elsewhere") == 0 && machine->request.n_images > 0;
	return machine->adaptations < MAX_ADAPTATIONS && (is_image || strcmp(refusal->reason, "client-elsewhere") == 0);
}

int machine_adapt(struct machine *machine, struct cli *cli, const struct err *refusal, struct err *err)
{
	say_detail("%s", refusal->msg);
	machine->adaptations++;
	if (strcmp(refusal->reason, "image-elsewhere") == 0)
		return send_images(machine, cli, err);
	cli->conn.is_elsewhere = true;
	return machine_settle(machine, cli, err);
}

void machine_fini(struct machine *machine)
{
	for (size_t i = 0; i < machine->request.n_images; i++) {
		free(machine->images[i].path);
		upload_forget(&machine->images[i]);
	}
	if (machine->target != NULL)
		pwemu__v1__target__free_unpacked(machine->target, NULL);
	free(machine->images);
	free(machine->image_list);
	words_fini(&machine->variables);
	words_fini(&machine->args);
	free(machine->project);
	free(machine->working_dir);
	free(machine->cwd);
}

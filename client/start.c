/* SPDX-License-Identifier: Apache-2.0 */
#include "client/start.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/drain.h"
#include "client/endpoints.h"
#include "client/machine.h"
#include "client/ref.h"
#include "client/say.h"
#include "client/session.h"
#include "client/show.h"
#include "client/turn.h"
#include "wire/mem.h"

static bool went_well(const Pwemu__V1__Instance *inst)
{
	if (show_is_running(inst))
		return true;
	/* A firmware that was done at once has done what it was started for. */
	return inst->state == PWEMU__V1__STATE__STATE_ENDED && inst->end != NULL &&
	       (inst->end->cause == PWEMU__V1__END_CAUSE__END_CAUSE_FINISHED ||
		inst->end->cause == PWEMU__V1__END_CAUSE__END_CAUSE_GUEST_RESET);
}

static void report_addresses(const struct cli *cli, const Pwemu__V1__Instance *inst)
{
	const char *where = cli->conn.is_elsewhere ? " of the daemon's machine" : "";
	char address[512];
	for (size_t i = 0; i < inst->n_channels; i++) {
		const Pwemu__V1__Channel *channel = inst->channels[i];
		if (strcmp(channel->type, "tcp") == 0 || strcmp(channel->type, "pty") == 0)
			say_note("%s: %s on %s%s", inst->name, channel->name, endpoints_address(channel, address, sizeof(address)), where);
	}
}

static int report(struct cli *cli, const Pwemu__V1__Instance *inst)
{
	if (show_is_running(inst)) {
		say_note("%s: %s %s, pid %d", inst->name, inst->target, show_state(inst), inst->pid);
		report_addresses(cli, inst);
		return EXIT_DONE;
	}
	if (went_well(inst)) {
		say_note("%s: ended: %s", inst->name, show_reason(inst));
		return EXIT_DONE;
	}
	drain_channel(&cli->conn, inst->id, "emulator", STDERR_FILENO);
	say_error("%s: %s: %s", inst->name, show_state(inst), show_reason(inst));
	return EXIT_REFUSED;
}

/* The emulator's own words are the best explanation. */
static int refused(struct cli *cli, const struct err *why)
{
	Pwemu__V1__Instance *inst = NULL;
	struct err err = ERR_INIT;
	if (strcmp(why->reason, "emulator-refused") == 0 && ref_get(cli, 0, &inst, &err) == 0) {
		drain_channel(&cli->conn, inst->id, "emulator", STDERR_FILENO);
		pwemu__v1__instance__free_unpacked(inst, NULL);
	}
	return cli_refused(why);
}

int start_finish(struct cli *cli, Pwemu__V1__Instance *inst)
{
	struct err err = ERR_INIT;
	int rc = 0;
	if (inst->state == PWEMU__V1__STATE__STATE_QUEUED) {
		turn_note(inst);
		rc = turn_await(cli, &inst, &err);
	}
	int code = rc < 0 || turn_was_refused(inst, &err) ? refused(cli, &err) : report(cli, inst);
	pwemu__v1__instance__free_unpacked(inst, NULL);
	return code;
}

/* The lease of a client that leaves. */
static void note_lease(const Pwemu__V1__StartRequest *request)
{
	if (request->lease != NULL && request->lease->kind == PWEMU__V1__LEASE_KIND__LEASE_KIND_CLIENT)
		say_note("note: the lease is that of this command, which ends now, and the instance with it; -F stays, or use pid:N or "
			 "ttl:TIME");
}

/* Sends it again where it has to be another one, and where the connection was lost before the answer: its token makes that harmless. */
static int call_start(struct cli *cli, struct machine *machine, ProtobufCMessage **reply, struct err *err)
{
	while (call_unary(&cli->conn, CALL_INSTANCES_START, &machine->request.base, 0, reply, err) < 0) {
		struct err refusal = *err;
		*err = (struct err)ERR_INIT;
		int rc = -1;
		if (conn_is_lost(&cli->conn, &refusal) && machine->token[0] != '\0')
			rc = conn_reopen(&cli->conn, err);
		else if (machine_can_adapt(machine, &refusal))
			rc = machine_adapt(machine, cli, &refusal, err);
		else
			*err = refusal;
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int start(struct cli *cli, struct machine *machine)
{
	ProtobufCMessage *reply = NULL;
	struct err err = ERR_INIT;
	if (call_start(cli, machine, &reply, &err) < 0)
		return refused(cli, &err);
	int code = start_finish(cli, (Pwemu__V1__Instance *)reply);
	note_lease(&machine->request);
	return code;
}

static int settle(struct cli *cli, struct machine *machine)
{
	struct err err = ERR_INIT;
	int rc = machine_settle(machine, cli, &err);
	if (rc < 0)
		say_err(&err);
	return rc;
}

static int start_with(struct cli *cli, const struct machine_files *files, start_before_fn before)
{
	struct machine machine;
	struct err err = ERR_INIT;
	bool foreground = opt_has(&cli->opts, "foreground");
	int code = foreground ? EXIT_TROUBLE : EXIT_REFUSED;
	if (machine_init(&machine, cli, cli->opts.args[0], files, false, &err) < 0) {
		say_err(&err);
	} else if (cli_connect(cli, CONN_ASK) == 0 && settle(cli, &machine) == 0 &&
		   (before == NULL || before(cli, &machine.request) == 0)) {
		struct session_config config = { .request = &machine.request, .machine = &machine, .foreground = true };
		code = foreground ? session_run(cli, &config) : start(cli, &machine);
	}
	machine_fini(&machine);
	return code;
}

int start_command(struct cli *cli, start_before_fn before)
{
	struct endpoints endpoints;
	struct err err = ERR_INIT;
	size_t count = opt_count(&cli->opts, "file");
	const char **names = xcalloc(count, sizeof(*names));
	for (size_t i = 0; i < count; i++)
		names[i] = opt_nth(&cli->opts, "file", i);
	struct machine_files files = {
		.files = names,
		.count = count,
		.firmware_args = cli->opts.rest,
		.firmware_arg_count = cli->opts.rest_count,
		.endpoints = &endpoints,
	};
	int code = endpoints_init(&endpoints, &cli->opts, &err) < 0 ? cli_usage(cli, "%s", err.msg) : start_with(cli, &files, before);
	endpoints_fini(&endpoints);
	free(names);
	return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Which instance is meant: -i, -C, PW_EMU_WDIR, the project we are in. */
#pragma once

#include "client/call.h"
#include "pwemu/v1/instances.pb-c.h"
#include "wire/err.h"

struct cli;

/* The directory of -C or PW_EMU_WDIR as an absolute path, owned by the caller; NULL if neither is given. */
char *ref_working_dir(const struct cli *cli);

/* $PW_PROJECT_ROOT/.pw_emu/<name> as pw_emu has it (without a name: /.pw_emu), owned by the caller; NULL outside of such a project. */
char *ref_project_working_dir(const char *name);

struct ref {
	Pwemu__V1__InstanceRef message;
	char *project, *working_dir;
};

/* The nth instance of the command line; nth 0 also without -i. An explicit -i or -C beats PW_EMU_WDIR. */
void ref_init(struct ref *ref, const struct cli *cli, unsigned nth);
void ref_fini(struct ref *ref);

/* Asks the daemon for the nth instance of the command line. A note on stderr when it belongs to another project. *out is freed with
 * pwemu__v1__instance__free_unpacked. */
int ref_get(struct cli *cli, unsigned nth, Pwemu__V1__Instance **out, struct err *err) __attribute__((warn_unused_result));

/* Connects and makes a call that may be sent twice (call_repeatable) about the instance of the command line; `instance` is the request's
 * field for it, during the call only. Returns 0, or what the program ends with, and has said why. *reply is freed with
 * protobuf_c_message_free_unpacked. */
int ref_call(struct cli *cli, enum call call, const ProtobufCMessage *request, Pwemu__V1__InstanceRef **instance, ProtobufCMessage **reply)
	__attribute__((warn_unused_result));

/* How many instances the command line names, at least 1. */
unsigned ref_count(const struct cli *cli);

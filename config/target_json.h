/* SPDX-License-Identifier: Apache-2.0 */
/* Targets as JSON has them: the tables of keys, and how the parts of a target come together. Internal to config/: use target.h, project.h.
 */
#pragma once

#include <stddef.h>

#include "config/reader.h"
#include "pwemu/v1/targets.pb-c.h"

#define TARGET_BASES_MAX 16

/* ---------------------------------------------------------------- whole files, for the daemon */

struct target_list {
	Pwemu__V1__Target **targets; /* each to be freed with pwemu__v1__target__free_unpacked, the array with free */
	size_t count;
};

/* On failure the list may hold some targets, which are to be freed all the same. Each was checked with target_validate(). */
int target_json_load(const char *path, struct target_list *list, struct err *err) __attribute__((warn_unused_result));

/* ---------------------------------------------------------------- parts */

/* The emulators there are keys for, in no order that means anything; NULL behind the last. */
const char *target_emulator_name(size_t index);
/* The first member of the target's object that names an emulator; NULL: none does. `index` for the nth. */
const char *target_json_emulator(const struct json_at *target, size_t index);

Pwemu__V1__Target *target_new(const char *name);
/* Sets target->emulator, and makes the message of that emulator where it is not there. */
void target_set_emulator(Pwemu__V1__Target *target, const char *emulator);
Pwemu__V1__TargetDefaults *target_defaults(Pwemu__V1__Target *target);

/* Lays what the object says over the target; reader->emulator is the one whose keys are read. */
int target_json_read(struct reader *reader, const struct json_at *at, Pwemu__V1__Target *target, struct err *err)
	__attribute__((warn_unused_result));
/* The same with the configuration's object for all targets of that emulator, of which types and ports are left for target_json_types(). */
int target_json_emulator_defaults(struct reader *reader, const struct json_at *at, Pwemu__V1__Target *target, struct err *err)
	__attribute__((warn_unused_result));
/* Only reports the keys of a target that are not known, for one that cannot be read: a misspelt key may be why. */
int target_json_unknown(struct reader *reader, const struct json_at *at, struct err *err) __attribute__((warn_unused_result));

/*
 * Gives every channel its type where it has none of its own: the target's, else the emulator's for that channel, else the emulator's,
 * else `fallback`. Control channels likewise; one without a type, or "none", is left out. `at` is the target; `emulator` is the
 * configuration's object for all targets of it, its value NULL where there is none.
 */
int target_json_types(struct reader *reader, const struct json_at *at, const struct json_at *emulator, const char *fallback,
		      Pwemu__V1__Target *target, struct err *err) __attribute__((warn_unused_result));
/* Whether the channels that were named in expressions have what is asked of them. */
int target_json_uses(struct reader *reader, const Pwemu__V1__Target *target, struct err *err) __attribute__((warn_unused_result));

/* Read functions for the rows "qemu" and "renode" of a target, and their tables. */
int target_json_qemu(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err);
int target_json_renode(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err);
/* … and for "pre-start-cmds" and "post-start-cmds". */
int target_json_commands(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err);

/* The tables, by the names that the JSON Schema has for them; NULL behind the last. */
struct target_table {
	const char *name;
	const struct keys *keys;
};
extern const struct target_table target_json_tables[], target_emulator_tables[], target_type_tables[];

/* Read functions for rows "type" and "port" of whatever has both. */
int target_json_type(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err);
int target_json_port(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err);
/* For the row "type" of what holds the channels of a target. */
int target_json_type_of_all(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err);
/* For the rows "gdb", "monitor" and "qmp" of a target's channels. */
int target_json_control(struct reader *reader, const struct json_at *at, const struct key *key, void *object, struct err *err);

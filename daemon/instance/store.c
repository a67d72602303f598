/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: <state>/data/<id>/record, one line "pwemu-record 1 <length> <FNV-1a>\n", then a pwemu.v1.Record. Written beside it before it
 * takes its name, so that a reader sees the old one or the new one. Nothing is synced: what a power cut leaves is checked when it is read,
 * and the record before is still there, as record.new. The 1 is of this envelope; the message has a format number of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/pb.h"
#include "instance/commands.h"
#include "instance/priv.h"
#include "instance/store_state.h"
#include "wire/codec.h"
#include "wire/mem.h"

#define STORE_MAX         (8u << 20)
#define STORE_FORMAT      2 /* of the message */
#define STORE_HEADER      "pwemu-record 1 "
#define STORE_HEADER_MAX  80
#define STORE_NEW         "record.new"
#define STORE_SPARE       "record.spare"
#define STORE_SPARE_BYTES 16384 /* more than most records have */
#define STORE_GRACE_MS    5000  /* of a stop that an earlier daemon began; its shim has the real one */

static int store_write_all(int fd, const void *buf, size_t len)
{
	for (const char *at = buf; len > 0;) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The only header that this content can have; returns its length. */
static size_t store_header(char out[STORE_HEADER_MAX], const uint8_t *bytes, size_t len)
{
	return (size_t)snprintf(out, STORE_HEADER_MAX, STORE_HEADER "%zu %016" PRIx64 "\n", len, hash_bytes(bytes, len));
}

/* A file that is replaced by rename makes the file system write the new one to the disk there and then; one that changes places does not.
 */
static int store_take_name(int dir, const char *file)
{
	if (renameat2(dir, file, dir, "record", RENAME_EXCHANGE) == 0)
		return 0;
	return renameat(dir, file, dir, "record"); /* there is none, or the file system cannot do that */
}

/* Writes it to a file and makes that the record. */
static int store_write_as(int dir, const char *file, int flags, const uint8_t *bytes, size_t len, struct err *err)
{
	char header[STORE_HEADER_MAX];
	size_t n = store_header(header, bytes, len);
	int fd = openat(dir, file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		return err_sys(err, errno, "make \"%s\"", file);
	bool is_written = store_write_all(fd, header, n) == 0 && store_write_all(fd, bytes, len) == 0 &&
			  ((flags & O_TRUNC) != 0 || ftruncate(fd, (off_t)(n + len)) == 0);
	int rc = is_written ? 0 : err_sys(err, errno, "write \"%s\"", file);
	close(fd);
	if (rc == 0 && store_take_name(dir, file) < 0)
		rc = err_sys(err, errno, "rename \"%s\"", file);
	return rc;
}

/* Room for one more record when the disk is full: what a user was told to have ended must not run again for want of a block. */
static void store_keep_spare(int dir)
{
	int fd = openat(dir, STORE_SPARE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return; /* it is there */
	if (fallocate(fd, 0, 0, STORE_SPARE_BYTES) < 0)
		(void)unlinkat(dir, STORE_SPARE, 0);
	close(fd);
}

static int store_write(int dir, const uint8_t *bytes, size_t len, struct err *err)
{
	(void)unlinkat(dir, STORE_NEW, 0); /* not cut to nothing: that would be written to the disk, too */
	if (store_write_as(dir, STORE_NEW, O_CREAT | O_TRUNC, bytes, len, err) == 0)
		return 0;
	if (err->sys != ENOSPC && err->sys != EDQUOT)
		return -1;
	struct err full = *err;
	(void)unlinkat(dir, STORE_NEW, 0);
	if (store_write_as(dir, STORE_SPARE, 0, bytes, len, err) < 0) {
		*err = full;
		return -1;
	}
	(void)unlinkat(dir, STORE_SPARE, 0); /* the record before */
	store_keep_spare(dir);               /* of what it has left, before anybody else takes it */
	return 0;
}

static Pwemu__V1__RecordChannel *store_channel(struct instance_channel *channel)
{
	Pwemu__V1__RecordChannel *row = xcalloc(1, sizeof(*row));
	pwemu__v1__record_channel__init(row);
	row->name = channel->name;
	row->kind = (char *)(uintptr_t)channel_kind_name(channel->kind);
	row->has_input = channel->has_input;
	row->is_socket = channel->is_socket;
	row->offset = channel->hub != NULL ? hub_end_offset(channel->hub) : channel->offset;
	row->first_offset = channel->hub != NULL ? hub_first_offset(channel->hub) : channel->first_offset;
	row->endpoint = (char *)(uintptr_t)endpoint_kind_name(channel->endpoint_kind);
	row->port = channel->port;
	row->path = channel->pty_path;
	row->had_party = channel->had_party;
	return row;
}

static void store_fill_channels(struct instance *inst, Pwemu__V1__Record *record)
{
	record->channel_rows = xcalloc(inst->channel_count, sizeof(Pwemu__V1__RecordChannel *));
	for (size_t i = 0; i < inst->channel_count; i++)
		record->channel_rows[record->n_channel_rows++] = store_channel(inst->channels[i]);
}

static void store_fill_restart(struct instance *inst, Pwemu__V1__Record *record)
{
	record->restart = instance_describe_restart(inst);
	record->restart_at_ns = inst->restart_at_ns;
	record->restarts = inst->restarts;
	record->is_restart = inst->is_restart;
	record->quick_deaths_ns = xcalloc(inst->deaths.count, sizeof(uint64_t));
	for (size_t i = 0; i < inst->deaths.count; i++)
		record->quick_deaths_ns[record->n_quick_deaths_ns++] = inst->deaths.times_ms[i] * 1000000;
}

static void store_release(Pwemu__V1__Record *record)
{
	for (size_t i = 0; i < record->n_channel_rows; i++)
		free(record->channel_rows[i]);
	free(record->channel_rows);
	commands_record_fini(record);
	shares_free_messages(record->shares, record->n_shares);
	free(record->restart);
	free(record->lease);
	free(record->quick_deaths_ns);
}

static void store_fill(struct instance *inst, Pwemu__V1__Record *record)
{
	pwemu__v1__record__init(record);
	record->format = STORE_FORMAT;
	record->daemon_version = (char *)PWEMU_VERSION;
	record->id = inst->id;
	record->name = inst->name;
	record->project = inst->project;
	record->working_dir = inst->working_dir;
	record->uid = inst->user.uid;
	record->gid = inst->user.gid;
	record->groups = inst->user.groups;
	record->n_groups = inst->user.group_count;
	record->shares = shares_messages(&inst->shares);
	record->n_shares = inst->shares.count;
	record->owner = inst->user.is_named ? inst->user.name : (char *)"";
	record->machine = inst->machine;
	record->host = inst->host;
	record->state = (char *)inst_state_row(inst->state)->name;
	record->reason = inst->reason;
	record->boot = inst->boot;
	record->target = inst->target;
	record->start = inst->request;
	record->program = inst->program != NULL ? inst->program : (char *)"";
	record->argv = inst->argv.items;
	record->n_argv = inst->argv.count;
	record->mark = inst->mark != NULL ? inst->mark : (char *)"";
	record->started_ns = inst->started_ns;
	record->end = instance_end(inst);
	record->ends = inst->ends.rows;
	record->n_ends = inst->ends.count;
	record->stop_requested = inst->stop_requested;
	record->no_restart = inst->no_restart;
	record->restart_wanted = inst->restart_wanted;
	record->grace_ms = inst->grace_ms;
	record->loaded_path = inst->loaded_path != NULL ? inst->loaded_path : (char *)"";
	record->loaded_entry = inst->loaded_entry;
	record->loaded_has_entry = inst->loaded_has_entry;
	record->oom_kills = inst->oom_kills;
	record->is_debugged = inst->is_debugged;
	record->debug_was_running = inst->debug_was_running;
	record->ended_ns = inst->ended_ns;
	record->began_ns = inst->began_ns;
	record->state_since_ns = inst->state_since_ns;
	record->host_boot = (char *)(uintptr_t)(inst->env->host_boot != NULL ? inst->env->host_boot : "");
	record->proc = inst->proc_name != NULL ? inst->proc_name : (char *)"";
	record->ending = inst->ending;
	store_fill_restart(inst, record);
	if (inst->prepared != NULL) {
		record->semihosting_calls = inst->prepared->calls;
		record->n_semihosting_calls = inst->prepared->call_count;
	}
	record->argv_template = inst->argv_template.items;
	record->n_argv_template = inst->argv_template.count;
	record->setup = inst->setup.items;
	record->n_setup = inst->setup.count;
	record->was_refused = inst->was_refused;
	record->lease = lease_record(inst);
	record->ticket = inst->state == INST_QUEUED ? inst->ticket : 0;
	store_fill_channels(inst, record);
	commands_record(inst, record);
}

/* The hash that record.state is to name; 0: none, it was not written. */
static int store_put_whole(struct instance *inst, const Pwemu__V1__Record *record, struct err *err)
{
	size_t len;
	uint8_t *bytes = pb_pack(&record->base, &len);
	int rc = store_write(inst->log_dir, bytes, len, err);
	inst->record_hash = rc == 0 ? hash_bytes(bytes, len) : 0;
	free(bytes);
	return rc < 0 ? err_prefix(err, "record of instance \"%s\"", inst->name) : 0;
}

int store_put(struct instance *inst, struct err *err)
{
	if (inst->log_dir < 0)
		return 0; /* nothing of it is on disk yet */
	Pwemu__V1__Record record;
	store_fill(inst, &record);
	uint64_t rest = store_hash_of_rest(&record);
	bool is_small = (inst->state == INST_RUNNING || inst->state == INST_PAUSED) && inst->record_hash != 0 && inst->record_rest == rest;
	int rc = is_small ? store_state_put(inst->log_dir, inst->record_hash, &record) : -1;
	if (rc < 0)
		rc = store_put_whole(inst, &record, err);
	inst->record_rest = rest;
	store_release(&record);
	return rc;
}

void store_save(struct instance *inst)
{
	struct err err = ERR_INIT;
	if (store_put(inst, &err) == 0) {
		if (inst->log_dir >= 0)
			store_keep_spare(inst->log_dir);
		return;
	}
	log_error(&inst->scope, "a new daemon would go on from an older record: %s", err.msg);
	if (inst->env->journal != NULL)
		instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, NULL, NULL, err.msg);
}

static int store_read_file(const char *path, char **out, size_t *out_len, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)STORE_MAX) {
		int sys = fd < 0 ? errno : EINVAL;
		if (fd >= 0)
			close(fd);
		return err_sys(err, sys, "open record \"%s\"", path);
	}
	char *text = xcalloc(1, (size_t)st.st_size + 1);
	ssize_t n = read(fd, text, (size_t)st.st_size);
	int sys = errno;
	close(fd);
	if (n < 0) {
		free(text);
		return err_sys(err, sys, "read record \"%s\"", path);
	}
	*out = text;
	*out_len = (size_t)n;
	return 0;
}

static Pwemu__V1__Record *store_decode(const char *text, size_t len)
{
	const char *newline = memchr(text, '\n', len < STORE_HEADER_MAX ? len : STORE_HEADER_MAX);
	if (newline == NULL)
		return NULL;
	char header[STORE_HEADER_MAX];
	size_t header_len = (size_t)(newline + 1 - text), body_len = len - header_len;
	const uint8_t *body = (const uint8_t *)text + header_len;
	if (store_header(header, body, body_len) != header_len || memcmp(header, text, header_len) != 0)
		return NULL;
	return (Pwemu__V1__Record *)msg_unpack(&pwemu__v1__record__descriptor, body, body_len);
}

/* Of what store_decode() has accepted. */
static uint64_t store_body_hash(const char *text, size_t len)
{
	const char *body = (const char *)memchr(text, '\n', len) + 1;
	return hash_bytes((const uint8_t *)body, len - (size_t)(body - text));
}

static bool store_is_complete(const Pwemu__V1__Record *record)
{
	enum inst_state state;
	return record->format >= 1 && record->format <= STORE_FORMAT && record->target != NULL && record->start != NULL &&
	       record->id[0] != '\0' && record->working_dir[0] == '/' && inst_state_parse(record->state, &state);
}

static Pwemu__V1__Record *store_load_one(const char *path, struct err *err)
{
	char *text = NULL;
	size_t len = 0;
	if (store_read_file(path, &text, &len, err) < 0 || text == NULL)
		return NULL;
	Pwemu__V1__Record *record = store_decode(text, len);
	if (record != NULL)
		store_state_apply(path, store_body_hash(text, len), record);
	free(text);
	if (record != NULL && store_is_complete(record))
		return record;
	if (record != NULL && record->format > STORE_FORMAT)
		err_set(err, ERR_FAILED_PRECONDITION, "record \"%s\" was written by a newer daemon (%s)", path, record->daemon_version);
	else
		err_set(err, ERR_DATA_LOSS, "record \"%s\" is damaged", path);
	PB_FREE(record);
	return NULL;
}

/* After a power cut the newest record may be empty, as it was before the disk had it. What the one before says is not the last word:
 * nothing is started by it. */
Pwemu__V1__Record *store_load(const char *path, struct err *err)
{
	struct stat st;
	Pwemu__V1__Record *record = store_load_one(path, err);
	if (record != NULL || stat(path, &st) < 0 || st.st_size > 0)
		return record;
	struct err ignored = ERR_INIT;
	char *before = xasprintf("%s.new", path);
	record = store_load_one(before, &ignored);
	free(before);
	if (record == NULL)
		return NULL;
	log_warn(NULL, "%s; the one before is used", err->msg);
	*err = (struct err)ERR_INIT;
	record->no_restart = true;
	return record;
}

static enum channel_kind store_kind(const char *name)
{
	for (int kind = 0; kind < CHANNEL_KIND_COUNT; kind++)
		if (strcmp(channel_kind_name((enum channel_kind)kind), name) == 0)
			return (enum channel_kind)kind;
	return CHANNEL_SERIAL;
}

static struct instance_channel *store_add_channel(struct instance *inst, const char *name, const char *kind)
{
	struct instance_channel *channel = xcalloc(1, sizeof(*channel));
	snprintf(channel->name, sizeof(channel->name), "%s", name);
	channel->kind = store_kind(kind);
	channel->endpoint_fds = (struct endpoint_fds)ENDPOINT_FDS_NONE;
	channel->inst = inst;
	inst->channels = xrealloc(inst->channels, inst->channel_count + 1, sizeof(struct instance_channel *));
	inst->channels[inst->channel_count++] = channel;
	return channel;
}

static void store_apply_channels(struct instance *inst, const Pwemu__V1__Record *record)
{
	for (size_t i = 0; i < record->n_channels; i++) {
		const Pwemu__V1__Channel *row = record->channels[i];
		struct instance_channel *channel = store_add_channel(inst, row->name, row->kind);
		channel->has_input = row->writable;
		channel->is_socket = strcmp(row->type, "unix") == 0;
		channel->offset = row->offset;
	}
	for (size_t i = 0; i < record->n_channel_rows; i++) {
		const Pwemu__V1__RecordChannel *row = record->channel_rows[i];
		struct instance_channel *channel = store_add_channel(inst, row->name, row->kind);
		channel->has_input = row->has_input;
		channel->first_offset = row->first_offset;
		channel->is_socket = row->is_socket;
		channel->offset = row->offset;
		(void)endpoint_kind_parse(row->endpoint, &channel->endpoint_kind);
		channel->port = (uint16_t)row->port;
		if (!instance_is_over(inst)) /* else it is somebody else's by now */
			snprintf(channel->pty_path, sizeof(channel->pty_path), "%s", row->path);
		channel->had_party = row->had_party;
	}
}

static void store_apply_calls(struct instance *inst, const Pwemu__V1__Record *record)
{
	inst->prepared = xcalloc(1, sizeof(*inst->prepared));
	for (size_t i = 0; i < record->n_semihosting_calls && i < PREPARE_CALLS_MAX; i++)
		inst->prepared->calls[inst->prepared->call_count++] = record->semihosting_calls[i];
}

/* The end of the latest boot is the last of `ends`; format 1 had none but it. */
static void store_apply_ends(struct instance *inst, const Pwemu__V1__Record *record)
{
	for (size_t i = 0; i < record->n_ends; i++)
		ends_add(&inst->ends, record->ends[i]);
	if (record->end != NULL && record->n_ends == 0)
		ends_add(&inst->ends, record->end);
	inst->has_end = record->end != NULL;
}

/* What an instance of format 1 was started with knew of no policy. */
static void store_apply_restart(struct instance *inst, const Pwemu__V1__Record *record)
{
	restart_policy_fill(record->restart, PWEMU__V1__RESTART_MODE__RESTART_MODE_NO, &inst->restart);
	inst->restart_at_ns = record->restart_at_ns;
	if (inst->state == INST_BACKOFF && inst->restart_at_ns == 0)
		inst->restart_at_ns = 1; /* overdue */
	inst->restarts = record->restarts;
	inst->is_restart = record->is_restart;
	for (size_t i = 0; i < record->n_quick_deaths_ns && i < RESTART_DEATHS_MAX; i++)
		inst->deaths.times_ms[inst->deaths.count++] = record->quick_deaths_ns[i] / 1000000;
	snprintf(inst->ending, sizeof(inst->ending), "%s", record->ending);
	inst->restart_wanted = record->restart_wanted;
}

static void store_apply_shares(struct instance *inst, const Pwemu__V1__Record *record)
{
	for (size_t i = 0; i < record->n_shares; i++) {
		const Pwemu__V1__Share *row = record->shares[i];
		enum right right;
		if (!right_parse(row->right, &right))
			continue;
		struct share share = { row->group, row->id, row->name, right, row->since_ns, row->members, row->n_members };
		(void)shares_put(&inst->shares, &share);
	}
}

void store_apply(struct instance *inst, const Pwemu__V1__Record *record)
{
	store_apply_shares(inst, record);
	(void)inst_state_parse(record->state, &inst->state);
	snprintf(inst->reason, sizeof(inst->reason), "%s", record->reason);
	inst->boot = record->boot;
	inst->target = PB_COPY(Pwemu__V1__Target, record->target);
	inst->request = PB_COPY(Pwemu__V1__StartRequest, record->start);
	inst->program = xstrdup(record->program);
	inst->mark = xstrdup(record->mark);
	strv_add_all(&inst->argv, record->argv, record->n_argv);
	inst->started_ns = record->started_ns;
	inst->was_ready = inst->state == INST_RUNNING || inst->state == INST_PAUSED || record->started_ns != 0;
	inst->ended_ns = record->ended_ns;
	inst->stop_requested = record->stop_requested;
	inst->no_restart = record->no_restart || record->stop_requested;
	inst->grace_ms = record->grace_ms > 0 ? record->grace_ms : STORE_GRACE_MS;
	inst->began_ns = record->began_ns;
	inst->loaded_path = record->loaded_path[0] != '\0' ? xstrdup(record->loaded_path) : NULL;
	inst->loaded_entry = record->loaded_entry;
	inst->loaded_has_entry = record->loaded_has_entry;
	inst->oom_kills = record->oom_kills;
	inst->is_debugged = record->is_debugged;
	inst->debug_was_running = record->debug_was_running;
	inst->state_since_ns = record->state_since_ns;
	inst->proc_name = xstrdup(record->proc[0] != '\0' ? record->proc : "emulator"); /* the name in format 1 */
	store_apply_ends(inst, record);
	store_apply_restart(inst, record);
	strv_add_all(&inst->argv_template, record->argv_template, record->n_argv_template);
	strv_add_all(&inst->setup, record->setup, record->n_setup);
	inst->was_refused = record->was_refused;
	store_apply_channels(inst, record);
	commands_apply(inst, record);
	inst->ticket = record->ticket;
	lease_apply(inst, record);
	store_apply_calls(inst, record);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Records on disk: what is written comes back; what is damaged is refused, whatever the damage. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/pb.h"
#include "instance/commands.h"
#include "instance/priv.h"
#include "loop/loop.h"
#include "wire/mem.h"

struct box {
	char dir[64];
	char record[128];
	struct instance_env env;
	struct instance *inst;
};

static void ignore_change(void *ctx, struct instance *inst)
{
	(void)ctx, (void)inst;
}

static const struct user me = { .uid = 1000, .gid = 1000, .name = (char[]){ "me" }, .is_named = true };

static struct instance *make_instance(struct box *b)
{
	struct instance_identity identity = {
		.id = "abc123", .name = "board2", .project = "/p", .working_dir = "/p/.pw_emu/board2", .user = &me
	};
	return instance_new(&b->env, &identity);
}

static int box_setup(void **state)
{
	struct box *b = xcalloc(1, sizeof(*b));
	snprintf(b->dir, sizeof(b->dir), "/tmp/pwemu-store-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->record, sizeof(b->record), "%s/record", b->dir);
	b->env = (struct instance_env){
		.base = loop_new(), .shim = "/none", .state_dir = b->dir, .host_boot = "of this host", .on_change = ignore_change
	};
	b->inst = make_instance(b);
	b->inst->log_dir = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = b;
	return 0;
}

static int box_teardown(void **state)
{
	struct box *b = *state;
	char command[96];
	instance_free(b->inst);
	loop_free((void *)b->env.base);
	snprintf(command, sizeof(command), "rm -rf %s", b->dir);
	int rc = system(command);
	free(b);
	return rc;
}

/* ---------------------------------------------------------------- filling */

static Pwemu__V1__Target *make_target(void)
{
	Pwemu__V1__QemuTarget qemu = PWEMU__V1__QEMU_TARGET__INIT;
	Pwemu__V1__Target target = PWEMU__V1__TARGET__INIT;
	qemu.executable = (char *)"qemu-system-arm";
	qemu.machine = (char *)"lm3s6965evb";
	target.name = (char *)"qemu-lm3s6965evb";
	target.emulator = (char *)"qemu";
	target.qemu = &qemu;
	return PB_COPY(Pwemu__V1__Target, &target);
}

static Pwemu__V1__StartRequest *make_request(void)
{
	char *variables[] = { (char *)"PATH=/x", (char *)"WITH=new\nline" };
	Pwemu__V1__Environment environment = PWEMU__V1__ENVIRONMENT__INIT;
	Pwemu__V1__StartRequest request = PWEMU__V1__START_REQUEST__INIT;
	environment.variables = variables;
	environment.n_variables = 2;
	environment.cwd = (char *)"/somewhere";
	environment.umask = 022;
	request.environment = &environment;
	request.name = (char *)"board2";
	request.target_case = PWEMU__V1__START_REQUEST__TARGET_TARGET_NAME;
	request.target_name = (char *)"qemu-lm3s6965evb";
	request.stop_on_disconnect = 1;
	return PB_COPY(Pwemu__V1__StartRequest, &request);
}

static void add_channel(struct instance *inst, const char *name, enum channel_kind kind, bool has_input, bool is_socket, uint64_t offset)
{
	struct instance_channel *channel = xcalloc(1, sizeof(*channel));
	snprintf(channel->name, sizeof(channel->name), "%s", name);
	channel->kind = kind;
	channel->has_input = has_input;
	channel->is_socket = is_socket;
	channel->offset = offset;
	channel->first_offset = offset / 4;
	channel->inst = inst;
	channel->endpoint_fds = (struct endpoint_fds)ENDPOINT_FDS_NONE;
	if (has_input) {
		channel->endpoint_kind = ENDPOINT_TCP;
		channel->port = 20001;
		channel->had_party = true;
	}
	inst->channels = xrealloc(inst->channels, inst->channel_count + 1, sizeof(inst->channels[0]));
	inst->channels[inst->channel_count++] = channel;
}

static void fill_supervision(struct instance *inst)
{
	struct lease_terms lease = { .kind = PWEMU__V1__LEASE_KIND__LEASE_KIND_CLIENT, .owner = "client of alice", .passed_on = true };
	lease_take(inst, &lease, NULL);
	Pwemu__V1__End end = PWEMU__V1__END__INIT;
	end.cause = PWEMU__V1__END_CAUSE__END_CAUSE_CRASHED;
	end.boot = 6;
	ends_add(&inst->ends, &end);
	end.message = (char *)"guest fault: caf\xc3\xa9";
	end.details = (char *)"R00=00000000\nR01=00000001\n";
	end.cause = PWEMU__V1__END_CAUSE__END_CAUSE_GUEST_FAULT;
	end.code = -1;
	end.signal = SIGABRT;
	end.boot = 7;
	ends_add(&inst->ends, &end);
	inst->has_end = true;
	restart_policy_fill(NULL, PWEMU__V1__RESTART_MODE__RESTART_MODE_ALWAYS, &inst->restart);
	inst->restart.delay_ms = 0;
	inst->restarts = 6;
	inst->is_restart = true;
	inst->restart_at_ns = 1700000002123456789u;
	inst->deaths.count = 2;
	inst->deaths.times_ms[0] = 1699999999999;
	inst->deaths.times_ms[1] = 1700000000000;
	inst->began_ns = 1699999999123456789u;
	inst->state_since_ns = 1700000000223456789u;
	inst->proc_name = xstrdup("boot-7");
	snprintf(inst->ending, sizeof(inst->ending), "too slow");
}

static void fill(struct instance *inst)
{
	inst->state = INST_PAUSED;
	snprintf(inst->reason, sizeof(inst->reason), "paused");
	inst->boot = 7;
	inst->target = make_target();
	inst->request = make_request();
	inst->program = xstrdup("/usr/bin/qemu-system-arm");
	inst->mark = xstrdup("abc123:7:0123456789abcdef");
	strv_add(&inst->argv, "qemu-system-arm");
	strv_add(&inst->argv, "");
	strv_add(&inst->argv, "-M");
	inst->started_ns = 1700000000123456789u;
	inst->ended_ns = 1700000001123456789u;
	inst->stop_requested = inst->no_restart = true;
	inst->grace_ms = 60000;
	inst->prepared = xcalloc(1, sizeof(*inst->prepared));
	for (uint32_t i = 0; i < PREPARE_CALLS_MAX; i++)
		inst->prepared->calls[inst->prepared->call_count++] = 0x100 + 2 * i;
	fill_supervision(inst);
	add_channel(inst, "serial0", CHANNEL_SERIAL, true, false, 1ull << 40);
	add_channel(inst, "emulator", CHANNEL_EMULATOR, false, false, 0);
	add_channel(inst, "gdb", CHANNEL_GDB, false, true, 0);
}

/* ---------------------------------------------------------------- files */

static ino_t record_inode(const struct box *b)
{
	struct stat st;
	assert_int_equal(stat(b->record, &st), 0);
	return st.st_ino;
}

static uint8_t *read_record(const struct box *b, size_t *len)
{
	struct stat st;
	int fd = open(b->record, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	uint8_t *bytes = xmalloc((size_t)st.st_size + 1);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	*len = (size_t)st.st_size;
	return bytes;
}

static void write_record(const struct box *b, const uint8_t *bytes, size_t len)
{
	int fd = open(b->record, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static Pwemu__V1__Record *load(const struct box *b)
{
	struct err err = ERR_INIT;
	Pwemu__V1__Record *record = store_load(b->record, &err);
	if (record == NULL)
		fail_msg("%s", err.msg);
	return record;
}

static void assert_refused(const struct box *b, enum err_code code, const char *text)
{
	struct err err = ERR_INIT;
	Pwemu__V1__Record *record = store_load(b->record, &err);
	assert_null(record);
	assert_int_equal(err.code, code);
	if (strstr(err.msg, text) == NULL || strstr(err.msg, b->record) == NULL)
		fail_msg("no \"%s\" or \"%s\" in: %s", text, b->record, err.msg);
}

/* The header over a body, as the format is written down. */
static void write_body(const struct box *b, const char *title, const uint8_t *body, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ body[i]) * 0x100000001b3u;
	uint8_t *all = xmalloc(len + 100);
	int n = snprintf((char *)all, 100, "%s%zu %016llx\n", title, len, (unsigned long long)hash);
	memcpy(all + n, body, len);
	write_record(b, all, (size_t)n + len);
	free(all);
}

static void write_message(const struct box *b, const Pwemu__V1__Record *record)
{
	size_t len = pwemu__v1__record__get_packed_size(record);
	uint8_t *body = xmalloc(len);
	pwemu__v1__record__pack(record, body);
	write_body(b, "pwemu-record 1 ", body, len);
	free(body);
}

/* ---------------------------------------------------------------- commands */

static void fill_command(struct instance *inst, size_t i, const char *name, bool is_post)
{
	struct command *command = &inst->commands[i];
	*command = (struct command){ .inst = inst, .name = xstrdup(name), .is_post = is_post, .required = is_post, .is_begun = !is_post };
	strv_init(&command->argv);
	strv_add(&command->argv, name);
	strv_add(&command->argv, "");
	command->proc_name = xasprintf("command-%zu-1", i);
	command->mark = xasprintf("abc123:%zu:1", i);
	command->began_ns = is_post ? 0 : 1700000000123456789u;
}

/* One that has ended, and one that is still to come. */
static void fill_commands(struct instance *inst)
{
	Pwemu__V1__End end = PWEMU__V1__END__INIT;
	inst->commands = xcalloc(2, sizeof(*inst->commands));
	inst->command_count = 2;
	fill_command(inst, 0, "one", false);
	fill_command(inst, 1, "two", true);
	inst->commands[0].program = xstrdup("/bin/one");
	end.code = 7;
	end.message = (char *)"has ended with code 7";
	inst->commands[0].end = PB_COPY(Pwemu__V1__End, &end);
	strv_add(&inst->argv_template, "$pw_emu_wdir{x}");
}

static void assert_commands(const struct instance *inst)
{
	assert_int_equal(inst->argv_template.count, 1);
	assert_string_equal(inst->argv_template.items[0], "$pw_emu_wdir{x}");
	assert_int_equal(inst->command_count, 2);
	const struct command *one = &inst->commands[0], *two = &inst->commands[1];
	assert_string_equal(one->name, "one");
	assert_string_equal(one->program, "/bin/one");
	assert_string_equal(one->proc_name, "command-0-1");
	assert_string_equal(one->mark, "abc123:0:1");
	assert_int_equal(one->argv.count, 2);
	assert_int_equal(one->end->code, 7);
	assert_string_equal(one->end->message, "has ended with code 7");
	assert_true(one->began_ns == 1700000000123456789u && one->is_begun && !one->is_post && !one->required);
	assert_null(two->program);
	assert_null(two->end);
	assert_true(two->began_ns == 0 && !two->is_begun && two->is_post && two->required);
}

static void test_commands(void **state)
{
	struct box *b = *state;
	fill(b->inst);
	fill_commands(b->inst);
	store_save(b->inst);
	Pwemu__V1__Record *record = load(b);
	struct instance *copy = make_instance(b);
	store_apply(copy, record);
	PB_FREE(record);
	assert_commands(copy);
	instance_free(copy);
}

/* ---------------------------------------------------------------- */

static void test_fields(void **state)
{
	struct box *b = *state;
	fill(b->inst);
	store_save(b->inst);
	Pwemu__V1__Record *r = load(b);
	assert_int_equal(r->format, 2);
	assert_string_equal(r->daemon_version, PWEMU_VERSION);
	assert_string_equal(r->id, "abc123");
	assert_string_equal(r->name, "board2");
	assert_string_equal(r->project, "/p");
	assert_string_equal(r->working_dir, "/p/.pw_emu/board2");
	assert_int_equal(r->uid, 1000);
	assert_string_equal(r->state, "paused");
	assert_string_equal(r->reason, "paused");
	assert_int_equal(r->boot, 7);
	assert_string_equal(r->target->qemu->machine, "lm3s6965evb");
	assert_string_equal(r->start->environment->variables[1], "WITH=new\nline");
	assert_int_equal(r->start->environment->umask, 022);
	assert_string_equal(r->program, "/usr/bin/qemu-system-arm");
	assert_int_equal(r->n_argv, 3);
	assert_string_equal(r->argv[1], "");
	assert_string_equal(r->mark, "abc123:7:0123456789abcdef");
	assert_true(r->started_ns == 1700000000123456789u && r->ended_ns == 1700000001123456789u);
	assert_true(r->stop_requested);
	assert_int_equal(r->end->signal, SIGABRT);
	assert_string_equal(r->end->message, "guest fault: caf\xc3\xa9");
	assert_int_equal(r->n_semihosting_calls, PREPARE_CALLS_MAX);
	assert_int_equal(r->semihosting_calls[63], 0x100 + 126);
	assert_int_equal(r->n_channel_rows, 3);
	assert_true(r->channel_rows[0]->offset == 1ull << 40 && r->channel_rows[0]->first_offset == 1ull << 38);
	assert_string_equal(r->channel_rows[0]->endpoint, "tcp");
	assert_int_equal(r->channel_rows[0]->port, 20001);
	assert_true(r->channel_rows[2]->is_socket);
	assert_int_equal(r->n_ends, 2);
	assert_int_equal(r->ends[0]->boot, 6);
	assert_string_equal(r->ends[1]->details, "R00=00000000\nR01=00000001\n");
	assert_int_equal(r->restart->mode, PWEMU__V1__RESTART_MODE__RESTART_MODE_ALWAYS);
	assert_int_equal(r->n_quick_deaths_ns, 2);
	assert_string_equal(r->proc, "boot-7");
	assert_string_equal(r->host_boot, "of this host");
	PB_FREE(r);
}

/* An instance made from a record writes the same record again. */
static void test_round_trip(void **state)
{
	struct box *b = *state;
	size_t len, again_len;
	fill(b->inst);
	store_save(b->inst);
	uint8_t *bytes = read_record(b, &len);
	Pwemu__V1__Record *record = load(b);
	struct instance *copy = make_instance(b);
	store_apply(copy, record);
	PB_FREE(record);
	assert_int_equal(unlink(b->record), 0);
	copy->log_dir = dup(b->inst->log_dir);
	store_save(copy);
	instance_free(copy);
	uint8_t *again = read_record(b, &again_len);
	assert_int_equal(again_len, len);
	assert_memory_equal(again, bytes, len);
	free(again);
	free(bytes);
}

/* Whether the emulator ever answered: it cannot have refused its configuration then. */
static void test_was_ready(void **state)
{
	struct box *b = *state;
	fill(b->inst);
	b->inst->started_ns = 0;
	for (int s = 0; s < INST_STATE_COUNT; s++) {
		b->inst->state = (enum inst_state)s;
		store_save(b->inst);
		Pwemu__V1__Record *record = load(b);
		struct instance *copy = make_instance(b);
		store_apply(copy, record);
		assert_int_equal(copy->was_ready, s == INST_RUNNING || s == INST_PAUSED);
		record->started_ns = 1;
		struct instance *started = make_instance(b);
		store_apply(started, record);
		assert_true(started->was_ready);
		PB_FREE(record);
		instance_free(copy);
		instance_free(started);
	}
}

/* One that never ran has little, and that is enough. */
static void test_least(void **state)
{
	struct box *b = *state;
	b->inst->target = make_target();
	b->inst->request = make_request();
	store_save(b->inst);
	Pwemu__V1__Record *record = load(b);
	assert_null(record->end);
	assert_int_equal(record->n_channel_rows, 0);
	assert_string_equal(record->state, "ended");
	struct instance *copy = make_instance(b);
	store_apply(copy, record);
	assert_false(copy->has_end);
	assert_int_equal(copy->boot, 0);
	PB_FREE(record);
	instance_free(copy);
}

static void test_private(void **state)
{
	struct box *b = *state;
	struct stat st;
	fill(b->inst);
	umask(0);
	store_save(b->inst);
	assert_int_equal(stat(b->record, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600); /* it has the user's environment */
	char temporary[160];
	snprintf(temporary, sizeof(temporary), "%s.new", b->record);
	assert_int_equal(access(temporary, F_OK), -1);
}

static void test_every_truncation(void **state)
{
	struct box *b = *state;
	size_t len;
	fill(b->inst);
	store_save(b->inst);
	uint8_t *bytes = read_record(b, &len);
	for (size_t cut = 0; cut < len; cut++) {
		write_record(b, bytes, cut);
		assert_refused(b, ERR_DATA_LOSS, "is damaged");
	}
	bytes[len] = 0;
	write_record(b, bytes, len + 1); /* and one byte too many */
	assert_refused(b, ERR_DATA_LOSS, "is damaged");
	write_record(b, bytes, len);
	Pwemu__V1__Record *record = load(b);
	PB_FREE(record);
	free(bytes);
}

/* Of several records, so that the header's digits differ. */
static void test_every_flip(void **state)
{
	static const uint8_t flips[] = { 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff };
	struct box *b = *state;
	fill(b->inst);
	for (uint32_t boot = 7; boot < 10; boot++) {
		size_t len;
		b->inst->boot = boot;
		store_save(b->inst);
		uint8_t *bytes = read_record(b, &len);
		for (size_t i = 0; i < len * sizeof(flips); i++) {
			bytes[i / sizeof(flips)] ^= flips[i % sizeof(flips)];
			write_record(b, bytes, len);
			assert_refused(b, ERR_DATA_LOSS, "is damaged");
			bytes[i / sizeof(flips)] ^= flips[i % sizeof(flips)];
		}
		free(bytes);
	}
}

/* A power cut may leave the newest empty: then the one before is known, and starts nothing. */
static void test_record_before(void **state)
{
	struct box *b = *state;
	fill(b->inst);
	b->inst->no_restart = false;
	for (uint32_t boot = 7; boot < 10; boot++) {
		b->inst->boot = boot;
		store_save(b->inst);
	}
	Pwemu__V1__Record *record = load(b);
	assert_int_equal(record->boot, 9);
	assert_false(record->no_restart);
	PB_FREE(record);
	write_record(b, (const uint8_t *)"", 0);
	record = load(b);
	assert_int_equal(record->boot, 8);
	assert_true(record->no_restart);
	PB_FREE(record);
	b->inst->boot = 10;
	store_save(b->inst);
	record = load(b);
	assert_int_equal(record->boot, 10);
	PB_FREE(record);
}

/* Right sum, wrong content. */
static void test_not_a_record(void **state)
{
	struct box *b = *state;
	static const uint8_t garbage[] = { 0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f };
	write_body(b, "pwemu-record 1 ", garbage, sizeof(garbage));
	assert_refused(b, ERR_DATA_LOSS, "is damaged");
	write_body(b, "pwemu-record 1 ", garbage, 0);
	assert_refused(b, ERR_DATA_LOSS, "is damaged");
	write_record(b, (const uint8_t *)"", 0);
	assert_refused(b, ERR_DATA_LOSS, "is damaged");
}

/* Each thing that a record must have. */
static void test_incomplete(void **state)
{
	struct box *b = *state;
	fill(b->inst);
	store_save(b->inst);
	Pwemu__V1__Record *record = load(b), bad = *record;
	write_message(b, &bad);
	Pwemu__V1__Record *good = load(b); /* the way it is written here is right */
	PB_FREE(good);
	bad.target = NULL;
	write_message(b, &bad);
	assert_refused(b, ERR_DATA_LOSS, "is damaged");
	bad = *record;
	bad.start = NULL;
	write_message(b, &bad);
	assert_refused(b, ERR_DATA_LOSS, "is damaged");
	static char *const no_states[] = { (char *)"", (char *)"flying" };
	for (size_t i = 0; i < 2; i++) {
		bad = *record;
		bad.state = no_states[i];
		write_message(b, &bad);
		assert_refused(b, ERR_DATA_LOSS, "is damaged");
	}
	bad = *record;
	bad.working_dir = (char *)"relative";
	write_message(b, &bad);
	assert_refused(b, ERR_DATA_LOSS, "is damaged");
	bad = *record;
	bad.id = (char *)"";
	write_message(b, &bad);
	assert_refused(b, ERR_DATA_LOSS, "is damaged");
	bad = *record;
	bad.format = 0;
	write_message(b, &bad);
	assert_refused(b, ERR_DATA_LOSS, "is damaged");
	PB_FREE(record);
}

/* What a newer daemon wrote is not taken for damage: it waits for that daemon. */
static void test_newer(void **state)
{
	struct box *b = *state;
	fill(b->inst);
	store_save(b->inst);
	Pwemu__V1__Record *record = load(b), newer = *record;
	newer.format = 3;
	newer.daemon_version = (char *)"9.9";
	newer.state = (char *)"flying";
	write_message(b, &newer);
	assert_refused(b, ERR_FAILED_PRECONDITION, "written by a newer daemon (9.9)");
	PB_FREE(record);
}

static void test_no_file(void **state)
{
	struct box *b = *state;
	assert_refused(b, ERR_NOT_FOUND, "No such file");
	assert_int_equal(symlink("/etc/passwd", b->record), 0);
	struct err err = ERR_INIT;
	assert_null(store_load(b->record, &err));
	assert_int_not_equal(err.code, ERR_DATA_LOSS); /* nothing of it was read */
	unlink(b->record);
	assert_int_equal(mkfifo(b->record, 0600), 0);
	assert_null(store_load(b->record, &err)); /* at once */
	unlink(b->record);
	assert_int_equal(mkdir(b->record, 0700), 0);
	assert_null(store_load(b->record, &err));
}

/* A record that cannot be written leaves the old one as it was. */
static void assert_state(const struct box *b, const char *state, const char *reason, uint64_t started_ns)
{
	Pwemu__V1__Record *record = load(b);
	assert_string_equal(record->state, state);
	assert_string_equal(record->reason, reason);
	assert_int_equal(record->started_ns, started_ns);
	assert_int_equal(record->boot, 7);
	assert_int_equal(record->n_argv, 3);
	assert_true(record->n_channel_rows == 3 && record->channel_rows[0]->port == 20001);
	PB_FREE(record);
}

static void put_state(struct box *b, enum inst_state state, const char *reason, uint64_t started_ns)
{
	struct err err = ERR_INIT;
	b->inst->state = state;
	b->inst->started_ns = started_ns;
	snprintf(b->inst->reason, sizeof(b->inst->reason), "%s", reason);
	assert_int_equal(store_put(b->inst, &err), 0);
}

/* What pausing and resuming changes goes beside the record, which stays; everything else makes a new one. */
static void test_small_changes(void **state)
{
	struct box *b = *state;
	fill(b->inst);
	put_state(b, INST_BOOTING, "the emulator is starting", 0);
	ino_t first = record_inode(b);
	put_state(b, INST_RUNNING, "", 5);
	assert_int_equal(record_inode(b), first);
	assert_state(b, "running", "", 5);
	b->inst->channels[0]->offset++;
	put_state(b, INST_PAUSED, "paused for a reason that is longer than the one before", 5);
	put_state(b, INST_RUNNING, "short", 6);
	assert_int_equal(record_inode(b), first);
	assert_state(b, "running", "short", 6);
	b->inst->channels[0]->port = 20002;
	put_state(b, INST_RUNNING, "port", 6);
	assert_int_not_equal(record_inode(b), first);
	b->inst->channels[0]->port = 20001;
	put_state(b, INST_RUNNING, "again", 6);
	first = record_inode(b);
	put_state(b, INST_STOPPING, "stopped", 6);
	assert_int_not_equal(record_inode(b), first);
	assert_state(b, "stopping", "stopped", 6);
}

/* One that belongs to another record, or is damaged in any byte, says nothing. */
static void test_small_changes_of_others(void **state)
{
	struct box *b = *state;
	char path[160];
	uint8_t byte;
	fill(b->inst);
	put_state(b, INST_BOOTING, "begins", 0);
	put_state(b, INST_RUNNING, "runs", 5);
	snprintf(path, sizeof(path), "%s.state", b->record);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	for (off_t at = 0; pread(fd, &byte, 1, at) == 1; at++) {
		uint8_t other = byte ^ 1;
		assert_int_equal(pwrite(fd, &other, 1, at), 1);
		assert_state(b, "booting", "begins", 0);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	assert_state(b, "running", "runs", 5);
	for (off_t len = lseek(fd, 0, SEEK_END) - 1; len >= 0; len--) {
		assert_int_equal(ftruncate(fd, len), 0);
		assert_state(b, "booting", "begins", 0);
	}
	close(fd);
	put_state(b, INST_RUNNING, "runs", 5);
	b->inst->record_hash = 0; /* as in the next daemon */
	put_state(b, INST_BOOTING, "begins again", 0);
	assert_state(b, "booting", "begins again", 0);
}

static void test_disk_full(void **state)
{
	struct box *b = *state;
	struct rlimit old, small;
	fill(b->inst);
	store_save(b->inst);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 20;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	snprintf(b->inst->reason, sizeof(b->inst->reason), "newer");
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), err_fd = dup(2); /* the complaint is long expected */
	dup2(null, 2);
	store_save(b->inst);
	dup2(err_fd, 2);
	close(err_fd);
	close(null);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	Pwemu__V1__Record *record = load(b);
	assert_string_equal(record->reason, "paused");
	PB_FREE(record);
	store_save(b->inst);
	record = load(b);
	assert_string_equal(record->reason, "newer");
	PB_FREE(record);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_commands),         TEST(test_fields),        TEST(test_round_trip),
		TEST(test_was_ready),        TEST(test_least),         TEST(test_private),
		TEST(test_every_truncation), TEST(test_every_flip),    TEST(test_record_before),
		TEST(test_not_a_record),     TEST(test_incomplete),    TEST(test_newer),
		TEST(test_no_file),          TEST(test_small_changes), TEST(test_small_changes_of_others),
		TEST(test_disk_full),
	};
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests_name("instance: records", tests, NULL, NULL);
}

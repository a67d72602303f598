/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a power cut leaves of the state directory: any file of an ended instance cut at any byte. The next daemon always starts; it has the
 * instance, or has set it aside and said so with everything that is left of it; a neighbour is never touched.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/pb.h"
#include "instance/priv.h"
#include "instance/registry.h"
#include "loop/loop.h"
#include "wire/mem.h"

#define TEXT "what the guest has printed before the power went\n"

static const struct user me = { .uid = 1000, .gid = 1000, .name = (char[]){ "me" }, .is_named = true };

struct box {
	char dir[64];
	char run[80];
	struct event_base *base;
	struct registry *registry;
	char ids[2][INSTANCE_ID_LEN + 1]; /* the one that is cut, and its neighbour */
};

static struct registry *make_registry(struct box *b)
{
	snprintf(b->run, sizeof(b->run), "%s/run", b->dir);
	struct registry_config config = { .base = b->base, .shim = "/none", .state_dir = b->dir, .run_dir = b->run, .own_name = "me" };
	return registry_new(&config);
}

static void next_daemon(struct box *b)
{
	registry_free(b->registry);
	b->registry = make_registry(b);
	registry_adopt(b->registry);
}

static struct instance *by_id(const struct box *b, size_t i)
{
	return registry_by_id(b->registry, b->ids[i]);
}

static char *path_of(const struct box *b, size_t i, const char *file)
{
	return xasprintf("%s/data/%s/%s", b->dir, b->ids[i], file);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static char *read_file(const char *path, size_t *len)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	char *bytes = xmalloc((size_t)st.st_size + 1);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	*len = (size_t)st.st_size;
	return bytes;
}

/* An instance with one channel that has printed TEXT in its only boot and has ended. */
static void make_ended(struct box *b, const char *name, char id[INSTANCE_ID_LEN + 1])
{
	Pwemu__V1__Target target = PWEMU__V1__TARGET__INIT;
	Pwemu__V1__StartRequest request = PWEMU__V1__START_REQUEST__INIT;
	struct err err = ERR_INIT;
	request.name = (char *)(uintptr_t)name;
	struct instance *inst = registry_claim(b->registry, &request, &me, &err);
	assert_non_null(inst);
	memcpy(id, instance_id(inst), INSTANCE_ID_LEN + 1);
	inst->target = PB_COPY(Pwemu__V1__Target, &target);
	inst->request = PB_COPY(Pwemu__V1__StartRequest, &request);
	inst->boot = 1;
	struct instance_channel *channel = xcalloc(1, sizeof(*channel));
	snprintf(channel->name, sizeof(channel->name), "serial0");
	channel->kind = CHANNEL_SERIAL;
	channel->inst = inst;
	inst->channels = xcalloc(1, sizeof(struct instance_channel *));
	inst->channels[inst->channel_count++] = channel;
	assert_int_equal(channels_open(inst, channel, &err), 0);
	int fifo[2];
	assert_int_equal(pipe2(fifo, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write(fifo[1], TEXT, strlen(TEXT)), (ssize_t)strlen(TEXT));
	close(fifo[1]);
	assert_int_equal(hub_begin_boot(channel->hub, 1, true, fifo[0], -1, &err), 0);
	hub_end_boot(channel->hub, (void (*)(void *))loop_stop, b->base);
	loop_run(b->base);
	assert_int_equal(hub_end_offset(channel->hub), strlen(TEXT));
	assert_int_equal(store_put(inst, &err), 0);
}

static int box_setup(void **state)
{
	struct box *b = xcalloc(1, sizeof(*b));
	snprintf(b->dir, sizeof(b->dir), "/tmp/pwemu-cut-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->base = loop_new();
	b->registry = make_registry(b);
	make_ended(b, "cut", b->ids[0]);
	make_ended(b, "neighbour", b->ids[1]);
	*state = b;
	return 0;
}

static int box_teardown(void **state)
{
	struct box *b = *state;
	char command[96];
	registry_free(b->registry);
	loop_free(b->base);
	snprintf(command, sizeof(command), "rm -rf %s", b->dir);
	int rc = system(command);
	free(b);
	return rc;
}

static void ignore_readable(void *ctx)
{
	(void)ctx;
}

/* Its log has the first `len` bytes of TEXT and its boots are asked for. */
static void assert_log(struct instance *inst, size_t len)
{
	static const struct cursor_ops ops = { .on_readable = ignore_readable };
	struct err err = ERR_INIT;
	struct cursor *cursor;
	struct chunk chunk;
	struct hub *hub;
	struct hub_boot boot;
	const char *name;
	char text[256];
	size_t done = 0;
	if (instance_hub(inst, "serial0", &hub, &name, &err) < 0 || cursor_open(hub, 0, UINT64_MAX, true, &ops, NULL, &cursor, &err) < 0)
		fail_msg("%s", err.msg);
	while (cursor_read(cursor, text + done, sizeof(text) - done, &chunk, &err) == 1)
		done += chunk.len;
	cursor_close(cursor);
	assert_int_equal(done, len);
	assert_memory_equal(text, TEXT, len);
	if (hub_find_boot(hub, 0, &boot, NULL) == 0) /* else its mark was lost */
		assert_true(boot.number == 1 && boot.offset == 0);
}

static void assert_neighbour(struct box *b)
{
	assert_non_null(by_id(b, 1));
	assert_log(by_id(b, 1), strlen(TEXT));
}

static void test_record(void **state)
{
	struct box *b = *state;
	char *record = path_of(b, 0, "record"), *data = xasprintf("%s/data/%s", b->dir, b->ids[0]),
	     *aside = xasprintf("%s/data/%s.broken", b->dir, b->ids[0]);
	size_t len, log_len;
	char *bytes = read_file(record, &len), *log = xasprintf("%s/serial0.log", aside);
	for (size_t cut = 0; cut < len; cut++) {
		write_file(record, bytes, cut);
		next_daemon(b);
		assert_null(by_id(b, 0));
		assert_neighbour(b);
		char *text = read_file(log, &log_len); /* nothing of it is lost */
		assert_int_equal(log_len, strlen(TEXT));
		free(text);
		assert_int_equal(rename(aside, data), 0);
	}
	write_file(record, bytes, len);
	next_daemon(b);
	assert_log(by_id(b, 0), strlen(TEXT));
	free(bytes);
	free(record);
	free(data);
	free(aside);
	free(log);
}

static void test_log(void **state)
{
	struct box *b = *state;
	char *log = path_of(b, 0, "serial0.log");
	for (size_t cut = 0; cut <= strlen(TEXT); cut++) {
		write_file(log, TEXT, cut);
		next_daemon(b);
		assert_log(by_id(b, 0), cut);
		assert_neighbour(b);
	}
	free(log);
}

static void test_index(void **state)
{
	struct box *b = *state;
	char *index = path_of(b, 0, "serial0.idx");
	size_t len;
	char *bytes = read_file(index, &len);
	assert_true(len >= 3 * 32);
	for (size_t cut = 0; cut <= len; cut++) {
		write_file(index, bytes, cut);
		next_daemon(b);
		assert_log(by_id(b, 0), strlen(TEXT));
		assert_neighbour(b);
	}
	free(bytes);
	free(index);
}

/* Everything at once, down to nothing. */
static void test_all(void **state)
{
	static const char *const files[] = { "serial0.log", "serial0.idx" };
	struct box *b = *state;
	for (size_t i = 0; i < 2; i++) {
		char *path = path_of(b, 0, files[i]);
		write_file(path, "", 0);
		next_daemon(b);
		assert_log(by_id(b, 0), 0);
		assert_int_equal(unlink(path), 0);
		next_daemon(b);
		assert_log(by_id(b, 0), 0);
		free(path);
	}
	assert_neighbour(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_record), TEST(test_log), TEST(test_index), TEST(test_all) };
	struct err err = ERR_INIT;
	if (log_setup("/dev/null", LOG_LEVEL_ERROR, &err) < 0) /* each cut is reported */
		return 1;
	return cmocka_run_group_tests_name("instance: power cuts", tests, NULL, NULL);
}

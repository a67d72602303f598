/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image into a running board: stop, system_reset, the pieces through the gdb stub (`M` writes flash too), the registers as a reset from
 * them would have set them, cont. The order matters: at a reset QEMU writes again what -kernel named, so that pieces come after it; and a
 * Cortex-M takes its first instruction from there in the reset, so that the registers come after the pieces.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/image.h"
#include "driver/qemu_int.h"
#include "driver/qmp.h"
#include "driver/rsp.h"
#include "wire/addr.h"
#include "wire/mem.h"

#define LOAD_ANSWER_S  10
#define LOAD_WRITE_MAX 1920 /* QEMU takes packets of 4096 */
#define LOAD_WORDS_MAX 4    /* for the registers */

struct qemu_load {
	struct driver_link *link;
	struct driver_load what;
	bool is_cortex_m, has_boot;
	uint64_t boot;
	driver_done_fn done;
	void *ctx;
	bool is_asked, has_reset; /* the reset */
	int sock;
	struct event *readable, *deadline;
	struct rsp_reader reader;
	uint64_t at, left;     /* of the piece */
	uint8_t head[8];       /* what was written to the boot address: stack pointer and reset vector of a Cortex-M */
	unsigned head_written; /* bytes of it, as a mask */
	char words[LOAD_WORDS_MAX][40];
	unsigned word_count, words_sent;
	bool has_words, has_sent;
};

/* ---------------------------------------------------------------- ends */

static void load_hang_up(struct qemu_load *load)
{
	if (load->readable != NULL)
		event_free(load->readable);
	load->readable = NULL;
	event_del(load->deadline);
	if (load->sock >= 0)
		close(load->sock);
	load->sock = -1;
}

static void load_finish(struct qemu_load *load, const struct err *err)
{
	driver_done_fn done = load->done;
	void *ctx = load->ctx;
	load->link->load = NULL;
	load_hang_up(load);
	event_free(load->deadline);
	rsp_reader_fini(&load->reader);
	close(load->what.fd);
	free(load);
	done(ctx, err);
}

static void load_fail(struct qemu_load *load, struct err *err)
{
	err_prefix(err, "load");
	load_finish(load, err);
}

void qemu_load_cancel(struct driver_link *link)
{
	struct err err = ERR_INIT;
	err_set(&err, ERR_CANCELLED, "load: the connection was given up");
	if (link->load != NULL &&
	    (link->load->sock >= 0 || (link->load->is_asked && !link->load->has_reset))) /* else a QMP command that fails brings the end */
		load_finish(link->load, &err);
}

static void load_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct err err = ERR_INIT;
	err_set(&err, ERR_DEADLINE_EXCEEDED, "the emulator did not answer within %d s", LOAD_ANSWER_S);
	load_fail(arg, &err);
}

static void load_arm(struct qemu_load *load)
{
	event_add(load->deadline, &(struct timeval){ .tv_sec = LOAD_ANSWER_S });
}

/* ---------------------------------------------------------------- running on */

static void load_on_resumed(void *ctx, struct json_object *value, const struct err *err)
{
	(void)value;
	load_finish(ctx, err);
}

static void load_run(struct qemu_load *load)
{
	load_hang_up(load); /* which leaves the guest stopped */
	if (load->what.run)
		qmp_execute(load->link->qmp, "cont", NULL, QEMU_COMMAND_TIMEOUT_MS, load_on_resumed, load);
	else
		load_finish(load, NULL);
}

/* ---------------------------------------------------------------- packets */

static int load_send(struct qemu_load *load, const char *data, size_t len, struct err *err)
{
	char packet[2 * LOAD_WRITE_MAX + 64 + RSP_FRAME_EXTRA];
	size_t used = 0;
	if (load->has_sent)
		packet[used++] = '+'; /* for the answer before */
	load->has_sent = true;
	used += rsp_frame(packet + used, data, len);
	load_arm(load);
	if (send(load->sock, packet, used, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)used)
		return 0;
	return err_sys(err, errno, "send to the emulator's gdb stub");
}

/* The next piece with contents: 1, none: 0. */
static int load_next_piece(struct qemu_load *load, struct err *err)
{
	while (load->left == 0) {
		struct driver_piece piece;
		ssize_t n = read(load->what.fd, &piece, sizeof(piece));
		if (n == 0)
			return 0;
		if (n != (ssize_t)sizeof(piece))
			return err_set(err, ERR_DATA_LOSS, "what is to be loaded is damaged");
		load->at = piece.address;
		load->left = piece.len;
	}
	return 1;
}

static void load_keep_head(struct qemu_load *load, const uint8_t *bytes, size_t len)
{
	for (unsigned i = 0; load->has_boot && i < sizeof(load->head); i++) {
		uint64_t offset = load->boot + i - load->at;
		if (load->boot + i < load->at || offset >= len)
			continue;
		load->head[i] = bytes[offset];
		load->head_written |= 1u << i;
	}
}

static int load_write(struct qemu_load *load, struct err *err)
{
	uint8_t bytes[LOAD_WRITE_MAX];
	char data[2 * LOAD_WRITE_MAX + 64];
	size_t len = load->left < sizeof(bytes) ? (size_t)load->left : sizeof(bytes);
	if (read(load->what.fd, bytes, len) != (ssize_t)len)
		return err_set(err, ERR_DATA_LOSS, "what is to be loaded is damaged");
	load_keep_head(load, bytes, len);
	int used = snprintf(data, 64, "M%llx,%zx:", (unsigned long long)load->at, len);
	size_t all = (size_t)used + rsp_to_hex(data + used, bytes, len);
	load->at += len;
	load->left -= len;
	return load_send(load, data, all, err);
}

/* ---------------------------------------------------------------- registers */

static void load_add_register(struct qemu_load *load, unsigned number, uint64_t value, unsigned size)
{
	uint8_t bytes[8];
	for (unsigned i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
	char *word = load->words[load->word_count++];
	int used = snprintf(word, 16, "P%x=", number);
	rsp_to_hex(word + used, bytes, size);
}

static uint32_t load_word(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

#define REGISTER_SP   13
#define REGISTER_PC   15
#define REGISTER_XPSR 25
#define XPSR_THUMB    0x01000000u

/* From the vector table, where the image has it; else what boots is what was there, and without that the entry point. */
static void load_set_cortex_m(struct qemu_load *load)
{
	bool has_vectors = load->head_written == 0xff;
	if (!has_vectors && (load->what.has_boot_image || !load->what.has_entry))
		return;
	uint32_t pc = has_vectors ? load_word(load->head + 4) : (uint32_t)load->what.entry;
	if (has_vectors)
		load_add_register(load, REGISTER_SP, load_word(load->head) & ~3u, 4);
	load_add_register(load, REGISTER_PC, pc & ~1u, 4);
	load_add_register(load, REGISTER_XPSR, XPSR_THUMB, 4);
}

/* Number and size of the program counter; an architecture that is not here begins where its reset begins. */
static const struct {
	const char *architecture;
	unsigned pc, size;
} load_counters[] = { { "arm", REGISTER_PC, 4 }, { "aarch64", 32, 8 }, { "riscv32", 32, 4 }, { "riscv64", 32, 8 } };

/* An image that begins where the board boots is left to the board, which passes arguments in registers. */
static void load_set_counter(struct qemu_load *load)
{
	const char *architecture = load->what.target->architecture;
	bool is_riscv = strncmp(architecture, "riscv", 5) == 0;
	bool is_at_boot = is_riscv && ((load->has_boot && load->what.entry == load->boot) || load->what.target->inferred[0] != '\0');
	for (size_t i = 0; i < sizeof(load_counters) / sizeof(load_counters[0]); i++)
		if (load->what.has_entry && !is_at_boot && strcmp(load_counters[i].architecture, architecture) == 0)
			load_add_register(load, load_counters[i].pc, load->what.entry, load_counters[i].size);
}

/* QEMU takes single registers of those alone who know its description of them. */
static void load_choose_registers(struct qemu_load *load)
{
	load->has_words = true;
	snprintf(load->words[load->word_count++], sizeof(load->words[0]), "qXfer:features:read:target.xml:0,40");
	if (load->is_cortex_m)
		load_set_cortex_m(load);
	else
		load_set_counter(load);
}

/* ---------------------------------------------------------------- one after the other */

/* 1: something was sent; 0: all is done. */
static int load_next(struct qemu_load *load, struct err *err)
{
	int rc = load->has_words ? 0 : load_next_piece(load, err);
	if (rc < 0)
		return -1;
	if (rc > 0)
		return load_write(load, err) < 0 ? -1 : 1;
	if (!load->has_words)
		load_choose_registers(load);
	if (load->words_sent == load->word_count || load->word_count == 1) /* one alone sets nothing */
		return 0;
	const char *word = load->words[load->words_sent++];
	return load_send(load, word, strlen(word), err) < 0 ? -1 : 1;
}

static void load_step(struct qemu_load *load)
{
	struct err err = ERR_INIT;
	int rc = load_next(load, &err);
	if (rc < 0)
		load_fail(load, &err);
	else if (rc == 0)
		load_run(load);
}

/* True: the load goes on; false: it is over. */
static bool load_on_answer(struct qemu_load *load)
{
	struct err err = ERR_INIT;
	const char *data = load->reader.data;
	if (data[0] == 'T' || data[0] == 'S')
		return true; /* of the stop */
	bool is_xml = load->has_words && load->words_sent == 1 && (data[0] == 'm' || data[0] == 'l');
	if (strcmp(data, "OK") == 0 || is_xml) {
		load_step(load);
		return false; /* one question, one answer; more would be none of ours */
	}
	if (load->has_words)
		err_set(&err, ERR_FAILED_PRECONDITION, "the emulator does not take its registers (%.20s)", data);
	else
		err_set(&err, ERR_FAILED_PRECONDITION, "the emulator does not write to its memory below 0x%llx (%.20s)",
			(unsigned long long)load->at, data);
	load_fail(load, &err);
	return false;
}

static void load_on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	struct qemu_load *load = arg;
	char buf[4096];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		struct err err = ERR_INIT;
		err_set(&err, ERR_UNAVAILABLE, "the emulator has closed the connection");
		load_fail(load, &err);
		return;
	}
	for (size_t done = 0; done < (size_t)n;) {
		enum rsp_item item;
		done += rsp_reader_take(&load->reader, buf + done, (size_t)n - done, &item);
		if (item == RSP_PACKET && !load_on_answer(load))
			return;
	}
}

/* ---------------------------------------------------------------- the beginning */

static int load_connect(struct qemu_load *load, struct err *err)
{
	char *path = xasprintf("%s/gdb.sock", load->link->run_path);
	int rc = addr_connect_unix_now(path, &load->sock, err);
	free(path);
	if (rc < 0)
		return -1;
	load->readable = event_new(load->link->base, load->sock, EV_READ | EV_PERSIST, load_on_readable, load);
	event_add(load->readable, NULL);
	return 0;
}

static void load_begin_pieces(struct qemu_load *load)
{
	struct err err = ERR_INIT;
	if (!load->is_asked || !load->has_reset)
		return;
	if (load_connect(load, &err) < 0)
		load_fail(load, &err);
	else
		load_step(load);
}

/* It comes in the emulator's next turn. */
void qemu_load_on_reset(struct driver_link *link)
{
	struct qemu_load *load = link->load;
	if (load == NULL || load->has_reset)
		return;
	load->has_reset = true;
	load_begin_pieces(load);
}

static void load_on_asked(void *ctx, struct json_object *value, const struct err *err)
{
	(void)value;
	struct qemu_load *load = ctx;
	if (err != NULL) {
		load_finish(load, err);
		return;
	}
	load->is_asked = true;
	load_arm(load);
	load_begin_pieces(load);
}

static void load_on_stopped(void *ctx, struct json_object *value, const struct err *err)
{
	(void)value;
	struct qemu_load *load = ctx;
	load->has_reset = false; /* one before that was somebody else's */
	if (err != NULL)
		load_finish(load, err);
	else
		qmp_execute(load->link->qmp, "system_reset", NULL, QEMU_COMMAND_TIMEOUT_MS, load_on_asked, load);
}

void qemu_load_begin(struct driver_link *link, const struct driver_load *what, driver_done_fn done, void *ctx)
{
	struct qemu_load *load = xcalloc(1, sizeof(*load));
	load->link = link;
	load->what = *what;
	load->is_cortex_m = strncmp(what->target->cpu, "cortex-m", strlen("cortex-m")) == 0;
	load->has_boot = image_boot_address(what->target, &load->boot);
	load->done = done;
	load->ctx = ctx;
	load->sock = -1;
	load->deadline = event_new(link->base, -1, 0, load_on_deadline, load);
	rsp_reader_init(&load->reader);
	link->load = load;
	qmp_execute(link->qmp, "stop", NULL, QEMU_COMMAND_TIMEOUT_MS, load_on_stopped, load);
}

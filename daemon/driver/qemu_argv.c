/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line, in the order that pw_emu has:
 *     EXECUTABLE -nographic -nodefaults -display none -machine M  control sockets  sandbox  serials  -S  -d  images  target's args  user's
 * args Serials are FIFO pairs in the run directory, QMP, gdb and the monitors are listening sockets that the daemon made and QEMU inherits.
 */
#include "driver/qemu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/qemu_args.h"
#include "wire/mem.h"

#define QEMU_SERIALS_MAX 16
#define QEMU_FD_FIRST    3
#define QEMU_NOFILE      256 /* it has about twenty, and two for each serial; the rest is for arguments */

struct qemu_build {
	const struct driver_start *start;
	struct plan *plan;
	struct strv *argv;
	bool semihosting;
};

static bool qemu_wants_semihosting(const Pwemu__V1__StartRequest *request)
{
	return request->semihosting || request->n_firmware_args > 0;
}

/* In an option's value a comma is written twice. */
static char *qemu_quote(const char *value)
{
	char *out = xmalloc(2 * strlen(value) + 1), *to = out;
	for (; *value != '\0'; value++) {
		if (*value == ',')
			*to++ = ',';
		*to++ = *value;
	}
	*to = '\0';
	return out;
}

static void qemu_add_pipe(struct qemu_build *b, const char *id, const char *channel)
{
	char *path = xasprintf("%s/%s", b->start->run_dir, channel), *quoted = qemu_quote(path);
	strv_add(b->argv, "-chardev");
	strv_addf(b->argv, "pipe,id=%s,path=%s", id, quoted);
	free(quoted);
	free(path);
}

/* Sockets of the emulator; the first is the daemon's own QMP, which nobody else ever disturbs. */
static const struct {
	const char *name;
	enum channel_kind kind;
	const char *option, *value;
} qemu_sockets[] = {
	{ "control", CHANNEL_CONTROL, "-mon", "chardev=control,mode=control" },
	{ "gdb", CHANNEL_GDB, "-gdb", "chardev:gdb" },
	{ "monitor", CHANNEL_MONITOR, "-mon", "chardev=monitor,mode=readline" },
	{ "qmp", CHANNEL_QMP, "-mon", "chardev=qmp,mode=control" },
};

static void qemu_add_control(struct qemu_build *b)
{
	for (size_t i = 0; i < sizeof(qemu_sockets) / sizeof(qemu_sockets[0]); i++) {
		int fd = QEMU_FD_FIRST + (int)i;
		strv_add(b->argv, "-chardev");
		strv_addf(b->argv, "socket,id=%s,fd=%d,server=on,wait=off", qemu_sockets[i].name, fd);
		strv_add(b->argv, qemu_sockets[i].option);
		strv_add(b->argv, qemu_sockets[i].value);
		plan_add_socket(b->plan, qemu_sockets[i].name, qemu_sockets[i].kind, fd);
	}
}

/* N of a chardev id "serialN"; -1 for another id. */
static int qemu_serial_index(const char *id)
{
	if (strncmp(id, "serial", 6) != 0 || id[6] == '\0' || strspn(id + 6, "0123456789") != strlen(id + 6))
		return -1;
	long n = strtol(id + 6, NULL, 10);
	return n < QEMU_SERIALS_MAX ? (int)n : -1;
}

/* One channel of the target: a serial port as chardev NAME, its index among the serials goes to `serials`; any other chardev under its
 * own id, for arguments that refer to it. */
static int qemu_add_channel(struct qemu_build *b, const Pwemu__V1__ChannelSpec *spec, const char *serials[QEMU_SERIALS_MAX],
			    struct err *err)
{
	int index = qemu_serial_index(spec->id);
	if (index < 0 && (spec->id[0] == '\0' || strncmp(spec->id, "serial", 6) == 0))
		return err_set(err, ERR_INVALID_ARGUMENT, "channel \"%s\": id \"%s\" is not serial0 to serial%d", spec->name, spec->id,
			       QEMU_SERIALS_MAX - 1);
	if (index >= 0 && serials[index] != NULL)
		return err_set(err, ERR_INVALID_ARGUMENT, "channels \"%s\" and \"%s\" have the same id \"%s\"", serials[index], spec->name,
			       spec->id);
	if (index >= 0)
		serials[index] = spec->name;
	if (plan_add_channel(b->plan, spec->name, CHANNEL_SERIAL, true) == NULL)
		return err_set(err, ERR_INVALID_ARGUMENT, "target \"%s\": more than %d channels", b->start->target->name,
			       PLAN_CHANNELS_MAX);
	qemu_add_pipe(b, index >= 0 ? spec->name : spec->id, spec->name);
	return 0;
}

static int qemu_add_serials(struct qemu_build *b, struct err *err)
{
	const Pwemu__V1__Target *target = b->start->target;
	const char *serials[QEMU_SERIALS_MAX] = { NULL };
	int last = -1;
	for (size_t i = 0; i < target->n_channels; i++)
		if (qemu_add_channel(b, target->channels[i], serials, err) < 0)
			return -1;
	for (int i = 0; i < QEMU_SERIALS_MAX; i++)
		last = serials[i] != NULL ? i : last;
	for (int i = 0; i <= last; i++) { /* from 0 always: the position is the number */
		strv_add(b->argv, "-serial");
		if (serials[i] != NULL)
			strv_addf(b->argv, "chardev:%s", serials[i]);
		else
			strv_add(b->argv, "null");
	}
	return 0;
}

static const char *qemu_firmware_name(const struct driver_start *start)
{
	if (start->image_count == 0)
		return start->target->name;
	/* an image that was uploaded has another name here */
	const char *path = start->request->n_images > 0 ? start->request->images[0]->path : start->images[0].path;
	const char *slash = strrchr(path, '/');
	return slash != NULL ? slash + 1 : path;
}

/* The guest's console is the channel "semihosting": `:tt` goes to stdin and stdout, SYS_WRITE0 to the chardev, all to one FIFO pair.
 * A guest could start host processes (SYS_SYSTEM), which the sandbox denies, and opens the host's files as its user may. */
static void qemu_add_semihosting(struct qemu_build *b)
{
	if (!b->semihosting)
		return;
	const Pwemu__V1__StartRequest *request = b->start->request;
	struct plan_channel *channel = plan_add_channel(b->plan, "semihosting", CHANNEL_SEMIHOSTING, true);
	if (channel == NULL)
		return;
	channel->in_child_fd = 0;
	channel->out_child_fd = 1;
	qemu_add_pipe(b, "semihosting", "semihosting");
	struct strv words;
	strv_init(&words);
	strv_add(&words, qemu_firmware_name(b->start));
	strv_add_all(&words, request->firmware_args, request->n_firmware_args);
	char *config = xstrdup("enable=on,target=native,chardev=semihosting");
	for (size_t i = 0; i < words.count; i++) {
		char *quoted = qemu_quote(words.items[i]), *longer = xasprintf("%s,arg=%s", config, quoted);
		free(quoted);
		free(config);
		config = longer;
	}
	strv_add(b->argv, "-semihosting-config");
	strv_add(b->argv, config);
	free(config);
	strv_fini(&words);
}

/* A QEMU that was built without it refuses the option. */
static void qemu_add_sandbox(struct qemu_build *b)
{
	if (!driver_is_sandboxed(b->start->target) || b->start->has_no_sandbox)
		return;
	strv_add(b->argv, QEMU_SANDBOX);
	strv_add(b->argv, "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

static enum proc_network qemu_network(const struct driver_start *start)
{
	const Pwemu__V1__QemuTarget *qemu = start->target->qemu;
	const Pwemu__V1__StartRequest *request = start->request;
	if (strcmp(start->isolate, "required") == 0)
		return PROC_NETWORK_OWN;
	bool is_alone = strcmp(start->isolate, "auto") == 0 && !qemu_args_want_network(qemu->args, qemu->n_args) &&
			!qemu_args_want_network(request->args, request->n_args);
	return is_alone ? PROC_NETWORK_TRY : PROC_NETWORK_HOST;
}

/* The emulator's own messages: stderr, and stdout where the guest's console does not have it. */
static void qemu_add_messages(struct qemu_build *b)
{
	struct plan_channel *channel = plan_add_channel(b->plan, "emulator", CHANNEL_EMULATOR, false);
	if (channel == NULL)
		return;
	channel->out_child_fd = 2;
	channel->out_child_fd2 = b->semihosting ? -1 : 1;
}

static void qemu_add_loader(struct qemu_build *b, const struct driver_image *image, bool sets_pc)
{
	char *path = qemu_quote(image->path);
	strv_add(b->argv, "-device");
	if (image->kind == DRIVER_IMAGE_BIN)
		strv_addf(b->argv, "loader,file=%s,addr=0x%llx,force-raw=on", path, (unsigned long long)image->address);
	else
		strv_addf(b->argv, "loader,file=%s%s", path, sets_pc ? ",cpu-num=0" : "");
	free(path);
}

/* RISC-V boards begin at their reset address whatever `-kernel` says; an ELF that begins elsewhere must set the program counter. On
 * Cortex-M that would be a lockup: there the vector table decides. */
static bool qemu_begins_elsewhere(const Pwemu__V1__Target *target, const struct driver_image *image)
{
	if (strncmp(target->architecture, "riscv", 5) != 0 || target->inferred[0] != '\0') /* its own -bios may have to begin it */
		return false;
	for (size_t i = 0; i < target->n_memory; i++)
		if (target->memory[i]->boot)
			return target->memory[i]->address != image->entry;
	return false;
}

/* The first ELF image goes the board's own way, everything else through the generic loader. */
static void qemu_add_images(struct qemu_build *b)
{
	const Pwemu__V1__Target *target = b->start->target;
	bool has_boot_image = false;
	for (size_t i = 0; i < b->start->image_count; i++) {
		const struct driver_image *image = &b->start->images[i];
		bool is_first = !has_boot_image && image->kind == DRIVER_IMAGE_ELF;
		bool sets_pc = is_first && qemu_begins_elsewhere(target, image);
		has_boot_image |= is_first;
		if (is_first && !sets_pc && strcmp(target->qemu->load, "loader") != 0) {
			strv_add(b->argv, strcmp(target->qemu->load, "bios") == 0 ? "-bios" : "-kernel");
			strv_add(b->argv, image->path);
		} else {
			qemu_add_loader(b, image, sets_pc);
		}
	}
}

/*
 * Half of the time that QEMU needs to start goes into page faults, many of them of its heap. In huge pages, and with one arena, since each
 * would take some, it starts 12 % sooner for 3 MiB. Measured with glibc 2.36; another C library does not look at it.
 */
#define QEMU_HEAP                                                                                                                          \
	"GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:"                                                                  \
	"glibc.malloc.top_pad=6291456:glibc.malloc.trim_threshold=67108864"

int qemu_plan(const struct driver_start *start, struct plan *plan, struct err *err)
{
	const Pwemu__V1__QemuTarget *qemu = start->target->qemu;
	const Pwemu__V1__StartRequest *request = start->request;
	struct qemu_build b = { .start = start, .plan = plan, .argv = &plan->argv, .semihosting = qemu_wants_semihosting(request) };

	plan->network = qemu_network(start);
	plan->shares_network = plan->network == PROC_NETWORK_TRY;
	plan->is_confined = driver_is_sandboxed(start->target);
	plan->nofile = plan->is_confined ? QEMU_NOFILE : 0;
	strv_add(&plan->usual_env, QEMU_HEAP);
	strv_add(b.argv, start->program);
	static const char *const head[] = { "-nographic", "-nodefaults", "-display", "none", "-machine" };
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		strv_add(b.argv, head[i]);
	strv_add(b.argv, qemu->machine);
	qemu_add_control(&b);
	qemu_add_sandbox(&b);
	if (qemu_add_serials(&b, err) < 0)
		return -1;
	qemu_add_semihosting(&b);
	qemu_add_messages(&b);
	if (request->pause)
		strv_add(b.argv, "-S");
	if (request->debug) {
		strv_add(b.argv, "-d");
		strv_add(b.argv, "guest_errors");
	}
	qemu_add_images(&b);
	plan_add_arguments(plan, qemu->args, qemu->n_args);
	plan_add_arguments(plan, request->args, request->n_args);
	return 0;
}

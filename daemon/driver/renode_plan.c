/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renode is started with its monitor on stdin and stdout and nothing else; what pw_emu gives it as --execute options are commands of the
 * set-up here, one at a time, so that each has its answer:
 *     mach create · LoadPlatformDescription · a terminal and a connection for each UART · images · the macro that a reset runs
 * Its own files are below the run directory, where no other instance's start deletes them.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/renode_int.h"
#include "wire/mem.h"

#define RENODE_RESET_MAX 4096
#define RENODE_NOFILE    1024 /* .NET has a few hundred */

struct renode_build {
	const struct driver_start *start;
	struct plan *plan;
	char reset[RENODE_RESET_MAX]; /* commands of the macro */
};

char *renode_path(const char *path, struct err *err)
{
	char *out = xmalloc(2 * strlen(path) + 2), *to = out;
	*to++ = '@';
	for (const char *at = path; *at != '\0'; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f || strchr("\"';\\#", *at) != NULL) {
			err_set(err, ERR_INVALID_ARGUMENT,
				"\"%s\": Renode's monitor takes no path with the character '%c' (0x%02x); rename it", path,
				isprint((unsigned char)*at) ? *at : '?', (unsigned char)*at);
			free(out);
			return NULL;
		}
		if (*at == ' ')
			*to++ = '\\';
		*to++ = *at;
	}
	*to = '\0';
	return out;
}

const char *renode_machine_name(const Pwemu__V1__Target *target)
{
	for (const char *at = target->name; *at != '\0'; at++)
		if (!isalnum((unsigned char)*at) && *at != '-' && *at != '_')
			return "board";
	return target->name[0] != '\0' ? target->name : "board";
}

char *renode_terminal_path(const char *run_path, const char *channel)
{
	return xasprintf("%s/" RENODE_DIR "/%s.pty", run_path, channel);
}

/* ---------------------------------------------------------------- command line */

static void plan_arguments(struct renode_build *b)
{
	static const char *const head[] = { "--disable-xwt", "--console", "--plain", "--hide-log" };
	const Pwemu__V1__RenodeTarget *renode = b->start->target->renode;
	struct strv *argv = &b->plan->argv;
	strv_add(argv, b->start->program);
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		strv_add(argv, head[i]);
	plan_add_arguments(b->plan, renode->args, renode->n_args);
	plan_add_arguments(b->plan, b->start->request->args, b->start->request->n_args);
}

static void plan_surroundings(struct renode_build *b)
{
	static const struct {
		const char *variable, *dir;
	} rows[] = { { "TMPDIR", "tmp" }, { "HOME", "home" }, { "XDG_CONFIG_HOME", "config" } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		strv_add(&b->plan->dirs, rows[i].dir);
		strv_addf(&b->plan->env, "%s=%s/%s", rows[i].variable, b->start->run_dir, rows[i].dir);
	}
	strv_add(&b->plan->dirs, RENODE_DIR);
	strv_add(&b->plan->env, "RENODE_CI_MODE=YES"); /* no lock and cache of a history */
	b->plan->has_console = true;
}

/* Beside the serial channels, which come first. */
static void plan_channels(struct renode_build *b)
{
	struct plan_channel *messages = plan_add_channel(b->plan, "emulator", CHANNEL_EMULATOR, false);
	if (messages != NULL)
		messages->out_child_fd = 2;
	plan_add_socket(b->plan, "gdb", CHANNEL_GDB, -1);
	plan_add_socket(b->plan, "monitor", CHANNEL_MONITOR, -1);
}

/* ---------------------------------------------------------------- set-up */

static int plan_machine(struct renode_build *b, struct err *err)
{
	const Pwemu__V1__Target *target = b->start->target;
	char *path = renode_path(target->renode->machine, err);
	if (path == NULL)
		return err_prefix(err, "target \"%s\": machine", target->name);
	strv_addf(&b->plan->setup, "mach create \"%s\"", renode_machine_name(target));
	strv_addf(&b->plan->setup, "machine LoadPlatformDescription %s", path);
	free(path);
	return 0;
}

/* A path of peripherals: "sysbus.usart2". */
static bool plan_is_device(const char *id)
{
	return id[0] != '\0' && strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == strlen(id);
}

static int plan_uart(struct renode_build *b, size_t number, const Pwemu__V1__ChannelSpec *spec, struct err *err)
{
	const Pwemu__V1__Target *target = b->start->target;
	if (!plan_is_device(spec->id))
		return err_set(err, ERR_INVALID_ARGUMENT,
			       "target \"%s\": channel \"%s\": device-path \"%s\" is no path of a peripheral (sysbus.usart1)", target->name,
			       spec->name, spec->id);
	if (plan_add_channel(b->plan, spec->name, CHANNEL_SERIAL, true) == NULL)
		return err_set(err, ERR_INVALID_ARGUMENT, "target \"%s\": more than %d channels", target->name, PLAN_CHANNELS_MAX);
	char *path = renode_terminal_path(b->start->run_dir, spec->name);
	strv_addf(&b->plan->setup, "emulation CreateUartPtyTerminal \"pwemu%zu\" \"%s\" true", number, path);
	strv_addf(&b->plan->setup, "connector Connect %s pwemu%zu", spec->id, number);
	free(path);
	return 0;
}

static int plan_uarts(struct renode_build *b, struct err *err)
{
	const Pwemu__V1__Target *target = b->start->target;
	for (size_t i = 0; i < target->n_channels; i++)
		if (plan_uart(b, i, target->channels[i], err) < 0)
			return -1;
	return 0;
}

/* A command that loads an image, at the start and at every reset. */
static int plan_load(struct renode_build *b, const char *command, struct err *err)
{
	size_t used = strlen(b->reset);
	int n = snprintf(b->reset + used, sizeof(b->reset) - used, "%s%s", used > 0 ? "; " : "", command);
	if ((size_t)n >= sizeof(b->reset) - used)
		return err_set(err, ERR_INVALID_ARGUMENT, "the paths of the images are longer than %d bytes in all", RENODE_RESET_MAX);
	strv_add(&b->plan->setup, command);
	return 0;
}

/* Of an image that is no ELF nothing says where it begins: a raw binary at its first byte, others where the board boots. A Cortex-M has its
 * vector table there. */
static int plan_begin(struct renode_build *b, const struct driver_image *image, struct err *err)
{
	const Pwemu__V1__Target *target = b->start->target;
	bool is_known = image->kind == DRIVER_IMAGE_BIN;
	uint64_t address = image->address;
	for (size_t i = 0; i < target->n_memory && !is_known; i++) {
		is_known = target->memory[i]->boot;
		address = target->memory[i]->address;
	}
	if (!is_known || image->kind == DRIVER_IMAGE_ELF || target->cpu[0] == '\0')
		return 0;
	const char *at = strncmp(target->cpu, "cortex-m", 8) == 0 ? "VectorTableOffset" : "PC";
	char *command = xasprintf(RENODE_FIRST_CPU " %s 0x%llx", at, (unsigned long long)address);
	int rc = plan_load(b, command, err);
	free(command);
	return rc;
}

static int plan_image(struct renode_build *b, const struct driver_image *image, bool is_first, struct err *err)
{
	static const char *const loaders[] = {
		[DRIVER_IMAGE_ELF] = "LoadELF", [DRIVER_IMAGE_HEX] = "LoadHEX", [DRIVER_IMAGE_BIN] = "LoadBinary"
	};
	char address[32] = "", *path = renode_path(image->path, err);
	if (path == NULL)
		return -1;
	if (image->kind == DRIVER_IMAGE_BIN)
		snprintf(address, sizeof(address), " 0x%llx", (unsigned long long)image->address);
	char *command = xasprintf("sysbus %s %s%s", loaders[image->kind], path, address);
	int rc = plan_load(b, command, err);
	free(command);
	free(path);
	return rc == 0 && is_first ? plan_begin(b, image, err) : rc;
}

/* The last that is loaded says where the board begins: the first that was given. */
static int plan_images(struct renode_build *b, struct err *err)
{
	for (size_t i = b->start->image_count; i-- > 0;)
		if (plan_image(b, &b->start->images[i], i == 0, err) < 0)
			return -1;
	if (b->reset[0] != '\0')
		strv_addf(&b->plan->setup, "macro reset \"%s\"", b->reset);
	return 0;
}

static int plan_log(struct renode_build *b, struct err *err)
{
	char *path = xasprintf("%s/" RENODE_DIR "/" RENODE_LOG, b->start->run_dir), *word = renode_path(path, err);
	free(path);
	if (word == NULL)
		return -1;
	strv_addf(&b->plan->setup, "logFile %s true", word);
	free(word);
	if (b->start->request->debug)
		strv_add(&b->plan->setup, "logLevel 0");
	return 0;
}

/* What Renode listens on is open to the whole host, else. */
static enum proc_network plan_network(const char *isolate)
{
	if (strcmp(isolate, "off") == 0)
		return PROC_NETWORK_HOST;
	return strcmp(isolate, "required") == 0 ? PROC_NETWORK_OWN : PROC_NETWORK_TRY;
}

int renode_plan(const struct driver_start *start, struct plan *plan, struct err *err)
{
	static struct renode_build b; /* large */
	b = (struct renode_build){ .start = start, .plan = plan };
	if (start->request->semihosting || start->request->n_firmware_args > 0)
		return err_set(err, ERR_INVALID_ARGUMENT,
			       "target \"%s\": pwemu turns semihosting on for QEMU only; Renode has none that ends with the guest's code",
			       start->target->name);
	plan->network = plan_network(start->isolate);
	plan->is_confined = driver_is_sandboxed(start->target);
	plan->nofile = plan->is_confined ? RENODE_NOFILE : 0;
	plan_arguments(&b);
	plan_surroundings(&b);
	if (plan_log(&b, err) < 0)
		return -1;
	if (plan_machine(&b, err) < 0 || plan_uarts(&b, err) < 0)
		return -1;
	plan_channels(&b);
	return plan_images(&b, err);
}

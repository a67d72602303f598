/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of options, each with the reading of its value. What is in the lists is known to do without the network (or, of images, to need
 * it); whatever else an option of the table says may need it. QEMU takes options with one dash or two.
 */
#include "driver/qemu_args.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Whether text begins with the word, and that ends there or at one of `ends`. */
static bool begins(const char *text, const char *word, const char *ends)
{
	size_t len = strlen(word);
	return strncmp(text, word, len) == 0 && (text[len] == '\0' || strchr(ends, text[len]) != NULL);
}

static bool is_among(const char *text, const char *const *words, size_t count, const char *ends)
{
	for (size_t i = 0; i < count; i++)
		if (begins(text, words[i], ends))
			return true;
	return false;
}

/* ---------------------------------------------------------------- values: true when they may need the network */

static bool value_always(const char *value)
{
	(void)value;
	return true;
}

static bool value_but_none(const char *value)
{
	return !begins(value, "none", ",");
}

/* Of -chardev: "KIND,id=…", also "backend=KIND,…" and JSON, which are taken for the worst. */
static bool value_chardev(const char *value)
{
	static const char *const alone[] = { "null",  "vc",     "ringbuf", "memory",  "file", "pipe", "pty",
					     "stdio", "serial", "tty",     "parport", "mux",  "hub",  "msmouse" };
	return !is_among(value, alone, COUNT(alone), ",");
}

/* Of -serial and its like: "tcp:HOST:PORT", "mon:stdio", "/dev/ttyS0", a chardev. */
static bool value_port(const char *value)
{
	static const char *const alone[] = { "none", "null", "stdio", "pty", "vc", "file", "pipe", "chardev", "msmouse", "con" };
	if (begins(value, "mon", ":"))
		value += strcspn(value, ":") + 1;
	return value[0] != '/' && !is_among(value, alone, COUNT(alone), ":,");
}

/* Windows come from an X server, which may be anywhere. */
static bool value_display(const char *value)
{
	static const char *const alone[] = { "none", "curses", "egl-headless" };
	return !is_among(value, alone, COUNT(alone), ",");
}

static bool value_audio(const char *value)
{
	static const char *const alone[] = { "none", "wav", "alsa", "oss", "driver=none", "driver=wav", "driver=alsa", "driver=oss" };
	return !is_among(value, alone, COUNT(alone), ",");
}

static bool value_device(const char *value)
{
	static const char *const host[] = { "vhost-vsock-device", "vhost-vsock-pci", "vhost-vsock-ccw", "usb-host", "host" };
	return is_among(value, host, COUNT(host), ",:-") || strchr(value, '{') != NULL;
}

/* Of an image: "nbd:HOST:PORT", "https://…", "driver=nbd,…", {"driver": "nbd"}. */
static bool value_image(const char *value)
{
	static const char *const far[] = { "nbd", "http", "https",   "ftp",      "ftps",     "ssh", "iscsi",
					   "nfs", "rbd",  "gluster", "sheepdog", "vitastor", "vxhs" };
	if (strstr(value, "://") != NULL || strstr(value, "nbd:") != NULL || strstr(value, "rbd:") != NULL ||
	    strstr(value, "sheepdog:") != NULL)
		return true;
	for (const char *at = strstr(value, "driver"); at != NULL; at = strstr(at, "driver")) {
		at += strlen("driver");
		at += strspn(at, "\": =");
		if (is_among(at, far, COUNT(far), ",\"}"))
			return true;
	}
	return false;
}

static const struct {
	const char *option;
	bool has_value;
	bool (*wants)(const char *value);
} network_options[] = {
	{ "netdev", true, value_always },      { "nic", true, value_but_none },      { "net", true, value_but_none },
	{ "chardev", true, value_chardev },    { "serial", true, value_port },       { "parallel", true, value_port },
	{ "monitor", true, value_port },       { "qmp", true, value_port },          { "qmp-pretty", true, value_port },
	{ "debugcon", true, value_port },      { "gdb", true, value_port },          { "s", false, value_always },
	{ "vnc", true, value_but_none },       { "spice", true, value_always },      { "display", true, value_display },
	{ "incoming", true, value_always },    { "readconfig", true, value_always }, { "audiodev", true, value_audio },
	{ "audio", true, value_audio },        { "device", true, value_device },     { "usbdevice", true, value_device },
	{ "drive", true, value_image },        { "blockdev", true, value_image },    { "hda", true, value_image },
	{ "hdb", true, value_image },          { "hdc", true, value_image },         { "hdd", true, value_image },
	{ "cdrom", true, value_image },        { "fda", true, value_image },         { "fdb", true, value_image },
	{ "sd", true, value_image },           { "pflash", true, value_image },      { "mtdblock", true, value_image },
	{ "xen-attach", false, value_always },
};

/* An option's name, NULL: the word is none. */
static const char *option_name(const char *word)
{
	if (word[0] != '-' || word[1] == '\0')
		return NULL;
	return word + (word[1] == '-' ? 2 : 1);
}

bool qemu_args_want_network(char *const *args, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *name = option_name(args[i]);
		for (size_t row = 0; name != NULL && row < COUNT(network_options); row++) {
			if (strcmp(name, network_options[row].option) != 0)
				continue;
			bool has_value = network_options[row].has_value && i + 1 < count;
			if (network_options[row].wants(has_value ? args[i + 1] : ""))
				return true;
		}
	}
	return false;
}

/* ---------------------------------------------------------------- processes */

/* A tap without scripts, of a name or descriptor, is opened by QEMU itself. */
static bool net_starts_process(const char *value)
{
	if (begins(value, "bridge", ",") || strstr(value, ",helper=") != NULL || strstr(value, ",smb=") != NULL ||
	    strstr(value, "-cmd:") != NULL)
		return true;
	bool is_quiet = strstr(value, "fd=") != NULL || strstr(value, "fds=") != NULL ||
			(strstr(value, "script=no") != NULL && strstr(value, "downscript=no") != NULL);
	return begins(value, "tap", ",") && !is_quiet;
}

static bool incoming_starts_process(const char *value)
{
	return begins(value, "exec", ":");
}

static const struct {
	const char *option;
	bool (*starts)(const char *value);
} process_options[] = {
	{ "netdev", net_starts_process },
	{ "nic", net_starts_process },
	{ "net", net_starts_process },
	{ "incoming", incoming_starts_process },
};

const char *qemu_args_start_process(char *const *args, size_t count)
{
	for (size_t i = 0; i + 1 < count; i++) {
		const char *name = option_name(args[i]);
		for (size_t row = 0; name != NULL && row < COUNT(process_options); row++)
			if (strcmp(name, process_options[row].option) == 0 && process_options[row].starts(args[i + 1]))
				return args[i + 1];
	}
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Files and boards for the tests of the image check; the tests make every byte of their images themselves. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/image.h"

static char image_dir[64];
static char image_path[128];

static inline int image_setup(void **state)
{
	(void)state;
	snprintf(image_dir, sizeof(image_dir), "/tmp/pwemu-image-XXXXXX");
	return mkdtemp(image_dir) ? 0 : -1;
}

static inline int image_teardown(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", image_dir);
	return system(command);
}

static inline void image_put(const char *name, const void *data, size_t len)
{
	snprintf(image_path, sizeof(image_path), "%s/%s", image_dir, name);
	FILE *to = fopen(image_path, "w");

	assert_non_null(to);
	assert_int_equal(fwrite(data, 1, len, to), len);
	fclose(to);
}

/* A Cortex-M board: flash 64K at 0x08000000 (alias at 0), two ranges of RAM that touch: 8K + 8K at 0x20000000. */
static inline Pwemu__V1__Target *image_board(const char *architecture)
{
	static Pwemu__V1__Target target;
	static Pwemu__V1__Memory rows[4], *list[4] = { &rows[0], &rows[1], &rows[2], &rows[3] };
	static const struct {
		char *name;
		uint64_t address, size;
	} ranges[4] = {
		{ "ram0", 0x20000000, 0x2000 }, { "flash", 0x08000000, 0x10000 }, { "alias", 0, 0x10000 }, { "ram1", 0x20002000, 0x2000 }
	};

	pwemu__v1__target__init(&target);
	for (size_t i = 0; i < 4; i++) {
		pwemu__v1__memory__init(&rows[i]);
		rows[i].name = ranges[i].name;
		rows[i].address = ranges[i].address;
		rows[i].size = ranges[i].size;
		rows[i].boot = i == 1;
	}
	target.name = "board";
	target.architecture = (char *)architecture;
	target.cpu = strcmp(architecture, "arm") == 0 ? "cortex-m3" : "other";
	target.memory = list;
	target.n_memory = 4;
	return &target;
}

/* The file put last is fine. */
static inline struct image_info image_accept(const Pwemu__V1__Target *target, const uint64_t *address)
{
	struct err err = ERR_INIT;
	struct image_info info = { 0 };

	if (image_check(image_path, target, address, NULL, &info, &err) < 0)
		fail_msg("refused: %s", err.msg);
	return info;
}

/* The file put last is refused with a message that has this text and names the file. */
static inline void image_refuse(const Pwemu__V1__Target *target, const uint64_t *address, const char *text)
{
	struct err err = ERR_INIT;
	struct image_info info, before;

	memset(&info, 0x5a, sizeof(info));
	before = info;
	if (image_check(image_path, target, address, NULL, &info, &err) == 0)
		fail_msg("accepted, but \"%s\" was expected", text);
	if (!strstr(err.msg, text) || !strstr(err.msg, image_path))
		fail_msg("no \"%s\" in: %s", text, err.msg);
	assert_string_equal(err.reason, "invalid-image");
	assert_memory_equal(&info, &before, sizeof(info));
}

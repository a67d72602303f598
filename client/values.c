/* SPDX-License-Identifier: Apache-2.0 */
#include "client/values.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

int value_position(const char *text, Pwemu__V1__Position *out, struct err *err)
{
	Pwemu__V1__Position position = PWEMU__V1__POSITION__INIT;
	if (strcmp(text, "boot") == 0) {
		position.at_case = PWEMU__V1__POSITION__AT_BOOT;
		position.boot = 1;
	} else if (strcmp(text, "now") == 0) {
		position.at_case = PWEMU__V1__POSITION__AT_NOW;
		position.now = 1;
	} else if (text[0] == '-' && value_size(text + 1, &position.tail, NULL) == 0) {
		position.at_case = PWEMU__V1__POSITION__AT_TAIL;
	} else if (value_size(text, &position.offset, NULL) == 0) {
		position.at_case = PWEMU__V1__POSITION__AT_OFFSET;
	} else {
		return err_set(err, ERR_INVALID_ARGUMENT,
			       "'%s' is not a position: write 0, boot, now, -4K (before the end) or an offset in bytes", text);
	}
	*out = position;
	return 0;
}

void value_position_of(const char *from, Pwemu__V1__Position *out)
{
	struct err err;
	if (from[0] != '\0')
		(void)!value_position(from, out, &err);
}

int value_port(const char *text, uint32_t *port, struct err *err)
{
	int64_t number;
	if (value_number(text, 1, UINT16_MAX, &number, err) < 0)
		return err_prefix(err, "port");
	*port = (uint32_t)number;
	return 0;
}

int value_endpoint(const char *text, size_t *len, uint32_t *port, struct err *err)
{
	size_t name = strcspn(text, "=");
	uint32_t number = 0;
	if (name == 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "'%s' names no channel: write CHANNEL or CHANNEL=PORT", text);
	if (text[name] == '=' && value_port(text + name + 1, &number, err) < 0)
		return -1;
	*len = name;
	*port = number;
	return 0;
}

int value_key(const char *text, unsigned char *key, struct err *err)
{
	static const char *const prefixes[] = { "^", "ctrl-", "ctrl+", "c-" };
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t len = strlen(prefixes[i]);
		if (strncasecmp(text, prefixes[i], len) != 0 || text[len] == '\0' || text[len + 1] != '\0')
			continue;
		int letter = toupper((unsigned char)text[len]);
		if (letter > '@' && letter <= '_') {
			*key = (unsigned char)(letter - '@');
			return 0;
		}
	}
	return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is not a control key: write ^A or ctrl-a", text);
}

const char *value_key_name(unsigned char key)
{
	static char name[16];
	snprintf(name, sizeof(name), "Ctrl+%c", key < 32 ? key + '@' : key);
	return name;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/keys.h"

#include <string.h>

void keys_init(struct keys *keys, unsigned char escape, const char *eol, const struct keys_ops *ops, void *ctx)
{
	*keys = (struct keys){ .escape = escape, .eol = eol, .ops = ops, .ctx = ctx };
}

const char *keys_eol(const char *name)
{
	return strcmp(name, "lf") == 0 ? "\n" : strcmp(name, "crlf") == 0 ? "\r\n" : "\r";
}

/* Letters count with and without Ctrl, since the finger is still on it. */
static enum keys_action menu_action(unsigned char key)
{
	switch (key) {
	case 'q':
	case 'q' & 0x1f:
		return KEYS_QUIT;
	case 'r':
	case 'r' & 0x1f:
		return KEYS_RESET;
	case 'p':
	case 'p' & 0x1f:
		return KEYS_PAUSE;
	case 'w':
	case 'w' & 0x1f:
		return KEYS_WRITER;
	case 'i':
	case 'i' & 0x1f:
		return KEYS_INFO;
	case 'h':
	case 'h' & 0x1f:
	case '?':
		return KEYS_HELP;
	default:
		return KEYS_UNKNOWN;
	}
}

/* Returns true when it was the end. */
static bool menu_key(struct keys *keys, unsigned char key)
{
	keys->in_menu = false;
	if (key == KEYS_MENU || key == keys->escape) {
		keys->ops->on_text(keys->ctx, (const char *)&key, 1);
		return false;
	}
	enum keys_action action = menu_action(key);
	keys->ops->on_action(keys->ctx, action);
	return action == KEYS_QUIT;
}

static bool special_key(struct keys *keys, unsigned char key)
{
	if (keys->in_menu)
		return menu_key(keys, key);
	if (keys->escaped) {
		keys->escaped = false;
		if (key != keys->escape) {
			keys->ops->on_action(keys->ctx, KEYS_QUIT);
			return true;
		}
		keys->ops->on_text(keys->ctx, (const char *)&key, 1);
	} else if (key == keys->escape) {
		keys->escaped = true;
	} else if (key == KEYS_MENU) {
		keys->in_menu = true;
		keys->ops->on_action(keys->ctx, KEYS_HELP);
	} else {
		keys->ops->on_text(keys->ctx, keys->eol, strlen(keys->eol)); /* Enter */
	}
	return false;
}

void keys_feed(struct keys *keys, const char *bytes, size_t len)
{
	size_t begin = 0;
	for (size_t i = 0; i < len; i++) {
		unsigned char key = (unsigned char)bytes[i];
		if (!keys->in_menu && !keys->escaped && key != keys->escape && key != KEYS_MENU && key != '\r')
			continue;
		if (i > begin)
			keys->ops->on_text(keys->ctx, bytes + begin, i - begin);
		begin = i + 1;
		if (special_key(keys, key))
			return;
	}
	if (len > begin)
		keys->ops->on_text(keys->ctx, bytes + begin, len - begin);
}

bool keys_is_waiting(const struct keys *keys)
{
	return keys->escaped;
}

void keys_timeout(struct keys *keys)
{
	if (!keys->escaped)
		return;
	keys->escaped = false;
	keys->ops->on_action(keys->ctx, KEYS_QUIT);
}

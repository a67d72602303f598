/* SPDX-License-Identifier: Apache-2.0 */
#include "config/origin.h"

#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

struct origin {
	char *name, *where;
};

struct origins {
	struct origin *rows;
	size_t count;
};

struct origins *origins_new(void)
{
	return xcalloc(1, sizeof(struct origins));
}

void origins_free(struct origins *origins)
{
	if (origins == NULL)
		return;
	for (size_t i = 0; i < origins->count; i++) {
		free(origins->rows[i].name);
		free(origins->rows[i].where);
	}
	free(origins->rows);
	free(origins);
}

static struct origin *origins_find(const struct origins *origins, const char *name)
{
	for (size_t i = 0; origins != NULL && i < origins->count; i++)
		if (strcmp(origins->rows[i].name, name) == 0)
			return &origins->rows[i];
	return NULL;
}

void origins_set(struct origins *origins, const char *name, const char *where)
{
	struct origin *row = origins_find(origins, name);
	if (origins == NULL)
		return;
	if (row == NULL) {
		origins->rows = xrealloc(origins->rows, origins->count + 1, sizeof(*origins->rows));
		row = &origins->rows[origins->count++];
		*row = (struct origin){ .name = xstrdup(name) };
	}
	free(row->where);
	row->where = xstrdup(where);
}

void origins_drop(struct origins *origins, const char *name)
{
	size_t len = strlen(name), kept = 0;
	for (size_t i = 0; origins != NULL && i < origins->count; i++) {
		struct origin *row = &origins->rows[i];
		if (strncmp(row->name, name, len) != 0 || strchr(".[", row->name[len]) == NULL) {
			origins->rows[kept++] = *row;
			continue;
		}
		free(row->name);
		free(row->where);
	}
	if (origins != NULL)
		origins->count = kept;
}

const char *origins_get(const struct origins *origins, const char *name)
{
	const struct origin *row = origins_find(origins, name);
	return row != NULL ? row->where : NULL;
}

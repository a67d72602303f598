/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a project's configuration and which targets are in them. Internal to config/: use project.h. */
#pragma once

#include <sys/types.h>

#include "config/project.h"
#include "config/target_json.h"

struct project_file {
	struct json_file json;
	struct json_at chain[3]; /* root, pw, pw_emu: they refer to each other, so the file does not move */
	struct json_at *config;  /* the one of them that holds the configuration */
	struct json_at targets;  /* value NULL: there are none */
	dev_t device;
	ino_t inode;
};

struct project_target_row {
	const char *name; /* of the JSON */
	struct project_file *file;
	struct json_at at;
};

struct project {
	char *path, *dir;
	enum reader_flavour flavour;
	struct project_ops ops;
	struct project_file **files; /* the first is the configuration itself */
	size_t file_count;
	struct project_target_row *rows; /* in the order of the files, each name once */
	size_t row_count;
};

/* NULL: there is none. */
const struct project_target_row *project_find(const struct project *project, const char *name);
/* The tables of keys of what holds targets. */
extern const struct target_table project_tables[];

/* A reader for this project's files. */
void project_reader(const struct project *project, struct reader *reader);

/* SPDX-License-Identifier: Apache-2.0 */
/* A table of things by a hash of what they are looked up by, which several may share: who looks compares the rest himself. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* FNV-1a. */
uint64_t hash_bytes(const void *bytes, size_t len);
uint64_t hash_text(const char *text);

/* Part of a thing, of each table one. */
struct hash_node {
	struct hash_node *next;
	void *thing; /* NULL: in no table */
	uint64_t hash;
};

struct hash_table {
	struct hash_node **heads;
	size_t size, count; /* size: a power of two, or 0 */
};

void hash_table_fini(struct hash_table *table); /* the nodes are not touched any more */
void hash_add(struct hash_table *table, struct hash_node *node, uint64_t hash, void *thing);
/* Nothing where it is in no table. */
void hash_remove(struct hash_table *table, struct hash_node *node);
/* The nodes with this hash one by one; `before` NULL: the first. NULL: there are no more. */
struct hash_node *hash_next(const struct hash_table *table, uint64_t hash, const struct hash_node *before);

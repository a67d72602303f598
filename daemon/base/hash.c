/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#include "wire/mem.h"

#define HASH_SIZE_MIN 64

uint64_t hash_bytes(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint64_t hash = 0xcbf29ce484222325u;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * 0x100000001b3u;
	return hash;
}

uint64_t hash_text(const char *text)
{
	return hash_bytes(text, strlen(text));
}

static struct hash_node **hash_head(const struct hash_table *table, uint64_t hash)
{
	return &table->heads[hash & (table->size - 1)];
}

static void hash_push(struct hash_table *table, struct hash_node *node)
{
	struct hash_node **head = hash_head(table, node->hash);
	node->next = *head;
	*head = node;
}

static void hash_grow(struct hash_table *table)
{
	struct hash_table old = *table;
	table->size = old.size > 0 ? old.size * 2 : HASH_SIZE_MIN;
	table->heads = xcalloc(table->size, sizeof(*table->heads));
	for (size_t i = 0; i < old.size; i++)
		for (struct hash_node *node = old.heads[i], *next; node != NULL; node = next) {
			next = node->next;
			hash_push(table, node);
		}
	free(old.heads);
}

void hash_table_fini(struct hash_table *table)
{
	free(table->heads);
	*table = (struct hash_table){ 0 };
}

void hash_add(struct hash_table *table, struct hash_node *node, uint64_t hash, void *thing)
{
	if (table->count >= table->size)
		hash_grow(table);
	*node = (struct hash_node){ .hash = hash, .thing = thing };
	hash_push(table, node);
	table->count++;
}

void hash_remove(struct hash_table *table, struct hash_node *node)
{
	if (node->thing == NULL)
		return;
	struct hash_node **at = hash_head(table, node->hash);
	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	node->thing = NULL;
	table->count--;
}

struct hash_node *hash_next(const struct hash_table *table, uint64_t hash, const struct hash_node *before)
{
	if (table->size == 0)
		return NULL;
	struct hash_node *node = before != NULL ? before->next : *hash_head(table, hash);
	while (node != NULL && node->hash != hash)
		node = node->next;
	return node;
}

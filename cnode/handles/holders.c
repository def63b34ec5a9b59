/* SPDX-License-Identifier: Apache-2.0 */
/* Counts what nodes hold. Knows nothing of limits. */
#include "handles/holders.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a */
static uint32_t hash(const char *node)
{
	uint32_t value = 2166136261u;

	for (; *node; node++)
		value = (value ^ (unsigned char)*node) * 16777619u;
	return value;
}

struct holder *holders_find(const struct holders *holders, const char *node)
{
	struct holder *holder;

	LIST_FOREACH(holder, &holders->buckets[hash(node) % HOLDERS_BUCKETS],
		     entry)
	if (strcmp(holder->node, node) == 0)
		return holder;
	return NULL;
}

struct holder *holders_open(struct holders *holders, const char *node)
{
	struct holder *holder = holders_find(holders, node);

	if (holder)
		return holders_ref(holder);
	holder = calloc(1, sizeof(*holder));
	if (!holder)
		return NULL;
	strncpy(holder->node, node, sizeof(holder->node) - 1);
	LIST_INSERT_HEAD(&holders->buckets[hash(node) % HOLDERS_BUCKETS],
			 holder, entry);
	return holders_ref(holder);
}

struct holder *holders_ref(struct holder *holder)
{
	holder->users++;
	return holder;
}

void holders_close(struct holder *holder)
{
	if (!holder || --holder->users > 0)
		return;
	LIST_REMOVE(holder, entry);
	free(holder);
}

void holders_fini(struct holders *holders)
{
	struct holder *holder;

	for (size_t i = 0; i < HOLDERS_BUCKETS; i++)
		while ((holder = LIST_FIRST(&holders->buckets[i]))) {
			LIST_REMOVE(holder, entry);
			free(holder);
		}
}

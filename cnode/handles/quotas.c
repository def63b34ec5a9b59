/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes have of what there is a limit for. Knows nothing of limits. */
#include "handles/quotas.h"

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

struct quota *quotas_open(struct quotas *quotas, const char *node)
{
	uint32_t chain = hash(node) % QUOTAS_CHAINS;
	struct quota *quota;

	LIST_FOREACH(quota, &quotas->chains[chain], others)
	if (strcmp(quota->node, node) == 0)
		return quotas_ref(quota);
	quota = calloc(1, sizeof(*quota));
	if (!quota)
		return NULL;
	strncpy(quota->node, node, sizeof(quota->node) - 1);
	LIST_INSERT_HEAD(&quotas->chains[chain], quota, others);
	return quotas_ref(quota);
}

struct quota *quotas_ref(struct quota *quota)
{
	quota->users++;
	return quota;
}

void quotas_close(struct quota *quota)
{
	if (!quota || --quota->users > 0)
		return;
	LIST_REMOVE(quota, others);
	free(quota);
}

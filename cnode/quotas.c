/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes have of what there is a limit for. Knows nothing of limits. */
#include "quotas.h"

#include <stdlib.h>
#include <string.h>

struct quota *quotas_open(struct quotas *quotas, const char *node)
{
	struct quota *quota;

	LIST_FOREACH(quota, quotas, others)
	if (strcmp(quota->node, node) == 0)
		return quotas_ref(quota);
	quota = calloc(1, sizeof(*quota));
	if (!quota)
		return NULL;
	strncpy(quota->node, node, sizeof(quota->node) - 1);
	LIST_INSERT_HEAD(quotas, quota, others);
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

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STATS_LOG_H
#define STATS_LOG_H

#include "base/stats.h"
#include "handles/handles.h"

/* Logs what stats/0 returns, in one line. */
void stats_log(struct stats_all *all, struct handles *handles);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOST_NAME_H
#define HOST_NAME_H

#include <ei.h>
#include <stdbool.h>

/*
 * The host part of a short node name, as erl -sname chooses it; false if there
 * is none. This process must be single-threaded.
 */
bool host_name_find(char host[EI_MAXHOSTNAMELEN + 1]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOST_NAME_H
#define HOST_NAME_H

#include <ei.h>
#include <stdbool.h>

/*
 * The host of a short node name, as erl -sname has it. False: there is none.
 * Only for a process of one thread.
 */
bool host_name_find(char host[EI_MAXHOSTNAMELEN + 1]);

#endif

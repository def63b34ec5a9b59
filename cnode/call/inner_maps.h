/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INNER_MAPS_H
#define INNER_MAPS_H

#include "call/call.h"

/*
 * A handle for the map of that id: a live one that is no view, or a new one to
 * share. 0 or -errno.
 */
int inner_maps_share(struct call *call, uint32_t id, erlang_ref *ref);

#endif

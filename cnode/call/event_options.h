/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_OPTIONS_H
#define EVENT_OPTIONS_H

#include "call/call.h"

/*
 * Reads the options of subscribe/3 into a request, whose types and lost are the
 * caller's: event_options_fini(). *error: 0, -errno or VIEWS_NOTYPE. False: an
 * exception was raised.
 */
bool event_options_read(struct call *call, struct term list,
			struct events_request *request, int *error);
void event_options_fini(struct events_request *request);

/* Those of a subscription without options. */
extern const struct events_request event_options_default;

#endif

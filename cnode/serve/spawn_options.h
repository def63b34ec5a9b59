/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPAWN_OPTIONS_H
#define SPAWN_OPTIONS_H

#include "term/term.h"

/*
 * The options of a SPAWN_REQUEST: sets flags to those of enum
 * control_spawn_flag. False for those to which an Erlang node answers badopt.
 */
bool spawn_options_read(struct term options, unsigned *flags);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPAWN_OPTIONS_H
#define SPAWN_OPTIONS_H

#include "term/term.h"

/*
 * Reads the options of a SPAWN_REQUEST into flags, of enum control_spawn_flag.
 * False: an Erlang node would answer badopt.
 */
bool spawn_options_read(struct term options, unsigned *flags);

#endif

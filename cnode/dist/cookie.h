/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COOKIE_H
#define COOKIE_H

#include <ei.h>
#include <stdbool.h>

/*
 * Reads the cookie from file, which has to be there, or for NULL from where erl
 * has it: ~/.erlang.cookie, else erlang/.erlang.cookie below the user's
 * configuration folder. Where there is none a random one is made, readable by
 * its owner alone. False: an error has been logged.
 */
bool cookie_read(const char *file, char cookie[EI_MAX_COOKIE_SIZE + 1]);

#endif

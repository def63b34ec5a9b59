/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COOKIE_H
#define COOKIE_H

#include <ei.h>
#include <stdbool.h>

/*
 * Reads the cookie from file, which must exist. If file is NULL, from where erl
 * looks: ~/.erlang.cookie, else erlang/.erlang.cookie in the user's
 * configuration directory; if neither exists, a random cookie is created that
 * only its owner may read. False: an error has been logged.
 */
bool cookie_read(const char *file, char cookie[EI_MAX_COOKIE_SIZE + 1]);

#endif
